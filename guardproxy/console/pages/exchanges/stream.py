"""The time line of an exchange, and what a stream held back.

In: a record, and the steps of its stream when it is played again (`guardproxy.replay.Pace`). Out: bars and moments in
milliseconds; and for each text, where characters were held, by what, and when they could leave.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from guardproxy.audit import Record
from guardproxy.console.pages.exchanges.seen import read_text
from guardproxy.redaction import RESTORE
from guardproxy.replay import HoldStep

MOST_HELD = 12
"""The number of held places that a page lists. The drawing shows all."""
AROUND_CHARS = 40


class TimeBar(NamedTuple):
    """A part of the time of an exchange, in milliseconds since the request came. `kind`: the class that gives it its colour."""

    label: str
    words: str
    at: float
    until: float
    kind: str


@dataclass(frozen=True, slots=True)
class TimeLine:
    """The time of an exchange. `total_ms`: from the request to the end. `missing`: why a part is not known, in words."""

    bars: tuple[TimeBar, ...]
    total_ms: float
    added_ms: float | None
    missing: tuple[str, ...]


class HeldPlace(NamedTuple):
    """Characters that were held back. `start`, `end`: in the text as it is shown; `until`: the number of characters that had
    arrived when they could leave; `by`: what held them, in words; `text`: the characters; `is_sent`: whether they left."""

    start: int
    end: int
    until: int
    by: str
    text: str
    is_sent: bool


class StreamPoint(NamedTuple):
    """A point of the drawing: after `arrived` characters, `released` could leave."""

    arrived: int
    released: int


@dataclass(frozen=True, slots=True)
class HeldStream:
    """What was held of a text. `most`: the most characters that waited at a moment; `points`: for the drawing; `is_whole`:
    nothing left before the end, because a rule may ask for another answer or judges the answer as a whole."""

    attempt: int
    path: str
    chars: int
    most: int
    piece_chars: int
    points: tuple[StreamPoint, ...]
    held: tuple[HeldPlace, ...]
    more: int
    is_whole: bool

    def line(self, width: float, height: float) -> str:
        """Returns the points of the line of what could leave, for a drawing of this size."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in self._places(width, height))

    def area(self, width: float, height: float) -> str:
        """Returns the points of the area between what had arrived and what could leave."""
        return f"{width:.1f},0.0 0.0,{height:.1f} {self.line(width, height)}"

    def _places(self, width: float, height: float) -> Iterator[tuple[float, float]]:
        whole = max(1, self.chars)
        for point in self.points:
            yield width * point.arrived / whole, height - height * min(point.released, whole) / whole


def time_line(record: Record) -> TimeLine:
    """Returns the times of a record as bars."""
    times = record.timings
    total = max([*times.values(), *(attempt.ended for attempt in record.attempts), 0.0])
    return TimeLine(tuple(_bars(record, total)), total, _added(record), tuple(_missing(record)))


def _bars(record: Record, total: float) -> Iterator[TimeBar]:
    times = record.timings
    scanned, answered, first, finished = (
        times.get(name) for name in ("request_scanned", "upstream_answered", "first_byte", "finished")
    )
    if scanned is not None:
        yield TimeBar("request checked", "checks read the request; nothing goes upstream before", 0.0, scanned, "warn")
    if record.attempts:
        for number, attempt in enumerate(record.attempts):
            where = f" at {attempt.upstream}" if attempt.upstream else ""
            rule = f" by {attempt.rule}" if attempt.rule else ""
            words = f"attempt {number + 1}{where}: {attempt.decision}{rule}{', ended early' if attempt.cut else ''}"
            yield TimeBar(f"attempt {number + 1}", words, attempt.began, attempt.ended, "quiet")
    elif answered is not None:
        began = min(scanned or 0.0, answered)
        yield TimeBar("model began", "from the request to the head of the answer", began, answered, "quiet")
    if answered is not None and first is not None and first > answered:
        yield TimeBar("held", "the answer had begun, and nothing of it was sent yet", answered, first, "bad")
    if first is not None:
        end = finished if finished is not None else total
        yield TimeBar("sent", "from the first byte to the client to the end", first, max(first, end), "good")


