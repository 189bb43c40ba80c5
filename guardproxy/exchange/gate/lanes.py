"""A lane: a text while it flows through the gate, with the progress of its checks, its findings and its edits.

In: parts of the text, then the scans of its windows. Out: windows to scan, settled findings, the edited text.

Rules that must hold
- `settled` never lies inside a finding, so a finding is decided before its first character leaves.
- A text is held to its end if it is JSON that is scanned decoded (`wire/json/text.py`) or if a schema constrains it. An edit
  of JSON is written back escaped.
- A check with the trait `is_raw` reads the raw text while it grows, whether or not the text is held. Its findings in a held
  text are placed at offset 0. An answer that only such checks read is not held.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import InitVar, dataclass, field, replace
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct

from guardproxy.checks import Check
from guardproxy.decisions import Stop
from guardproxy.findings import (
    JOINED_CHARS,
    NO_FACTS,
    SEPARATOR_CHARS,
    Channel,
    Facts,
    Finding,
    Scan,
    Wait,
    Window,
    give_way,
    is_separator,
    join_touching,
)
from guardproxy.redaction import RESTORE, Moves, Shape
from guardproxy.wire.json import Leaf, View, rewrite, stand_in, stand_ins, view

CHECK_ERROR = "check_error"
PATIENT_CHARS = 1024  # up to this much unsettled text is scanned again for each part of a stream
PATIENT_SHARE = 16  # beyond that, the next scan waits for this share of it in new text
JOINED = 64  # parts of a text that become one: a stream of small parts would take twenty times the memory of its text


def no_facts(lane: Lane, check: Check) -> Facts:
    """The facts about a lane outside of an exchange."""
    return NO_FACTS


def is_raw(check: Check) -> bool:
    """Whether a check reads the raw text of JSON, not the decoded text."""
    return check.traits.is_raw


def needs_whole(check: Check) -> bool:
    """Whether a check reads each text alone, as it looks for its form or for the call that it is a part of."""
    return check.traits.needs_form or check.traits.needs_call or check.traits.needs_definition


def reads_judged(check: Check) -> bool:
    """Whether a check reads texts that are only judged, and never sent."""
    return check.traits.is_raw or check.traits.needs_call or check.traits.needs_definition


class LaneText(Struct, eq=False):
    """The text of a lane so far. Offsets count from its beginning."""

    parts: list[str] = msgspec.field(default_factory=list)
    """The text in parts. The first is as it came; later ones may be joined."""
    total: int = 0
    """The number of characters so far."""
    ended: bool = False
    view: View | None = None
    """The decoded text of JSON that is scanned decoded, once the text has ended; otherwise `None`."""
    call: Any = None
    """The call that the text is a part of (`calls.py`), if a check asks for it."""
    is_gone: bool = False
    """Whether the object that the text stands for, which is only judged, is taken out of its frame."""
    _starts: list[int] = msgspec.field(default_factory=list)  # where each part begins
    _apart: int = -1  # parts at the end that are to be joined; the first part never is

    def append(self, text: str) -> None:
        """Adds a part."""
        self._starts.append(self.total)
        self.parts.append(text)
        self.total += len(text)
        self._apart += 1
        # Each character is copied once: parts that were joined are not joined again.
        if self._apart == JOINED:
            self.parts[-JOINED:] = ["".join(self.parts[-JOINED:])]
            del self._starts[1 - JOINED :]
            self._apart = 0

    def part(self, start: int, end: int) -> str:
        """`text[start:end]`. The cost depends on the length of the part, not of the text."""
        if start >= end:
            return ""
        first = bisect_right(self._starts, start) - 1
        last = bisect_left(self._starts, end)
        if last - first == 1:
            begin = self._starts[first]
            return self.parts[first][start - begin : end - begin]
        parts = self.parts[first:last]
        parts[0] = parts[0][start - self._starts[first] :]
        parts[-1] = parts[-1][: end - self._starts[last - 1]]
        return "".join(parts)

    def scanned(self, start: int, end: int) -> str:
        """A span of the text as the checks read it."""
        if self.view is not None:
            return self.view.text[start:end]
        return self.part(start, end)

    def touch(self, end: int, start: int) -> bool:
        """Whether only a separator is between two places, both in the same leaf of a decoded view."""
        return (
            start - end <= SEPARATOR_CHARS
            and self.leaf(end - 1) is self.leaf(start)
            and is_separator(self.scanned(end, start))
        )

    def leaf(self, offset: int) -> Leaf | None:
        """The leaf of the decoded view that an offset lies in."""
        leaves = self.view.leaves if self.view else ()
        at = bisect_right(leaves, offset, key=attrgetter("at")) - 1
        return leaves[at] if at >= 0 else None

    def raw_start(self, finding: Finding) -> int:
        """The offset of a finding in the raw text; for a finding in a JSON string, the offset of the opening quote."""
        if self.view is None or finding.end == 0:
            return finding.start
        leaf = self.leaf(finding.start)
        return leaf.start - leaf.quoted if leaf else 0


class _Cursor(Struct):
    """The progress of a check: text before `at` is settled, text from `keep` on is read again, text before `read` was read;
    `state`: the check's own state; `wait`: see `Scan`."""

    at: int = 0
    keep: int = 0
    state: Any = None
    read: int = 0
    wait: Wait | None = None


