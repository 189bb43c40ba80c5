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
from dataclasses import dataclass, field, replace
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
class Lane:
    """One text: what of it is held, how far each check has come, what was found and what is to be put in its place.

    All offsets count from the text's beginning. For an encoded lane `findings` and `edits` count in the decoded view.
    `json`: the text is JSON; `encoded`: and it is scanned decoded. `shape`: what a schema of the request asks of it. `fixed`:
    no edited text can stand at its place. `unmapped`: the format does not know the place.
    """

    channel: Channel
    checks: tuple[Check, ...]
    encoded: bool
    number: bool = False
    key: bool = False
    shape: Shape | None = None
    index: int = 0  # the order in which lanes began
    judged: bool = False
    json: bool = False
    facts: Callable[[Lane, Check], Facts | None] = lambda lane, check: NO_FACTS
    fixed: bool = False
    unmapped: bool = False
    total: int = 0
    ended: bool = False
    settled: int = 0
    findings: list[Finding] = field(default_factory=list)  # settled, sorted
    edits: list[tuple[int, int, str]] = field(default_factory=list)  # settled, sorted, apart
    masks: list[tuple[int, int, str]] = field(default_factory=list)  # what a record must not show, sorted, apart
    whole: list[str] = field(default_factory=list)  # all of the text, in parts
    seen: View | None = None
    fitted: dict[int, str] = field(default_factory=dict)  # leaves (0: the whole text) that become something else
    stops: dict[Finding, Stop] = field(default_factory=dict)  # findings for which nothing could be put there
    shown: int = 0  # findings that have been given to whoever releases
    moves: Moves = field(default_factory=Moves)  # of offsets, by the edits of what was released
    released: int = 0  # how much of the text has gone on, edits applied (in raw offsets)
    fault_end: int = 0  # where the first thing ends that was found in a held or judged text as it stands
    quoting: tuple[Check, ...] = ()  # that must have read what is quoted of a text which they do not read otherwise
    quote: Lane | None = None  # the text up to its fault, for them
    is_patient: bool = False  # whether text waits to be scanned until more of it is there
    held: bool = field(init=False)  # to its end, for some check
    _starts: list[int] = field(default_factory=list)  # where each part of `whole` begins
    _waiting: list[Finding] = field(default_factory=list)
    _weak: list[Finding] = field(default_factory=list)  # those that give way, waiting as well
    _at: list[int] = field(default_factory=list)  # settled, by check
    _keep: list[int] = field(default_factory=list)
    _states: list[Any] = field(default_factory=list)  # what each check wants back
    _scanned: int = -1  # -1: never; then the length scanned, + 1 when the end was
    _raw_edits: list[tuple[int, int, str]] | None = None
    _next_edit: int = 0
    _skip: int = 0  # raw text before this offset was replaced by an edit that has gone on

    def __post_init__(self) -> None:
        self._at = [0] * len(self.checks)
        self._keep = [0] * len(self.checks)
        self._states = [None] * len(self.checks)
        self.held = self.encoded or (self.shape is not None and not all(map(is_raw, self.checks)))

    def append(self, text: str) -> None:
        self._starts.append(self.total)
        self.whole.append(text)
        self.total += len(text)

    def part(self, start: int, end: int) -> str:
        """`text[start:end]`. It costs as much as it is long, however long the text is."""
        if start >= end:
            return ""
        first = bisect_right(self._starts, start) - 1
        last = bisect_left(self._starts, end)
        if last - first == 1:
            begin = self._starts[first]
            return self.whole[first][start - begin : end - begin]
        parts = self.whole[first:last]
        parts[0] = parts[0][start - self._starts[first] :]
        parts[-1] = parts[-1][: end - self._starts[last - 1]]
        return "".join(parts)

    def windows(self, *, all_text: bool = False) -> list[tuple[int, Window]]:
        """The windows to scan, each with the number of its check; empty when nothing new can be learned.

        A scan reads again what no check has settled. Where that is much, the next scan waits for a share of it in new text:
        if each small part of a stream led to a scan of everything before it, the cost would be squared. `all_text`: it does
        not wait.
        """
        mark = self.total + self.ended
        if mark == self._scanned or (self.held and not self.ended and not any(map(is_raw, self.checks))):
            return []
        unsettled = self._scanned - min(self._at, default=0)
        self.is_patient = (
            not (self.ended or all_text)
            and unsettled > PATIENT_CHARS
            and mark - self._scanned < unsettled // PATIENT_SHARE
        )
        if self.is_patient:
            return []
        self._scanned = mark
        if not self.checks:
            self.settled = self.total
            return []
        if self.encoded and self.ended:
            self.seen = view(self.part(0, self.total))
        return [(number, window) for number in range(len(self.checks)) if (window := self._window(number))]

    def _window(self, number: int) -> Window | None:
        check, keep = self.checks[number], self._keep[number]
        facts = self.facts(self, check)
        if facts is None:
            return None
        if self.held and not is_raw(check):
            if not self.ended:
                return None
            leaves = tuple(leaf.at for leaf in self.seen.leaves) if self.seen and check.name == RESTORE else ()
            text = self.seen.text if self.seen else self.part(0, self.total)
            return Window(self.channel, text, facts=facts, leaves=leaves)
        text, state = self.part(keep, self.total), self._states[number]
        return Window(self.channel, text, keep, self._at[number], self.ended, facts, state)

    def learn(self, windows: Sequence[tuple[int, Window]], scans: Sequence[Scan]) -> list[Finding]:
        """Takes the scans of these windows; gives the findings that are now settled, in order."""
        for (number, window), scan in zip(windows, scans, strict=True):
            check, found = self.checks[number], scan.findings
            self._at[number], self._keep[number], self._states[number] = scan.settled, scan.keep, scan.state
            if scan.error:
                end = window.start + len(window.text)
                found = (Finding(window.settled, end, check.name, CHECK_ERROR, 1.0),)
                self._at[number] = self._keep[number] = end
            if is_raw(check) and (self.held or self.judged):
                self.fault_end = self.fault_end or (found[0].end if found else 0)
            if is_raw(check) and self.held:
                self.findings += (replace(one, start=0, end=0) for one in found)
            else:
                (self._weak if check.traits.partner_of else self._waiting).extend(found)
        if self.held and not windows[0][1].last:
            return []
        done = self._done(min(self._at))
        self.findings += done
        if self.seen is not None:  # rows stand at the end of the view, and their numbers before it in the text
            self.findings.sort(key=self.raw_start)
        return done

    def _done(self, settled: int) -> list[Finding]:
        """The findings that no continuation can change, in order. `settled`: how far every check has come."""
        waiting = (*self._waiting, *self._weak)
        if self.held:
            settled = max((finding.end for finding in waiting), default=0)
            self.settled = self.total
        else:
            # From the last to begin: what has moved `settled` back can only be overtaken by one that begins before it.
            for finding in sorted(waiting, key=attrgetter("start"), reverse=True):
                if finding.start < settled < finding.end:
                    settled = finding.start
            self.settled = max(settled, self.settled)
        done = sorted(finding for finding in self._waiting if finding.end <= settled)
        self._waiting = [finding for finding in self._waiting if finding.end > settled]
        if self._weak:
            weak = [finding for finding in self._weak if finding.end <= settled]
            self._weak = [finding for finding in self._weak if finding.end > settled]
            strong = [finding for finding in done if finding.label != CHECK_ERROR]
            done = sorted([*done, *give_way(weak, strong, self.text_of)])
        return done

    def to_quote(self) -> Lane | None:
        """Once something was found as the text stands: what may be quoted of it, as a text for `quoting`; else nothing."""
        if not self.quoting or not self.fault_end or self.quote:
            return None
        self.quote = Lane(self.channel, self.quoting, self.encoded or self.judged)
        whole = "".join(self.whole)
        self.quote.append(whole if self.judged else whole[: self.fault_end])
        self.quote.ended = True
        return self.quote

    @property
    def is_quotable(self) -> bool:
        """Whether every check that must have read what is quoted has read it."""
        return self.quote is None or self.quote.settled == self.quote.total

    def end_of(self, finding: Finding) -> int:
        """Where the text ends that was read when this finding was made."""
        return (self.fault_end or self.total) if self.held else finding.end

    def text_of(self, start: int, end: int) -> str:
        """The scanned text of a span that has not been released."""
        if self.seen is not None:
            return self.seen.text[start:end]
        return self.part(start, end)

    def stand_in(self, start: int, end: int) -> str:
        """What must stand for a span of a number, whatever the value; empty where a placeholder can stand."""
        if self.number:
            span = "".join(self.whole)[start:end]
            return stand_ins(span) if " " in span else stand_in(end - start)
        leaf = self._leaf(start)
        return stand_in(end - start) if leaf and leaf.number else ""

    def edit(self, start: int, end: int, replacement: str) -> None:
        """Puts `replacement` in place of a settled span; edits must come in order."""
        self.edits.append((start, end, self.stand_in(start, end) or replacement))

    def raw_start(self, finding: Finding) -> int:
        """Where the finding begins in the raw text; for a finding in a JSON string, where its quotes open."""
        if self.seen is None or finding.end == 0:
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
        edits = self.rewritten()
        out: list[str] = []
        at = max(start, self._skip)
        while self._next_edit < len(edits) and edits[self._next_edit][0] < end:
            low, high, replacement = edits[self._next_edit]
            out.append(self.part(at, max(at, low)) + replacement)
            at = max(at, high)
            self._next_edit += 1
        if at < end:
            out.append(self.part(at, end))
        self._skip = max(at, self._skip)
        self.released = end
        return "".join(out)

    def rewritten(self) -> list[tuple[int, int, str]]:
        """The edits of the raw text."""
        if self.seen is not None:
            if self._raw_edits is None or self.settled < self.total:
                self._raw_edits = rewrite(self.seen, self.edits, self.fitted)
            return self._raw_edits
        return [(0, self.total, self.fitted[0])] if self.fitted else self.edits

    def again(self) -> str:
        """What goes on in place of the whole text when it is said once more."""
        out: list[str] = []
        at = 0
        for low, high, replacement in self.rewritten():
            out += self.part(at, low), replacement
            at = high
        return "".join((*out, self.part(at, self.total)))
