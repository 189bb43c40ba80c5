"""Counts what the traffic of each day looks like, so that two periods can be compared.

In: entries of the log. Out: counts for each day. Kept: counts, never a text. Names that clients choose are kept up to
`LIMIT_NAMES` for each measure; further names count as `OTHERS`.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Annotated, Literal

import msgspec

from guardproxy.audit import AnyEntry, Closing, Record
from guardproxy.errors import QueryError
from guardproxy.reading.period import Hours
from guardproxy.reading.summary import OTHERS, class_of

LIMIT_NAMES = 500
SCORE_STEPS = 50
"""The number of bins for a score between 0 and 1."""
_STEPS_A_DOUBLING = 4
Count = Annotated[int, msgspec.Meta(ge=0)]
_SCORE = "score of "


@dataclass(slots=True)
class Sample:
    """What a number of exchanges look like.

    `marks`: exchanges with a property, by its name. `sizes`: measure -> bin -> exchanges, see `bin_of`. `names`: measure
    -> name -> exchanges.
    """

    exchanges: int = 0
    marks: Counter[str] = field(default_factory=Counter)
    sizes: dict[str, Counter[int]] = field(default_factory=dict)
    names: dict[str, Counter[str]] = field(default_factory=dict)

    def see(self, entry: Record | Closing) -> None:
        """Adds an exchange."""
        self.exchanges += 1
        self._mark(class_of(entry))
        self._name("route", entry.route)
        if not isinstance(entry, Record):
            return
        self._name("model", entry.model)
        self._name("language", entry.language)
        self._size("characters of a request", sum(text.chars for text in entry.request.texts))
        self._size("texts of a request", len(entry.request.texts))
        if entry.response.texts:
            self._size("characters of an answer", sum(text.chars for text in entry.response.texts))
        if (first_ms := entry.timings.get("first_byte")) is not None:
            self._size("milliseconds to the first byte", first_ms)
        for rule in {f"rule {decision.policy}: {decision.rule}" for decision in entry.decisions}:
            self._mark(rule)
        highest: dict[str, float] = {}
        for direction, side in (("request", entry.request), *(("answer", answer) for answer in entry.answers)):
            for finding in (finding for text in side.texts for finding in text.findings):
                name = f"{finding.check} {finding.label} in {'an' if direction == 'answer' else 'a'} {direction}"
                highest[name] = max(highest.get(name, 0.0), finding.score)
        for name, score in highest.items():
            self._mark(f"found {name}")
            self._size(f"{_SCORE}{name}", score)

    def add(self, other: Sample) -> None:
        """Adds the exchanges of another sample."""
        self.exchanges += other.exchanges
        self.marks.update(other.marks)
        for measure, bins in other.sizes.items():
            self.sizes.setdefault(measure, Counter()).update(bins)
        for measure, names in other.names.items():
            self.names.setdefault(measure, Counter()).update(names)

    def _mark(self, name: str) -> None:
        self.marks[name if name in self.marks or len(self.marks) < LIMIT_NAMES else OTHERS] += 1

    def _name(self, measure: str, name: str) -> None:
        names = self.names.setdefault(measure, Counter())
        names[name if name in names or len(names) < LIMIT_NAMES else OTHERS] += 1

    def _size(self, measure: str, value: float) -> None:
        if measure in self.sizes or len(self.sizes) < LIMIT_NAMES:
            self.sizes.setdefault(measure, Counter())[bin_of(measure, value)] += 1


class HourlySamples:
    """The samples of all hours of a log, in UTC."""

    def __init__(self) -> None:
        self.hours: dict[datetime, Sample] = {}

    @property
    def days(self) -> dict[date, Sample]:
        """Returns the samples of whole days."""
        days: dict[date, Sample] = {}
        for hour, sample in self.hours.items():
            days.setdefault(hour.date(), Sample()).add(sample)
        return days

    def see(self, entry: AnyEntry) -> None:
        """Adds an entry. Entries that are no exchanges are skipped."""
        if isinstance(entry, Record | Closing) and not (isinstance(entry, Record) and entry.feedback):
            at = entry.began if isinstance(entry, Closing) and entry.began is not None else entry.at
            hour = datetime.fromtimestamp(at, UTC).replace(minute=0, second=0, microsecond=0)
            self.hours.setdefault(hour, Sample()).see(entry)

    def within(self, hours: Hours) -> Sample:
        """Returns the sample of these hours."""
        total = Sample()
        for hour, sample in self.hours.items():
            if hour in hours:
                total.add(sample)
        return total


class _Saved(msgspec.Struct, forbid_unknown_fields=True):
    """A sample in a file."""

    version: Literal[1]
    exchanges: Count
    marks: dict[str, Count]
    sizes: dict[str, dict[int, Count]]
    names: dict[str, dict[str, Count]]


def write_sample(sample: Sample) -> bytes:
    """Returns a sample as JSON."""
    return msgspec.json.encode(_Saved(1, sample.exchanges, sample.marks, dict(sample.sizes), dict(sample.names)))


def read_sample(data: bytes) -> Sample:
    """Returns the sample that `write_sample` wrote. Raises `QueryError`."""
    try:
        saved = msgspec.json.decode(data, type=_Saved)
    except msgspec.MsgspecError as error:
        raise QueryError(f"the baseline is not a file of `drift --save`: {error}") from None
    sizes = {measure: Counter(bins) for measure, bins in saved.sizes.items()}
    names = {measure: Counter(counts) for measure, counts in saved.names.items()}
    return Sample(saved.exchanges, Counter(saved.marks), sizes, names)


def bin_of(measure: str, value: float) -> int:
    """Returns the bin of a value: equal steps for scores, which lie between 0 and 1, and for other measures steps that
    grow with the value, four from each number to its double. Equal values always share a bin."""
    if measure.startswith(_SCORE):
        return min(SCORE_STEPS - 1, max(0, math.floor(value * SCORE_STEPS)))
    return math.floor(_STEPS_A_DOUBLING * math.log2(1 + max(0.0, value)))


def start_of(measure: str, number: int) -> float:
    """Returns the smallest value of a bin."""
    if measure.startswith(_SCORE):
        return number / SCORE_STEPS
    return math.pow(2, number / _STEPS_A_DOUBLING) - 1