class _Unsettled(Struct):
    """Findings that are not settled. `weak`: those that give way to others. `allowed`: places that policies allow. `joins`: the
    labels of findings that are joined. `given`: findings of another lane in this text."""

    strong: list[Finding] = msgspec.field(default_factory=list)
    weak: list[Finding] = msgspec.field(default_factory=list)
    allowed: list[Finding] = msgspec.field(default_factory=list)
    joins: frozenset[str] = frozenset()
    given: list[Finding] = msgspec.field(default_factory=list)

    def take(self, place: int) -> _Unsettled:
        """Removes and returns those that end up to `place`."""
        taken = self.before(place)
        groups = self.strong, self.weak, self.allowed
        self.strong, self.weak, self.allowed = ([each for each in group if each.end > place] for group in groups)
        return taken

    def before(self, place: int) -> _Unsettled:
        """Returns those that end up to `place`."""
        strong, weak, allowed = (
            [each for each in group if each.end <= place] for group in (self.strong, self.weak, self.allowed)
        )
        return _Unsettled(strong, weak, allowed, self.joins)

    def decided(self, text: LaneText) -> list[Finding]:
        """Returns the findings, sorted: what is left of weak findings, and those that touch joined."""
        strong = sorted(self.strong)
        if not self.weak:
            return strong
        winners = [*(finding for finding in strong if finding.label != CHECK_ERROR), *self.allowed]
        weak = give_way(self.weak, winners, text.scanned)
        return join_touching(strong, weak, self.joins, text.touch)

    def may_grow(self, finding: Finding, settled: int, text: LaneText) -> bool:
        """Whether a finding may be joined with one that comes after `settled`."""
        if finding.label not in self.joins or settled - finding.end > SEPARATOR_CHARS:
            return False
        return finding.end - finding.start < JOINED_CHARS and not text.part(finding.end, settled).strip(" \t\r\n,-–")


