"""The decoder that the formats share: of a stream of JSON events whose texts flow in channels.

The key of a stream's channel is its path, with list positions replaced by the items' own `index`. So a text that comes in a
thousand frames is one text. A part of a delta flows; any other string is complete in its frame.

Decisions:
- docs/decisions/0003-reasoning-ends-when-the-answer-begins.md
- docs/decisions/0004-unknown-strings-flow-only-inside-a-delta.md
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from msgspec import Struct, structs

from guardproxy.errors import ErrorCode
from guardproxy.events import Count, End, Event, Fault, Frame, Opaque, Path, RunEnd, Text
from guardproxy.findings import Channel, Direction, Kind
from guardproxy.redaction import NO_SHAPES, Shape, Shapes
from guardproxy.wire.contract.bounds import BOUNDS, Bounds
from guardproxy.wire.contract.codec import AnswerFacts
from guardproxy.wire.decoding.frame_cache import Alike, Filler
from guardproxy.wire.framing import Cutter, Framing, StreamEvent, sse
from guardproxy.wire.json import (
    NUMBER_LIMIT,
    UNMAPPED,
    JsonFault,
    Map,
    MapLeaf,
    TreeLeaf,
    dotted,
    plain,
    reach,
    read,
    skim,
    walk,
    write_line,
)
from guardproxy.wire.json.vocabulary import SHARED, Vocabulary

_IN_LIST = re.compile(r"(.+)\[[0-9]+\]\.?(.*)", re.DOTALL)
_OPAQUE = frozenset(("opaque", "tokens", "token_ids", "secret"))
ShapeOf = Callable[[Any, TreeLeaf], Shape | None]


def shapeless(tree: Any, leaf: TreeLeaf) -> Shape | None:
    """Default `shape_of`: no schema constrains any text."""
    return None


def events_of(
    leaves: Iterable[TreeLeaf], whole: Frame, direction: Direction, shape_of: ShapeOf = shapeless
) -> list[Event]:
    """Returns the events of a complete JSON tree. Each leaf is a channel of its own; the texts of parts that belong together
    have a run. `shape_of(tree, leaf)`: the demand of the request's schema on the leaf."""
    events: list[Event] = []
    opaque: list[Path] = []
    media: list[str] = []
    parts: list[tuple[int, TreeLeaf]] = []  # with the places of their texts in `events`
    for leaf in leaves:
        if leaf.leaf.how in _OPAQUE:
            opaque.append(leaf.path)
            media.append(leaf.leaf.media or leaf.leaf.how)
            continue
        channel = Channel(direction, leaf.leaf.kind, dotted(leaf.path) + _suffix(leaf))
        shape = None if leaf.parts else shape_of(whole.tree, leaf)
        if leaf.leaf.joins:
            parts.append((len(events), leaf))
        events.append(text_of(channel, leaf, whole, shape))
        events.append(End(channel))  # at once, as two places may have the same name (`a.b` can be a key, or two keys)
    if len(parts) > 1:
        _join(events, parts)
    if not events or opaque:
        events.append(Opaque(whole, tuple(opaque), tuple(media)))
    return events


def _join(events: list[Event], parts: Iterable[tuple[int, TreeLeaf]]) -> None:
    """Names the runs of parts in their events. Parts of JSON are not JSON: they are one channel, as in a stream."""
    runs: dict[str, list[int]] = {}
    for place, leaf in parts:
        runs.setdefault(_run_of(leaf), []).append(place)
    runs.pop("", None)
    needless: set[int] = set()  # ends of channels that go on
    for run, places in runs.items():
        first = events[places[0]]
        for place in places if len(places) > 1 else ():
            event = events[place]
            assert isinstance(event, Text)  # noqa: S101 - the end of its channel follows it
            assert isinstance(first, Text)  # noqa: S101
            if event.encoded:
                events[place], events[place + 1] = structs.replace(event, channel=first.channel), End(first.channel)
                needless |= {place + 1} if place != places[-1] else set()
            else:
                events[place] = structs.replace(event, run=run)
                if place == places[-1]:
                    events.append(RunEnd(run))
    if needless:
        events[:] = [event for place, event in enumerate(events) if place not in needless]


