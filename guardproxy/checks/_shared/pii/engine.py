"""The findings of Presidio's recognizers in growing text.

In: a text and a place in it. Out: findings that no continuation can change, and the settled offset. For a whole text the
findings are those of Presidio's `AnalyzerEngine.analyze`, before overlaps are resolved.

- A pass of RE2 over the text shows which patterns can match at all (`cover.py`), and where. At these places the
  pattern itself is searched, by the module that Presidio uses. RE2 may report too many places, never too few.
- A second pass, from the end of the text backwards, finds the first place where a match could still begin or grow. All
  matches that begin before it are decided. `settled` is that place, moved to the front of every match across it: from
  there, each pattern continues as it does in the whole text.
- A score that context can raise needs the words before the match, and the rest of the chunk in which the match begins.

Decision: docs/decisions/0014-scores-are-presidios-to-the-digit.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import re2
import regex

from guardproxy.checks._shared.patterns.spans import untorn
from guardproxy.checks._shared.pii.cover import UNBOUNDED, Cover, trace
from guardproxy.checks._shared.pii.phone import Phones
from guardproxy.checks._shared.pii.words import LOOK, Surroundings, Words
from guardproxy.concurrency import stop_point

BEHIND = LOOK + 1  # a search needs this number of characters before `settled`
_NEAR = 64  # the pattern itself is searched up to this number of characters after a place that RE2 named

Spans = list[tuple[int, int]]


class Span(NamedTuple):
    """A span of a finding. `proven`: whether a checksum or a format confirms it, and not only a pattern."""

    start: int
    end: int
    entity: str
    score: float
    proven: bool


class LateBegin(NamedTuple):
    """The beginnings of matches that are longer than their `word`. All are RE2 patterns over traces. `reach`: the longest
    match in characters. They are searched only where the word is near the end of a text, as there are many of them."""

    word: str
    begin: str
    reach: int


class Source(Protocol):
    """A recognizer: the places of its findings, its findings, and the words that raise its scores.

    `bodies`, `begins`: RE2 patterns over traces, one of each for a pattern. `late`: further beginnings. `least`: the
    score from which its findings count. `single`: a finding inside of another finding with at least its score is dropped,
    before context is applied.
    """

    @property
    def bodies(self) -> Sequence[str]: ...
    @property
    def begins(self) -> Sequence[str]: ...
    @property
    def late(self) -> Sequence[LateBegin]: ...
    @property
    def context(self) -> Sequence[str]: ...
    @property
    def words(self) -> Words: ...
    @property
    def least(self) -> float: ...
    @property
    def single(self) -> bool: ...

    def look(self, text: str, traced: bytes, at: int, first: int, undecided: int) -> tuple[list[Span], Spans]:
        """Returns the findings from `at` on that begin before `undecided`, and all spans that must not be torn.

        `first`: the first place at which any body matches.
        """
        ...


@dataclass(frozen=True, slots=True)
class Covered:
    """The places of the findings of a `Source` with a single pattern, by its `cover`."""

    cover: Cover

    @property
    def bodies(self) -> Sequence[str]:
        return (self.cover.body,)

    @property
    def begins(self) -> Sequence[str]:
        return (self.cover.begin,)

    @property
    def late(self) -> Sequence[LateBegin]:
        return ()


@dataclass(frozen=True, slots=True)
class Boost:
    """The effect of a word of context: `more` is added to a score, and the result is at least `least`."""

    more: float
    least: float

    def of(self, score: float) -> float:
        """Returns the raised score."""
        return min(max(score + self.more, self.least), 1.0)


class Engine:
    """Searches for the findings of `sources`.

    `detect(text, start)`: the language of the text before `start`; if it returns one, only recognizers for that
    language count. It is not called if the language of a text is known.
    """

    def __init__(
        self, sources: Sequence[Source], boost: Boost, detect: Callable[[str, int], str | None] | None = None
    ) -> None:
        self.sources, self.boost, self.detect = tuple(sources), boost, detect
        bodies = [body for source in sources for body in source.bodies]
        begins = [begin for source in sources for begin in source.begins if begin]
        self._any = "|".join(dict.fromkeys(bodies))
        self._begin = f"(?:{'|'.join(dict.fromkeys(begins))})\\z"
        self._late = tuple(
            late._replace(begin=f"(?:{late.begin})\\z")
            for late in dict.fromkeys(late for source in sources for late in source.late)
        )
        self._late_word = "|".join(dict.fromkeys(late.word for late in self._late))
        self._late_reach = max((late.reach for late in self._late), default=0)
        late_patterns = [pattern for late in self._late for pattern in late[:2]]
        for pattern in (
            self._any,
            self._begin,
            self._late_word,
            *late_patterns,
        ):  # here, so that the first text need not wait
            compile_pattern(pattern)

    def step(self, text: str, at: int, last: bool, text_language: str = "") -> tuple[list[Span], int]:
        """Returns the final findings from `at` on, sorted, and the settled offset. `text`: all text so far.
        `text_language`: its language, if it is known."""
        traced = trace(text)
        undecided = len(text)
        if not last and (open_at := compile_pattern(self._begin).search(traced, at)):
            undecided = open_at.start()
        if self._late and not last:
            undecided = self._late_open(traced, at, undecided)
        first = compile_pattern(self._any).search(traced, at)
        if first is None:
            return [], undecided
        final: list[Span] = []
        whole_spans: Spans = []
        settled = undecided
        around: dict[str, Surroundings] = {}
        for source in self.sources:
            stop_point()
            spans, torn = source.look(text, traced, at, first.start(), undecided)
            whole_spans += torn
            for span in without_contained(spans) if source.single else spans:
                language = text_language or (self.detect(text, span.start) if self.detect else None)
                if language and source.words.language not in ("", language):
                    continue
                score = self._score(text, source, span, last, around)
                if score is None:
                    settled = min(settled, span.start)
                elif score >= source.least:
                    final.append(span._replace(score=score))
        settled = untorn(whole_spans, settled)
        # Presidio does so twice: in each recognizer before context, and here for all of them together.
        return sorted(without_contained([span for span in final if span.end <= settled])), settled

    def _late_open(self, traced: bytes, at: int, undecided: int) -> int:
        """Returns the first place where a match with its word before the end is open, or `undecided`."""
        if not compile_pattern(self._late_word).search(traced, max(at, len(traced) - self._late_reach)):
            return undecided
        for late in self._late:
            low = max(at, len(traced) - late.reach)
            if not (word := compile_pattern(late.word).search(traced, low)) or word.start() >= undecided:
                continue
            if open_at := compile_pattern(late.begin).search(traced, word.start()):
                undecided = min(undecided, open_at.start())
        return undecided

    def _score(
        self, text: str, source: Source, span: Span, last: bool, around: dict[str, Surroundings]
    ) -> float | None:
        """Returns the span's score, raised if context supports it; `None`: not decided yet."""
        raised = self.boost.of(span.score)
        # The words around would change nothing, and cutting them takes most of the time.
        if not source.context or raised == span.score or raised < source.least:
            return span.score
        language = source.words.language
        if language not in around:
            around[language] = Surroundings(source.words, text, last)
        support = around[language].support(span.start, source.context)
        if support is None:
            return None
        return raised if support else span.score


