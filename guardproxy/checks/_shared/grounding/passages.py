"""Finds the passages of retrieved texts that may support a sentence, by the words that they share.

In: the retrieved texts of a request, then the words of a sentence. Out: passages, the best first. A passage is two or three
neighbouring sentences of a text. A word counts by its rarity, and its cost is bounded: a word that very many sentences have
counts for nothing. Reading the texts costs time linear in their length.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import log

from guardproxy.checks._shared.grounding.sentences import plain, sentences, stem, words_of
from guardproxy.concurrency import stop_point
from guardproxy.findings import Passage, Sources, ValueOrigin

LEAST_PASSAGE_WORDS = 40
"""A passage goes on until it has so many words and `LEAST_SENTENCES`, if its text does."""
LEAST_SENTENCES = 3
MOST_PASSAGE_WORDS = 90
MOST_SENTENCES = 8
MOST_PLACES = 256
"""Sentences that are noted for a word; a word that more of them have counts for nothing."""
LEAST_SHARE = 0.2
"""The share of the weight of a sentence's words that a passage must have, unless the texts have few passages."""
_SMALLER = {
    "year": (12, 52, 365), "month": (4, 30), "week": (7,), "day": (24,), "hour": (60,), "minute": (60,), "dozen": (12,),
    "kilometre": (1000,), "kilometer": (1000,), "km": (1000,), "metre": (100, 1000), "meter": (100, 1000), "m": (100, 1000),
    "kilogram": (1000,), "kg": (1000,), "tonne": (1000,), "ton": (1000,), "litre": (1000,), "liter": (1000,), "cm": (10,),
    "euro": (100,), "dollar": (100,), "pound": (100,), "kw": (1000,), "mw": (1000,), "gb": (1000, 1024), "mb": (1000, 1024),
}  # fmt: skip
_TIMES = {stem(unit): factors for unit, factors in _SMALLER.items()}
"""How many of a smaller unit a unit has."""
_MOST_WRAPPED_CHARS = 400  # of lines that are joined to a sentence
_MOST_RECKONED = 16  # numbers of a sentence that are reckoned over into other units


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that may support a sentence. `first`, `after`: of its sentences in the index; `share`: of the weight of the
    sentence's words that it has; `added`: the share of those that the best passage has not. `core`: its
    sentence with most of them."""

    first: int
    after: int
    share: float
    added: float = 0.0
    core: int = 0

    @property
    def span(self) -> tuple[int, int]:
        """The first sentence, and the one after the last."""
        return self.first, self.after


@dataclass(frozen=True, slots=True)
class _Unit:
    """A sentence of a retrieved text. `text`: the number of the text."""

    text: int
    start: int
    end: int
    words: int


@dataclass(slots=True)
class SourceIndex:
    """The retrieved texts. `known`: numbers and words of these texts and of the user's; `reckoned`: numbers of these texts in
    other units; `whole`: the number of each sentence, by its words."""

    texts: tuple[Passage, ...] = ()
    known: set[str] = field(default_factory=set)
    reckoned: set[str] = field(default_factory=set)
    whole: dict[str, int] = field(default_factory=dict)
    _units: list[_Unit] = field(default_factory=list)
    _ends: list[int] = field(default_factory=list)  # where the passage that begins at a sentence ends
    _places: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, sources: Sources) -> SourceIndex:
        """Reads the texts."""
        index = cls(sources.retrieved)
        for number, passage in enumerate(index.texts):
            for start, end in _units(passage.text):
                stop_point()
                index._add(number, start, end)
        for text in sources.asked:
            index.known.update(map(stem, words_of(text)))
        index._ends = [index._after(first) for first in range(len(index._units))]
        return index

    def _add(self, text: int, start: int, end: int) -> None:
        words = words_of(self.texts[text].text[start:end])
        if not words:
            return
        at = len(self._units)
        stems = list(map(stem, words))
        for each in dict.fromkeys(stems):
            its = self._places[each]
            if len(its) <= MOST_PLACES:
                its.append(at)
        self.known.update(stems)
        self.reckoned.update(_reckoned(stems))
        self._units.append(_Unit(text, start, end, len(words)))
        if bare := bare_words(self.texts[text].text[start:end]):
            self.whole.setdefault(bare, at)

    def _after(self, first: int) -> int:
        """Returns the end of the passage that begins at a sentence."""
        units, words, at = self._units, 0, first
        while at < len(units) and at - first < MOST_SENTENCES and units[at].text == units[first].text:
            words += units[at].words
            is_enough = at - first >= LEAST_SENTENCES and words > LEAST_PASSAGE_WORDS
            if at > first and (words > MOST_PASSAGE_WORDS or is_enough):
                break
            at += 1
        return at

    def candidates(self, stems: Iterable[str], most: int) -> list[Candidate]:
        """Returns at most `most` passages that share words with a sentence, the best first, without overlaps. Of those with the
        same words the one that begins first counts, as it says what pronouns mean."""
        totals: dict[int, float] = defaultdict(float)
        weight = 0.0
        values: list[tuple[float, Sequence[int]]] = []
        for each in stems:
            its = self._places.get(each, ())
            if len(its) > MOST_PLACES:
                continue
            value = log(1 + len(self._units) / max(1, len(its)))
            values.append((value, its))
            weight += value
            for first in {first for place in its for first in self._beginning(place)}:
                totals[first] += value
        chosen: list[Candidate] = []
        least = LEAST_SHARE * weight
        if len(self._units) <= most * LEAST_SENTENCES:  # so few are compared whatever words they have
            totals |= {first: totals.get(first, 0.0) for first in range(len(self._units))}
            least = 0.0
        for first in sorted(totals, key=lambda first: (-totals[first], first)):
            after = self._ends[first]
            if totals[first] < least or len(chosen) == most:
                break
            if all(after <= other.first or other.after <= first for other in chosen):
                chosen.append(Candidate(first, after, totals[first] / weight if weight else 0.0))
        return [self._weighed(each, chosen[0], values, weight) for each in chosen]

    @staticmethod
    def _weighed(
        each: Candidate, best: Candidate, values: Sequence[tuple[float, Sequence[int]]], weight: float
    ) -> Candidate:
        """Returns a candidate with what it adds to the best one, and its core. `values`: weight and places of each word."""
        added = sum(value for value, its in values if _has(its, *each.span) and not _has(its, *best.span))
        weights = [sum(value for value, its in values if _has(its, unit, unit + 1)) for unit in range(*each.span)]
        core = each.first + weights.index(max(weights))
        return replace(each, added=added / weight if weight else 0.0, core=core)

    def _beginning(self, place: int) -> Iterator[int]:
        """Yields the first sentences of the passages that have a sentence."""
        return (first for first in range(max(0, place - MOST_SENTENCES + 1), place + 1) if self._ends[first] > place)

    def place(self, first: int, after: int) -> ValueOrigin:
        """Returns where sentences of a text are."""
        text = self.texts[self._units[first].text]
        return ValueOrigin(text.kind, text.path, self._units[first].start, self._units[after - 1].end)

    def passage(self, first: int, after: int) -> str:
        """Returns the text of sentences, as one line."""
        unit = self._units[first]
        return " ".join(self.texts[unit.text].text[unit.start : self._units[after - 1].end].split())


def _has(places: Sequence[int], first: int, after: int) -> bool:
    """Whether a word, by its places, is in sentences `first` to `after`."""
    at = bisect_left(places, first)
    return at < len(places) and places[at] < after


def bare_words(text: str) -> str:
    """Returns the words and numbers of a sentence without case, by which equal sentences are known; empty for a few words."""
    words = words_of(plain(text))
    return " ".join(words).casefold() if len(words) > LEAST_SENTENCES else ""


def _units(text: str) -> Iterator[tuple[int, int]]:
    """Yields the sentences of a complete text. A line that goes on in the next is a part of one."""
    begin = -1
    for start, end in sentences(text, 0, last=True):
        begin = start if begin < 0 else begin
        after = text[end : end + 1]
        is_wrapped = text[start:end].endswith("\n") and text[start:end].strip()[-1:].isalnum() and after.islower()
        if is_wrapped and end - begin < _MOST_WRAPPED_CHARS:
            continue
        yield begin, end
        begin = -1


def _reckoned(stems: list[str]) -> Iterator[str]:
    """Yields the numbers of a sentence in other units, and hours of the afternoon."""
    numbers = [each for each in stems if each[0].isdigit()][:_MOST_RECKONED]
    if not numbers:
        return
    units = set(stems)
    has_hours = not units.isdisjoint(("am", "pm")) or any(":" in number for number in numbers)
    factors = {factor for unit, its in _TIMES.items() if unit in units for factor in its}
    for number in numbers:
        hour, _, minutes = number.partition(":")
        if has_hours and hour.isdigit() and int(hour) <= 24:
            later = int(hour) + 12 if int(hour) <= 12 else int(hour) - 12
            yield from (str(later), f"{later}:{minutes or '00'}", hour, f"{hour}:{minutes or '00'}")
        try:
            value = float(number)
        except ValueError:
            continue
        for factor in factors:
            for other in (value * factor, value / factor):
                yield f"{other:.6f}".rstrip("0").rstrip(".")