def _run_of(leaf: TreeLeaf) -> str:
    """The name of the run that the text of a part belongs to: the list with its parts, and the field and kind of its text. An
    item of the list that is a string is a text, too. Empty if the text stands alone."""
    return "" if leaf.key or leaf.number or leaf.encode else _run_at(dotted(leaf.path), leaf.leaf)


def _run_at(path: str, how: MapLeaf) -> str:
    """The name of the run of the part at a path."""
    found = _IN_LIST.fullmatch(path)
    return f"{found[1]}[*].{found[2] or 'text'} {how.kind} {how.how}" if found else ""


def _suffix(leaf: TreeLeaf) -> str:
    """The suffix that tells the text of a leaf from the text of the place itself."""
    return "#key" if leaf.key else "#row" if leaf.parts else ""


def text_of(
    channel: Channel, leaf: TreeLeaf, whole: Frame, shape: Shape | None, *, again: bool = False, run: str = ""
) -> Text:
    """The event of one leaf."""
    return Text(
        channel,
        leaf.text,
        whole,
        leaf.path,
        leaf.leaf.how == "json",
        key=leaf.key,
        number=leaf.number,
        again=again,
        shape=shape,
        fixed=leaf.leaf.fixed,
        unmapped=leaf.leaf.unmapped,
        parts=leaf.parts,
        encode=leaf.encode,
        run=run,
    )


def leaf_of(text: Text) -> TreeLeaf:
    """Returns the leaf of an event, for `replacing.edited`."""
    stands = "\0" if text.altered else text.text  # the frame still holds the text before the edit
    return TreeLeaf(text.path, stands, UNMAPPED, text.key, text.number, text.parts, text.encode)


def uncounted(tree: Any) -> tuple[Count, ...]:
    return ()  # the default: no field of the format counts characters


def nothing(tree: Any) -> list[str]:
    """Withholds nothing, as no rule may edit or stop the answer."""
    return []


def counts(usage: Any, words: Vocabulary = SHARED) -> dict[str, Any]:
    """Returns only the numbers of a `usage` object: its strings are text, and the result goes where no check sees it."""
    out: dict[str, Any] = {}
    for key, value in usage.items():
        if key in words.keys:
            if type(value) is dict:
                out[key] = counts(value, words)
            elif type(value) is int:  # a step of the hot path
                if -NUMBER_LIMIT < value < NUMBER_LIMIT:
                    out[key] = value
            elif isinstance(value, (int, float)) and abs(value) < NUMBER_LIMIT:
                out[key] = plain(value)  # it goes into the record
    return out


def bounded(data: bytes, bounds: Bounds, reads: bool, *, keeps_spelling: bool = True) -> Any:
    """Parses an answer's JSON. `keeps_spelling`: see `read`. Raises `JsonFault`, also for a body above a bound."""
    bounds.check(data)
    if not reads:
        return skim(data)
    tree = read(data, keeps_spelling=keeps_spelling)
    bounds.check_places(tree, len(data))
    return tree


class LeafPlace(Struct, frozen=True):
    """The channel of a leaf of a frame. `run`: texts of a run follow each other; `flows`: the text goes on in later frames."""

    kind: Kind
    path: str
    run: str
    flows: bool


_WORDS_OF_OBJECTS = frozenset(("type", "id", "object", "role", "format", "status", "name", "index"))


def is_delta(path: Path, event: str) -> bool:
    """Whether a leaf of an unknown field is part of a text that continues in later frames."""
    return path[-1] not in _WORDS_OF_OBJECTS and (
        event.endswith("delta") or any(isinstance(step, str) and "delta" in step for step in path[:-1])
    )


def indexed(tree: Any, path: Path) -> Path:
    """Returns the path with each list position replaced by the item's own `index`, if it has one."""
    out: list[str | int] = []
    node: Any = tree
    for step in path:
        node = node[step]
        own = node.get("index") if isinstance(step, int) and isinstance(node, dict) else None
        out.append(own if isinstance(own, int) and not isinstance(own, bool) else step)
    return tuple(out)


