"""The shape of an RE2 pattern: the length of its matches, and a pattern for the beginnings of its matches.

In: a pattern that RE2 has accepted. Out: a `PatternShape`. The main result is `prefix`: a pattern for every non-empty beginning
of every match. If a text does not end in such a beginning, later text cannot change its matches, so a stream can release it at
once.

    beginnings(ab) = beginnings(a) | a beginnings(b)        beginnings(a|b) = beginnings(a) | beginnings(b)
    beginnings(a{m,n}) = a{0,n-1} beginnings(a)             an assertion (\\b, ^, $) has none of its own
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_REPEAT = re.compile(r"\{(\d+)(?:(,)(\d*))?\}")
_GROUP = re.compile(r"\(\?(?:P?<\w+>|([a-zA-Z]*)(?:-([a-zA-Z]+))?(:|\)))")
_ESCAPE = re.compile(
    r"\\(?:[pP](?:\{[^}]*\}|.)|x(?:\{[0-9A-Fa-f]+\}|[0-9A-Fa-f]{2})|0[0-7]{0,2}|[1-7][0-7]{1,2}|.)", re.DOTALL
)
_CLASS = re.compile(r"\[\^?\]?(?:\[:\^?\w+:\]|\\[pP]\{[^}]*\}|\\x\{[^}]*\}|\\.|[^\]\\])*\]", re.DOTALL)
_UNKNOWN = "the length of its matches in characters is unknown; match characters, not bytes (`\\C`)"
_ASSERTIONS = {"\\A", "\\z", "\\b", "\\B"}


class UnreadableError(Exception):
    """A pattern whose matches cannot be found in growing text; the message tells the author how to change it."""


@dataclass(frozen=True, slots=True)
class PatternShape:
    """The properties of a pattern.

    `source`: a pattern without captures that matches the same texts (its preference among them may differ). `prefix`:
    a pattern for the beginnings of its matches, or "" if it only matches the empty text. `least`, `most`: the length
    of a match in characters; `most` is `None` if there is no bound.
    """

    source: str
    prefix: str
    least: int
    most: int | None


_NOTHING = PatternShape("(?:)", "", 0, 0)


def shape(pattern: str) -> PatternShape:
    """Returns the shape of `pattern`, which RE2 must have accepted. Raises `UnreadableError`."""
    reader = _ShapeReader(pattern)
    result = reader.alternation("")
    if reader.at != len(pattern):
        raise UnreadableError(_UNKNOWN)
    return result


def _either(shapes: list[PatternShape]) -> PatternShape:
    if len(shapes) == 1:
        return shapes[0]
    mosts = [shape.most for shape in shapes]
    prefixes = [shape.prefix for shape in shapes if shape.prefix]
    return PatternShape(
        f"(?:{'|'.join(shape.source for shape in shapes)})",
        f"(?:{'|'.join(prefixes)})" if prefixes else "",
        min(shape.least for shape in shapes),
        None if None in mosts else max(most for most in mosts if most is not None),
    )


def _both(first: PatternShape, second: PatternShape) -> PatternShape:
    longer = f"{first.source}{second.prefix}" if second.prefix else ""
    prefixes = [prefix for prefix in (first.prefix, longer) if prefix]
    return PatternShape(
        first.source + second.source,
        f"(?:{'|'.join(prefixes)})" if len(prefixes) > 1 else "".join(prefixes),
        first.least + second.least,
        None if first.most is None or second.most is None else first.most + second.most,
    )


def _many(shape: PatternShape, least: int, most: int | None, mark: str) -> PatternShape:
    if most == 0 or shape.source == "(?:)":
        return _NOTHING
    again = "" if most == 1 else f"(?:{shape.source})*" if most is None else f"(?:{shape.source}){{0,{most - 1}}}"
    endless = shape.most is None or (most is None and shape.most > 0)
    longest = None if endless else (shape.most or 0) * (most or 0)
    return PatternShape(
        f"(?:{shape.source}){mark}", again + shape.prefix if shape.prefix else "", shape.least * least, longest
    )


class _ShapeReader:
    """Reads a pattern from left to right; `at` is the next character."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0

    def alternation(self, flags: str) -> PatternShape:
        """Reads up to the end or the closing bracket. Flags that a branch sets hold for the branches after it, as in
        RE2."""
        branches: list[PatternShape] = []
        while True:
            parts, flags = self.branch(flags)
            # Folded from the right, so that each part appears once in the source of a beginning.
            whole = _NOTHING
            for part in reversed(parts):
                whole = _both(part, whole) if whole is not _NOTHING else part
            branches.append(whole)
            if not self.pattern.startswith("|", self.at):
                return _either(branches)
            self.at += 1

    def branch(self, flags: str) -> tuple[list[PatternShape], str]:
        parts: list[PatternShape] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            group = _GROUP.match(self.pattern, self.at)
            if group and group[3] == ")":
                self.at = group.end()
                flags = _merge_flags(flags, group)
            elif self.pattern.startswith("\\Q", self.at):
                parts += self.quotation(flags)
                self.repeats(parts)
            else:
                parts.append(self.piece(flags, group))
                self.repeats(parts)
        return parts, flags

    def repeats(self, parts: list[PatternShape]) -> None:
        """Applies the quantifiers that follow to the last part."""
        while self.at < len(self.pattern):
            start, letter = self.at, self.pattern[self.at]
            count = _REPEAT.match(self.pattern, self.at)
            if letter in "*+?":
                least, most = (1 if letter == "+" else 0), (1 if letter == "?" else None)
                self.at += 1
            elif count:
                least = int(count[1])
                most = (int(count[3]) if count[3] else None) if count[2] else least
                self.at = count.end()
            else:
                return
            mark = self.pattern[start : self.at]
            if self.pattern.startswith("?", self.at):
                self.at += 1
            if parts:
                parts[-1] = _many(parts[-1], least, most, mark)

    def piece(self, flags: str, group: re.Match[str] | None) -> PatternShape:
        letter = self.pattern[self.at]
        if letter == "(":
            self.at = group.end() if group else self.at + 1
            inside = self.alternation(_merge_flags(flags, group) if group and group[3] else flags)
            if not self.pattern.startswith(")", self.at):
                raise UnreadableError(_UNKNOWN)
            self.at += 1
            return PatternShape(f"(?:{inside.source})", inside.prefix, inside.least, inside.most)
        if letter in "^$":
            self.at += 1
            return PatternShape(_with_flags(letter, flags), "", 0, 0)
        if letter in "[\\":
            match = (_CLASS if letter == "[" else _ESCAPE).match(self.pattern, self.at)
            if not match or match[0] in ("\\C", "\\E"):
                raise UnreadableError(_UNKNOWN)
            self.at = match.end()
            if match[0] in _ASSERTIONS:
                return PatternShape(match[0], "", 0, 0)
            return _character(match[0], flags)
        self.at += 1
        return _character("\\{" if letter == "{" else letter, flags)

    def quotation(self, flags: str) -> list[PatternShape]:
        """Reads the characters between `\\Q` and `\\E` (or the end)."""
        end = self.pattern.find("\\E", self.at)
        text = self.pattern[self.at + 2 : end if end >= 0 else len(self.pattern)]
        self.at = end + 2 if end >= 0 else len(self.pattern)
        return [_character(f"\\x{{{ord(letter):x}}}", flags) for letter in text]


def _character(source: str, flags: str) -> PatternShape:
    source = _with_flags(source, flags)
    return PatternShape(source, source, 1, 1)


def _with_flags(source: str, flags: str) -> str:
    return f"(?{flags}:{source})" if flags else source


def _merge_flags(flags: str, group: re.Match[str]) -> str:
    """Returns `flags` plus those that the group sets, minus those that it clears; `U` changes no beginning."""
    kept = (set(flags) | set(group[1] or "")) - set(group[2] or "") - {"U"}
    return "".join(sorted(kept))