def _added(record: Record) -> float | None:
    """Returns how long the proxy kept the exchange before the request left, and before the first byte of the answer did."""
    times = record.timings
    if "request_scanned" not in times:
        return None
    first, answered = times.get("first_byte"), times.get("upstream_answered")
    late = first - answered if first is not None and answered is not None and not record.attempts else 0.0
    return times["request_scanned"] + max(0.0, late)


def _missing(record: Record) -> Iterator[str]:
    if not record.timings:
        yield "The record has no times."
    if record.response.streamed:
        yield (
            "The record keeps the time of the first and of the last byte, not of each part: what was held back in between "
            "is shown in characters, not in milliseconds."
        )


def held_streams(record: Record, steps: Sequence[HoldStep], piece_chars: int) -> tuple[HeldStream, ...]:
    """Returns what was held of each text of the answers."""
    streams = []
    for (attempt, path), each in _by_text(steps):
        answer = record.answers[min(attempt, len(record.answers) - 1)]
        text = next((text for text in answer.texts if text.path == path), None)
        if text is not None and (text.fixed or text.kind == "metadata"):
            continue  # a word of the protocol comes in one piece
        shown = (read_text(text) or "") if text is not None else ""
        held = list(_held(each, shown))
        most = max(step.arrived - step.released for step in each)
        points = tuple(_points(each))
        is_whole = any(step.is_whole for step in each)
        kept = sorted(sorted(held, key=lambda place: place.start - place.until)[:MOST_HELD])
        chars = max(step.arrived for step in each)
        streams.append(
            HeldStream(
                attempt=attempt,
                path=path,
                chars=chars,
                most=most,
                piece_chars=piece_chars,
                points=points,
                held=tuple(_named(place, text) for place in kept) if text is not None else tuple(kept),
                more=len(held) - len(kept),
                is_whole=is_whole,
            )
        )
    return tuple(streams)


def _by_text(steps: Sequence[HoldStep]) -> Iterator[tuple[tuple[int, str], list[HoldStep]]]:
    texts: dict[tuple[int, str], list[HoldStep]] = {}
    for step in steps:
        texts.setdefault((step.attempt, step.path), []).append(step)
    yield from texts.items()


def _points(steps: Sequence[HoldStep]) -> Iterator[StreamPoint]:
    """Yields the corners of the line of what could leave."""
    yield StreamPoint(0, 0)
    for _, same in groupby(steps, key=lambda step: step.released):
        each = list(same)
        yield StreamPoint(each[0].arrived, each[0].released)
        if len(each) > 1:
            yield StreamPoint(each[-1].arrived, each[-1].released)


def _held(steps: Sequence[HoldStep], shown: str) -> Iterator[HeldPlace]:
    """Yields the places that waited for text after them. What waited for its own piece only did not wait."""
    start, arrived, holders, is_whole = 0, 0, dict[str, None](), False
    for step in steps:
        if step.released > start:
            if arrived > start:  # it waited for at least one further piece
                end = min(step.released, arrived)
                yield HeldPlace(start, end, step.arrived, _by(holders, is_whole), _short(shown[start:end]), True)
            start, holders, is_whole = step.released, {}, False
        if step.arrived > step.released:
            holders |= dict.fromkeys(step.holders)
            is_whole = is_whole or step.is_whole
        arrived = step.arrived
    if arrived > start:
        yield HeldPlace(start, arrived, arrived, _by(holders, is_whole), _short(shown[start:arrived]), False)


def _by(holders: dict[str, None], is_whole: bool) -> str:
    if is_whole:
        return "a rule needs the whole answer before any of it leaves"
    return f"{', '.join(holders)} could not be sure" if holders else "the piece was not complete"


def _named(place: HeldPlace, text: object) -> HeldPlace:
    """Returns a held place with the findings in it."""
    findings = [
        f"{finding.check} found {finding.label}"
        for finding in getattr(text, "findings", ())
        if finding.check != RESTORE and finding.start < place.end and place.start < finding.end
    ]
    found = "; ".join(dict.fromkeys(findings[:3]))
    return place._replace(by=f"{place.by}, then {found}" if found else place.by)


def _short(text: str) -> str:
    return text if len(text) <= 2 * AROUND_CHARS else f"{text[:AROUND_CHARS]} … {text[-AROUND_CHARS:]}"
