"""The `when` of a `match`: a CEL expression over the facts of a request.

In: its text, then the `About` of each request, for whose readings it is evaluated (`request_context.py`). Out: a compiled
expression, which says whether it holds; a `CelError` with the column of each error. The library (`cel-expr-python`,
the C++ implementation by the authors of the language) is imported only if a policy has an expression. It knows the
types of all names, so an expression that cannot be evaluated is refused when policies are loaded.

An expression is refused if it could be slow or could differ for equal requests: patterns that are not literals, nested
quantifiers, headers without a literal name, `dyn`. Its values must not grow either: few texts and lists are joined, few lists
are made of others, and `map` makes no text of the facts of the request. The language has no clock, no randomness and no loops.

Decision: docs/decisions/0023-cel-is-evaluated-by-its-c-library.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from typing import Any

import re2

from guardproxy.policy.conditions.canonical_names import lower_case
from guardproxy.policy.conditions.request_context import About
from guardproxy.wire import known_headers

LIMIT_CHARS = 2000
LIMIT_JOINS = 8  # `+` in an expression: each may double a text or a list
LIMIT_LISTS = 3  # macros that make a list, with one `+` beside them
LIMIT_ITEMS = 512  # of the lists that these read: the library copies the list that it makes for each item

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
    "request.headers": "MAP",
    "tenant.name": "STRING",
}
FUNCTIONS = (
    *("all", "contains", "endsWith", "exists", "exists_one", "filter", "has", "int", "map", "matches", "size"),
    *("startsWith", "string", "double", "uint", "bool", "timestamp", "duration"),
)

_SECRET_HEADERS = ("proxy-authorization", "cookie")  # beside those that the formats declare
_MACROS = ("all", "exists", "exists_one", "map", "filter")
_LIST_MACROS = ("map", "filter")
_TOKEN = re.compile(
    r"""(?P<text>[bB]?[rR]?(?:'''(?:\\.|[^\\])*?'''|\"{3}(?:\\.|[^\\])*?\"{3}|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))"""
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>[0-9][0-9A-Za-z.]*)|(?P<mark>&&|\|\||[=!<>]=|\S)|\s+",
    re.DOTALL,
)
_MISTAKE = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_TYPES = {
    **{"string": "a text", "int": "a whole number", "uint": "a whole number without sign", "bool": "true or false"},
    **{
        "double": "a number with a fraction",
        "null_type": "null",
        "bytes": "bytes",
        "type": "a type",
        "list": "a list",
        "map": "a mapping",
    },
}
_QUIET = re2.Options()
_QUIET.log_errors = False
_INSTEAD = {"and": "&&", "or": "||", "not": "!", "=": "==", "&": "&&", "|": "||", "AND": "&&", "OR": "||"}


class CelError(Exception):
    """An error in an expression. `line` and `column`: its place in the text, from 1."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


def is_credential(header: str) -> bool:
    """Whether the values of a header are credentials."""
    return header.lower() in _SECRET_HEADERS or header.lower() in known_headers().credentials


@dataclass(frozen=True, slots=True)
class Cel:
    """A compiled expression. `headers`: the names of the headers that it reads. `names`: the members of `NAMES` that
    it uses. `makes_lists`: whether it makes a list of another list; then it is not evaluated for a long list. `_normal`:
    the same expression with lower-case string literals, for values in normal form."""

    text: str
    headers: tuple[str, ...] = ()
    names: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    makes_lists: bool = field(default=False, compare=False, repr=False)
    _compiled: Any = field(default=None, compare=False, repr=False)
    _normal: Any = field(default=None, compare=False, repr=False)

    def holds(self, about: About) -> bool | None:
        """Whether the expression holds for some reading of the request; `None` if it holds for none and cannot be
        evaluated for some reading (a header is missing)."""
        unsure = False
        for normal, values in about.readings(self.names, self.headers):
            if self.makes_lists and len(values.get("request.tools", ())) > LIMIT_ITEMS:
                unsure = True
                continue
            try:
                activation = _environment().Activation(values)
                value = (self._normal if normal else self._compiled).eval(activation).plain_value()
            except (RuntimeError, ValueError, TypeError):  # the library rejects a lone surrogate
                value = None
            if value is True:
                return True
            unsure = unsure or value is not False
        return None if unsure else False


@cache
def _environment() -> Any:
    from cel_expr_python import cel  # noqa: PLC0415 - loaded only where a policy asks for it

    of = cel.Type
    types = {"STRING": of.STRING, "BOOL": of.BOOL, "INT": of.INT}
    types |= {"LIST": of.List(of.STRING), "MAP": of.Map(of.STRING, of.STRING)}
    return cel.NewEnv(variables={name: types[kind] for name, kind in NAMES.items()})


def compile_cel(text: str) -> Cel:
    """Compiles `text`. Raises an `ExceptionGroup` of `CelError` with every error."""
    if len(text) > LIMIT_CHARS:
        raise _group([CelError(f"longer than {LIMIT_CHARS} characters; write several policies")])
    tokens = list(tokens_of(text))
    try:
        compiled = _environment().compile(text)
    except RuntimeError as error:
        raise _group(list(_mistakes(str(error), text, tokens))) from None
    headers: dict[str, None] = {}
    if wrong := [*_unbounded(tokens), *_growing(tokens), *_headers(tokens, headers)]:
        raise _group([_error(message, text, at) for message, at in wrong])
    if (kind := compiled.return_type().name()) != "BOOL":
        type_name = _TYPES.get(kind.lower(), f"a {kind.partition('<')[0].lower()}")
        raise _group(
            [CelError(f"expected a condition that holds or not, found {type_name}; compare it with something")]
        )
    names = frozenset(_names(tokens))
    lower = _in_lower_case(text, tokens)
    normal = _environment().compile(lower) if lower != text else compiled
    return Cel(text, tuple(sorted(headers)), names, bool(_list_macros(tokens)), compiled, normal)


def _list_macros(tokens: list[Token]) -> list[Token]:
    """Returns the macros of an expression that make a list."""
    return [token for number, token in enumerate(tokens) if token.text in _LIST_MACROS and _is_macro(tokens, number)]


def _names(tokens: list[Token]) -> Iterator[str]:
    """Yields the members of `NAMES` that an expression uses."""
    for first, dot, last in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if dot.text == "." and f"{first.text}.{last.text}" in NAMES:
            yield f"{first.text}.{last.text}"


def _in_lower_case(text: str, tokens: list[Token]) -> str:
    """Returns the expression with string literals in the normal form of names and with patterns that ignore case. A
    literal with an escape stays unchanged."""
    out, at = "", 0
    for number, token in enumerate(tokens):
        if token.kind != "text" or token.text[0] in "bB":
            continue
        before = [previous.text for previous in tokens[max(0, number - 2) : number]]
        quote = 1 + (token.text[0] in "rR")
        quote += 2 * (token.text[quote - 1 : quote + 2] in ("'''", '"""'))
        ends = 3 if quote > 2 else 1
        head, inner, tail = token.text[:quote], token.text[quote:-ends], token.text[-ends:]
        if before == ["matches", "("]:
            inner = f"(?i){inner}"
        elif "\\" not in inner:
            inner = lower_case(inner)
        out += text[at : token.at] + head + inner + tail
        at = token.at + len(token.text)
    return out + text[at:]


