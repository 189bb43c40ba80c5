"""Searches the patterns of schemas with RE2, in linear time for every pattern and text.

Schemas use ECMAScript's syntax; its `\\d` and `\\w` mean ASCII, like RE2's. RE2 has no look-ahead. A look-ahead at the
very beginning (`^(?!internal-)`), the common use, becomes a pattern of its own here; any other is refused. A
backtracking engine is no alternative: one pattern can keep it busy for years.

Decision: docs/decisions/0013-patterns-in-schemas-are-matched-by-re2.md
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

LIMIT_CHARS = 2000
# Measured with patterns made to be slow: where the states of a program do not fit into memory, RE2 takes up to 1 ns for each
# character and instruction, and 2.5 ns while it builds the first states. A step is then 2 to 5 us. Ordinary patterns take a
# thousandth of that: `^[\p{L} .-]{1,100}$` has 119,901 instructions and is searched in 15 us.
_SHORT_CHARS = 64
_SIZE_BITS = 11
_SPECIAL = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|[()]", re.DOTALL)
_UNICODE = re.compile(r"(?<!\\)((?:\\\\)*)\\u([0-9a-fA-F]{4})")
_LONG_CLASSES = {"\\p{Letter}": "\\p{L}", "\\p{digit}": "\\p{Nd}"}


class PatternError(ValueError):
    """A pattern that cannot be searched. The message says what to write instead."""


class Searcher(NamedTuple):
    """A pattern that is ready. `search`: says whether it matches anywhere in a text; `size`: the number of instructions of its
    programs, by which RE2 may multiply the length of the text."""

    search: Callable[[str], bool]
    size: int


def searcher(pattern: str) -> Callable[[str], bool]:
    """Returns a function that says whether the pattern matches anywhere in a text. Raises `PatternError`."""
    return _searcher(pattern).search


def search_steps(pattern: str, chars: int) -> int:
    """Returns the steps that a search in `chars` characters costs: one for each character of a short text, and for a longer
    one as many as the size of the pattern makes likely. Raises `PatternError`."""
    return 1 + max(min(chars, _SHORT_CHARS), chars * _searcher(pattern).size >> _SIZE_BITS)


@lru_cache(maxsize=4096)
def _searcher(pattern: str) -> Searcher:
    if len(pattern) > LIMIT_CHARS:
        raise PatternError(f"a pattern has more than {LIMIT_CHARS} characters")
    wanted, unwanted, rest = _split_lookaheads(pattern)
    good = [_compile(part) for part in (*wanted, rest)]
    bad = [_compile(part) for part in unwanted]

    def search(text: str) -> bool:
        try:
            return all(part.search(text) for part in good) and not any(part.search(text) for part in bad)
        except UnicodeEncodeError:  # a lone surrogate, which no pattern means
            return False

    return Searcher(search, sum(part.programsize for part in (*good, *bad)))


def _split_lookaheads(pattern: str) -> tuple[list[str], list[str], str]:
    """Splits a pattern: returns the positive and the negative look-aheads at its beginning, and the rest, all
    anchored."""
    wanted: list[str] = []
    unwanted: list[str] = []
    if not pattern.startswith(("^(?!", "^(?=")) or "|" in _outside(pattern):
        return wanted, unwanted, pattern
    rest = pattern[1:]
    while rest.startswith(("(?!", "(?=")):
        end = _closing(rest)
        (wanted if rest[2] == "=" else unwanted).append(f"^(?:{rest[3:end]})")
        rest = rest[end + 1 :]
    return wanted, unwanted, "^" + rest


def _outside(pattern: str) -> str:
    """Returns the characters of a pattern outside of all groups and classes."""
    out, depth, at = "", 0, 0
    for match in _SPECIAL.finditer(pattern):
        out += pattern[at : match.start()] if not depth else ""
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        at = match.end()
    return out + pattern[at:]


def _closing(group: str) -> int:
    """Returns the index of the parenthesis that closes the first parenthesis of `group`."""
    depth = 0
    for match in _SPECIAL.finditer(group):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0 and match[0] == ")":
            return match.start()
    raise PatternError("a pattern has a parenthesis that is not closed")


def _compile(pattern: str) -> Any:
    import re2  # noqa: PLC0415 - loaded only where a schema has a pattern

    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    pattern = _UNICODE.sub(r"\1\\x{\2}", pattern).replace("\\Z", "\\z")
    for long, short in _LONG_CLASSES.items():
        pattern = pattern.replace(long, short)
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError):
        message = "a pattern cannot be searched in linear time (no look-around after its beginning, no back-references)"
        raise PatternError(message) from None