@dataclass(slots=True, eq=False)
class Progress:
    """The progress of the checks of a lane, and their findings."""

    checks: tuple[Check, ...]
    held: bool
    """Whether the text is held to its end."""
    later: tuple[Check, ...] = ()
    """The checks that read the text after all others, see `phases/later_checks.py`."""
    settled: int = 0
    """The offset up to which no continuation can change the findings."""
    findings: list[Finding] = field(default_factory=list)
    """The settled findings, sorted."""
    shown: int = 0
    """The number of findings that `Piece.findings` has yielded."""
    is_patient: bool = False
    """Whether the next scan waits for more text."""
    allowed: list[Finding] = field(default_factory=list)
    """The settled places that policies allow, which are no findings."""
    grounds: list[Finding] = field(default_factory=list)
    """What retrieved texts say about statements of the text, for the record."""
    _cursors: list[_Cursor] = field(init=False)
    _waiting: _Unsettled = field(default_factory=_Unsettled)
    _scanned: int = -1  # the length that was scanned, + 1 with the end; -1: no scan yet

    def __post_init__(self) -> None:
        self._cursors = [_Cursor() for _ in self.checks]
        for check in self.checks:
            if check.traits.joins:
                self._waiting.joins |= check.traits.joins

    def is_due(self, text: LaneText, *, all_text: bool) -> bool:
        """Whether the text is to be scanned now.

        A scan reads all unsettled text again. If that is long, the next scan waits for new text of a share of its length, as
        a scan for each small part of a stream would make the cost quadratic. It also waits while the check that lags most
        would settle nothing more (`Scan.wait`), since nothing could leave. `all_text`: the scan does not wait.
        """
        # The end of the text is news too: it may settle what was scanned before.
        mark = text.total + text.ended
        if mark == self._scanned:
            return False
        if self.held and not text.ended:
            for check in self.checks:
                if check.traits.is_raw:  # it reads the raw text while it grows
                    break
            else:
                return False
        # What the next scan would read again, by the check that lags most.
        last = min([cursor.at for cursor in self._cursors], default=0)
        unsettled = self._scanned - last
        self.is_patient = False
        if not text.ended and not all_text:
            self.is_patient = unsettled > PATIENT_CHARS and mark - self._scanned < unsettled // PATIENT_SHARE
            for cursor in self._cursors:
                if cursor.wait is not None and cursor.at == last and not self.held:
                    self.is_patient = self.is_patient or not cursor.wait.is_over(text.part(cursor.read, text.total))
        if self.is_patient:
            return False
        self._scanned = mark
        return True

    def window(self, number: int, channel: Channel, text: LaneText, facts: Facts) -> Window | None:
        """The window for the check of this number; `None` while the check has nothing to scan."""
        check, cursor = self.checks[number], self._cursors[number]
        if self.held and not is_raw(check):
            if not text.ended:
                return None
            view = text.view
            leaves = tuple(leaf.at for leaf in view.leaves) if view and check.name == RESTORE else ()
            return Window(channel, view.text if view else text.part(0, text.total), facts=facts, leaves=leaves)
        part = text.part(cursor.keep, text.total)
        return Window(channel, part, cursor.keep, cursor.at, text.ended, facts, cursor.state)

    def learn(self, windows: Sequence[tuple[int, Window]], scans: Sequence[Scan]) -> Finding | None:
        """Takes the scans of windows; returns the first finding of a check that reads the raw text."""
        first: Finding | None = None
        for (number, window), scan in zip(windows, scans, strict=True):
            check, cursor, findings = self.checks[number], self._cursors[number], scan.findings
            cursor.at, cursor.keep, cursor.state, cursor.wait = scan.settled, scan.keep, scan.state, scan.wait
            cursor.read = window.start + len(window.text)
            self._waiting.allowed += scan.allowed
            if scan.grounds:
                self.grounds += scan.grounds
            if scan.error:
                end = window.start + len(window.text)
                # The check counts as done with the text, or the text would wait for it for ever. The finding spans all of
                # it, as nobody knows what the check would have found.
                findings = (Finding(window.settled, end, check.name, CHECK_ERROR, 1.0),)
                cursor.at = cursor.keep = end
            raw = bool(findings) and is_raw(check)
            if raw:
                first = first or findings[0]
            if raw and self.held:
                # Findings and edits of a held text count in its decoded view, where a place in the raw text means nothing.
                self.findings += [replace(finding, start=0, end=0) for finding in findings]
            elif findings:
                (self._waiting.weak if check.traits.partner_of else self._waiting.strong).extend(findings)
        if given := self._waiting.given:
            known = self._waiting.strong
            known += [finding for finding in dict.fromkeys(given) if not _is_known(finding, known)]
            given.clear()
        return first

    def take(self, finding: Finding) -> None:
        """Takes a finding that another lane has found in the text, which is complete and not settled there."""
        self._waiting.given.append(finding)

    def take_back(self, findings: Sequence[Finding]) -> None:
        """Removes findings that `settle` has just added, as they may change before the text leaves."""
        if findings:
            del self.findings[-len(findings) :]

    def add(self, findings: Sequence[Finding], text: LaneText) -> None:
        """Adds findings of a check that read the text after it was sent."""
        if findings:
            self.findings = sorted([*self.findings, *findings])
            self.findings.sort(key=text.raw_start)

    def settle(self, text: LaneText) -> list[Finding]:
        """The findings that no continuation can change any more, in order."""
        settled = min([cursor.at for cursor in self._cursors])
        waits = self._waiting
        if text.view is None and not waits.strong and not waits.weak and not waits.allowed:  # most chunks of a stream
            self.settled = text.total if self.held else max(settled, self.settled)
            return []
        waiting = waits.strong + waits.weak + waits.allowed
        # A held text is complete by now (`Lane.learn`), so no continuation can change anything.
        if self.held:
            settled = max([finding.end for finding in waiting], default=0)
            self.settled = text.total
        else:
            settled = in_front(waiting, settled)
            if waits.joins and not text.ended:
                joined = waits.before(settled).decided(text)
                open_at = [finding.start for finding in joined if waits.may_grow(finding, settled, text)]
                # A joined finding is longer than those that it was made of, so the place must lie in none of either.
                settled = in_front([*waiting, *joined], min([settled, *open_at]))
            self.settled = max(settled, self.settled)
        taken = waits.take(settled)
        done = taken.decided(text)
        self.allowed += taken.allowed
        self.findings += done
        if text.view is not None:  # the view ends with the rows, but their numbers come earlier in the text
            self.findings.sort(key=text.raw_start)
        return done


