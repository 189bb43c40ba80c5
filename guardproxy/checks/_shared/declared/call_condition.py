"""Conditions on a call of a tool: expressions in CEL over its name, its server and its arguments.

In: the text of an expression; then calls. Out: whether it holds for a call. The arguments have no known type, so an expression
cannot be evaluated for every call: a member is missing, or has another type. The caller decides what follows.

`came_from(VALUE, KIND)` asks the origins of the call (`_shared/taint/origins.py`), which the caller gives. They are in a
context variable while the expression is evaluated, since a function of the library gets nothing but its arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, cast

from guardproxy.conditions import (
    LIMIT_ITEMS,
    CelError,
    CelExpression,
    CelFunction,
    CelNames,
    Token,
    compile_expression,
    literal,
    tokens_of,
)
from guardproxy.errors import OptionError
from guardproxy.findings import Kind, ToolCall

ARGUMENTS = "call.arguments"
SOURCES: tuple[Kind, ...] = ("tool_result", "document")
"""The kinds of texts that a value may come from."""
_CAME_FROM = "came_from"


class Origins(Protocol):
    """Says where the arguments of a call came from."""

    def came_from(self, value: Any, kind: Kind) -> bool: ...


_asked: ContextVar[Origins | None] = ContextVar("_asked", default=None)
"""The origins of the call whose condition is evaluated."""


def _came_from(value: Any, kind: str) -> bool:
    """Whether a value came from texts of a kind. Nothing is known to come from anywhere without origins."""
    origins = _asked.get()
    return origins is not None and origins.came_from(value, cast(Kind, kind))


NAMES = CelNames(
    (("call.name", "STRING"), ("call.server", "STRING"), (ARGUMENTS, "DYN")),
    (ARGUMENTS,),
    "members of arguments, like `has(call.arguments.amount)`",
    (
        CelFunction(
            _CAME_FROM,
            tuple((kind, "STRING") for kind in ("STRING", "INT", "DOUBLE", "BOOL", "NULL", "VALUES", "MEMBERS")),
            _came_from,
        ),
    ),
)
"""What a condition on a call can use."""

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class CallCondition:
    """A condition on a call. `place`: the one member of the arguments that it names; `None` if it names none or several.
    `asks_origins`: whether it asks where values came from."""

    expression: CelExpression
    place: Place | None
    asks_origins: bool = False

    def holds(self, call: ToolCall, arguments: Any, origins: Origins | None = None) -> bool | None:
        """Whether the condition holds for a call. `arguments`: parsed. `origins`: where they came from, if that is known.
        `None`: it cannot be evaluated."""
        if self.expression.makes_lists and not _is_small(arguments):
            return None
        before = _asked.set(origins)
        try:
            return self.expression.holds({"call.name": call.name, "call.server": call.server, ARGUMENTS: arguments})
        finally:
            _asked.reset(before)


def compile_condition(option: str, text: str) -> CallCondition:
    """Compiles a condition. Raises `OptionError` with the first error of the expression."""
    try:
        expression = compile_expression(text, NAMES, _wrong_sources)
    except* CelError as group:
        errors = sorted(_leaves(group), key=lambda error: (error.line, error.column))
        first = errors[0]
        raise OptionError(option, f"`{option}`, column {first.column}: {first.message}") from None
    tokens = list(tokens_of(text))
    named = set(_places(tokens))
    asks = any(token.kind == "word" and token.text == _CAME_FROM for token in tokens)
    return CallCondition(expression, named.pop() if len(named) == 1 else None, asks)


def _wrong_sources(tokens: list[Token]) -> Iterator[tuple[str, int]]:
    """Yields the calls of `came_from` whose kind is none."""
    open_calls: list[bool] = []  # for each open parenthesis, whether it is one of `came_from`
    for number, token in enumerate(tokens):
        if token.text == "(" and token.kind == "mark":
            open_calls.append(number > 0 and tokens[number - 1].text == _CAME_FROM)
        elif token.text == ")" and token.kind == "mark" and open_calls and open_calls.pop():
            last = tokens[number - 1]
            if last.kind != "text" or tokens[number - 2].text != "," or literal(last) not in SOURCES:
                known = " or ".join(f'"{kind}"' for kind in SOURCES)
                yield f"the second argument of `{_CAME_FROM}` is {known}", last.at


def _leaves(group: BaseExceptionGroup[CelError]) -> Iterator[CelError]:
    return (error for error in group.exceptions if isinstance(error, CelError))


def _places(tokens: list[Token]) -> Iterator[Place]:
    """Yields the members of the arguments that an expression names."""
    words = [token.text for token in tokens]
    for at in range(len(words) - 2):
        if words[at : at + 3] != ["call", ".", "arguments"]:
            continue
        place: list[str] = []
        end = at + 3
        while words[end : end + 1] == ["."] and end + 1 < len(words) and words[end + 2 : end + 3] != ["("]:
            place.append(words[end + 1])
            end += 2
        yield tuple(place)


def _is_small(value: Any) -> bool:
    """Whether no list or object in the arguments has more items than an expression that makes lists may read."""
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (list, dict)):
            if len(node) > LIMIT_ITEMS:
                return False
            waiting += node.values() if isinstance(node, dict) else node
    return True