def _group(errors: list[CelError]) -> ExceptionGroup[CelError]:
    return ExceptionGroup("errors in an expression", errors)


@dataclass(frozen=True, slots=True)
class Token:
    """A token of an expression. `kind`: text, word, number or mark; `at`: the offset in the expression."""

    kind: str
    text: str
    at: int


def tokens_of(text: str) -> Iterator[Token]:
    """Yields the tokens of an expression, without white space and comments."""
    at = 0
    while at < len(text):
        # a comment goes to the end of its line
        match = re.compile(r"//[^\n]*").match(text, at) or _TOKEN.match(text, at)
        assert match is not None  # noqa: S101 - any character is a mark
        if match.lastgroup:
            yield Token(match.lastgroup, match[0], at)
        at = match.end()


def _error(message: str, text: str, at: int) -> CelError:
    return CelError(message, line=text.count("\n", 0, at) + 1, column=at - text.rfind("\n", 0, at))


def literal(token: Token) -> str:
    """Returns the value of a string literal. Of its escapes, only the backslash is removed."""
    raw = token.text.lstrip("bBrR")
    size = 3 if raw.startswith(("'''", '"""')) else 1
    inner = raw[size:-size]
    return inner if token.text[0] in "rR" else re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL)


# Errors that the library finds.


def _mistakes(report: str, text: str, tokens: list[Token]) -> Iterator[CelError]:
    mistakes = [(int(match[1]), int(match[2]), match[3]) for match in _MISTAKE.finditer(report)]
    if not mistakes:
        inside = "nested more than 32 levels deep" if "recursion" in report else report.partition("\n")[0]
        yield CelError(inside)
    first_syntax = next((mistake for mistake in mistakes if mistake[2].startswith("Syntax error")), None)
    reported: set[int] = set()
    for line, column, message in [first_syntax] if first_syntax else mistakes:
        if line in reported and "cannot be the range" in message:
            continue  # a consequence of the previous mistake
        reported.add(line)
        start = sum(len(part) + 1 for part in text.split("\n")[: line - 1]) + column - 1
        yield _mistake(message.removesuffix(" [INVALID_ARGUMENT]"), text, tokens, start)


