"""Finds matches of rules in a growing text: reports those that are final and holds text that may still change.

In: windows of a text. Out: `Scan`s. Kept: nothing, so every answer is a function of the text.

Findings, defined on the whole text: from a place `p` (at first 0) each rule moves from match to match: leftmost first,
at most `reach` characters long (the match cannot see the text beyond), the next match from the end of the one before.
Matches that overlap form one finding with the label of the earliest rule. A finding that has grown to `CHAIN`
characters is cut there, and all rules continue from its end.

Finality: a match that could begin at `i` is decided if the text from `i` on is not the beginning of a match (see
`shape.py`), or is longer than `reach`. `settled` is the first undecided place, moved to the front of any match across
it. A rule sees one character before its match and one after it; so `keep` lies before `settled`.

Decision: docs/decisions/0015-a-match-ends-at-4096-characters.md
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import re2

from guardproxy.checks._shared.patterns.shape import UnreadableError, shape
from guardproxy.checks._shared.patterns.spans import untorn
from guardproxy.concurrency import stop_point
from guardproxy.findings import Finding, Scan, Traits, Window

CHAIN = 4096  # characters that a finding made of overlapping matches may have before it is cut
CONTEXT = 4  # characters kept before `settled`: rules look back one character
_BLOCK = 4096  # characters searched at a time, so that a long text costs linear time
_SURROGATE = re.compile("[\ud800-\udfff]")
_SLICE = 1 << 16  # characters that a call reads, as it holds the interpreter to its end


@dataclass(frozen=True, slots=True)
class SearchRule:
    """A rule of a search.

    `source`: the pattern without captures. `find`, `begin`: compiled patterns for a match and for the beginning of a
    match that ends where the text ends (`None`: unknown, any text may be a beginning). `reach`: the longest match in
    characters. `bounded`: the pattern itself matches at most `reach` characters. `group`: the capture that is
    reported. `accept`: a last test of the captured text.
    """

    label: str
    score: float
    source: str
    find: Any
    begin_source: str | None
    begin: Any
    reach: int
    bounded: bool
    group: int
    accept: Callable[[str], bool] | None


@dataclass(frozen=True, slots=True)
class SearchMatch:
    """A match. It needs characters `start` to `end`; `front` to `back` are reported. `rank`: the position of its
    rule."""

    start: int
    front: int
    back: int
    rank: int


Chain = tuple[int, int, int, int]  # start of all needed text, front, back, rank


def compile_pattern(pattern: str) -> Any:
    """Compiles `pattern` with RE2. Raises `re2.error` if RE2 refuses it."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 64 << 20
    return re2.compile(pattern, options)


def why_refused(error: Exception) -> str:
    """Returns RE2's reason to refuse a pattern, with a replacement if it is known."""
    detail = error.args[0] if error.args else ""
    text = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
    hints = {
        "(?=": "look-ahead is not possible in RE2; match what follows as well, or use a word",
        "(?!": "look-ahead is not possible in RE2; list what may follow instead",
        "(?<": "look-behind is not possible in RE2; use `\\b`, or match what comes before as well",
        "escape sequence: \\Z": "write `\\z` for the end of the text",
    }
    hint = next((hint for sign, hint in hints.items() if sign in text), "")
    if not hint and "escape sequence: \\" in text and text[-1:].isdigit():
        hint = "back-references are not possible in RE2; write the repeated part out"
    return f"{text}; {hint}" if hint else text


def rule(
    label: str,
    pattern: str,
    *,
    cap: int,
    score: float = 1.0,
    group: int = 0,
    accept: Callable[[str], bool] | None = None,
) -> SearchRule:
    """Makes a rule from a pattern. `cap`: the longest match in characters, if the pattern itself sets no bound.

    Raises `re2.error` for a pattern that RE2 refuses and `UnreadableError` for a pattern that also matches the empty
    text, that can never match within `cap` characters, or whose matches have no length in characters.
    """
    find = compile_pattern(pattern)
    pattern_shape = shape(pattern)
    if pattern_shape.least == 0:
        raise UnreadableError("it also matches the empty text; write `+` instead of `*` where text is required")
    if pattern_shape.most is None and pattern_shape.least > cap:
        raise UnreadableError(
            f"its matches have at least {pattern_shape.least} characters, more than `cap` ({cap}); raise `cap`"
        )
    begin_source: str | None = pattern_shape.prefix
    try:
        begin = compile_pattern(f"(?:{begin_source})\\z")
    except re2.error:  # the program is too large; every place within reach of the end then stays undecided
        begin_source = begin = None
    reach = cap if pattern_shape.most is None else pattern_shape.most
    return SearchRule(
        label,
        score,
        pattern_shape.source,
        find,
        begin_source,
        begin,
        reach,
        pattern_shape.most is not None,
        group,
        accept,
    )


