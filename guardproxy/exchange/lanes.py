"""A lane: one text while it flows: what of it is held, what each check has settled, what was found, what goes on instead.

In: parts of the text, then the scans of its windows. Out: windows to scan, settled findings, the edited text.

Rules that must hold
- `settled` never lies inside a finding, so a finding is decided before its first character leaves.
- A text is held to its end where it is JSON that is read decoded (`wire/json_text.py`), or where a schema asks something of
  it; an edit of JSON is written back escaped. A check that says `raw` reads it as it stands, while it grows, held or not;
  what that finds in a held text stands at its beginning. An answer that only such checks read is not held.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field, replace
from operator import attrgetter
from typing import Any

from guardproxy.audit import Moves
from guardproxy.checks import Check
from guardproxy.decisions import Stop
from guardproxy.findings import NO_FACTS, Channel, Facts, Finding, Scan, Window, give_way
from guardproxy.redaction import RESTORE, Shape
from guardproxy.wire.json import Leaf, View, rewrite, stand_in, stand_ins, view

CHECK_ERROR = "check_error"
PATIENT_CHARS = 1024  # so much unsettled text may be scanned again for each part of a stream
PATIENT_SHARE = 16  # beyond that, the next scan waits for this share of it in new text


def is_raw(check: Check) -> bool:
    """Whether a check reads JSON in a string as it stands."""
    return check.traits.is_raw


@dataclass(slots=True, eq=False)
class LaneText:
    """The text of a lane as far as it came. Offsets count from its beginning."""

    parts: list[str] = field(default_factory=list)
    total: int = 0
    """How many characters came."""
    ended: bool = False
    view: View | None = None
    """The decoded text, where the text is JSON that is scanned decoded, once it has ended."""
    _starts: list[int] = field(default_factory=list)  # where each part begins

    def append(self, text: str) -> None:
        """Adds a part."""
        self._starts.append(self.total)
        self.parts.append(text)
        self.total += len(text)

    def part(self, start: int, end: int) -> str:
        """`text[start:end]`. It costs as much as it is long, however long the text is."""
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

    def leaf(self, offset: int) -> Leaf | None:
        """The leaf of the decoded view that an offset lies in."""
        leaves = self.view.leaves if self.view else ()
        at = bisect_right(leaves, offset, key=attrgetter("at")) - 1
        return leaves[at] if at >= 0 else None

    def raw_start(self, finding: Finding) -> int:
        """Where the finding begins in the raw text; for a finding in a JSON string, where its quotes open."""
        if self.view is None or finding.end == 0:
            return finding.start
        leaf = self.leaf(finding.start)
        return leaf.start - leaf.quoted if leaf else 0


@dataclass(slots=True)
class _Cursor:
    """How far one check has come: `at` is settled, text from `keep` on is read again, `state` is what it wants back."""

    at: int = 0
    keep: int = 0
    state: Any = None


@dataclass(slots=True, eq=False)
class Progress:
    """How far the checks of a lane have come, and what they found."""

    checks: tuple[Check, ...]
    held: bool
    """Whether the text is held to its end, for some check."""
    settled: int = 0
    """No continuation can change what was found before this offset."""
    findings: list[Finding] = field(default_factory=list)
    """The settled findings, sorted."""
    shown: int = 0
    """How many findings were given to whoever releases."""
    is_patient: bool = False
    """Whether text waits to be scanned until more of it came."""
    _cursors: list[_Cursor] = field(init=False)
    _waiting: list[Finding] = field(default_factory=list)
    _weak: list[Finding] = field(default_factory=list)  # those that give way, waiting as well
    _scanned: int = -1  # -1: never; then the length scanned, + 1 when the end was
    _is_raw_read: bool = field(init=False)  # some check reads the text as it stands

    def __post_init__(self) -> None:
        self._cursors = [_Cursor() for _ in self.checks]
        self._is_raw_read = any(map(is_raw, self.checks))

    def is_due(self, text: LaneText, *, all_text: bool) -> bool:
        """Whether the text is to be scanned now.

        A scan reads again what no check has settled. Where that is much, the next scan waits for a share of it in new text:
        if each small part of a stream led to a scan of everything before it, the cost would be squared. `all_text`: it does
        not wait.
        """
        mark = text.total + text.ended
        if mark == self._scanned or (self.held and not text.ended and not self._is_raw_read):
            return False
        unsettled = self._scanned - min([cursor.at for cursor in self._cursors], default=0)
        self.is_patient = (
            not (text.ended or all_text)
            and unsettled > PATIENT_CHARS
            and mark - self._scanned < unsettled // PATIENT_SHARE
        )
        if self.is_patient:
            return False
        self._scanned = mark
        return True

    def window(self, number: int, channel: Channel, text: LaneText, facts: Facts) -> Window | None:
        """The window for the check of this number; `None` while there is none."""
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
        """Takes the scans of windows; returns the first finding of a check that reads the text as it stands."""
        first: Finding | None = None
        for (number, window), scan in zip(windows, scans, strict=True):
            check, cursor, found = self.checks[number], self._cursors[number], scan.findings
            cursor.at, cursor.keep, cursor.state = scan.settled, scan.keep, scan.state
            if scan.error:
                end = window.start + len(window.text)
                found = (Finding(window.settled, end, check.name, CHECK_ERROR, 1.0),)
                cursor.at = cursor.keep = end
            raw = bool(found) and is_raw(check)
            if raw:
                first = first or found[0]
            if raw and self.held:
                self.findings += [replace(finding, start=0, end=0) for finding in found]
            elif found:
                (self._weak if check.traits.partner_of else self._waiting).extend(found)
        return first

    def settle(self, text: LaneText) -> list[Finding]:
        """The findings that no continuation can change any more, in order."""
        settled = min([cursor.at for cursor in self._cursors])
        waiting = (*self._waiting, *self._weak)
        if self.held:
            settled = max([finding.end for finding in waiting], default=0)
            self.settled = text.total
        else:
            # From the last to begin: what has moved `settled` back can only be overtaken by one that begins before it.
            for finding in sorted(waiting, key=attrgetter("start"), reverse=True):
                if finding.start < settled < finding.end:
                    settled = finding.start
            self.settled = max(settled, self.settled)
        done = sorted([finding for finding in self._waiting if finding.end <= settled])
        self._waiting = [finding for finding in self._waiting if finding.end > settled]
        if self._weak:
            weak = [finding for finding in self._weak if finding.end <= settled]
            self._weak = [finding for finding in self._weak if finding.end > settled]
            strong = [finding for finding in done if finding.label != CHECK_ERROR]
            done = sorted([*done, *give_way(weak, strong, text.scanned)])
        self.findings += done
        if text.view is not None:  # rows stand at the end of the view, and their numbers before it in the text
            self.findings.sort(key=text.raw_start)
        return done


@dataclass(slots=True, eq=False)
class Rewrite:
    """What goes on in place of a lane's text, and what its record must not show."""

    text: LaneText
    progress: Progress
    number: bool = False
    """Whether the text is a number."""
    edits: list[tuple[int, int, str]] = field(default_factory=list)
    """Settled, sorted, apart; they count in the scanned text."""
    masks: list[tuple[int, int, str]] = field(default_factory=list)
    """What a record must not show, sorted, apart."""
    fitted: dict[int, str] = field(default_factory=dict)
    """Leaves (0: the whole text) that become something else."""
    stops: dict[Finding, Stop] = field(default_factory=dict)
    """Findings for which nothing could be put in place."""
    moves: Moves = field(default_factory=Moves)
    """How offsets move by the edits of what was released."""
    released: int = 0
    """How much of the text has gone on, edits applied, in raw offsets."""
    _raw_edits: list[tuple[int, int, str]] | None = None
    _next_edit: int = 0
    _skip: int = 0  # raw text before this offset was replaced by an edit that has gone on

    def replacement_for(self, start: int, end: int) -> str:
        """What must stand for a span of a number, whatever the value; empty where a placeholder can stand."""
        if self.number:
            span = "".join(self.text.parts)[start:end]
            return stand_ins(span) if " " in span else stand_in(end - start)
        leaf = self.text.leaf(start)
        return stand_in(end - start) if leaf and leaf.number else ""

    def edit(self, start: int, end: int, replacement: str) -> None:
        """Puts `replacement` in place of a settled span; edits must come in order."""
        self.edits.append((start, end, self.replacement_for(start, end) or replacement))

    def render(self, start: int, end: int) -> str:
        """What goes on in place of `text[start:end]`; pieces must be rendered in order, each once."""
        edits = self.raw_edits()
        out: list[str] = []
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

    def raw_edits(self) -> list[tuple[int, int, str]]:
        """The edits of the raw text."""
        view = self.text.view
        if view is not None:
            if self._raw_edits is None or self.progress.settled < self.text.total:
                self._raw_edits = rewrite(view, self.edits, self.fitted)
            return self._raw_edits
        return [(0, self.text.total, self.fitted[0])] if self.fitted else self.edits

    def whole(self) -> str:
        """The whole text with its edits: what is sent when a later event repeats it (`Text.again`)."""
        out: list[str] = []
        at = 0
        for low, high, replacement in self.raw_edits():
            out += self.text.part(at, low), replacement
            at = high
        return "".join((*out, self.text.part(at, self.text.total)))


