"""Translates the offsets of annotations and citations, which count characters of texts that edits make longer or shorter.

In: a frame that is about to leave, and the two gates. Out: the numbers that must change. An offset inside a replaced span
becomes the whole replacement.
"""

from __future__ import annotations

from bisect import bisect_left
from operator import itemgetter
from typing import Any

from guardproxy.events import Count, Frame, Path, Text
from guardproxy.exchange.gate.gate import Gate, Lane
from guardproxy.redaction import OffsetMap
from guardproxy.wire.json import reach


def moved(frame: Frame, answer: Gate, request: Gate) -> list[tuple[Text, str]]:
    """The frame's numbers that count in an edited text, each with its new value."""
    out: list[tuple[Text, str]] = []
    for count in frame.counts:
        gate = request if count.of_request else answer
        lane = gate.lanes.at(count.text)
        if lane is not None and lane.rewrite.edits:
            out += _changes(frame, count, lane)
    return out


def _changes(frame: Frame, count: Count, lane: Lane) -> list[tuple[Text, str]]:
    start, end = _number(frame, count.start), _number(frame, count.end)
    if start is None and count.in_bytes:
        start = 0  # formats that count bytes omit a zero
    if type(start) is not int or type(end) is not int or not count.origin <= start <= end:
        return []
    origin = count.origin
    low, high = _map(lane, count).translate_span(start - origin, end - origin)
    return [
        (Text(lane.channel, str(old), frame, path, number=True), str(new))
        for path, old, new in ((count.start, start, low + origin), (count.end, end, high + origin))
        if old != new
    ]


def _number(frame: Frame, path: Path) -> Any:
    """Returns what is at the path of a number; `None` if a field is missing."""
    node = reach(frame.tree, path[:-1])
    return node.get(path[-1]) if isinstance(node, dict) else node[path[-1]]


def _map(lane: Lane, count: Count) -> OffsetMap:
    """The map from offsets in the model's text to offsets in the client's text."""
    edits = lane.rewrite.raw_edits()
    if count.of_request:  # the model has the edited text, the client the original
        lane.rewrite.moves.take(edits, len(edits))
        return lane.rewrite.moves.back
    # Only the edits of released text count, as the number of known edits depends on chunks.
    number = bisect_left(edits, lane.rewrite.released, key=itemgetter(0))
    if count.in_bytes:
        return lane.rewrite.moves.in_bytes.take(edits, number, lane.text.part)
    lane.rewrite.moves.take(edits, number)
    return lane.rewrite.moves.there