def encodable(text: str) -> str:
    """Returns a text of the same length without lone surrogates, which libraries in C cannot take."""
    if text.isascii() or not any(_SURROGATE.search(text, at, at + _SLICE) for at in range(0, len(text), _SLICE)):
        return text
    return _SURROGATE.sub("\ufffd", text)


class Reach:
    """The search for some rules in growing text."""

    def __init__(self, rules: Sequence[SearchRule]) -> None:
        self.rules = tuple(rules)
        self._shortest = min(rule.reach for rule in rules)
        self._longest = max(rule.reach for rule in rules)
        self._any, self._any_begin = self._sieves()
        self._begins = self._begins_by_reach() if self._any is not None else ()

    def _begins_by_reach(self) -> tuple[tuple[int, Any], ...]:
        """Returns each reach, the farthest first, with a pattern for the beginnings of the matches of its rules. Compiled here,
        so that the first long word need not wait."""
        by_reach: dict[int, list[str]] = {}
        for rule in sorted(self.rules, key=attrgetter("reach"), reverse=True):
            by_reach.setdefault(rule.reach, []).append(f"(?:{rule.begin_source})")
        return tuple((reach, compile_pattern(f"(?:{'|'.join(begins)})\\z")) for reach, begins in by_reach.items())

    def _sieves(self) -> tuple[Any, Any]:
        """Returns a pattern that matches where any rule does, and a pattern for the beginnings of all matches; `None`
        if they are too large."""
        begins = [rule.begin_source for rule in self.rules if rule.begin_source is not None]
        if len(begins) < len(self.rules):
            return None, None
        try:
            return (
                compile_pattern("|".join(f"(?:{rule.source})" for rule in self.rules)),
                compile_pattern(f"(?:{'|'.join(begins)})\\z"),
            )
        except re2.error:
            return None, None

    def scan(self, name: str, window: Window) -> Scan:
        """Finds the rules' matches in `window`. `name`: the name of the check."""
        text, size = window.text, _BLOCK
        text = encodable(text)  # no rule matches a lone surrogate, so any other character can replace it
        at = window.settled - window.start
        findings: list[Finding] = []
        while True:
            stop_point()
            low, high = max(0, at - CONTEXT), min(len(text), at + size)
            last = window.last and high == len(text)
            found, settled = self._step(text[low:high], at - low, last)
            shift = window.start + low
            findings += [
                Finding(shift + front, shift + back, name, self.rules[rank].label, self.rules[rank].score)
                for front, back, rank in found
            ]
            # A place may need more text than a block. Twice as much each time keeps the whole linear.
            size = _BLOCK if low + settled > at else size * 2
            at = low + settled
            if high == len(text):
                break
        settled = window.start + at
        return Scan(tuple(findings), settled, max(window.start, settled - CONTEXT))

    def _first_open(self, text: str, at: int) -> int:
        """Returns the first undecided place from `at` on, in a text in which no rule matches.

        A long word of letters and digits may begin a match of many rules at its end, so they are asked together where they
        have the same reach.
        """
        begin = self._any_begin.search(text, max(at, len(text) - self._longest))
        if begin is None:
            return len(text)
        if len(text) - begin.start() <= self._shortest:
            return int(begin.start())
        undecided = len(text)
        for reach, begins in self._begins:
            low = max(at, len(text) - reach)
            # The rest reaches less far back, so it cannot begin before what was found.
            if low >= undecided:
                break
            if found := begins.search(text, low):
                undecided = min(undecided, int(found.start()))
        return undecided

    def _step(self, text: str, at: int, last: bool) -> tuple[list[tuple[int, int, int]], int]:
        """Returns the final findings (front, back, rank) in `text` from `at` on, and the settled offset."""
        if self._any is not None and self._any.search(text, at) is None:
            if last:
                return [], len(text)
            return [], self._first_open(text, at)
        findings: list[tuple[int, int, int]] = []
        while True:
            matches: list[SearchMatch] = []
            undecided = len(text)
            for rank, rule in enumerate(self.rules):
                stop_point()
                more, open_at = _walk(rule, rank, text, at, last)
                matches += more
                undecided = min(undecided, open_at)
            chains, cut = _chains(matches, undecided, last)
            if cut:
                findings += [(front, back, rank) for _, front, back, rank in chains]
                at = chains[-1][2]
                continue
            # Chains are ordered by their fronts, but the text that they need may begin earlier and overlap other
            # chains.
            settled = untorn([(start, back) for start, _, back, _ in chains], undecided)
            findings += [(front, back, rank) for _, front, back, rank in chains if back <= settled]
            return findings, max(settled, at)