def _is_known(finding: Finding, others: Iterable[Finding]) -> bool:
    """Whether a finding lies within another of the same check and label that has at least its score."""
    return any(
        (other.check, other.label) == (finding.check, finding.label)
        and other.start <= finding.start
        and finding.end <= other.end
        and finding.score <= other.score
        for other in others
    )


def in_front(findings: Sequence[Finding], settled: int) -> int:
    """Returns `settled`, moved to the front of every finding across it."""
    # Latest start first: after `settled` moves back to a finding, only findings that start earlier can move it further.
    for finding in sorted(findings, key=attrgetter("start"), reverse=True):
        if finding.start < settled < finding.end:
            settled = finding.start
    return settled


class Rewrite(Struct, eq=False):
    """The edits of a lane's text, and the masks for its record."""

    text: LaneText
    progress: Progress
    number: bool = False
    """Whether the text is a number."""
    edits: list[tuple[int, int, str]] = msgspec.field(default_factory=list)
    """Settled edits, sorted, without overlap; offsets count in the scanned text."""
    masks: list[tuple[int, int, str]] = msgspec.field(default_factory=list)
    """Spans that the record must not show, sorted, without overlap."""
    fitted: dict[int, str] = msgspec.field(default_factory=dict)
    """Replacements of whole leaves, by index (0: the whole text)."""
    stops: dict[Finding, Stop] = msgspec.field(default_factory=dict)
    """Findings in places that accept no replacement, with the stop that follows."""
    moves: Moves = msgspec.field(default_factory=Moves)
    """How the edits of the released text move offsets."""
    released: int = 0
    """The raw offset up to which the text was released."""
    _raw_edits: list[tuple[int, int, str]] | None = None
    _next_edit: int = 0
    _skip: int = 0  # raw text before this offset was replaced by a released edit

    def replacement_for(self, start: int, end: int) -> str:
        """The replacement for a span in a number; empty if the span is not in a number, where a placeholder is accepted."""
        if self.number:
            span = "".join(self.text.parts)[start:end]
            return stand_ins(span) if " " in span else stand_in(end - start)
        leaf = self.text.leaf(start)
        return stand_in(end - start) if leaf and leaf.number else ""

    def edit(self, start: int, end: int, replacement: str) -> None:
        """Puts `replacement` instead of a settled span; edits must come in order."""
        self.edits.append((start, end, self.replacement_for(start, end) or replacement))

    def render(self, start: int, end: int) -> str:
        """The edited text of `text[start:end]`. Pieces must be rendered in order, each only once."""
        edits = self.raw_edits()
        if self._next_edit == len(edits) and self._skip <= start:  # as of most pieces
            self._skip, self.released = start, end
            return self.text.part(start, end)
        out: list[str] = []
        # An edit may span several pieces: the first of them gets the replacement, and the others leave out their share.
        at = max(start, self._skip)
        while self._next_edit < len(edits) and edits[self._next_edit][0] < end:
            low, high, replacement = edits[self._next_edit]
            out.append(self.text.part(at, max(at, low)) + replacement)
            at = max(at, high)
            self._next_edit += 1
        if at < end:
            out.append(self.text.part(at, end))
        self._skip = max(at, self._skip)
        self.released = end
        return "".join(out)

    def leave_out(self) -> None:
        """Notes that the rendered text is not sent, as what holds it is left out of its frame."""
        self.released = self._skip = 0

    @property
    def sent(self) -> int:
        """The raw offset up to which the client knows the text: `released`, or the end of the edit that it lies in."""
        return max(self.released, self._skip)

    def raw_edits(self) -> list[tuple[int, int, str]]:
        """The edits of the raw text."""
        view = self.text.view
        if view is not None:
            # Edits may be added until the text is settled. After that they are computed once.
            if self._raw_edits is None or self.progress.settled < self.text.total:
                self._raw_edits = rewrite(view, self.edits, self.fitted)
            return self._raw_edits
        return [(0, self.text.total, self.fitted[0])] if self.fitted else self.edits

    def repeated(self, text: str) -> str:
        """The whole text with its edits, to send when a later event repeats it (`Text.again`). `text`: of that event."""
        if self.text.view is None and not self.edits and not self.fitted and len(text) == self.text.total:
            return text  # as in every frame of a stream that repeats the name of its model
        return self.whole()

    def whole(self) -> str:
        """The whole text with its edits."""
        out: list[str] = []
        at = 0
        for low, high, replacement in self.raw_edits():
            out += self.text.part(at, low), replacement
            at = high
        return "".join((*out, self.text.part(at, self.text.total)))


