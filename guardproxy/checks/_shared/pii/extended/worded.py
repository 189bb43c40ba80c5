"""Recognizers whose matches begin with a word: `password`, `born`, `MRN`.

In: for each recognizer a pattern for its word, a pattern for the text after it, and a function that reads a match of both.
Out: a source for the engine.

There are many such recognizers, and their words are rare. So all share one search. The places where a match
could still grow are searched only if a word is near the end of the text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from guardproxy.checks._shared.pii.cover import Cover, cover
from guardproxy.checks._shared.pii.engine import LateBegin, Source, Span, Spans, compile_pattern, exact
from guardproxy.checks._shared.pii.words import Words
from guardproxy.concurrency import stop_point


class Worded(NamedTuple):
    """A recognizer. `word`, `rest`: patterns for the word and for the text after it. `read_match`: returns the span of a
    match of
    both, if it is one."""

    entity: str
    word: str
    rest: str
    read_match: Callable[[Any], Span | None]


@dataclass(frozen=True, slots=True)
class WordedSource:
    """A `Source` for recognizers with words. `patterns`, `covers`, `word_covers`: of the whole and of the word, for each."""

    recognizers: Sequence[Worded]
    patterns: Sequence[Any]
    covers: Sequence[Cover]
    word_covers: Sequence[Cover]
    place: str
    words: Words
    least: float
    context: Sequence[str] = ()
    single: bool = True

    @property
    def bodies(self) -> Sequence[str]:
        return [cover.body for cover in self.covers]

    @property
    def begins(self) -> Sequence[str]:
        return [cover.begin for cover in self.word_covers]

    @property
    def late(self) -> Sequence[LateBegin]:
        return [
            LateBegin(word.body, whole.begin, whole.reach)
            for word, whole in zip(self.word_covers, self.covers, strict=True)
        ]

    def look(self, text: str, traced: bytes, at: int, first: int, undecided: int) -> tuple[list[Span], Spans]:
        """See `Source.look`. The words before a value must not be torn from it."""
        found: list[Span] = []
        torn: Spans = []
        place = compile_pattern(self.place)
        at = first
        while (hit := place.search(traced, at)) and hit.start() < undecided:
            stop_point()
            at = hit.start()
            for recognizer, pattern in zip(self.recognizers, self.patterns, strict=True):
                if (match := pattern.match(text, at)) and (span := recognizer.read_match(match)):
                    found.append(span)
                    torn.append((at, span.end))
            at += 1
        return found, torn


def worded_sources(recognizers: Sequence[Worded], words: Words, least: float) -> list[Source]:
    """Returns the source for `recognizers`, or none for none. `words`: of any language, as they are not used."""
    if not recognizers:
        return []
    covers = [_cover(recognizer.word + recognizer.rest) for recognizer in recognizers]
    word_covers = [_cover(recognizer.word) for recognizer in recognizers]
    patterns = [exact(recognizer.word + recognizer.rest, 0) for recognizer in recognizers]
    place = "|".join(dict.fromkeys(cover.body for cover in covers))
    compile_pattern(place)  # here, so that the first text need not wait
    return [WordedSource(recognizers, patterns, covers, word_covers, place, words, least)]


@cache
def _cover(pattern: str) -> Cover:
    return cover(pattern, 0)
