"""The cover of a pattern of the `regex` module: RE2 patterns that match at least what the pattern matches.

In: a pattern that Presidio runs. Out: a `Cover`. Wherever the pattern matches, `body` matches the same characters. While text
from some place on could still be the beginning of a match, or text that an assertion has yet to see, `begin` matches it to its
end. The reverse does not hold: both may match more.

RE2 does not see the text but its `trace`: one byte a character. ASCII stays, and every other character is replaced by
its kind, as far as patterns can tell kinds apart: a digit (`0`), white space, another word character (`_`), or none of
these. So RE2 needs no Unicode tables of its own (which may be of another version than those of `regex`), offsets stay
the same, and `\\b` means the same to both.

    begin(ab) = begin(a) | a begin(b)      begin(a|b) = begin(a) | begin(b)      begin(a{m,n}) = a{0,n-1} begin(a)

An assertion takes no characters. A lookahead adds the text that it has to see before it can answer (`proper`: all of a
match but its last character). A lookbehind adds nothing; `behind` is its length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, reduce
from typing import Any

import regex

_DIGIT, _SPACE, _WORD, _OTHER = ord("0"), 2, ord("_"), 4  # the bytes for characters beyond ASCII
_REMEMBERED = 1 << 16
_BEYOND = 1 << _DIGIT | 1 << _SPACE | 1 << _WORD | 1 << _OTHER
_FOLDS = {"\u0130": "i", "\u0131": "i", "\u017f": "s", "\u212a": "k"}  # `regex` also ignores the case of these
_ALL = (1 << 128) - 1
_FLAGS = regex.IGNORECASE | regex.MULTILINE | regex.DOTALL | regex.VERBOSE | regex.UNICODE
_ANY = "\ue000"  # replaces a class that only `regex` knows; read as any character
_SCOPE = re.compile(r"\(\?([imsxu]+)\)")
_KNOWN_TO_REGEX = re.compile(r"\\[pP](?:\{[^}]*\}|[A-Za-z])|\\h")
_POSIX = re.compile(r"\[:\^?\w+:\]")
_FUZZY = re.compile(r"\{[^{}]*[eids][^{}]*\}")
_LETTERS = {"i": regex.IGNORECASE, "m": regex.MULTILINE, "s": regex.DOTALL, "x": regex.VERBOSE, "u": 0}
LIMIT = 1000  # the highest count that RE2 takes in a quantifier
UNBOUNDED = 1 << 30


class UncoveredError(Exception):
    """A pattern whose structure cannot be determined; the message states the reason."""


@dataclass(frozen=True, slots=True)
class Cover:
    """RE2 patterns over a trace: `body` and `begin`.

    `behind`: the number of characters before a match that the pattern reads. `reach`: the number of characters, from
    the first of a match on, that decide whether there is a match. Both are `UNBOUNDED` if there is no limit.
    """

    body: str
    begin: str
    behind: int
    reach: int


@dataclass(frozen=True, slots=True)
class _PatternPart:
    """The cover of a part of a pattern. `empty`: it never takes a character; `wide`: the most characters that it takes;
    `ahead`: the number of further characters that it reads."""

    body: str
    begin: str
    proper: str
    empty: bool
    wide: int
    behind: int = 0
    ahead: int = 0


_NOTHING = _PatternPart("", "", "", True, 0)


def trace(text: str) -> bytes:
    """Returns one byte a character. ASCII text gives its own bytes."""
    return text.encode() if text.isascii() else text.translate(_KINDS).encode("latin-1")


def _kind(letter: str) -> int:
    if _digit(letter):
        return _DIGIT
    return _SPACE if _space(letter) else _WORD if _word(letter) else _OTHER


class _Kinds(dict[int, int]):
    """The kind of each character, for `str.translate`: computed on first use; a limited number is cached."""

    def __missing__(self, code: int) -> int:
        kind = code if code < 128 else _kind(chr(code))
        if len(self) < _REMEMBERED:
            self[code] = kind
        return kind


_KINDS = _Kinds()
_digit = regex.compile(r"\d").match
_space = regex.compile(r"\s").match
_word = regex.compile(r"\w").match


@cache
def cover(pattern: str, flags: int) -> Cover:
    """Returns the cover of `pattern` compiled with `flags`. Raises `UncoveredError`."""
    tree, flags = parse(pattern, flags)
    whole = _CoverReader().sequence(tree, flags)
    return Cover(whole.body or "(?:)", whole.begin, whole.behind, min(UNBOUNDED, whole.wide + whole.ahead))


def parse(pattern: str, flags: int) -> tuple[Any, int]:
    """Parses a pattern with Python's own parser. Also returns the flags that hold for all of it. Raises
    `UncoveredError`."""
    if flags & ~_FLAGS:
        raise UncoveredError("its flags may only be those for case, lines, dots, and comments")
    plain, flags = _plain(pattern, flags)
    parser: Any = getattr(re, "_parser")  # noqa: B009  # no public way to a parsed pattern
    try:
        return parser.parse(plain, flags & ~regex.UNICODE), flags
    except (re.error, OverflowError, RecursionError) as error:
        raise UncoveredError(f"it cannot be read: {error}") from None


def _plain(pattern: str, flags: int) -> tuple[str, int]:
    """Returns the pattern in a form that `re` can parse, and the flags that hold for all of it."""
    out: list[str] = []
    at, inside = 0, False
    while at < len(pattern):
        if found := _KNOWN_TO_REGEX.match(pattern, at) or (inside and _POSIX.match(pattern, at)):
            out.append(_ANY)
        elif pattern[at] == "\\":
            out.append(pattern[at : at + 2])
        elif not inside and (scope := _SCOPE.match(pattern, at)):
            # `re` takes such flags at the beginning only, and `regex` anywhere, for the whole pattern.
            found = scope
            for letter in scope[1]:
                flags |= _LETTERS[letter]
        elif not inside and _FUZZY.match(pattern, at):
            raise UncoveredError("fuzzy matching is not possible in growing text; list the texts to match")
        else:
            out.append(pattern[at])
            # A `]` right behind the `[` is a character of the class.
            inside = pattern[at] == "[" or (inside and (pattern[at] != "]" or pattern[at - 1] == "["))
        at = found.end() if found else at + len(out[-1])
    return "".join(out), flags


def _seq(parts: Sequence[_PatternPart]) -> _PatternPart:
    """Joins consecutive parts, folded from the right, so that each part appears once in the beginnings."""
    return reduce(lambda rest, part: _both(part, rest), reversed(parts), _NOTHING)


def _both(first: _PatternPart, rest: _PatternPart) -> _PatternPart:
    if rest is _NOTHING:
        return first
    return _PatternPart(
        first.body + rest.body,
        _or([first.begin, first.body + rest.begin if rest.begin else ""]),
        _or([first.begin, first.body + rest.proper if rest.proper else ""]),
        first.empty and rest.empty,
        min(UNBOUNDED, first.wide + rest.wide),
        max(first.behind, rest.behind),  # a later part may look behind, before the match
        max(first.ahead, rest.ahead),
    )


def _or(choices: Iterable[str]) -> str:
    given = list(dict.fromkeys(choice for choice in choices if choice))
    return f"(?:{'|'.join(given)})" if len(given) > 1 else "".join(given)


def _either(parts: Sequence[_PatternPart]) -> _PatternPart:
    bodies = list(dict.fromkeys(part.body for part in parts))
    return _PatternPart(
        f"(?:{'|'.join(bodies)})",
        _or(part.begin for part in parts),
        _or(part.proper for part in parts),
        all(part.empty for part in parts),
        max(part.wide for part in parts),
        max(part.behind for part in parts),
        max(part.ahead for part in parts),
    )


def _many(part: _PatternPart, least: int, most: int | None) -> _PatternPart:
    if most == 0:
        return _NOTHING
    # RE2 counts no further. Without a bound the cover matches more, which it may.
    if (most or 0) > LIMIT:
        most = None
    least = min(least, LIMIT)
    if most == 1:
        again, proper = "", part.proper
    else:
        again = f"(?:{part.body})*" if most is None else f"(?:{part.body}){{0,{most - 1}}}"
        proper = again + part.begin if part.begin else ""
    counts = {(0, None): "*", (1, None): "+", (0, 1): "?", (1, 1): ""}
    mark = counts.get((least, most), f"{{{least},{'' if most is None else most}}}")
    wide = 0 if part.wide == 0 else UNBOUNDED if most is None else min(UNBOUNDED, part.wide * most)
    begin = again + part.begin if part.begin else ""
    return _PatternPart(f"(?:{part.body}){mark}", begin, proper, part.empty, wide, part.behind, part.ahead)


class _CoverReader:
    """Reads a parsed pattern. `groups`: the groups read so far, each as its tree with its flags.

    `again`: the pattern is a group that a back-reference repeats. A reference takes the characters that the group
    took, and does not test the group's assertions again: they need not hold here. `folds`: letters match in any case.
    """

    def __init__(
        self, groups: dict[int, tuple[Any, int]] | None = None, *, again: bool = False, folds: bool = False
    ) -> None:
        self.groups = {} if groups is None else groups
        self.again, self.folds = again, folds

    def sequence(self, tree: Iterable[Any], flags: int) -> _PatternPart:
        return _seq(
            [part for operation, value in tree if (part := self.part(str(operation), value, flags)) != _NOTHING]
        )

    def part(self, kind: str, value: Any, flags: int) -> _PatternPart:
        if kind in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            bits = _set(kind, value, flags)
            source = _class(_fold_case(bits) if self.folds else bits)
            return _PatternPart(source, source, "", False, 1)
        if kind == "BRANCH":
            return _either([self.sequence(branch, flags) for branch in value[1]])
        if kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            most = int(value[1])
            repeated = self.sequence(value[2], flags)
            return _many(repeated, int(value[0]), None if most >= UNBOUNDED else most)
        if kind == "SUBPATTERN":
            group, added, removed, inside = value
            within = (flags | added) & ~removed
            if group is not None:
                self.groups[group] = inside, within
            return self.sequence(inside, within)
        if kind == "ATOMIC_GROUP":
            return self.sequence(value, flags)
        if kind == "GROUPREF":
            if value not in self.groups:
                raise UncoveredError("a back-reference must come after its group")
            inside, within = self.groups[value]
            folds = self.folds or bool(flags & regex.IGNORECASE)
            return _CoverReader(self.groups, again=True, folds=folds).sequence(inside, within)
        if kind == "GROUPREF_EXISTS":
            _, yes, no = value
            return _either([self.sequence(yes, flags), self.sequence(no or [], flags)])
        if self.again and kind in ("ASSERT", "ASSERT_NOT", "AT"):
            return _NOTHING
        if kind in ("ASSERT", "ASSERT_NOT"):
            direction, inside = value
            seen = self.sequence(inside, flags)
            if direction < 0:
                behind = min(UNBOUNDED, seen.wide + max(1, seen.behind))
                return _PatternPart("", "", "", True, 0, behind)
            return _PatternPart(
                "", seen.proper, seen.proper, True, 0, seen.behind, min(UNBOUNDED, seen.wide + seen.ahead)
            )
        if kind == "AT":
            return _PatternPart("\\b" if str(value) == "AT_BOUNDARY" else "", "", "", True, 0, 1, 1)
        raise UncoveredError(f"`{kind}` is not supported here")


def _set(kind: str, value: Any, flags: int) -> int:
    """Returns the bytes of a trace that a character class can match, as bits. It may return more, never fewer."""
    if kind == "ANY":
        return _ALL if flags & regex.DOTALL else _ALL & ~(1 << ord("\n"))
    if kind == "NOT_LITERAL":
        return _ALL & ~_inner([("LITERAL", value)], flags)
    items = [("LITERAL", value)] if kind == "LITERAL" else [(str(item), what) for item, what in value]
    if items[0][0] == "NEGATE":
        return _ALL & ~_inner(items[1:], flags)
    bits = 0
    for item, what in items:
        bits |= _outer(item, what, flags)
    return bits


def _fold_case(bits: int) -> int:
    """Returns `bits` and the bytes of all other cases of their letters. It may return more, never fewer."""
    found = bits
    for code in range(128):
        if bits >> code & 1 and chr(code).isalpha():
            found |= 1 << ord(chr(code).swapcase())
    odd = sum(1 << ord(letter) for letter in "iksIKS")  # letters that have another case beyond ASCII
    if found & odd:
        found |= 1 << _WORD
    if found >> _WORD & 1:
        found |= odd
    return found


def _letters(kind: str, value: Any) -> tuple[int, int]:
    return (value, value) if kind == "LITERAL" else (value[0], value[1])


def _ascii(low: int, high: int, flags: int) -> int:
    folds = bool(flags & regex.IGNORECASE)
    bits = 0
    for code in range(low, min(high, 127) + 1):
        bits |= 1 << code
        if folds and chr(code).isalpha():
            bits |= 1 << ord(chr(code).swapcase())
    return bits


def _outer(kind: str, value: Any, flags: int) -> int:
    """Returns the bits of one item of a class, or more."""
    if kind == "CATEGORY":
        return _CATEGORIES[str(value)][0]
    low, high = _letters(kind, value)
    if low <= ord(_ANY) <= high:
        return _ALL
    bits = _ascii(low, high, flags)
    if flags & regex.IGNORECASE:
        if any(bits >> ord(letter) & 1 for letter in "iks"):
            bits |= 1 << _WORD
        for odd, letter in _FOLDS.items():
            if low <= ord(odd) <= high:
                bits |= _ascii(ord(letter), ord(letter), flags)
    if high > 127:
        # A character beyond ASCII: its own kind, and the kind of its other cases.
        bits |= 1 << _kind(chr(low)) | 1 << _WORD if low == high else _BEYOND
    return bits


def _inner(items: Sequence[tuple[str, Any]], flags: int) -> int:
    """Returns the bits that a negated class surely excludes. It may return fewer, never more.

    Some bytes have two meanings, and only a category excludes both.
    """
    bits = 0
    for kind, value in items:
        if kind == "CATEGORY":
            bits |= _CATEGORIES[str(value)][1]
        else:
            low, high = _letters(kind, value)
            bits |= 0 if low <= ord(_ANY) <= high else _ascii(low, high, flags) & ~_BEYOND
    return bits


def _pick(test: Callable[[str], Any]) -> int:
    return sum(1 << code for code in range(128) if test(chr(code)))


_S = 1 << _SPACE
_DIGITS, _WORDS = _pick(_digit), _pick(_word)
# `re`, which runs the patterns for telephone numbers, knows more characters of white space.
_SPACES, _ALL_SPACES = _pick(_space), _pick(str.isspace)
# The characters that each may match, and its matches in any case.
_CATEGORIES = {
    "CATEGORY_DIGIT": (_DIGITS, _DIGITS),
    "CATEGORY_NOT_DIGIT": (_ALL & ~_DIGITS, _ALL & ~_DIGITS),
    "CATEGORY_SPACE": (_ALL_SPACES | _S, _SPACES),
    "CATEGORY_NOT_SPACE": (_ALL & ~_SPACES, _ALL & ~_ALL_SPACES & ~_S),
    "CATEGORY_WORD": (_WORDS, _WORDS),
    "CATEGORY_NOT_WORD": (_ALL & ~_WORDS, _ALL & ~_WORDS),
}


@lru_cache(maxsize=4096)
def _class(bits: int) -> str:
    """Returns an RE2 class for the bytes of `bits`."""
    if bits == _ALL:
        return r"[\x00-\x7f]"
    ranges = []
    code = 0
    while code < 128:
        if bits >> code & 1:
            last = code
            while last < 127 and bits >> (last + 1) & 1:
                last += 1
            ranges.append(f"\\x{code:02x}" if last == code else f"\\x{code:02x}-\\x{last:02x}")
            code = last + 1
        else:
            code += 1
    return f"[{''.join(ranges)}]"