def unedited(edits: Sequence[tuple[int, int, str]], start: int, end: int) -> tuple[int, int]:
    """Returns the span of a text before its edits for a span of the edited text. `edits`: sorted. A replaced span counts as a
    whole."""
    grown = 0  # how much longer the edited text is so far
    low = high = -1
    for first, after, replacement in edits:
        at, stop = first + grown, first + grown + len(replacement)
        if low < 0 and start < stop:
            low = min(start - grown, first)
        if end <= at:
            high = end - grown
            break
        if end <= stop:
            high = after
            break
        grown += len(replacement) - (after - first)
    return (start - grown if low < 0 else low), (end - grown if high < 0 else high)


class Quotation(Struct, eq=False):
    """The part of a text with a fault that may be quoted to the model once `checks` have read it: all, or up to the fault."""

    checks: tuple[Check, ...] = ()
    """The checks that must read the quoted text, as they do not read the lane itself."""
    lane: Lane | None = None
    """The quoted text, for these checks."""
    fault_end: int = 0
    """The end of the first finding in the raw text, if the text is held or judged; otherwise 0."""


class TextPlace(Struct, frozen=True):
    """The place of a text in the wire format. `number`: whether the text is a number; `key`: whether it is the key of an
    object; `fixed`: whether the place accepts no edited text; `unmapped`: whether the place is not part of the format;
    `is_in_system`: whether it is a document in a text of the system."""

    number: bool = False
    key: bool = False
    fixed: bool = False
    unmapped: bool = False
    is_in_system: bool = False


