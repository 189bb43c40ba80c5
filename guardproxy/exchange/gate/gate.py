"""The gate: holds frames until all their texts are settled, and releases them in the order in which they came.

In: events. Out: the windows to scan, then the frames whose texts no continuation can change, each with the findings
that begin in it. Kept: the text that is not released, and the text before it that checks read again.

Rules that must hold
- A frame leaves when each text in it lies before its lane's `settled`, and no frame overtakes another. So the client's
  text is a function of the frames alone, never of their timing or the speed of a check.
- A finding is decided before its first character leaves (`lanes.py` holds each text).

Decisions:
- docs/decisions/0001-frames-leave-whole-and-in-order.md
- docs/decisions/0005-tool-arguments-and-json-answers-are-held-to-their-end.md
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache, partial

import msgspec

from guardproxy.checks import Check
from guardproxy.errors import ErrorCode
from guardproxy.events import End, Event, Fault, Frame, Opaque, Path, RunEnd, Text
from guardproxy.exchange.gate.borders import Crossing, borders, crossings
from guardproxy.exchange.gate.documents import CutTexts
from guardproxy.exchange.gate.joining import Joint
from guardproxy.exchange.gate.lanes import CHECK_ERROR, Lane, TextPlace, is_raw, needs_whole, no_facts, reads_judged
from guardproxy.findings import Channel, Facts, Finding, Scan, Window
from guardproxy.redaction import RESTORE

__all__ = ["CHECK_ERROR", "Gate", "Job", "Lane", "Piece", "QueuedFrame"]


class Job(msgspec.Struct, frozen=True):
    """A window for a check. `joins`: the text is that of several texts, each of which has a window of its own."""

    check: Check
    window: Window
    joins: bool = False


class Piece(msgspec.Struct, frozen=True):
    """The part of a lane's text that a frame holds."""

    lane: Lane
    start: int
    end: int
    text: Text

    def findings(self) -> Iterator[tuple[int, Finding]]:
        """The lane's findings that begin in this piece, with their raw offset. Yields each finding only once."""
        lane = self.lane
        # Not before the text to quote was read, since a finding may lead to a retry that quotes it.
        while lane.progress.shown < len(lane.progress.findings) and lane.is_quotable:
            finding = lane.progress.findings[lane.progress.shown]
            at = lane.text.raw_start(finding)
            # Findings are sorted by this offset, so all others begin later still.
            if at >= self.end:
                return
            lane.progress.shown += 1
            yield at, finding


class QueuedFrame(msgspec.Struct, eq=False):
    """A frame in the queue."""

    frame: Frame
    pieces: list[Piece] = msgspec.field(default_factory=list)
    opaque: tuple[Path, ...] = ()
    media: tuple[str, ...] = ()  # the kind of each opaque place
    left_out: dict[str, None] | None = None  # the places of entries of lists that may not be sent

    def ready(self) -> bool:
        for piece in self.pieces:
            if piece.end > piece.lane.progress.settled:
                return False
            if piece.lane.quotation.lane is not None and not piece.lane.is_quotable:
                return False
        return True

    def texts(self, until: tuple[Piece, int] | None = None) -> tuple[list[tuple[Text, str]], bool]:
        """The texts to send instead of the frame's own, and whether a text differs. `until`: the offset of a piece at which
        the text ends."""
        out: list[tuple[Text, str]] = []
        changed = stopped = False
        for piece in self.pieces:
            if piece.text.excerpt is not None:  # the text that holds it is sent
                piece.lane.rewrite.released = piece.end
                continue
            if piece.text.judged:
                if piece.lane.text.is_gone and not stopped:
                    out.append((piece.text, ""))
                    changed = True
                continue
            end = piece.end
            if until and until[0] is piece:
                end = max(piece.start, until[1])
            if piece.text.again:
                new = "" if stopped else piece.lane.rewrite.repeated(piece.text.text)
            else:
                new = "" if stopped else piece.lane.rewrite.render(piece.start, end)
            # Nothing behind the fault is sent, in further pieces of the frame either.
            stopped = stopped or end != piece.end
            changed = changed or new != piece.text.text or piece.text.altered
            out.append((piece.text, new))
        return out, changed


