"""Plays a recorded stream again piece by piece, to see which text was held back, until when, and by what.

In: a record and policies. Out: after each piece, how much of each text had arrived and how much could leave. The record keeps
no chunks, and does not need to: what is held is a function of the text alone, so pieces of any size show it, to within a
piece.

Findings come from the record, as in every replay. A check runs again to tell how far its answer is final, and nothing leaves
from within a recorded finding before that is complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import structs

from guardproxy.audit import Record
from guardproxy.audit.record import UPSTREAM_5XX
from guardproxy.events import Event, Frame, Text
from guardproxy.exchange import Exchange, RunScans, Scanned, State
from guardproxy.exchange.gate import Job
from guardproxy.findings import Channel, Finding, Scan, Window, failed_scan
from guardproxy.policy import PolicySet
from guardproxy.replay.memory import Memory

MOST_PIECES = 96
"""The number of pieces that a stream is cut into. More show no more on a page, and each costs a scan by every check."""
_DELIVERED = ("answered", UPSTREAM_5XX)
LIMIT_CHARS = 50_000
"""The text of all answers, in characters, above which a stream is not played again."""


class HoldStep(NamedTuple):
    """A moment of a stream. `attempt`: the number of the answer; `path`: of its text; `arrived`: the characters that had come,
    as the record shows them; `released`: those that could leave; `holders`: the checks that were not sure of more. `is_whole`:
    a rule may ask for another answer, so that nothing leaves before the end."""

    attempt: int
    path: str
    arrived: int
    released: int
    holders: tuple[str, ...]
    is_whole: bool


@dataclass
class Pace:
    """Cuts the answers of a replay into pieces, and notes what each piece releases. `steps`: what was noted."""

    memory: Memory
    size_chars: int
    steps: list[HoldStep] = field(default_factory=list)
    _leaving: set[int] = field(default_factory=set)  # the answers of which the client gets something
    _settled: dict[tuple[Channel, str], int] = field(default_factory=dict)  # by text and check

    def pieces(self, events: Sequence[Event]) -> Iterator[list[Event]]:
        """Yields the events of an answer in pieces of at most `size_chars` characters."""
        batch: list[Event] = []
        for event in events:
            if not isinstance(event, Text) or event.judged:
                batch.append(event)
                continue
            for start in range(0, len(event.text), self.size_chars):
                if batch:
                    yield batch
                part = event.text[start : start + self.size_chars]
                batch = [structs.replace(event, text=part, frame=Frame(b"", streamed=True))]
        yield batch

    def perform(self, command: RunScans) -> Scanned:
        """Runs the scans of a piece."""
        return Scanned(tuple(map(self.scan, command.jobs)), self.memory.at_s)

    def scan(self, job: Job) -> Scan:
        """Returns the recorded findings of a window, as far as the check is sure."""
        window, check = job.window, job.check
        if window.channel.direction == "request" or check.traits.needs_masked or not check.digest or job.joins:
            scan = self.memory.scan(job)
        else:
            scan = self._sure(window, _scan(job), self.memory.found_in(window, check.name))
        self._settled[window.channel, check.name] = scan.settled
        return scan

    def _sure(self, window: Window, scan: Scan, recorded: Sequence[Finding]) -> Scan:
        done = scan.settled
        for finding in recorded:
            if finding.start < done < finding.end and finding.start >= window.settled:
                done = finding.start
        findings = tuple(finding for finding in recorded if window.settled <= finding.start and finding.end <= done)
        state = (
            scan.state if done == scan.settled else None
        )  # a state belongs to the place up to which its scan was sure
        return structs.replace(scan, findings=findings, settled=done, keep=min(scan.keep, done), state=state)

    def note(self, exchange: Exchange, attempt: int, outcome: str = "") -> None:
        """Notes how far each text of an answer has come. `outcome`: of the exchange, once it has ended. What is released leaves
        only once nobody may ask for another answer."""
        is_whole = exchange.state == State.HOLDING
        if exchange.state == State.ANSWERING or outcome in _DELIVERED:
            self._leaving.add(attempt)
        for lane in exchange.answers[attempt].gate.lanes.every:
            arrived, released = lane.text.total, lane.rewrite.released if attempt in self._leaving else 0
            marks = {name: mark for (place, name), mark in self._settled.items() if place == lane.channel}
            least = min(marks.values(), default=arrived)
            holders = tuple(sorted(name for name, mark in marks.items() if mark == least < arrived))
            step = HoldStep(attempt, lane.channel.path, arrived, released, holders, is_whole)
            if not lane.judged and step not in self.steps[-4:]:
                self.steps.append(step)


def pace_of(record: Record, policies: PolicySet, pieces: int = MOST_PIECES) -> Pace:
    """Returns how a record is played again."""
    longest = sum(len(text.text or "") for answer in record.answers for text in answer.texts)
    return Pace(Memory(record, policies), max(1, -(-longest // pieces)))


def _scan(job: Job) -> Scan:
    """Runs a check. A check that fails on a text with placeholders is sure of nothing."""
    try:
        return job.check.scan([job.window])[0]
    except Exception as error:
        return failed_scan(job.window, error)