def _mistake(message: str, text: str, tokens: list[Token], at: int) -> CelError:
    if unknown := re.match(r"undeclared reference to '([^']*)'", message):
        return _unknown(unknown[1], text, at)
    if overload := re.match(r"found no matching overload for '([^']*)' applied to '(.*)'", message):
        name = overload[1].replace("_", "").replace("@", "") or overload[1]
        kinds = re.findall(r"[a-z_]+(?=[(,]|$)(?![^(]*\))", overload[2].removeprefix("(").removesuffix(")"))
        what = " and ".join(_TYPES.get(kind, kind) for kind in kinds)
        return _error(f"`{name}` cannot be used with {what}", text, at)
    if not message.startswith("Syntax error"):
        return _error(message, text, at)
    token = next((candidate for candidate in tokens if at < candidate.at + len(candidate.text)), None)
    if token is None:
        return _error("the expression is incomplete", text, at)
    before = next((previous for previous in reversed(tokens) if previous.at + len(previous.text) <= token.at), token)
    for suspect in (token, before):
        if (instead := _INSTEAD.get(suspect.text)) and suspect.kind != "text":
            return _error(f"`{suspect.text}` is not CEL; write `{instead}`", text, suspect.at)
    if token.text in "'\"":
        return _error("a text without its closing quote", text, token.at)
    return _error(f"not CEL from `{token.text}` on", text, token.at)


def _unknown(name: str, text: str, at: int) -> CelError:
    first, dot, last = name.rpartition(".")
    if dot and text[:at].endswith(first):
        at -= len(first)
    elif (
        not dot and text[at : at + 1] == "(" and text[:at].endswith(name)
    ):  # the library gives the place of the parenthesis
        at -= len(name)
        if name in FUNCTIONS:
            how = f'; write `x.{name}(t, t == "a")`' if name in _MACROS else ""
            return _error(f"wrong arguments for `{name}`{how}", text, at)
        near = get_close_matches(name, FUNCTIONS, 1) or [
            function for function in FUNCTIONS if function.lower() == name.lower()
        ]
        return _error(f"unknown function `{name}`{_hint(near, FUNCTIONS)}", text, at)
    near = [full_name for full_name in NAMES if full_name.rpartition(".")[2] == last] if not dot else []
    near = near or get_close_matches(name, NAMES, 1)
    return _error(f"unknown name `{name}`{_hint(near, NAMES)}", text, at)


def _hint(near: list[str], known: Mapping[str, str] | tuple[str, ...]) -> str:
    return f"; did you mean `{near[0]}`?" if near else f" (known: {', '.join(known)})"


# Expressions that the library accepts and this proxy refuses.


def _unbounded(tokens: list[Token]) -> Iterator[tuple[str, int]]:
    quantifiers: list[int] = []  # the depth of parentheses at which each quantifier began
    depth = 0
    for number, token in enumerate(tokens):
        after = tokens[number + 1 : number + 3]
        called = bool(after) and after[0].text == "("
        if token.text == ")":
            depth -= 1
            quantifiers = [quantifier for quantifier in quantifiers if quantifier <= depth]
        elif token.text == "(":
            depth += 1
        if token.kind != "word" or not called:
            continue
        if token.text == "dyn":
            yield "`dyn` is not available: it hides errors until a request comes", token.at
        elif token.text == "has":
            if [following.text for following in tokens[number + 2 : number + 5]] != ["request", ".", "headers"]:
                yield "`has` is for headers, like `has(request.headers.team)`; all other facts always exist", token.at
        # Only the pattern of a literal can be compiled, and refused, before the first request.
        elif token.text == "matches":
            if len(after) < 2 or after[1].kind != "text" or tokens[number + 3].text != ")":
                yield "the pattern of `matches` must be a literal in quotes", token.at
            elif wrong := _pattern(after[1]):
                yield f"not a pattern of RE2: {wrong}", after[1].at
        elif token.text in _MACROS and number and tokens[number - 1].text == ".":
            if quantifiers:
                yield f"`{token.text}` inside another quantifier takes too long on a long list", token.at
            quantifiers.append(depth + 1)


def _growing(tokens: list[Token]) -> Iterator[tuple[str, int]]:
    """Yields errors in expressions whose values could grow large: the library has no limit of its own for them."""
    lists, joins = _list_macros(tokens), [token for token in tokens if token.kind == "mark" and token.text == "+"]
    limit = 1 if lists else LIMIT_JOINS
    if len(joins) > limit:
        beside = " beside `map` or `filter`" if lists else ""
        yield f"more than {limit} `+`{beside}: a long text or list would grow with each", joins[limit].at
    if len(lists) > LIMIT_LISTS:
        yield f"more than {LIMIT_LISTS} of `map` and `filter`: each makes another list", lists[LIMIT_LISTS].at
    depth, maps = 0, list[int]()  # the depth of parentheses at which each `map` began
    for number, token in enumerate(tokens):
        if token.text == "(":
            depth += 1
        elif token.text == ")":
            depth -= 1
            maps = [start for start in maps if start <= depth]
        elif maps and (token.text in ("[", "{", "request", "tenant")):
            yield "`map` makes a text, a number or a condition of its item and of constants only", token.at
            return
        elif token.text == "map" and _is_macro(tokens, number):
            maps.append(depth + 1)


def _is_macro(tokens: list[Token], number: int) -> bool:
    """Whether the word at an index is called as a macro of a list."""
    return 0 < number < len(tokens) - 1 and tokens[number - 1].text == "." and tokens[number + 1].text == "("


def _pattern(token: Token) -> str:
    try:
        re2.compile(literal(token), _QUIET)
    except re2.error as error:
        return str(error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else error)
    return ""


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
