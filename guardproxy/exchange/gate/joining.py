"""Reads the parts of a message as one text, so that a value which is split over two parts is found and redacted.

In: the lanes of the parts of a run (`Text.run`), and a lane with the joined text for the same checks; then the findings in each
of them. Out: the findings, edits and masks of each part, and how far it is settled. A model or a client reads the parts one
after another, with nothing between them or apart. So each part is read alone, too: a word behind the border hides no value
before it.

Rules that must hold
- A finding of either reading counts. Findings that overlap become one edit, which is made in the joined text.
- A part is settled up to the place up to which both readings are, so a part of a stream leaves when the next part has shown
  that no value goes on in it.
- A value that is split becomes a placeholder in the part in which it begins, and is removed from the parts behind it. Each of
  these parts has a finding.
- The cost is linear in the length of the text and in the number of parts.

Decision: docs/decisions/0060-the-parts-of-a-message-are-one-text.md
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from guardproxy.exchange.gate.lanes import Lane, in_front
from guardproxy.findings import Finding
from guardproxy.redaction import RESTORE, WITHHELD

FILLER = "."
"""Stands in a part of a request from which an edit removes every letter: some APIs refuse a part without text."""
_Key = tuple[str, str]  # the check and the label of a finding


@dataclass(slots=True, eq=False)
class Joint:
    """The parts of a run. `lane`: the joined text, which is never sent. `is_complete`: whether no part follows."""

    lane: Lane
    is_read: bool = field(init=False)  # whether checks read the joined text
    parts: list[Lane] = field(default_factory=list)
    is_complete: bool = False
    _starts: list[int] = field(default_factory=list)  # where each part begins in the joined text
    _alone: list[int] = field(default_factory=list)  # how far each part is settled alone
    _numbers: dict[Lane, int] = field(default_factory=dict)  # of the parts
    _first: int = 0  # the number of the first part that is not settled as a whole
    _settled: int = 0  # the place in the joined text up to which the parts are settled
    _waiting: tuple[list[Finding], ...] = field(
        default_factory=lambda: ([], [], [])
    )  # joined, alone, allowed; not settled

    def __post_init__(self) -> None:
        self.is_read = bool(self.lane.progress.checks)

    def add(self, part: Lane) -> None:
        """Adds the next part, with its text so far."""
        self._numbers[part] = len(self.parts)
        self._starts.append(self.lane.text.total)
        self._alone.append(part.progress.settled)
        self.parts.append(part)
        self.lane.text.append(part.text.part(0, part.text.total))
        if len(self.parts) == 1:
            self._settled = part.progress.settled

    def is_last(self, part: Lane) -> bool:
        """Whether the joined text ends with a part."""
        return self.is_complete and part is self.parts[-1]

    def shares(self, findings: Iterable[Finding]) -> dict[Lane, Sequence[Finding]]:
        """The findings in the joined text as findings in each part."""
        shares: dict[Lane, list[Finding]] = {}
        for finding in findings:
            for part, start, end in self._slices(finding.start, finding.end):
                shares.setdefault(part, []).append(replace(finding, start=start, end=end, repair=None))
        return {part: tuple(its) for part, its in shares.items()}

    def learn(self, lane: Lane, findings: Sequence[Finding]) -> None:
        """Takes the newly settled findings of a part or of the joined text."""
        joined, alone, allowed = self._waiting
        if lane is self.lane:
            joined += [finding for finding in findings if finding.start >= self._settled]  # not those of the first part
            allowed += lane.progress.allowed
            lane.progress.allowed.clear()
            for part, grounds in self.shares(lane.progress.grounds).items():
                part.progress.grounds += grounds
            lane.progress.grounds.clear()
            return
        number = self._numbers[lane]
        begin = self._starts[number]
        alone += [replace(finding, start=finding.start + begin, end=finding.end + begin) for finding in findings]
        # The part takes these for settled, and would leave with them. They wait here until the joined text is settled as
        # far: a finding across two parts may replace them.
        lane.progress.take_back(findings)
        self._alone[number] = lane.progress.settled
        lane.progress.settled = max(0, self._settled - begin)

    def merge(self) -> list[Finding]:
        """Merges what both readings have found in the text that both have settled, and gives it to the parts. Returns it as
        findings in the joined text."""
        settled = self._place()
        (joined, alone, allowed), waiting = zip(*(_parted(each, settled) for each in self._waiting), strict=True)
        self._waiting = waiting
        # A check that reads a part alone sees only the end of such a finding, so what it found there gives way. Within a
        # part both readings saw the same text, and the stricter one counts.
        crossing = list(filter(self._crosses, (*joined, *allowed)))
        merged = _strictest([*joined, *_not_within(alone, crossing)])
        for part, findings in self.shares(merged).items():
            part.progress.findings += findings
        self._settle(settled)
        return merged

    def _place(self) -> int:
        """The place up to which both readings are settled. It lies in no finding."""
        while self._first < len(self.parts):
            part = self.parts[self._first]
            if not part.text.ended or self._alone[self._first] < part.text.total:
                break
            self._first += 1
        settled = self.lane.progress.settled
        if self._first < len(self.parts):
            settled = min(settled, self._starts[self._first] + self._alone[self._first])
        return max(self._settled, in_front([finding for each in self._waiting for finding in each], settled))

    def _settle(self, settled: int) -> None:
        """Notes how far the parts are settled."""
        for part, _, end in self._slices(self._settled, settled):
            part.progress.settled = end
        self._settled = settled

    def hand_out(self) -> None:
        """Gives the edits and masks of the joined text to the parts."""
        rewrite = self.lane.rewrite
        for start, end, replacement in rewrite.edits:
            # The replacement is written once, in the first part. In the others the span goes.
            for number, (part, low, high) in enumerate(self._slices(start, end)):
                its = replacement if number == 0 else FILLER if self._is_emptied(part, high) else ""
                part.rewrite.edits.append((low, high, its))
        for start, end, token in rewrite.masks:
            for part, low, high in self._slices(start, end):
                part.rewrite.masks.append((low, high, token))
        rewrite.edits.clear()
        rewrite.masks.clear()

    def _slices(self, start: int, end: int) -> Iterator[tuple[Lane, int, int]]:
        """The parts that a span of the joined text touches, each with the span in it."""
        number = bisect_right(self._starts, start) - 1
        while True:
            part, begin = self.parts[number], self._starts[number]
            yield part, max(0, start - begin), min(part.text.total, end - begin)
            number += 1
            if number == len(self.parts) or self._starts[number] >= end:
                return

    def _crosses(self, finding: Finding) -> bool:
        """Whether a finding lies in more than one part."""
        return bisect_right(self._starts, finding.start) < bisect_right(self._starts, finding.end - 1)

    def _is_emptied(self, part: Lane, end: int) -> bool:
        """Whether an edit of the beginning of a part, up to `end`, leaves nothing in a request but spaces."""
        rest = part.text.part(end, part.text.total)
        return self.lane.channel.direction == "request" and (not rest or rest.isspace())


def _parted(findings: Sequence[Finding], place: int) -> tuple[list[Finding], list[Finding]]:
    """The findings that end up to a place, and the others."""
    if not findings:
        return [], []
    return [each for each in findings if each.end <= place], [each for each in findings if each.end > place]


def _not_within(findings: Iterable[Finding], others: Iterable[Finding]) -> Iterator[Finding]:
    """The findings that do not lie within those `others` of the same check and label that overlap or touch."""
    spans: dict[_Key, tuple[list[int], list[int]]] = {}
    for other in sorted(others):
        starts, ends = spans.setdefault((other.check, other.label), ([], []))
        if ends and other.start <= ends[-1]:
            ends[-1] = max(ends[-1], other.end)
        else:
            starts.append(other.start)
            ends.append(other.end)
    for finding in findings:
        starts, ends = spans.get((finding.check, finding.label), ([], []))
        at = bisect_right(starts, finding.start) - 1
        if at < 0 or finding.end > ends[at]:
            yield finding


def _strictest(findings: Sequence[Finding]) -> list[Finding]:
    """Sorts findings and leaves out repetitions. Of those that differ in their scores, the highest score counts; of a
    placeholder that one reading restores and another does not, the one that does not; of those of a check and label that lie
    within each other, the longest, unless another has a higher score: a record shows them at the same place."""
    withheld = {(finding.start, finding.end) for finding in findings if finding.label in WITHHELD}
    longest: dict[_Key, Finding] = {}
    strictest: list[Finding] = []
    for finding in sorted(findings, key=lambda finding: (finding.start, -finding.end, -finding.score)):
        if finding.check == RESTORE and finding.label not in WITHHELD and (finding.start, finding.end) in withheld:
            continue
        before = longest.get((finding.check, finding.label))
        if before is not None and finding.end <= before.end and finding.score <= before.score:
            continue
        if before is None or finding.end > before.end:
            longest[finding.check, finding.label] = finding
        strictest.append(finding)
    return sorted(strictest)
