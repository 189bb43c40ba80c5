"""The gate: holds frames until every text in them is settled, and lets them go in the order they came.

In: events. Out: the windows to scan, then the frames whose texts no continuation can change, each with the findings
that begin in it. Kept: what is not yet released, and as much before it as the checks ask for.

Rules that must hold
- A frame leaves when each text in it lies before its lane's `settled`, and no frame overtakes another. So what the
  client sees is a function of the frames alone, never of when they came or how fast a check was.
- `settled` never lies inside a finding, so a finding is decided before its first character leaves.
- JSON in a string is held to its end and scanned decoded (`wire/json_text.py`); an edit of it is written back escaped.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from guardproxy.checks import Check
from guardproxy.decisions import Stop
from guardproxy.events import End, Event, Fault, Frame, Opaque, Path, Text
from guardproxy.findings import Channel, Finding, Scan, Window, give_way
from guardproxy.shapes import Shape
from guardproxy.wire.json_text import Leaf, View, rewrite, stand_in, view

CHECK_ERROR = "check_error"


@dataclass(frozen=True, slots=True)
class Job:
    """One window for one check."""

    check: Check
    window: Window


@dataclass(slots=True, eq=False)
class Lane:
    """One text: what of it is held, how far each check has come, what was found and what is to be put in its place.

    All offsets count from the text's beginning. For an encoded lane `findings` and `edits` count in the decoded view.
    """

    channel: Channel
    checks: tuple[Check, ...]
    encoded: bool
    number: bool = False
    key: bool = False
    shape: Shape | None = None  # what a schema asks of the text; it is held to its end, like an encoded one
    index: int = 0  # the order in which lanes began
    tail: str = ""  # text from `base` on
    base: int = 0
    total: int = 0
    ended: bool = False
    settled: int = 0
    findings: list[Finding] = field(default_factory=list)  # settled, sorted
    edits: list[tuple[int, int, str]] = field(default_factory=list)  # settled, sorted, apart
    masks: list[tuple[int, int, str]] = field(default_factory=list)  # what a record must not show, sorted, apart
    whole: list[str] = field(default_factory=list)  # all of the text, in parts, for the record
    seen: View | None = None
    fitted: dict[int, str] = field(
        default_factory=dict
    )  # leaves (0: the whole text) that become something else than edits say
    stops: dict[Finding, Stop] = field(default_factory=dict)  # findings for which nothing could be put there
    shown: int = 0  # findings that have been given to whoever releases
    released: int = 0  # how much of the text has gone on, edits applied (in raw offsets)
    _fresh: list[str] = field(default_factory=list)
    _waiting: list[Finding] = field(default_factory=list)
    _weak: list[Finding] = field(default_factory=list)  # those that give way, waiting as well
    _at: list[int] = field(default_factory=list)  # settled, by check
    _keep: list[int] = field(default_factory=list)
    _scanned: int = -1  # -1: never; then the length scanned, + 1 when the end was
    _raw_edits: list[tuple[int, int, str]] | None = None
    _next_edit: int = 0
    _skip: int = 0  # raw text before this offset was replaced by an edit that has gone on

    def __post_init__(self) -> None:
        self._at = [0] * len(self.checks)
        self._keep = [0] * len(self.checks)

    def append(self, text: str) -> None:
        self._fresh.append(text)
        self.whole.append(text)
        self.total += len(text)

    def _join(self) -> None:
        if self._fresh:
            self.tail += "".join(self._fresh)
            self._fresh.clear()

    def windows(self) -> list[Window]:
        """The windows to scan, one for each check; empty when nothing new can be learned."""
        mark = self.total + self.ended
        if mark == self._scanned or ((self.encoded or self.shape) and not self.ended):
            return []
        if not self.checks:
            self._scanned = mark
            self.settled = self.total
            return []
        self._scanned = mark
        self._join()
        if self.encoded:
            self.seen = view(self.tail)
            return [Window(self.channel, self.seen.text)] * len(self.checks)
        return [
            Window(self.channel, self.tail[keep - self.base :], keep, at, self.ended)
            for keep, at in zip(self._keep, self._at, strict=True)
        ]

    def learn(self, windows: Sequence[Window], scans: Sequence[Scan]) -> list[Finding]:
        """Takes the scans of all checks; gives the findings that are now settled, in order."""
        for number, (check, window, scan) in enumerate(zip(self.checks, windows, scans, strict=True)):
            if scan.error:
                end = window.start + len(window.text)
                self._waiting.append(Finding(window.settled, end, check.name, CHECK_ERROR, 1.0))
                self._at[number] = end
                self._keep[number] = end
            else:
                (self._weak if getattr(check, "gives_way", False) else self._waiting).extend(scan.findings)
                self._at[number] = scan.settled
                self._keep[number] = scan.keep
        settled = min(self._at)
        self._waiting.sort()
        inside = True
        while inside:
            inside = False
            for finding in (*self._waiting, *self._weak):
                if finding.start < settled < finding.end:
                    settled, inside = finding.start, True
        if self.encoded:
            settled = max((one.end for one in (*self._waiting, *self._weak)), default=0)
            self.settled = self.total
        else:
            self.settled = max(settled, self.settled)
        done = [finding for finding in self._waiting if finding.end <= settled]
        self._waiting = [finding for finding in self._waiting if finding.end > settled]
        if self._weak:
            weak = [finding for finding in self._weak if finding.end <= settled]
            self._weak = [finding for finding in self._weak if finding.end > settled]
            strong = [finding for finding in done if finding.label != CHECK_ERROR]
            done = sorted([*done, *give_way(weak, strong, self.text_of)])
        self.findings += done
        return done

    def text_of(self, start: int, end: int) -> str:
        """The scanned text of a span that has not been released."""
        if self.seen is not None:
            return self.seen.text[start:end]
        return self.tail[start - self.base : end - self.base]

    def stand_in(self, start: int, end: int) -> str:
        """What must stand for a span of a number, whatever the value; empty where a placeholder can stand."""
        leaf = self._leaf(start)
        return stand_in(end - start) if self.number or (leaf and leaf.number) else ""

    def edit(self, start: int, end: int, replacement: str) -> None:
        """Puts `replacement` in place of a settled span; edits must come in order."""
        self.edits.append((start, end, self.stand_in(start, end) or replacement))

    def raw_start(self, finding: Finding) -> int:
        """Where the finding begins in the raw text; for a finding in a JSON string, where its quotes open."""
        if self.seen is None:
            return finding.start
        leaf = self._leaf(finding.start)
        return leaf.start - leaf.quoted if leaf else 0

    def _leaf(self, offset: int) -> Leaf | None:
        """The leaf of the decoded view that an offset lies in."""
        leaves = self.seen.leaves if self.seen else ()
        at = bisect_right(leaves, offset, key=attrgetter("at")) - 1
        return leaves[at] if at >= 0 else None

    def render(self, start: int, end: int) -> str:
        """What goes on in place of `text[start:end]`; pieces must be rendered in order, each once."""
        self._join()
        if self._raw_edits is None or self.seen is None:
            self._raw_edits = self.rewritten()
        out: list[str] = []
        at = max(start, self._skip)
        while self._next_edit < len(self._raw_edits) and self._raw_edits[self._next_edit][0] < end:
            low, high, replacement = self._raw_edits[self._next_edit]
            out.append(self.tail[at - self.base : max(at, low) - self.base] + replacement)
            at = max(at, high)
            self._next_edit += 1
        if at < end:
            out.append(self.tail[at - self.base : end - self.base])
        self._skip = max(at, self._skip)
        self.released = end
        return "".join(out)

    def rewritten(self) -> list[tuple[int, int, str]]:
        """The edits of the raw text."""
        if self.seen is not None:
            return rewrite(self.seen, self.edits, self.fitted)
        return [(0, self.total, self.fitted[0])] if self.fitted else self.edits

    def again(self) -> str:
        """What goes on in place of the whole text when it is said once more."""
        whole = "".join(self.whole)
        out, at = "", 0
        for low, high, replacement in self.rewritten():
            out += whole[at:low] + replacement
            at = high
        return out + whole[at:]

    def forget(self) -> None:
        """Drops text that is released and that no check looks back at."""
        if self.encoded:
            return
        floor = min([self.released, self.settled, *self._keep])
        if floor - self.base > 512 or self.ended:  # in larger steps: a slice for each frame would cost more
            self._join()
            self.tail = self.tail[floor - self.base :]
            self.base = floor


@dataclass(frozen=True, slots=True)
class Piece:
    """A frame's share of a lane."""

    lane: Lane
    start: int
    end: int
    text: Text

    def findings(self) -> Iterator[tuple[int, Finding]]:
        """The lane's findings that begin in this piece, with their raw offset; each is given once."""
        lane = self.lane
        while lane.shown < len(lane.findings):
            finding = lane.findings[lane.shown]
            at = lane.raw_start(finding)
            if at >= self.end:
                return
            lane.shown += 1
            yield at, finding


