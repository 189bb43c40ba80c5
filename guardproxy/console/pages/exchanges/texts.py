"""Splits a text at its findings and edits, so that a page can mark them: as it came, and as it was sent on.

In: a text of a record, as a person may see it. Out: pieces in order, of the whole text or of a part. The cost is linear in the
text and in its findings, however they overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Literal, NamedTuple, TypeVar

from guardproxy.audit.record import RecordedFinding, RecordedText
from guardproxy.console.pages.exchanges.seen import read_text
from guardproxy.findings import Direction
from guardproxy.redaction import RESTORE, WITHHELD

PART_CHARS = 20_000
"""The length of a part of a text. A longer text is shown part by part, on demand."""
MINOR_CHARS = 80
MOST_NAMES = 6
"""The number of findings that a piece names. The table of findings has all."""

PieceMark = Literal["", "found", "edited", "restored", "put", "gone", "unsent"]
"""What a page does with a piece: `found` a check found it, `edited` a rule replaced it, `restored` the client gets the value
behind it, `put` it stands for what was replaced, `gone` nothing stands for it, `unsent` it was never sent on."""
_KINDS: Mapping[PieceMark, str] = {
    "": "",
    "found": "found",
    "edited": "info",
    "restored": "good",
    "put": "good",
    "gone": "good",
    "unsent": "",
}
_TITLES: Mapping[PieceMark, str] = {
    "": "",
    "found": "found",
    "edited": "replaced by a rule",
    "restored": "the client gets its value",
    "put": "put in its place",
    "gone": "taken out",
    "unsent": "was not sent on",
}
_RANKS: tuple[PieceMark, ...] = ("", "found", "edited", "restored", "put", "gone", "unsent")


class ShownPiece(NamedTuple):
    """A part of a text without a border in it. `names`: the findings that cover it. An empty `text` with names is a finding
    without a length."""

    text: str
    names: tuple[str, ...] = ()
    mark: PieceMark = ""

    @property
    def kind(self) -> str:
        """The class that gives it its colour."""
        return _KINDS[self.mark]

    @property
    def title(self) -> str:
        """What is shown about it."""
        words = "; ".join(self.names)
        return f"{words}; replaced by a rule" if self.mark == "edited" and words else words or _TITLES[self.mark]


class Marking(NamedTuple):
    """A span to mark. `name`: what is shown about it, or an empty text."""

    start: int
    end: int
    name: str
    mark: PieceMark = "found"


class RecordPlace(NamedTuple):
    """The place of a text in a record. `attempt`: the number of the answer; `number`: of the text in its direction."""

    direction: Direction
    attempt: int
    number: int


class Replacement(NamedTuple):
    """What stands for a span that a rule replaced. `text`: `None` if the record does not tell. `name`: in words."""

    text: str | None
    name: str


_K = TypeVar("_K")

Replacing = Callable[[RecordedText, int, int], Replacement]
"""Returns what stands for a span of a text that a rule replaced."""


@dataclass(frozen=True, slots=True)
class ShownPart:
    """A part of a text for a page. `before`: as it came; `after`: as it was sent on, `None` if that is the same. `total_chars`:
    of the text; `part`, `parts`: the number of this part, and of all; `is_kept`: whether the record keeps the text."""

    place: RecordPlace
    path: str
    kind: str
    chars: int
    flags: tuple[str, ...]
    before: tuple[ShownPiece, ...]
    after: tuple[ShownPiece, ...] | None
    total_chars: int
    part: int
    parts: int
    is_kept: bool

    @property
    def is_minor(self) -> bool:
        """Whether it is a word of the protocol, such as the name of a model, in which nothing was found."""
        is_plain = not any(piece.mark for piece in self.before)
        is_same = all(piece.mark in ("", "unsent") for piece in self.after or ())
        return (
            is_plain
            and is_same
            and self.total_chars <= MINOR_CHARS
            and (self.kind == "metadata" or "fixed" in self.flags)
        )


_FLAGS = ("open", "encoded", "number", "unmapped", "fixed", "judged")


def text_part(text: RecordedText, place: RecordPlace, replacing: Replacing, part: int = 0) -> ShownPart:
    """Returns a part of a text. A number of a part that the text does not have means the last one."""
    shown = read_text(text)
    whole = shown or ""
    parts = max(1, -(-len(whole) // PART_CHARS))
    part = min(max(part, 0), parts - 1)
    low, high = part * PART_CHARS, min(len(whole), (part + 1) * PART_CHARS)
    return ShownPart(
        place=place,
        path=text.path,
        kind=text.kind,
        chars=text.chars,
        flags=tuple(name for name in _FLAGS if getattr(text, name)),
        before=tuple(pieces(whole, markings(text), low, high)),
        after=tuple(sent_on(text, whole, replacing, low, high)) if _is_changed(text, whole) else None,
        total_chars=len(whole),
        part=part,
        parts=parts,
        is_kept=shown is not None,
    )


def markings(text: RecordedText) -> Iterator[Marking]:
    """Yields what is marked in a text as it came: findings, and what rules replaced."""
    for finding in text.findings:
        if finding.check != RESTORE:
            yield Marking(finding.start, finding.end, f"{finding.check}: {finding.label}")
    for ground in text.grounds:
        yield Marking(ground.start, ground.end, f"{ground.check}: {ground.label}")
    restored = {(finding.start, finding.end) for finding in text.findings if is_restored(finding)}
    for start, end in dict.fromkeys((*text.edits, *restored)):
        yield Marking(start, end, "", "restored" if (start, end) in restored else "edited")


def pieces(text: str, marks: Iterable[Marking], low: int = 0, high: int | None = None) -> Iterator[ShownPiece]:
    """Yields the pieces of `text[low:high]`. Marks outside of the text are cut at its borders."""
    high = len(text) if high is None else high
    starting: dict[int, list[Marking]] = {}
    ending: dict[int, list[Marking]] = {}
    points: dict[int, list[Marking]] = {}
    for mark in marks:
        start, end = max(low, mark.start), min(high, mark.end)
        if mark.start >= mark.end:
            if low <= mark.start < high or (mark.start == high == len(text)):
                points.setdefault(mark.start, []).append(mark)
        elif start < end:
            starting.setdefault(start, []).append(mark)
            ending.setdefault(end, []).append(mark)
    names: dict[str, int] = {}  # in the order in which they began
    kinds: dict[PieceMark, int] = {}
    borders = sorted({low, high, *starting, *ending, *points})
    for at, following in pairwise([*borders, borders[-1]]):
        for mark in ending.get(at, ()):
            _count(names, mark.name, -1)
            _count(kinds, mark.mark, -1)
        for mark in starting.get(at, ()):
            _count(names, mark.name, 1)
            _count(kinds, mark.mark, 1)
        if at in points:
            yield ShownPiece("", tuple(dict.fromkeys(mark.name for mark in points[at][:MOST_NAMES])), "found")
        if following > at:
            strongest = max(kinds, key=_RANKS.index, default=_RANKS[0])
            yield ShownPiece(text[at:following], tuple(islice(filter(None, names), MOST_NAMES)), strongest)


def _count(counts: dict[_K, int], key: _K, by: int) -> None:
    counts[key] = counts.get(key, 0) + by
    if not counts[key]:
        del counts[key]


def is_restored(finding: RecordedFinding) -> bool:
    """Whether a finding is a placeholder that got its value back on the way to the client."""
    return finding.check == RESTORE and finding.label not in WITHHELD


def _is_changed(text: RecordedText, whole: str) -> bool:
    """Whether what was sent on is not the text as it came."""
    restored = any(map(is_restored, text.findings))
    return bool(text.text) and (bool(text.edits) or restored or text.released < len(text.text or whole))


def sent_on(text: RecordedText, whole: str, replacing: Replacing, low: int, high: int) -> Iterator[ShownPiece]:
    """Yields `whole[low:high]` as it was sent on: with what stands for the replaced spans, up to where it was released."""
    sent = high if text.encoded or text.released >= len(text.text or "") else min(high, max(low, text.released))
    if text.encoded and not text.released:
        sent = low
    at = low
    for start, end, name in _changes(text, replacing):
        if end <= low or start >= sent:
            continue
        if start > at:
            yield ShownPiece(whole[at:start])
        if start >= low:  # otherwise the part before has it
            yield name
        at = max(at, end)
    if at < sent:
        yield ShownPiece(whole[at:sent])
    if max(at, sent) < high:
        yield ShownPiece(whole[max(at, sent) : high], (), "unsent")


def _changes(text: RecordedText, replacing: Replacing) -> Iterator[tuple[int, int, ShownPiece]]:
    """Yields the spans that were replaced or restored, in order and without overlaps, each with what stands for it."""
    spans = [*text.edits, *((found.start, found.end) for found in text.findings if is_restored(found))]
    done = 0
    for start, end in sorted(set(spans)):
        if start < done or end <= start:
            continue
        put = replacing(text, start, end)
        if put.text is None:
            is_back = any(is_restored(found) and (found.start, found.end) == (start, end) for found in text.findings)
            yield start, end, ShownPiece("", (put.name,), "restored" if is_back else "put")
        else:
            yield start, end, ShownPiece(put.text, (put.name,), "put" if put.text else "gone")
        done = end


def part_at(sides: Sequence[Sequence[RecordedText]], place: RecordPlace) -> RecordedText | None:
    """Returns the text at a place; `None` if the record has none there. `sides`: the request, then the answers."""
    side = 0 if place.direction == "request" else place.attempt + 1
    if not 0 <= side < len(sides) or not 0 <= place.number < len(sides[side]):
        return None
    return sides[side][place.number]
