"""The `when` of a `match`: a CEL expression over the facts of a request.

In: its text, then the `About` of each request, for whose readings it is evaluated (`request_context.py`). Out: a compiled
expression, which says whether it holds. An expression is refused if it reads headers without a literal name.
`guardproxy/conditions/cel.py` compiles it, and refuses what could be slow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from guardproxy.conditions import (
    LIMIT_ITEMS,
    CelError,
    CelExpression,
    CelNames,
    Token,
    compile_expression,
    literal,
    tokens_of,
)
from guardproxy.policy.conditions.request_context import About
from guardproxy.wire import installed

__all__ = ["NAMES", "Cel", "CelError", "Token", "compile_cel", "is_credential", "literal", "tokens_of"]

# The names that an expression can use, and the words for their types in messages.
NAMES: Mapping[str, str] = {
    "request.route": "STRING",
    "request.method": "STRING",
    "request.path": "STRING",
    "request.model": "STRING",
    "request.stream": "BOOL",
    "request.max_tokens": "INT",
    "request.messages": "INT",
    "request.tools": "LIST",
    "request.server": "STRING",
    "request.operation": "STRING",
    "request.headers": "MAP",
    "tenant.name": "STRING",
}
_NAMES = CelNames(tuple(NAMES.items()), ("request.headers",), "headers, like `has(request.headers.team)`")
_SECRET_HEADERS = ("proxy-authorization", "cookie")  # beside those that the formats declare


def is_credential(header: str) -> bool:
    """Whether the values of a header are credentials."""
    return header.lower() in _SECRET_HEADERS or header.lower() in installed().headers.credentials


@dataclass(frozen=True, slots=True)
class Cel:
    """A compiled expression. `headers`: the names of the headers that it reads. `names`: the members of `NAMES` that
    it uses. A list of tools above a limit is not evaluated by an expression that makes another list of it."""

    text: str
    headers: tuple[str, ...] = ()
    names: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    _expression: CelExpression | None = field(default=None, compare=False, repr=False)

    def holds(self, about: About) -> bool | None:
        """Whether the expression holds for some reading of the request; `None` if it holds for none and cannot be
        evaluated for some reading (a header is missing)."""
        unsure, expression = False, self._expression
        assert expression is not None  # noqa: S101 - `compile_cel` sets it
        for normal, values in about.readings(self.names, self.headers):
            if expression.makes_lists and len(values.get("request.tools", ())) > LIMIT_ITEMS:
                unsure = True
                continue
            value = expression.holds(values, normal=normal)
            if value:
                return True
            unsure = unsure or value is None
        return None if unsure else False


def compile_cel(text: str) -> Cel:
    """Compiles `text`. Raises an `ExceptionGroup` of `CelError` with every error."""
    headers: dict[str, None] = {}
    expression = compile_expression(text, _NAMES, partial(_headers, names=headers))
    return Cel(text, tuple(sorted(headers)), expression.names, expression)


def _headers(tokens: list[Token], names: dict[str, None]) -> Iterator[tuple[str, int]]:
    """Yields errors in the use of headers, and adds each header that the expression reads to `names`. Headers must be
    named, so that no other header is ever read."""
    words = [token.text for token in tokens]
    for number in range(len(tokens) - 2):
        if words[number : number + 3] != ["request", ".", "headers"]:
            continue
        after = tokens[number + 3 : number + 6]
        before = tokens[max(0, number - 2) : number]
        name: Token | None = None
        indexed = len(after) > 2 and after[0].text == "[" and after[1].kind == "text" and after[2].text == "]"
        if indexed or (len(after) > 1 and after[0].text == "." and after[1].kind == "word"):
            name = after[1]
        elif len(before) > 1 and before[1].text == "in" and before[0].kind == "text":
            name = before[0]
        if name is None or name.text == "size":
            message = 'name the header, like `request.headers["x-team"]` or `"x-team" in request.headers`'
            yield message, tokens[number].at
            continue
        header = literal(name) if name.kind == "text" else name.text
        if is_credential(header):
            yield f"`{header.lower()}` holds a credential; tell clients apart by `tenant.name`", name.at
        elif header != header.lower():
            yield f"write names of headers in lower case: `{header.lower()}`", name.at
        names[header] = None