@dataclass(slots=True, eq=False)
class Entry:
    """A frame in the queue."""

    frame: Frame
    pieces: list[Piece] = field(default_factory=list)
    opaque: tuple[Path, ...] = ()

    def ready(self) -> bool:
        return all(piece.end <= piece.lane.settled for piece in self.pieces)

    def texts(self, until: tuple[Piece, int] | None = None) -> tuple[list[tuple[Text, str]], bool]:
        """The texts that go on in place of the frame's own, and whether any differs. `until`: nothing after it goes."""
        out: list[tuple[Text, str]] = []
        changed = stopped = False
        for piece in self.pieces:
            end = piece.end
            if until and until[0] is piece:
                end = max(piece.start, until[1])
            if piece.text.again:
                new = "" if stopped else piece.lane.again()
            else:
                new = "" if stopped else piece.lane.render(piece.start, end)
            stopped = stopped or end != piece.end
            changed = changed or new != piece.text.text
            out.append((piece.text, new))
        return out, changed


@dataclass(slots=True)
class Gate:
    """Holds frames. `checks_for` says which checks a channel's text must pass."""

    checks_for: Callable[[Channel], tuple[Check, ...]]
    lanes: list[Lane] = field(default_factory=list)  # every lane that held text, in order
    fault: Fault | None = None
    held: int = 0  # characters not yet released
    _queue: deque[Entry] = field(default_factory=deque)
    _open: dict[Channel, Lane] = field(default_factory=dict)
    _last: dict[Channel, Lane] = field(default_factory=dict)  # of each channel the lane that began last
    _active: dict[Lane, None] = field(default_factory=dict)  # not fully settled, in order
    _in_flight: list[tuple[Lane, list[Window]]] = field(default_factory=list)

    def push(self, events: Sequence[Event]) -> None:
        for event in events:
            if self.fault:
                return
            match event:
                case Text():
                    self._push_text(event)
                case Opaque():
                    self._entry(event.frame).opaque += event.uninspected
                case End():
                    if lane := self._open.pop(event.channel, None):
                        lane.ended = True
                        self._active[lane] = None
                case _:
                    self.fault = event

    def _entry(self, frame: Frame) -> Entry:
        if not self._queue or self._queue[-1].frame is not frame:
            self._queue.append(Entry(frame))
        return self._queue[-1]

    def _push_text(self, event: Text) -> None:
        if event.again:
            last = self._last[event.channel]
            self._entry(event.frame).pieces.append(Piece(last, last.total, last.total, event))
            return
        lane = self._open.get(event.channel)
        if lane is None:
            checks = self.checks_for(event.channel)
            encoded, shape = event.encoded and bool(checks), event.shape if checks else None
            lane = Lane(event.channel, checks, encoded, event.number, event.key, shape, len(self.lanes))
            self._open[event.channel] = self._last[event.channel] = lane
            self.lanes.append(lane)
        start = lane.total
        lane.append(event.text)
        self.held += len(event.text)
        self._active[lane] = None
        self._entry(event.frame).pieces.append(Piece(lane, start, lane.total, event))

    def jobs(self) -> list[Job]:
        """What must be scanned now. `learn` must take the answer before `jobs` is asked again."""
        jobs: list[Job] = []
        for lane in list(self._active):
            if windows := lane.windows():
                self._in_flight.append((lane, windows))
                jobs += [Job(check, window) for check, window in zip(lane.checks, windows, strict=True)]
            elif lane.settled == lane.total:
                del self._active[lane]
        return jobs

    def learn(self, scans: Sequence[Scan]) -> Iterator[tuple[Lane, list[Finding]]]:
        """Takes the scans of the last `jobs`, in order; gives each lane's newly settled findings."""
        at = 0
        flight, self._in_flight = self._in_flight, []
        for lane, windows in flight:
            found = lane.learn(windows, scans[at : at + len(windows)])
            at += len(windows)
            if found:
                yield lane, found

    def release(self) -> Iterator[Entry]:
        """The frames that may leave, in order. The caller renders each before it asks for the next."""
        while self._queue and self._queue[0].ready():
            entry = self._queue.popleft()
            yield entry
            for piece in entry.pieces:
                self.held -= piece.end - piece.start
                piece.lane.forget()

    @property
    def empty(self) -> bool:
        return not self._queue
