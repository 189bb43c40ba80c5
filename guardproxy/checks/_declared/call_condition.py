"""Conditions on a call of a tool: expressions in CEL over its name, its server and its arguments.

In: the text of an expression; then calls. Out: whether it holds for a call. The arguments have no known type, so an expression
cannot be evaluated for every call: a member is missing, or has another type. The caller decides what follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from guardproxy.conditions import (
    LIMIT_ITEMS,
    CelError,
    CelExpression,
    CelNames,
    Token,
    compile_expression,
    tokens_of,
)
from guardproxy.errors import OptionError
from guardproxy.findings import ToolCall

ARGUMENTS = "call.arguments"
NAMES = CelNames(
    (("call.name", "STRING"), ("call.server", "STRING"), (ARGUMENTS, "DYN")),
    (ARGUMENTS,),
    "members of arguments, like `has(call.arguments.amount)`",
)
"""What a condition on a call can use. Functions over arguments are added here (`CelNames.functions`)."""

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class CallCondition:
    """A condition on a call. `place`: the one member of the arguments that it names; `None` if it names none or several."""

    expression: CelExpression
    place: Place | None

    def holds(self, call: ToolCall, arguments: Any) -> bool | None:
        """Whether the condition holds for a call. `arguments`: parsed. `None`: it cannot be evaluated."""
        if self.expression.makes_lists and not _is_small(arguments):
            return None
        return self.expression.holds({"call.name": call.name, "call.server": call.server, ARGUMENTS: arguments})


def compile_condition(option: str, text: str) -> CallCondition:
    """Compiles a condition. Raises `OptionError` with the first error of the expression."""
    try:
        expression = compile_expression(text, NAMES)
    except* CelError as group:
        errors = sorted(_leaves(group), key=lambda error: (error.line, error.column))
        first = errors[0]
        raise OptionError(option, f"`{option}`, column {first.column}: {first.message}") from None
    named = set(_places(list(tokens_of(text))))
    return CallCondition(expression, named.pop() if len(named) == 1 else None)


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
