"""Makes texts of their own of the documents in a request, and puts the edits of both together.

In: the events of a request, and the marks of documents (`blocks.py`) or pointers into JSON. Out: the same events, and after
them a text of the kind `document` for each part of a document. Such a text is an excerpt: it has its own lane, checks and
findings, and is never sent. Its edits become edits of the text that holds it, which is sent.

Rules that must hold
- The text that holds documents is read as a whole, too, unless policies set `apart`. Then the rest of it is an excerpt, too.
- Every character that is not blank is in the text that is read as a whole, or in an excerpt.
- Excerpts of a kind do not overlap. Spans of both readings that overlap become one edit.
- Without an edit the text is sent as it came.

Decision: docs/decisions/0075-tagged-blocks-are-documents.md
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count, islice
from operator import itemgetter
from typing import NamedTuple, Protocol

import msgspec
from msgspec import structs

from guardproxy.events import HOLDING, MARKED, End, Event, Excerpt, Holder, RunEnd, Text
from guardproxy.exchange.gate.blocks import MOST_BLOCKS, BlockGrammar, PartBorders, PartSpan, Span, bare
from guardproxy.exchange.gate.joining import FILLER
from guardproxy.exchange.gate.lanes import Lane
from guardproxy.findings import Channel, Finding, Kind
from guardproxy.redaction import PLACEHOLDER
from guardproxy.wire.declared import Pointer
from guardproxy.wire.json import places, view

Edit = tuple[int, int, str]
_EACH = "*"
_NUMBERING = re.compile(r"(?:[\w.:-]++\s*+=\s*+([\"']?)\d{0,8}+\1\s*+)?+/?", re.ASCII)
_DOCUMENT = re.compile(r"#(document\[\d+\])(\.attributes)?")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_MARGIN = re.compile(r"\ufeff?\s*+(?=[\[{])")
_JSON = json.JSONDecoder(strict=False)


class RecordedExcerpt(Protocol):
    """What a record says of an excerpt. `span`: its place in the text that holds it, whose path `path` begins with."""

    @property
    def path(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def text(self) -> str | None: ...
    @property
    def span(self) -> tuple[int, int] | None: ...
    @property
    def encoded(self) -> bool: ...
    @property
    def run(self) -> str: ...


class CutTexts(msgspec.Struct):
    """The texts of a request that hold others: `holders`, by number. `places`: of the excerpts."""

    holders: dict[int, Lane] = msgspec.field(default_factory=dict)
    places: dict[Lane, Excerpt] = msgspec.field(default_factory=dict)
    _of: dict[Lane, list[tuple[Lane, Excerpt]]] | None = None

    def note(self, lane: Lane, event: Text) -> None:
        """Takes a lane that begins."""
        if event.holder is not None:
            self.holders[event.holder.number] = lane
        if event.excerpt is not None:
            self.places[lane] = event.excerpt

    def of(self, holder: Lane) -> Sequence[tuple[Lane, Excerpt]]:
        """Returns the excerpts of a text, with their places. All lanes have begun."""
        if self._of is None:
            self._of = {each: [] for each in self.holders.values()}
            for lane, place in self.places.items():
                self._of[self.holders[place.holder]].append((lane, place))
        return self._of.get(holder, ())

    def holder_of(self, lane: Lane) -> Lane | None:
        """Returns the text that holds an excerpt; `None` for any other text."""
        place = self.places.get(lane)
        return None if place is None else self.holders[place.holder]

    def repeats(self, lane: Lane) -> bool:
        """Whether a text is counted with another: an excerpt with the text that holds it, if checks read that; otherwise that
        text with its excerpts."""
        holder = self.holder_of(lane)
        if holder is not None:
            return _is_read(holder)
        return not _is_read(lane) and bool(self.of(lane))

    def findings(self, holder: Lane) -> list[Finding]:
        """Returns the findings of a text and of its excerpts, with places in that text."""
        found = dict.fromkeys(holder.progress.findings)
        for lane, place in self.of(holder):
            for each in lane.progress.findings:
                start, end = each.start, each.end
                if lane.text.view is not None:
                    ((start, end, _),) = lane.text.view.raw_spans([(start, end, "")])
                found[replace(each, start=start + place.start, end=end + place.start)] = None
        return sorted(found)

    def join(self) -> None:
        """Makes the edits of each excerpt edits of the text that holds it. The rules have decided."""
        for holder in self.holders.values():
            its = self.of(holder)
            edits = holder.rewrite.raw_edits()
            more = [
                (start + place.start, end + place.start, put)
                for lane, place in its
                for start, end, put in lane.rewrite.raw_edits()
            ]
            if not edits and not more:
                continue
            joined = _joined([*edits, *more])
            text = holder.text.part(0, holder.text.total)
            if not "".join(cut_up(text, joined, ())).strip():  # some APIs refuse a part without text
                joined[-1] = (*joined[-1][:2], joined[-1][2] + FILLER)
            # A fitted text would replace the whole, and with it the joined edits.
            holder.rewrite.fitted.clear()
            holder.rewrite.edits[:] = joined
            for lane, place in its:
                if not lane.encoded:
                    lane.rewrite.edits[:] = clipped(joined, place.start, place.end, is_once=True)


def _is_read(lane: Lane) -> bool:
    return bool(lane.progress.checks or lane.progress.later)


def _joined(edits: Iterable[Edit]) -> list[Edit]:
    """Merges edits of two readings that overlap, and sorts them. The longest counts, and of equal ones a placeholder. If none
    covers the others, the replacements of all that are needed follow each other."""
    joined: list[Edit] = []
    for start, end, put in sorted(edits, key=lambda edit: (edit[0], -edit[1], PLACEHOLDER.fullmatch(edit[2]) is None)):
        if not joined or start >= joined[-1][1]:
            joined.append((start, end, put))
        elif end > joined[-1][1]:
            joined[-1] = (joined[-1][0], end, joined[-1][2] + put)
    return joined


def clipped(spans: Sequence[Edit], start: int, end: int, *, is_once: bool = False) -> list[Edit]:
    """Returns the parts of spans in `text[start:end]`, counted from its beginning. `spans`: sorted, without overlap. `is_once`:
    what takes the place of a span stands where it begins, and in no other part."""
    first = bisect_right(spans, start, key=itemgetter(1))
    last = bisect_left(spans, end, key=itemgetter(0))
    return [
        (max(low, start) - start, min(high, end) - start, "" if is_once and low < start else put)
        for low, high, put in spans[first:last]
    ]


def cut_up(text: str, edits: Sequence[Edit], borders: Sequence[int]) -> list[str]:
    """Returns an edited text in parts. `borders`: the places in the text, in order, at which parts begin; a replacement is in
    the part in which its span begins."""
    out: list[str] = []
    at = number = 0
    for border in (*borders, len(text)):
        part: list[str] = []
        while number < len(edits) and edits[number][0] < border:
            low, high, put = edits[number]
            part += text[at : max(at, low)], put
            at = max(at, high)
            number += 1
        part.append(text[at:border])
        at = max(at, border)
        out.append("".join(part))
    return out


@dataclass(slots=True)
class Documents:
    """The documents of a request. `recorded`: those of a recorded request, in which a mask may hide a mark; `edits`: of the
    texts that hold documents, by number."""

    splitter: DocumentSplitter
    recorded: Sequence[RecordedExcerpt] | None = None
    edits: Mapping[int, Sequence[Edit]] = field(default_factory=dict)
    _of: dict[int, list[tuple[Text, Excerpt]]] = field(default_factory=dict)

    def split(self, events: Sequence[Event]) -> list[Event]:
        """Returns the events of the request with its documents."""
        if self.recorded is None:
            return _Splitting(self.splitter).split(events)
        return _again(events, self.recorded, is_read=not self.splitter.is_apart)

    def take(self, events: Iterable[Event], edits: Mapping[int, Sequence[Edit]]) -> None:
        """Takes the texts of the request, once they have their edits."""
        self.edits = edits
        for event in events:
            if isinstance(event, Text) and event.excerpt is not None and event.excerpt.document:
                self._of.setdefault(event.excerpt.holder, []).append((event, event.excerpt))

    def parts(self, text: Text) -> list[tuple[Text, str]]:
        """Returns a text as its edited parts, in order: documents and, as the text itself, what is around them. Empty if it
        holds none."""
        its = self._of.get(text.holder.number, []) if text.holder is not None else []
        if text.holder is None or not its:
            return []
        its.sort(key=lambda each: each[1].start)
        borders = [border for _, place in its for border in (place.start, place.end)]
        owners = [text, *(owner for document, _ in its for owner in (document, text))]
        parts = cut_up(text.text, self.edits.get(text.holder.number, ()), borders)
        return list(zip(owners, parts, strict=True))


def decoded(text: Text, new: str) -> str:
    """Returns the new form of a text as a reader has it: of a string of JSON, what it says."""
    return view(new).text if text.encoded else new


def replaced(text: Text, new: str, change: Callable[[str], str]) -> str:
    """Returns the new form of a text after a change of what a reader has; a string of JSON stays one."""
    if not text.encoded:
        return change(new)
    before = decoded(text, new)
    after = change(before)
    return new if after == before else json.dumps(after, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class DocumentSplitter:
    """How documents are found in the texts of requests. `grammar`: their marks; `pointers`: to documents in JSON. `is_apart`:
    whether the texts that hold them are read without them."""

    grammar: BlockGrammar
    pointers: tuple[Pointer, ...]
    is_apart: bool


class _FoundDocument(NamedTuple):
    """A document in the texts of a message: its parts, the attributes of its tag, and whether it is a string of JSON."""

    spans: Sequence[PartSpan]
    aside: Sequence[PartSpan]
    is_encoded: bool = False


class _Splitting:
    """Splits one request."""

    def __init__(self, splitter: DocumentSplitter) -> None:
        self.splitter = splitter
        self.holders: dict[int, Holder] = {}  # by the place of their event
        self.excerpts: list[Event] = []
        self.numbers = count(1)
        self.documents = count()
        self.rests = count()
        self.json_ends: dict[int, int] = {}  # where the JSON of a text with documents at pointers ends, by its id

    def split(self, events: Sequence[Event]) -> list[Event]:
        groups: dict[str | int, list[int]] = {}  # texts that are read as one
        for place, event in enumerate(events):
            if isinstance(event, Text) and _may_hold(event):
                groups.setdefault(event.run or place, []).append(place)
        for group in groups.values():
            self._split(events, group)
        out = list(events)
        for place, holder in self.holders.items():
            event = out[place]
            assert isinstance(event, Text)  # noqa: S101 - chosen above
            out[place] = structs.replace(event, holder=holder)
        return [*out, *self.excerpts]

    def _split(self, events: Sequence[Event], group: Sequence[int]) -> None:
        texts = [event for place in group if isinstance(event := events[place], Text)]
        in_json = list(self._in_json(texts))
        made = list(self._between_marks(texts))
        # Behind the JSON that a text begins with, both are looked for. A string in a document is a part of that.
        marked = _spans_of(made)
        made = [*(document for document in in_json if not _is_within(document, marked)), *made]
        if not made:
            return
        own = [Holder(next(self.numbers), not self.splitter.is_apart) for _ in texts]
        taken: list[list[Span]] = [[] for _ in texts]
        for document in made:
            self._add(texts, own, document)
            for number, start, end in (*document.spans, *document.aside):
                taken[number].append((start, end))
        self.holders |= {
            place: holder
            for place, holder, spans in zip(group, own, taken, strict=True)
            if spans or self.splitter.is_apart
        }
        if self.splitter.is_apart:
            self._add_rest(texts, own, taken)

    def _in_json(self, texts: Sequence[Text]) -> Iterator[_FoundDocument]:
        """Yields the documents at pointers. What follows too many of them is one."""
        for number, text in enumerate(texts):
            spans = list(islice(_strings(text, self.splitter.pointers), MOST_BLOCKS))
            end = _json_end(text.text) if spans else 0
            if len(spans) == MOST_BLOCKS:
                end = len(text.text)
                spans[-1] = (spans[-1][0], end)
            self.json_ends[id(text)] = end
            for start, end in spans:
                yield _FoundDocument([(number, start, end)], [], is_encoded=end < len(text.text))

    def _between_marks(self, texts: Sequence[Text]) -> Iterator[_FoundDocument]:
        """Yields the documents between marks. JSON with documents has no others; what follows it in the text may."""
        if (kind := texts[0].channel.kind) not in MARKED:
            return
        ends = (self.json_ends.get(id(text), 0) for text in texts)
        # Blanks stand for the JSON, so that offsets stay.
        borders = PartBorders.of([" " * end + text.text[end:] for text, end in zip(texts, ends, strict=True)])
        for block in self.splitter.grammar.blocks(borders.parts, is_strict=kind == "system"):
            spans = list(borders.within(block.spans))
            aside = [
                (number, start, end)
                for number, start, end in borders.within([block.aside])
                if not _NUMBERING.fullmatch(borders.parts[number], start, end)
            ]
            if spans or aside:
                yield _FoundDocument(spans, aside)

    def _add(self, texts: Sequence[Text], own: Sequence[Holder], document: _FoundDocument) -> None:
        """Adds the texts of a document."""
        name, spans = f"document[{next(self.documents)}]", document.spans
        many = len(spans) > 1
        run = f"{texts[spans[0][0]].channel.path}#{name}" if many else ""
        for index, (number, start, end) in enumerate(spans):
            path = f"#{name}[{index}]" if many else f"#{name}"
            place = Excerpt(own[number].number, start, end, name)
            self._text(texts[number], path, "document", place, run=run, is_encoded=document.is_encoded)
        if many:
            self.excerpts.append(RunEnd(run))
        for number, start, end in document.aside:
            place = Excerpt(own[number].number, start, end, name, is_aside=True)
            self._text(texts[number], f"#{name}.attributes", "document", place)

    def _add_rest(self, texts: Sequence[Text], own: Sequence[Holder], taken: Sequence[list[Span]]) -> None:
        """Adds what is around the documents."""
        spans = [
            span
            for number, (text, its) in enumerate(zip(texts, taken, strict=True))
            for start, end in _around(sorted(its), len(text.text))
            for span in bare(number, text.text, start, end)
        ]
        run = f"{texts[0].channel.path}#rest" if len(spans) > 1 else ""
        for number, start, end in spans:
            text, place = texts[number], Excerpt(own[number].number, start, end)
            self._text(text, f"#rest[{next(self.rests)}]", text.channel.kind, place, run=run)
        if run:
            self.excerpts.append(RunEnd(run))

    def _text(
        self, holder: Text, path: str, kind: Kind, place: Excerpt, *, run: str = "", is_encoded: bool = False
    ) -> None:
        channel = Channel("request", kind, holder.channel.path + path)
        self.excerpts += _excerpt(holder, channel, place, run=run, is_encoded=is_encoded)


def _excerpt(holder: Text, channel: Channel, place: Excerpt, *, run: str, is_encoded: bool) -> tuple[Text, End]:
    place = place._replace(is_of_system=holder.channel.kind == "system")
    text = holder.text[place.start : place.end]
    event = Text(
        channel,
        text,
        holder.frame,
        holder.path,
        encoded=is_encoded,
        fixed=holder.fixed,
        run=run,
        excerpt=place,
    )
    return event, End(channel)


def _again(events: Sequence[Event], recorded: Sequence[RecordedExcerpt], *, is_read: bool) -> list[Event]:
    """Returns the events of a recorded request with its excerpts."""
    out = list(events)
    at: dict[str, list[int]] = {}
    for place, event in enumerate(events):
        if isinstance(event, Text) and _may_hold(event):
            at.setdefault(event.channel.path, []).append(place)
    excerpts: list[Event] = []
    runs: dict[str, None] = {}
    taken: set[tuple[int, int]] = set()
    for each in recorded:
        path, _, _ = each.path.rpartition("#")
        start, end = each.span or (0, 0)
        for place in at.get(path, ()):  # pragma: no branch - the body of the record has the text
            holder = out[place]
            assert isinstance(holder, Text)  # noqa: S101 - chosen above
            # Two places may have the same name.
            if (place, start) in taken or holder.text[start:end] != each.text:
                continue
            taken.add((place, start))
            if holder.holder is None:
                holder = out[place] = structs.replace(holder, holder=Holder(place + 1, is_read))
            found = _DOCUMENT.search(each.path)
            document, is_aside = (found[1], found[2] is not None) if found else ("", False)
            where = Excerpt(place + 1, start, end, document, is_aside=is_aside)
            kind: Kind = "document" if found else holder.channel.kind
            channel = Channel("request", kind, each.path)
            excerpts += _excerpt(holder, channel, where, run=each.run, is_encoded=each.encoded)
            runs |= {each.run: None} if each.run else {}
            break
    return [*out, *excerpts, *map(RunEnd, runs)]


def _may_hold(text: Text) -> bool:
    """Whether a text may hold documents."""
    is_plain = not (text.key or text.number or text.parts or text.judged or text.again or text.encoded or text.shape)
    return is_plain and text.channel.kind in HOLDING and text.text != ""


def _around(spans: Iterable[Span], end: int) -> Iterator[Span]:
    """Yields what is around spans, which are sorted and do not overlap."""
    at = 0
    for low, high in spans:
        if at < low:
            yield at, low
        at = high
    if at < end:
        yield at, end


def _strings(text: Text, pointers: Sequence[Pointer]) -> Iterator[Span]:
    """Yields the strings of a text at pointers, with their quotes: of a text that is JSON, or of a text in a result that is not
    one text. There the whole text is the document, and the pointer counts from the end of its path."""
    if not pointers:
        return
    if text.channel.kind not in MARKED and any(_ends_with(text.path, pointer) for pointer in pointers):
        yield 0, len(text.text)
        return
    raw = text.text
    # An escape may spell any name.
    may_have = "\\" in raw or any(pointer[-1] == _EACH or pointer[-1] in raw for pointer in pointers)
    if not may_have or not _MARGIN.match(raw):
        return
    at = 0
    for start, (path, is_key) in places(raw).items():
        # In text that is not quite JSON, a quote before a value may end a string.
        if not is_key and at < start and raw[start - 1] == '"' and any(_begins_with(path, each) for each in pointers):
            string = _STRING.match(raw, start - 1)
            if string and string[1].strip():
                at = string.end()
                yield string.span()


def _spans_of(documents: Iterable[_FoundDocument]) -> dict[int, list[Span]]:
    """Returns the spans of documents, sorted, by the number of their text."""
    spans: dict[int, list[Span]] = {}
    for document in documents:
        for number, start, end in (*document.spans, *document.aside):
            spans.setdefault(number, []).append((start, end))
    return {number: sorted(its) for number, its in spans.items()}


def _is_within(document: _FoundDocument, marked: Mapping[int, Sequence[Span]]) -> bool:
    """Whether a string of JSON overlaps a document between marks, whose spans `marked` has."""
    ((number, start, end),) = document.spans
    spans = marked.get(number, ())
    after = bisect_left(spans, end, key=itemgetter(0))
    return after > 0 and spans[after - 1][1] > start


def _json_end(text: str) -> int:
    """Returns where the values of JSON end with which a text begins. If it is not quite JSON, that is the end of the text."""
    end = 0
    with suppress(ValueError, RecursionError):
        while margin := _MARGIN.match(text, end):
            end = _JSON.raw_decode(text, margin.end())[1]
    return end or len(text)


def _begins_with(path: Sequence[str | int], pointer: Pointer) -> bool:
    """Whether a place is at a pointer or below it."""
    return len(path) >= len(pointer) and all(map(_is_at, path, pointer))


def _ends_with(path: Sequence[str | int], pointer: Pointer) -> bool:
    """Whether the last steps of a path are those of a pointer."""
    return len(path) > len(pointer) and all(map(_is_at, path[-len(pointer) :], pointer))


def _is_at(step: str | int, wanted: str) -> bool:
    return step == wanted if isinstance(step, str) else wanted == _EACH