def _walk(rule: SearchRule, rank: int, text: str, at: int, last: bool) -> tuple[list[SearchMatch], int]:
    """Returns the decided matches from `at` on, and the first undecided place."""
    matches: list[SearchMatch] = []
    undecided = _undecided(rule, text, at, last)
    while True:
        if undecided < at:  # the place is inside of a match: the next beginning is searched after it
            undecided = _undecided(rule, text, at, last)
        span = _first(rule, text, at)
        if span is None or span[0] >= undecided:
            return matches, undecided
        start, front, back = span
        if rule.accept is None or rule.accept(text[front:back]):
            matches.append(SearchMatch(start, front, back, rank))
            at = back
        else:
            at = front if front > start else back


def _undecided(rule: SearchRule, text: str, at: int, last: bool) -> int:
    if last:
        return len(text)
    low = max(at, len(text) - rule.reach)
    if rule.begin is None:
        return low
    begin = rule.begin.search(text, low)
    return len(text) if begin is None else int(begin.start())


def _first(rule: SearchRule, text: str, at: int) -> tuple[int, int, int] | None:
    """Returns the first match from `at` on as (start, front, back)."""
    while True:
        # A pattern without a longest match is never asked about all of the text: from each place it could read to the
        # end, which takes squared time.
        high = len(text) if rule.bounded else min(len(text), at + 2 * rule.reach)
        match = rule.find.search(text, at, high)
        if high < len(text) and (match is None or match.start() >= at + rule.reach):
            at += rule.reach  # a match that begins before this ends before `high`; a later match may be cut off
            continue
        if match is None:
            return None
        start = match.start()
        # Found with the reach as the end of the text, it is the match that a stream would find, which has no more of
        # it.
        if match.end() - start > rule.reach:
            match = rule.find.match(text, start, start + rule.reach)
        if match is not None:
            front, back = match.span(rule.group)
            if back > front:
                return start, front, back
        at = start + 1


def _chains(matches: list[SearchMatch], undecided: int, last: bool) -> tuple[list[Chain], bool]:
    """Joins overlapping matches. Also returns whether the last chain was cut.

    A match whose front is not before `undecided` is not joined yet: a later match may take its place.
    """
    chains: list[Chain] = []
    for match in sorted(matches, key=lambda match: (match.front, -match.back, match.rank)):
        waits = match.front >= undecided and not last
        if chains and match.front < chains[-1][2] and not waits:
            start, front, back, rank = chains[-1]
            chains[-1] = (min(start, match.start), front, max(back, match.back), min(rank, match.rank))
        else:
            chains.append((match.start, match.front, match.back, match.rank))
        if not waits and chains[-1][2] - chains[-1][1] >= CHAIN:
            return chains, True
    return chains, False


@dataclass(frozen=True, slots=True)
class ReachCheck:
    """A `Check` over the rules of `reach`."""

    name: str
    digest: str
    reach: Reach
    traits: Traits

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return [self.reach.scan(self.name, window) for window in windows]