def without_contained(spans: list[Span]) -> list[Span]:
    """Presidio's `remove_duplicates`: drops a span inside of another span of its entity with at least its score."""
    if len(spans) < 2:
        return spans
    kept: list[Span] = []
    furthest: dict[float, int] = {}  # for each score, the furthest end of the kept spans of this entity
    entity = ""
    for span in sorted(spans, key=lambda span: (span.entity, span.start, -span.end, -span.score, not span.proven)):
        if span.entity != entity:
            entity, furthest = span.entity, {}
        if not any(span.end <= end and span.score <= score for score, end in furthest.items()):
            kept.append(span)
            furthest[span.score] = max(span.end, furthest.get(span.score, span.end))
    return kept


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of a recognizer. `empty`: it may match the empty text. `timeout_s`: the time limit of a user's
    pattern."""

    exact: Any
    cover: Cover
    empty: bool
    score: float
    timeout_s: float | None

    def matches(self, text: str, traced: bytes, at: int, undecided: int) -> Iterator[Any]:
        """Yields the matches of `finditer` from `at` on that begin before `undecided`."""
        limits = {} if self.timeout_s is None else {"timeout": self.timeout_s}
        reach = self.cover.reach
        body = compile_pattern(self.cover.body)
        # Such a pattern matches everywhere, so RE2 leaves nothing out.
        if self.empty:
            yield from (match for match in self.exact.finditer(text, at, **limits) if match.start() < undecided)
            return
        while place := body.search(traced, at):
            start = place.start()
            if start >= undecided:
                return
            if self.cover.behind > LOOK:
                # The text that a match may see before itself is the same wherever the text was cut.
                low = max(0, start - LOOK)
                match, near = _Shifted.match(self.exact, text[low:], start - low, low, limits), 0
            elif reach >= UNBOUNDED:
                match, near = self.exact.search(text, start, **limits), UNBOUNDED
            else:
                match, near = self.exact.search(text, start, start + _NEAR + reach, **limits), _NEAR
            # RE2 has named a place too many: the search goes on behind what was looked at.
            if match is None or match.start() > start + near:
                at = start + near + 1
                continue
            if match.start() >= undecided:
                return
            yield match
            at = match.end()


class _Shifted:
    """A match in a part of a text, with offsets of the whole text."""

    def __init__(self, match: Any, shift: int) -> None:
        self._match, self._shift = match, shift

    @classmethod
    def match(cls, exact: Any, text: str, at: int, shift: int, limits: dict[str, float]) -> _Shifted | None:
        found = exact.match(text, at, **limits)
        return cls(found, shift) if found else None

    def start(self) -> int:
        return int(self._match.start()) + self._shift

    def end(self) -> int:
        return int(self._match.end()) + self._shift

    def span(self, group: int = 0) -> tuple[int, int]:
        low, high = self._match.span(group)
        return (low + self._shift, high + self._shift) if high >= 0 else (low, high)

    def groups(self) -> tuple[Any, ...]:
        return tuple(self._match.groups())


MatchReader = Callable[[Any, str, float], tuple[int, int, float, bool] | None]


@dataclass(frozen=True, slots=True)
class PatternSource:
    """A recognizer made of patterns. `read_match(match, text, score)`: returns the finding for a match, if any."""

    entity: str
    patterns: Sequence[Pattern]
    read_match: MatchReader
    context: Sequence[str]
    words: Words
    least: float
    single: bool
    bodies: tuple[str, ...]

    @property
    def begins(self) -> list[str]:
        return [pattern.cover.begin for pattern in self.patterns]

    @property
    def late(self) -> Sequence[LateBegin]:
        return ()

    def look(self, text: str, traced: bytes, at: int, first: int, undecided: int) -> tuple[list[Span], Spans]:
        found: list[Span] = []
        taken: Spans = []
        for which in hits(self.bodies, traced, first):
            pattern = self.patterns[which]
            for match in pattern.matches(text, traced, first, undecided):
                stop_point()
                taken.append(match.span())
                if result := self.read_match(match, text, pattern.score):
                    start, end, score, proven = result
                    found.append(Span(start, end, self.entity, score, proven))
        return found, taken


@dataclass(frozen=True, slots=True)
class PhoneSource:
    """A recognizer of telephone numbers. `accept`: a last test of a number."""

    entity: str
    phones: Phones
    score: float
    accept: Callable[[Any], bool]
    context: Sequence[str]
    words: Words
    least: float
    single: bool = True

    @property
    def bodies(self) -> list[str]:
        return [self.phones.body]

    @property
    def begins(self) -> list[str]:
        return [self.phones.begin]

    @property
    def late(self) -> Sequence[LateBegin]:
        return ()

    def look(self, text: str, traced: bytes, at: int, first: int, undecided: int) -> tuple[list[Span], Spans]:
        body = compile_pattern(self.phones.body)

        def next_body(index: int) -> int:
            place = body.search(traced, index)
            return int(place.start()) if place else -1

        numbers, spans = self.phones.search(text, traced, at, undecided, next_body)
        found = [
            Span(number.start, number.end, self.entity, self.score, False)
            for number in numbers
            if self.accept(number.parsed)
        ]
        return found, spans


def options() -> Any:
    """Returns RE2's options for a pattern over traces."""
    chosen = re2.Options()
    chosen.encoding = type(chosen.encoding).LATIN1
    chosen.never_capture = True
    chosen.log_errors = False
    chosen.max_mem = 64 << 20
    return chosen


def hits(patterns: tuple[str, ...], traced: bytes, first: int) -> Sequence[int]:
    """Returns the numbers of the patterns that may match a trace from `first` on."""
    if len(patterns) == 1:
        return (0,)
    # With one character before, which `\b` at the beginning of a pattern asks for.
    return _set(patterns).Match(traced[max(0, first - 1) :]) or ()


@lru_cache(maxsize=1024)  # bounded, as policies come and go
def _set(patterns: tuple[str, ...]) -> Any:
    """Returns the set of a recognizer's patterns. A single set of all patterns would have far too many states."""
    found = re2.Set.SearchSet(options())
    for pattern in patterns:
        found.Add(pattern.encode())
    found.Compile()
    return found


@lru_cache(maxsize=1024)  # bounded, as policies come and go
def compile_pattern(pattern: str) -> Any:
    """Compiles an RE2 pattern over traces."""
    return re2.compile(pattern.encode(), options())


def exact(pattern: str, flags: int) -> Any:
    """Compiles a pattern as Presidio does."""
    return regex.compile(pattern, flags=flags)