@dataclass(slots=True, eq=False)
class Quotation:
    """What may be quoted to the model of a text with a fault: all of it, or up to the fault, once `checks` have read it."""

    checks: tuple[Check, ...] = ()
    """Those that do not read the text otherwise and must have read what is quoted."""
    lane: Lane | None = None
    """The quoted text, for these checks."""
    fault_end: int = 0
    """Where the first thing ends that was found in a held or judged text as it stands."""


@dataclass(slots=True, eq=False)
class Lane:
    """One text while it flows.

    All offsets count from the text's beginning. For an encoded lane findings and edits count in the decoded view.
    """

    channel: Channel
    checks: InitVar[tuple[Check, ...]]
    encoded: bool
    """Whether the text is JSON that is scanned decoded."""
    number: bool = False
    key: bool = False
    shape: Shape | None = None
    """What a schema of the request asks of the text."""
    index: int = 0
    """The order in which lanes began."""
    judged: bool = False
    json: bool = False
    """Whether the text is JSON."""
    facts: Callable[[Lane, Check], Facts | None] = lambda lane, check: NO_FACTS
    fixed: bool = False
    """Whether no edited text can stand at its place."""
    unmapped: bool = False
    """Whether the format does not know the place."""
    text: LaneText = field(default_factory=LaneText)
    progress: Progress = field(init=False)
    rewrite: Rewrite = field(init=False)
    quotation: Quotation = field(default_factory=Quotation)

    def __post_init__(self, checks: tuple[Check, ...]) -> None:
        held = self.encoded or (self.shape is not None and not all(map(is_raw, checks)))
        self.progress = Progress(checks, held)
        self.rewrite = Rewrite(self.text, self.progress, self.number)

    def windows(self, *, all_text: bool = False) -> list[tuple[int, Window]]:
        """The windows to scan, each with the number of its check; empty when nothing new can be learned. `all_text`: see
        `Progress.is_due`."""
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
            facts = self.facts(self, check)
            if facts is not None and (window := progress.window(number, self.channel, text, facts)):
                windows.append((number, window))
        return windows

    def learn(self, windows: Sequence[tuple[int, Window]], scans: Sequence[Scan]) -> list[Finding]:
        """Takes the scans of these windows; returns the findings that are now settled, in order."""
        progress, quotation = self.progress, self.quotation
        fault = progress.learn(windows, scans)
        if fault and not quotation.fault_end and (progress.held or self.judged):
            quotation.fault_end = fault.end
        if progress.held and not windows[0][1].last:
            return []
        return progress.settle(self.text)

    def to_quote(self) -> Lane | None:
        """Once something was found as the text stands: what may be quoted of it, as a text for its checks; else `None`."""
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
        """Whether every check that must have read what is quoted has read it."""
        quoted = self.quotation.lane
        return quoted is None or quoted.progress.settled == quoted.text.total

    def end_of(self, finding: Finding) -> int:
        """Where the text ends that was read when this finding was made."""
        return (self.quotation.fault_end or self.text.total) if self.progress.held else finding.end
