"""Reads across the border of two messages of a request, so that a value which begins in one message and goes on in the next is
found.

In: the texts of a request, then the findings in a short text of both sides of a border. Out: the borders that a value may
cross, and each finding that crosses one as a finding in both messages.

A model reads messages one after another. But messages have authors, and rules may treat them differently. So they are not one
text, as the parts of a message are (`joining.py`): each side has its share of the finding, and its own rules decide about it.
Most borders are between sentences. Only where digits, a word with digits, an address or an assignment may go on, checks read up
to `SIDE_CHARS` of each side once more. So the cost is linear in the number of messages.

Decision: docs/decisions/0091-a-value-may-cross-the-border-of-two-messages.md
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from guardproxy.checks import Check
from guardproxy.events import Event, Path, Text
from guardproxy.exchange.gate.lanes import Lane, needs_whole
from guardproxy.findings import Channel, Finding, Kind
from guardproxy.redaction import PLACEHOLDER

SIDE_CHARS = 256
"""What is read of each side of a border."""
LEAST_CHARS = 4
"""Of a share of a value. A shorter one stays: it tells little, and the record would mask it in every word that holds it."""
_NEAR_CHARS = 12  # from a border, in which a group of digits begins or ends
_KINDS: frozenset[Kind] = frozenset(("user", "assistant", "tool_result"))
_LAST = re.compile(r"\S{1,64}+(?=\s{0,2}\Z)")
_FIRST = re.compile(r"\s{0,2}+(\S{1,64})")
_GOES_ON = re.compile(r"[\w@+/:=.,-]\s{0,2}\Z")  # how a text ends whose last value may go on
_BEGINS = re.compile(r"\s{0,2}+[\w@+/:=.-]")
_ASSIGNS = re.compile(r"[:=]\s{0,2}\Z")
_DIGIT = re.compile(r"\d")


def borders(events: Iterable[Event], lists: Collection[str]) -> Iterator[tuple[Channel, Channel]]:
    """Yields the texts on both sides of each border that a value may cross. `events`: those of a whole request; `lists`: the
    fields that hold messages. Items of other lists, such as the inputs of embeddings, are not read one after another."""
    before: Text | None = None
    for event in events:
        # Only a text that is sent as it is read has two sides.
        if type(event) is not Text or event.channel.kind not in _KINDS or event.encoded or event.key or event.number:
            continue
        if event.judged or event.fixed or event.parts or event.holder is not None or event.excerpt is not None:
            before = None
            continue
        if before is not None and _follows(before.path, event.path, lists) and may_cross(before.text, event.text):
            yield before.channel, event.channel
        before = event


def _follows(path: Path, other: Path, lists: Collection[str]) -> bool:
    """Whether two places are in different messages of the same list."""
    at = next((at for at, step in enumerate(path) if isinstance(step, int)), 0)
    return at > 0 and path[at - 1] in lists and len(other) > at and path[:at] == other[:at] and path[at] != other[at]


def may_cross(before: str, after: str) -> bool:
    """Whether a value may begin at the end of one text and go on at the beginning of the next."""
    tail, head = before[-SIDE_CHARS:], after[:SIDE_CHARS]
    last, first = _LAST.search(tail[-66:]), _FIRST.match(head)
    if last is None or first is None:
        return False
    # As the record of an exchange shows a value that crossed.
    if tail.endswith("]") and head.startswith("[") and PLACEHOLDER.search(tail[tail.rfind("[") :]):
        return True
    if not _GOES_ON.search(tail) or not _BEGINS.match(head):
        return False
    # No mail address has `.@` (RFC 5322, 3.2.3): that is the end of a sentence before a decorator or the name of a user.
    if last[0].endswith(".") and first[1].startswith("@"):
        return False
    if "@" in last[0] or "@" in first[1] or _ASSIGNS.search(tail):
        return True
    sides = bool(_DIGIT.search(tail[-_NEAR_CHARS:])), bool(_DIGIT.search(head[:_NEAR_CHARS]))
    return all(sides) or (
        any(sides) and tail[-1].isalnum() and head[0].isalnum()
    )  # a key, or an IBAN after its first letter


@dataclass(frozen=True, slots=True, eq=False)
class Crossing:
    """The short text of both sides of a border. `lane`: the text, which is never sent; `begin`: where it begins in the text of
    `before`; `cut`: where that ends in it; `gap`: the characters between both sides."""

    lane: Lane
    before: Lane
    after: Lane
    begin: int
    cut: int
    gap: int

    def share(self, findings: Iterable[Finding]) -> None:
        """Gives the findings that cross the border to both sides, with the findings of their own that are not settled."""
        for finding in findings:
            if finding.start < self.cut and finding.end > self.cut + self.gap:
                cut, end = self.begin + self.cut, finding.end - self.cut - self.gap
                for lane, low, high in ((self.before, finding.start + self.begin, cut), (self.after, 0, end)):
                    share = lane.text.part(low, high).strip()
                    # A mail address at the end of one message goes on with the first word of the next: that is no value.
                    if len(share) >= LEAST_CHARS and not share.isalpha():
                        lane.progress.take(replace(finding, start=low, end=high, repair=None))


def crossings(before: Lane, after: Lane) -> Iterator[Crossing]:
    """Yields what is read of a border: both sides with nothing between them, and with a space if a word may end there."""
    checks = _checks(before.progress.checks, after.progress.checks)
    if not checks or before.progress.held or after.progress.held:
        return
    total = before.text.total
    begin = max(0, total - SIDE_CHARS)
    tail, head = before.text.part(begin, total), after.text.part(0, min(after.text.total, SIDE_CHARS))
    for gap in ("", " ") if tail[-1:].isalnum() and head[:1].isalnum() else ("",):
        lane = Lane(before.channel, checks, encoded=False)
        lane.text.append(f"{tail}{gap}{head}")
        lane.text.ended = True
        yield Crossing(lane, before, after, begin, len(tail), len(gap))


def _checks(before: Sequence[Check], after: Sequence[Check]) -> tuple[Check, ...]:
    """The checks that read both sides and find values in a text for what it is. Models are not among them: what they find is
    no value that goes on."""
    return tuple(check for check in before if check in after and not needs_whole(check) and _finds_values(check))


def _finds_values(check: Check) -> bool:
    traits = check.traits
    needs_more = traits.needs_sources or traits.needs_request or traits.needs_masked or traits.needs_canary
    return not (needs_more or traits.is_slow or traits.is_raw or traits.finds_sentences)