class LaneTable(msgspec.Struct):
    """The lanes of a gate by their channels. `every`: all lanes, in the order in which they began; `open`: those whose text
    goes on; `last`: the last lane of each channel; `joints`: parts that are read as one text, by their lanes and by the lane of
    the joined text; `runs`: the last part of each run to which parts may be added; `lone`: those of them
    that are the first. `holds_calls`: whether arguments of tools that are no JSON are held to their end, too. `cut`: the texts
    that hold others; `None` if there are none. `crossings`: what is read across the borders of messages, by its lane."""

    every: list[Lane] = msgspec.field(default_factory=list)
    open: dict[Channel, Lane] = msgspec.field(default_factory=dict)
    last: dict[Channel, Lane] = msgspec.field(default_factory=dict)
    joints: dict[Lane, Joint] = msgspec.field(default_factory=dict)
    runs: dict[str, Lane] = msgspec.field(default_factory=dict)
    lone: dict[Lane, None] = msgspec.field(default_factory=dict)
    holds_calls: bool = False
    cut: CutTexts | None = None
    crossings: dict[Lane, Crossing] = msgspec.field(default_factory=dict)
    _by_path: dict[str, Lane] = msgspec.field(default_factory=dict)

    def add(self, lane: Lane) -> None:
        """Adds a lane that begins."""
        channel = lane.channel
        self.open[channel] = self.last[channel] = self._by_path[channel.path] = lane
        self.every.append(lane)

    def at(self, path: str) -> Lane | None:
        """The last lane that began at this path."""
        return self._by_path.get(path)


_place = cache(TextPlace)
_Flight = list[tuple[Lane, list[tuple[int, Window]]]]


def no_checks(channel: Channel) -> tuple[Check, ...]:
    """Returns no checks."""
    return ()