def index_of(node: dict[str, Any]) -> int:
    """Returns the `index` of a choice or block; 0 if it has none."""
    index = node.get("index")
    return index if type(index) is int else 0


@dataclass(slots=True)
class StreamDecoder:
    """Decodes a stream of JSON events. A format's decoder derives from it. `words`: the vocabulary of the format. `repeats`:
    whether later events repeat texts that come in parts. `remembers`: whether the map of the format never looks at a
    text, so that frames which differ in a text and in `fillers` are walked once (`frame_cache.py`)."""

    framing: ClassVar[Framing] = sse
    repeats: ClassVar[bool] = False
    remembers: ClassVar[bool] = False
    fillers: ClassVar[Mapping[Path, Filler]] = {}
    limit_bytes: int
    reads: bool = True
    shapes: Shapes = NO_SHAPES
    withhold: Callable[[Any], list[str]] = nothing
    words: Vocabulary = SHARED
    seen: AnswerFacts = field(default_factory=AnswerFacts)
    bounds: Bounds = BOUNDS
    _framer: Cutter = field(init=False)
    _alike: Alike = field(init=False)
    _open: dict[Channel, str] = field(default_factory=dict)  # flowing channels -> their run
    _runs: dict[str, dict[Channel, None]] = field(default_factory=dict)  # run -> its flowing channels, in order
    _soft: dict[str, dict[Channel, None]] = field(default_factory=dict)  # run -> channels that end when it moves on
    _parts: dict[str, Channel] = field(default_factory=dict)  # run of parts -> its last part
    _json: dict[str, str] = field(default_factory=dict)  # run of parts of JSON -> the path of its first part
    _constant: dict[Channel, str] = field(default_factory=dict)  # the last text that does not flow
    _flowed: dict[Channel, list[str]] = field(default_factory=dict)  # the parts of texts that can be repeated
    _over: bool = False
    complete: bool = False

    def __post_init__(self) -> None:
        self._framer = self.framing.cutter(self.limit_bytes)
        self._alike = Alike(self.fillers)

    # The members that a format overrides.
    def how(self, tree: Any) -> Map:
        raise NotImplementedError

    def place(self, tree: Any, leaf: TreeLeaf) -> LeafPlace:
        raise NotImplementedError

    def shape_of(self, tree: Any, leaf: TreeLeaf, place: LeafPlace) -> Shape | None:
        """Returns the demand of the request's schema on a leaf."""
        return None

    def counts_of(self, tree: Any) -> tuple[Count, ...]:
        """Returns the numbers of a frame that count characters of a text."""
        return ()

    def calls_of(self, tree: Any) -> tuple[tuple[str, str], ...] | None:
        """Returns `Frame.calls`, the calls that a frame completes."""
        return None

    def after(self, tree: Any) -> list[Event]:
        """Reads a frame after its texts: usage, ends of channels, `self.complete`."""
        raise NotImplementedError

    def ends(self, tree: Any) -> bool:
        """Whether nothing may be sent after this frame."""
        return False

    def sent(self, frame: Frame) -> None:
        """Notes a sent frame. Formats that must close what they opened override this."""

    def special(self, event: StreamEvent) -> list[Event] | None:
        """Reads a frame that is not JSON; returns `None` for all other frames."""
        return None

    def feed(self, data: bytes) -> list[Event]:
        if self._over:
            return []
        events: list[Event] = []
        for event in self._framer.feed(data):
            if self._over:
                break
            events += self._decode(event)
        if self._framer.too_large and not self._over:
            events += self.fault(ErrorCode.UPSTREAM_EVENT_TOO_LARGE)
        return events

    def end(self) -> list[Event]:
        if self._over:
            return []
        # Without the event that ends a stream, a part of an answer would pass for all of it.
        if self._framer.pending or not self.complete:
            return self.fault(ErrorCode.UPSTREAM_TRUNCATED, "the answer ended before it was complete")
        self._over = True
        return self.close_all()

    def fault(self, code: ErrorCode, message: str = "") -> list[Event]:
        self._over = True
        return [Fault(code, message)]

    def finish(self) -> list[Event]:
        """Ends a complete answer: closes every channel. Later bytes are neither read nor sent."""
        self.complete = True
        self._over = True
        return self.close_all()

    def close_all(self) -> list[Event]:
        events: list[Event] = [End(channel) for channel in self._open]
        self._open.clear()
        self._runs.clear()
        self._soft.clear()
        return events + self._end_parts("")

    def close_run(self, run: str) -> list[Event]:
        """Ends every channel of a run, and every list of parts below it."""
        ended = self._runs.pop(run, {})
        self._soft.pop(run, None)
        for channel in ended:
            del self._open[channel]
        return [*(End(channel) for channel in ended), *(self._end_parts(f"{run}.") if self._parts else ())]

    def _end_parts(self, place: str) -> list[Event]:
        """Ends the lists of parts below a place."""
        runs = [run for run in self._parts if run.startswith(place)]
        for run in runs:
            del self._parts[run]
        return list(map(RunEnd, runs))

    def _begin(self, channel: Channel, run: str, *, soft: bool) -> None:
        """Marks a channel whose text continues after this frame."""
        if self._open.get(channel, run) != run:  # two places may have the same name
            self._close(channel)
        self._open[channel] = run
        self._runs.setdefault(run, {}).setdefault(channel)
        if soft:
            self._soft.setdefault(run, {}).setdefault(channel)

    def _close(self, channel: Channel) -> None:
        run = self._open.pop(channel)
        for channels in (self._runs, self._soft):
            channels.get(run, {}).pop(channel, None)

    def _decode(self, event: StreamEvent) -> list[Event]:
        # A comment of the upstream could hold a text, so our own keep-alive takes its place.
        if event.data is None:
            return [Opaque(Frame(self.framing.KEEP_ALIVE, streamed=True))]
        if (special := self.special(event)) is not None:
            return special
        # Most frames of a stream differ from one before only in a text. These are neither parsed nor walked.
        if self.remembers and self.reads and (found := self._alike.find(event.data)):
            tree, leaves = found
            data = event.data if b"\n" not in event.data else write_line(tree)
            return self._decoded(event, data, tree, leaves)
        try:
            tree = bounded(event.data, self.bounds, self.reads)
        except JsonFault as fault:
            return self.fault(ErrorCode.UPSTREAM_INVALID_JSON, f"an event of the stream: {fault}")
        if not isinstance(tree, dict):
            return self.fault(ErrorCode.UPSTREAM_INVALID_JSON, "an event of the stream is not an object")
        gone = self.withhold(tree) if self.reads else []
        self.seen.withheld |= dict.fromkeys(gone)
        # A framing writes data as one line.
        data = event.data if b"\n" not in event.data and not gone else write_line(tree)
        leaves = list(walk(tree, self.how(tree), words=self.words)) if self.reads else []
        if self.remembers and leaves and not gone:
            self._alike.remember(event.data, tree, leaves, self.withhold)
        return self._decoded(event, data, tree, leaves)

    def _decoded(self, event: StreamEvent, data: bytes, tree: Any, leaves: Sequence[TreeLeaf]) -> list[Event]:
        """The events of a frame. `data`: the bytes to send; `leaves`: the leaves of its tree, if they are read."""
        name = self.name_of(tree, event.event)
        counts, calls = (self.counts_of(tree), self.calls_of(tree)) if self.reads else ((), None)
        framed = event.head + self.framing.frame(data, name)
        whole = Frame(framed, tree, name, streamed=True, terminal=self.ends(tree), counts=counts, calls=calls)
        return (self._texts(tree, whole, leaves) if self.reads else [Opaque(whole)]) + self.after(tree)

    def name_of(self, tree: Any, event: str | None) -> str | None:
        """Returns the event name to send. A name in the JSON wins, so that the two cannot differ."""
        return None

    def _texts(self, tree: Any, whole: Frame, leaves: Iterable[TreeLeaf]) -> list[Event]:
        events: list[Event] = []
        opaque: list[Path] = []
        media: list[str] = []
        parts: list[tuple[int, TreeLeaf]] = []  # of lists that are complete, with the places of their texts in `events`
        touched: dict[str, set[Channel]] = {}
        for leaf in leaves:
            if leaf.leaf.how in _OPAQUE:
                if leaf.leaf.how != "tokens" or self.withhold is nothing:
                    opaque.append(leaf.path)
                    media.append(leaf.leaf.media or leaf.leaf.how)
                continue
            place, is_json = self.place(tree, leaf), leaf.leaf.how == "json"
            if is_json and leaf.leaf.joins and not self.repeats:
                place = self._in_first(place, leaf)
            channel = Channel("response", place.kind, place.path + _suffix(leaf))
            flows = place.flows and not (leaf.key or leaf.number or leaf.leaf.fixed or leaf.encode)
            # Some APIs repeat as a whole at the end what came in parts. Joined, the parts are recognized, and nothing is
            # scanned twice.
            if not flows and channel in self._flowed:
                self._constant[channel] = "".join(self._flowed.pop(channel))
            again = not flows and self._constant.get(channel) == leaf.text
            run = ""
            if flows:
                if channel not in self._open:
                    run = self._begin_part(tree, leaf, place, channel, events)
                self._constant.pop(channel, None)
                if self.repeats and channel not in self._open:  # the text before, if any, has ended
                    self._flowed[channel] = []
                self._flowed.get(channel, []).append(leaf.text)
            else:
                self._constant[channel] = leaf.text
                # What does not flow is complete, so the text that flowed at this place is complete, too.
                if channel in self._open:
                    self._close(channel)
                    events.append(End(channel))
            shape = None if leaf.parts else self.shape_of(tree, leaf, place)
            if leaf.leaf.joins and not (flows or again or (is_json and self.repeats)):
                parts.append((len(events), leaf))
            events.append(text_of(channel, leaf, whole, shape, again=again, run=run))
            if flows:
                touched.setdefault(place.run, set()).add(channel)
                if self._open.get(channel) != place.run:
                    self._begin(channel, place.run, soft=place.kind in ("reasoning", "unmapped"))
            elif not again:
                events.append(End(channel))
        if len(parts) > 1:
            _join(events, parts)
        # Some texts, such as reasoning, end without a word: when the run goes on with another text. Their end comes before
        # that text, so that it is not held back by them.
        before: list[Event] = []
        for run, channels in touched.items():
            for channel in [channel for channel in self._soft.get(run, ()) if channel not in channels]:
                before.append(End(channel))
                self._close(channel)
        if not events or opaque:
            events.append(Opaque(whole, tuple(opaque), tuple(media)))
        return before + events

    def _in_first(self, place: LeafPlace, leaf: TreeLeaf) -> LeafPlace:
        """Returns the place of the first part of a list for each part of JSON, as the parts alone are no JSON. Their text ends
        with the answer."""
        run = _run_at(place.path, leaf.leaf)
        return LeafPlace(place.kind, self._json.setdefault(run, place.path), run, place.flows)

    def _begin_part(self, tree: Any, leaf: TreeLeaf, place: LeafPlace, channel: Channel, events: list[Event]) -> str:
        """Notes that a text begins which flows. Returns the run of a part. The text ends other runs that wait for a part,
        unless its field is unknown: what stands beside texts parts them no more than in a plain answer. It ends a part of its
        list that has no number of its own, too: such parts are numbered anew in each frame."""
        run = _run_at(place.path, leaf.leaf) if leaf.leaf.joins else ""
        for other, last in list(self._parts.items()):
            if other == run and last in self._open and last != channel and not _is_numbered(tree, leaf.path):
                self._close(last)
                events.append(End(last))
            elif other != run and last not in self._open and place.kind != "unmapped":
                del self._parts[other]
                events.append(RunEnd(other))
        if run:
            self._parts[run] = channel
        return run


def _is_numbered(tree: Any, path: Path) -> bool:
    """Whether the number of a part does not depend on its place in the frame."""
    at = max((number for number, step in enumerate(path) if isinstance(step, int)), default=-1)
    item = reach(tree, path[: at + 1])
    return at < 0 or (isinstance(item, dict) and type(item.get("index")) is int)


def edited_frame(whole: Frame, tree: Any, framing: Framing = sse) -> bytes:
    """Returns a frame's bytes with another tree, in the same framing."""
    return framing.frame(write_line(tree), whole.event) if whole.streamed else write_line(tree)