PLAIN = TextPlace()


@dataclass(slots=True, eq=False)
class Lane:
    """A text while it flows through the gate.

    All offsets count from the text's beginning. For an encoded lane findings and edits count in the decoded view.
    """

    channel: Channel
    checks: InitVar[tuple[Check, ...]]
    encoded: bool
    """Whether the text is JSON that is scanned decoded."""
    place: TextPlace = PLAIN
    shape: Shape | None = None
    """The constraints that a schema of the request puts on the text."""
    index: int = 0
    """The order in which lanes began."""
    judged: bool = False
    json: bool = False
    """Whether the text is JSON."""
    text: LaneText = field(default_factory=LaneText)
    progress: Progress = field(init=False)
    rewrite: Rewrite = field(init=False)
    quotation: Quotation = field(default_factory=Quotation)

    def __post_init__(self, checks: tuple[Check, ...]) -> None:
        held = self.encoded or (self.shape is not None and [check for check in checks if not check.traits.is_raw] != [])
        self.progress = Progress(checks, held)
        self.rewrite = Rewrite(self.text, self.progress, self.place.number)

    def windows(self, facts_for: FactsFor = no_facts, *, all_text: bool = False) -> list[tuple[int, Window]]:
        """The windows to scan, each with the number of its check; empty if no scan is due. A check whose facts are not known
        yet gets no window. `all_text`: see `Progress.is_due`."""
        text, progress = self.text, self.progress
        if not progress.is_due(text, all_text=all_text):
            return []
        if not progress.checks:
            progress.settled = text.total
            return []
        if self.encoded and text.ended:
            text.view = view(text.part(0, text.total))
        windows = []
        for number, check in enumerate(progress.checks):
            facts = facts_for(self, check)
            if facts is not None and (window := progress.window(number, self.channel, text, facts)):
                windows.append((number, window))
        return windows

    def learn(self, windows: Sequence[tuple[int, Window]], scans: Sequence[Scan]) -> list[Finding]:
        """Takes the scans of these windows; returns the newly settled findings, in order."""
        progress, quotation = self.progress, self.quotation
        fault = progress.learn(windows, scans)
        if fault and not quotation.fault_end and (progress.held or self.judged):
            quotation.fault_end = fault.end
        if progress.held and not windows[0][1].last:
            return []
        return progress.settle(self.text)

    def to_quote(self) -> Lane | None:
        """A new lane with the text to quote, for its checks, once a fault was found in the raw text; otherwise `None`."""
        quotation = self.quotation
        if not quotation.checks or not quotation.fault_end or quotation.lane:
            return None
        quotation.lane = Lane(self.channel, quotation.checks, self.encoded or self.judged)
        whole = "".join(self.text.parts)
        quotation.lane.text.append(whole if self.judged else whole[: quotation.fault_end])
        quotation.lane.text.ended = True
        return quotation.lane

    @property
    def is_quotable(self) -> bool:
        """Whether all checks that must read the quoted text have read it."""
        quoted = self.quotation.lane
        return quoted is None or quoted.progress.settled == quoted.text.total

    def stop_of(self, finding: Finding) -> Stop | None:
        """The decision to stop at a finding whose value nothing can replace; `None` if there is no such decision."""
        return self.rewrite.stops.get(finding)

    def end_of(self, finding: Finding) -> int:
        """The end of the text that was read when this finding was made."""
        return (self.quotation.fault_end or self.text.total) if self.progress.held else finding.end


FactsFor = Callable[[Lane, Check], Facts | None]
"""Returns the facts about a lane for a check; `None` while they are unknown."""
