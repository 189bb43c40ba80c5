"""The `when` of a rule: names of checks joined by `and`, `or` and parentheses.

In: the text of an expression and the names that it may use. Out: a small frozen tree that says whether it holds. `and` binds
stronger than `or`. There is no `not`: a rule depends on findings, not on their absence.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container
from dataclasses import dataclass
from difflib import get_close_matches

from guardproxy.errors import PolicyError

CHECK_ERROR = "check_error"
RESERVED = ("and", "or", "not", CHECK_ERROR)

_LIMIT_DEPTH = 20
_TOKEN = re.compile(r"\s*(?:(?P<word>[A-Za-z0-9_][A-Za-z0-9_-]*)|(?P<mark>[()])|(?P<other>\S))")
_INSTEAD = {"&": "and", "|": "or", ",": "or", "+": "and"}


@dataclass(frozen=True, slots=True)
class Name:
    """Holds if the check of this name has a finding (`check_error`: if any check failed)."""

    name: str

    def names(self) -> frozenset[str]:
        return frozenset((self.name,))

    def holds(self, present: Container[str]) -> bool:
        return self.name in present


@dataclass(frozen=True, slots=True)
class And:
    """Holds if all parts hold."""

    parts: tuple[Expression, ...]

    def names(self) -> frozenset[str]:
        return frozenset().union(*(part.names() for part in self.parts))

    def holds(self, present: Container[str]) -> bool:
        return all(part.holds(present) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or:
    """Holds if any part holds."""

    parts: tuple[Expression, ...]

    def names(self) -> frozenset[str]:
        return frozenset().union(*(part.names() for part in self.parts))

    def holds(self, present: Container[str]) -> bool:
        return any(part.holds(present) for part in self.parts)


Expression = Name | And | Or


def has_and(expression: Expression) -> bool:
    """Whether a part of the expression needs findings of two checks."""
    if isinstance(expression, Or):
        return any(has_and(part) for part in expression.parts)
    return isinstance(expression, And)


def parse_expression(text: str, names: Collection[str]) -> Expression:
    """Parses `text`, which may use `names` and `check_error`.

    Raises `PolicyError` with an empty path, line 1 and the column (from 1) in `text`.
    """
    reader = _ExpressionReader(text, names)
    expression = reader.any_of(0)
    if reader.current:
        raise reader.error("expected `and` or `or`", reader.hint(("and", "or")))
    return expression


class _ExpressionReader:
    """Reads a text token by token. `current`: the current token, empty at the end of the text."""

    def __init__(self, text: str, names: Collection[str]) -> None:
        self.text = text
        self.names = names
        self.after = 0
        self.advance()

    def advance(self) -> None:
        match = _TOKEN.match(self.text, self.after)
        self.current = match[0].strip() if match else ""
        self.is_word = bool(match and match["word"])
        self.start = match.end() - len(self.current) if match else len(self.text)
        self.after = match.end() if match else len(self.text)

    def any_of(self, depth: int) -> Expression:
        parts = [self.all_of(depth)]
        while self.current == "or":
            self.advance()
            parts.append(self.all_of(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def all_of(self, depth: int) -> Expression:
        parts = [self.term(depth)]
        while self.current == "and":
            self.advance()
            parts.append(self.term(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def term(self, depth: int) -> Expression:
        if self.current == "(":
            if depth >= _LIMIT_DEPTH:
                raise self.error(f"parentheses are nested more than {_LIMIT_DEPTH} levels deep")
            self.advance()
            inner = self.any_of(depth + 1)
            if self.current != ")":
                raise self.error("expected `)`")
            self.advance()
            return inner
        if self.current == "not":
            raise self.error("`not` is not available: a rule depends on findings, not on their absence", found=False)
        if not self.is_word or self.current in ("and", "or"):
            raise self.error("expected the name of a check", self.hint(()))
        if self.current not in self.names and self.current != CHECK_ERROR:
            raise self.unknown()
        name = Name(self.current)
        self.advance()
        return name

    def unknown(self) -> PolicyError:
        message = f"unknown check `{self.current}`"
        near = get_close_matches(self.current, [*self.names, CHECK_ERROR], 1)
        if near:
            return self.error(message, f"; did you mean `{near[0]}`?", found=False)
        own = ", ".join(sorted(self.names))
        hint = f"; checks of this file: {own}" if own else "; this file has no `checks`"
        return self.error(message, hint, found=False)

    def hint(self, words: tuple[str, ...]) -> str:
        """Returns a suggestion for the current token, which should be one of `words`, or an empty text."""
        meant = _INSTEAD.get(self.current[:1]) or (self.current.lower() if self.current.lower() in words else "")
        return f"; write `{meant}`" if meant else ""

    def error(self, message: str, hint: str = "", *, found: bool = True) -> PolicyError:
        if found:
            message += f", found `{self.current}`" if self.current else ", found the end"
        return PolicyError(message + hint, line=1, column=self.start + 1)