class Gate(msgspec.Struct):
    """Holds frames. `checks_for` returns the checks of a channel's text, `later_for` those of them that read it after it was
    released. `quotes`: whether text with a fault may be quoted to the model."""

    checks_for: Callable[[Channel], tuple[Check, ...]]
    facts_for: FactsInGate | None = None
    quotes: bool = False
    most: int = 1 << 62  # the limit of lanes; a further lane is a fault
    later_for: Callable[[Channel], tuple[Check, ...]] = no_checks
    lanes: LaneTable = msgspec.field(default_factory=LaneTable)
    fault: Fault | None = None
    held: int = 0  # characters not yet released
    _queue: deque[QueuedFrame] = msgspec.field(default_factory=deque)
    _active: dict[Lane, None] = msgspec.field(default_factory=dict)  # lanes with new text, in order
    _patient: dict[Lane, None] = msgspec.field(
        default_factory=dict
    )  # lanes that wait for more text, see `Progress.is_due`
    _in_flight: _Flight = msgspec.field(default_factory=list)

    def push(self, events: Sequence[Event]) -> None:
        for event in events:
            if self.fault:
                return
            match event:
                case Text():
                    self._push_text(event)
                case Opaque():
                    entry = self._entry(event.frame)
                    entry.opaque += event.uninspected
                    entry.media += event.media or ("",) * len(event.uninspected)
                case End():
                    lane = self.lanes.open.pop(event.channel, None)
                    if lane is not None and lane not in self.lanes.lone:  # a lone part waits for the next
                        self._end(lane)
                case RunEnd():
                    self._end_run(event.run)
                case _:
                    self.fault = event

    def read_across(self, events: Sequence[Event], lists: Collection[str]) -> None:
        """Reads across the borders of messages, too. `events`: those of a whole request, which were pushed; `lists`: the fields
        that hold messages."""
        last = self.lanes.last
        for before, after in borders(events, lists):
            for crossing in crossings(last[before], last[after]):
                self.lanes.crossings[crossing.lane] = crossing
                self._active[crossing.lane] = None

    def _end(self, lane: Lane) -> None:
        """Notes that the text of a lane is complete."""
        lane.text.ended = True
        self._active[lane] = None
        joint = self.lanes.joints.get(lane)
        if joint is not None and joint.is_last(lane):
            self._end(joint.lane)

    def _end_run(self, run: str) -> None:
        """Notes that no part follows. The text of the last part may go on."""
        last = self.lanes.runs.pop(run, None)
        if last is None:
            return
        is_open = self.lanes.open.get(last.channel) is last
        if last in self.lanes.joints:
            self.lanes.joints[last].is_complete = True
        self.lanes.lone.pop(last, None)
        # The text may have ended before: a lone part, or the joined text, was kept open as a part might have followed.
        if not is_open:
            self._end(last)

    def _add_part(self, run: str, part: Lane) -> None:
        """Takes a part that begins. It is read as one text with the part before it, once that has ended. Both are read alone,
        too; only there a check that looks for a form reads them."""
        runs, lone, joints = self.lanes.runs, self.lanes.lone, self.lanes.joints
        before = runs.get(run)
        if before is not None and self.lanes.open.get(before.channel) is before:
            self._end_run(run)  # the text of both goes on, so neither follows the other
            before = None
        runs[run] = part
        if before is None:
            lone[part] = None
            return
        if before in lone:
            del lone[before]
            self._end(before)
            checks = tuple([check for check in before.progress.checks if not needs_whole(check)])
            lane = Lane(before.channel, checks, encoded=False)
            lane.progress.later = before.progress.later
            joints[before] = joints[lane] = Joint(lane)
            joints[before].add(before)
        joints[part] = joints[before]
        joints[part].add(part)

    def _entry(self, frame: Frame) -> QueuedFrame:
        # A decoder gives all events of a frame before those of the next.
        if not self._queue or self._queue[-1].frame is not frame:
            self._queue.append(QueuedFrame(frame))
        return self._queue[-1]

    def _push_text(self, event: Text) -> None:
        if event.again:
            last = self.lanes.last[event.channel]
            self._entry(event.frame).pieces.append(Piece(last, last.text.total, last.text.total, event))
            return
        lane = self.lanes.open.get(event.channel)
        if lane is None:
            if len(self.lanes.every) >= self.most:
                self.fault = Fault(ErrorCode.TOO_MANY_TEXTS, f"more than {self.most} texts")
                return
            lane = self._lane(event)
            self.lanes.add(lane)
            if event.holder is not None or event.excerpt is not None:
                self.lanes.cut = self.lanes.cut or CutTexts()
                self.lanes.cut.note(lane, event)
            if event.run and not lane.progress.held:
                self._add_part(event.run, lane)
        start = lane.text.total
        lane.text.append(event.text)
        self.held += len(event.text)
        self._active[lane] = None
        if lane in self.lanes.joints:
            # Both readings get the text in the same step, so that their scans come together.
            joined = self.lanes.joints[lane].lane
            joined.text.append(event.text)
            self._active[joined] = None
        self._entry(event.frame).pieces.append(Piece(lane, start, lane.text.total, event))

    def _lane(self, event: Text) -> Lane:
        """A new lane for the text that the event begins."""
        is_read = event.holder is None or event.holder.is_read
        every_check = self.checks_for(event.channel) if is_read else ()
        checks = tuple(filter(reads_judged, every_check)) if event.judged else every_check
        json = event.encoded and bool(checks)
        # The text is released before these checks have read it, so they must not hold it back.
        if later := self.later_for(event.channel) if is_read else ():
            checks = tuple(check for check in checks if check not in later)
        # Tool-call arguments are always held to their end.
        flows = event.channel.kind == "assistant" and not [check for check in checks if not check.traits.is_raw]
        lane = Lane(
            event.channel,
            checks,
            json and not flows,
            _place(event.number, event.key, event.fixed, event.unmapped)
            if event.excerpt is None
            else _place(fixed=event.fixed, is_in_system=event.excerpt.is_of_system),
            event.shape if checks else None,
            len(self.lanes.every),
            event.judged,
            json,
        )
        lane.progress.later = later
        lane.text.call = event.call
        if self.lanes.holds_calls and checks and event.channel.kind == "tool_arguments":
            lane.progress.held = True
        if self.quotes and (event.judged or (lane.progress.held and event.frame.streamed)):
            lane.quotation.checks = tuple(check for check in every_check if not is_raw(check) and check.name != RESTORE)
        return lane

    def jobs(self, *, all_text: bool = False) -> list[Job]:
        """The jobs to scan now. `learn` must take their scans before the next call of `jobs`. `all_text`: includes text that
        could wait for more. A fault includes it too, as the text that leaves before a fault must not depend on chunks."""
        if not self._active and not all_text and self.fault is None:
            return []
        jobs: list[Job] = []
        all_text = all_text or self.fault is not None
        facts_for = partial(self.facts_for, self) if self.facts_for else no_facts
        joints = self.lanes.joints
        if all_text:
            self._active |= self._patient
        for lane in self._active:
            if windows := lane.windows(facts_for, all_text=all_text):
                self._in_flight.append((lane, windows))
                joins = (lane in joints and joints[lane].lane is lane) or lane in self.lanes.crossings
                jobs += [Job(lane.progress.checks[number], window, joins) for number, window in windows]
            if lane.progress.is_patient:
                self._patient[lane] = None
            else:
                self._patient.pop(lane, None)
        self._active.clear()
        return jobs

    def learn(self, scans: Sequence[Scan]) -> Iterator[tuple[Lane, list[Finding]]]:
        """Takes the scans of the last `jobs`, in order; yields the newly settled findings of each lane. Those of parts that are
        read as one text come with the lane of that text: these lanes are scanned together. The parts get its edits when the
        caller asks for the next lane."""
        at = 0
        joint_of = self.lanes.joints
        joints: dict[Joint, None] = {}
        flight, self._in_flight = self._in_flight, []
        if self.lanes.crossings:
            self._learn_across(flight, scans)
        for lane, windows in flight:
            its = scans[at : at + len(windows)]
            at += len(windows)
            if lane in self.lanes.crossings:
                continue
            findings = lane.learn(windows, its)
            if quote := lane.to_quote():
                self._active[quote] = None
            if lane in joint_of and joint_of[lane].is_read:
                joint = joint_of[lane]
                joint.learn(lane, findings)
                joints[joint] = None
            elif findings:
                yield lane, findings
        # After all lanes: a joint merges what both readings found, and the scan of the second may come last.
        for joint in joints:
            if findings := joint.merge():
                yield joint.lane, findings
                joint.hand_out()

    def _learn_across(self, flight: _Flight, scans: Sequence[Scan]) -> None:
        """Gives what was found across borders to both sides, before they settle."""
        at = 0
        for lane, windows in flight:
            if (crossing := self.lanes.crossings.get(lane)) is not None:
                crossing.share(lane.learn(windows, scans[at : at + len(windows)]))
            at += len(windows)

    def release(self) -> Iterator[QueuedFrame]:
        """Yields the frames that may leave, in order. The caller must render a frame before it asks for the next."""
        while self._queue and self._queue[0].ready():
            entry = self._queue.popleft()
            yield entry
            # Only when the caller has rendered the frame does its text count as released.
            for piece in entry.pieces:
                self.held -= piece.end - piece.start

    def ahead(self) -> Iterator[tuple[QueuedFrame, Piece, int, Finding]]:
        """Yields findings of the first held frame while it waits for the end of a text: a fault is certain before that end.
        Their order is that of `release`. Yields each finding only once."""
        if self._queue and any(
            piece.lane.progress.held and not piece.lane.text.ended for piece in self._queue[0].pieces
        ):
            for piece in self._queue[0].pieces:
                if piece.end > piece.lane.progress.settled and not piece.lane.progress.held:
                    return
                for at, finding in piece.findings():
                    yield self._queue[0], piece, at, finding
                if piece.end > piece.lane.progress.settled:
                    return

    @property
    def empty(self) -> bool:
        return not self._queue


FactsInGate = Callable[[Gate, Lane, Check], Facts | None]
"""Returns the facts about a lane of a gate for a check; `None` while they are unknown."""
