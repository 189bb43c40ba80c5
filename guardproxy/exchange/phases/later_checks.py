"""Checks that read whole texts after all other checks have read and edited them, and rules have decided.

In: the lanes of a request or of an answer, then the scans. Out: what the rules decide. There are two reasons to read later:

- Rules with `parallel` let the upstream work already. The answer waits for the decision.
- A check with the trait `needs_masked` sends texts elsewhere. It reads them as the record shows them, and only if no other
  rule stops the exchange. The request, or the end of the answer, waits for it.

Such checks edit nothing, and the record masks nothing that they find, so the body that was sent does not depend on them.

Decisions:
- docs/decisions/0038-a-request-may-be-judged-while-the-upstream-works.md
- docs/decisions/0078-a-model-judges-what-the-record-shows.md
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import msgspec
from msgspec import structs

from guardproxy.checks import Check
from guardproxy.decisions import Confirm, Retry, Stop
from guardproxy.exchange.gate.gate import Gate, Job
from guardproxy.exchange.gate.joining import Joint
from guardproxy.exchange.gate.lanes import CHECK_ERROR, Lane
from guardproxy.exchange.gate.notes import Notes, Side
from guardproxy.exchange.phases.guard import Guard
from guardproxy.exchange.record.masking import Masks
from guardproxy.findings import Channel, Finding, MaskedCopy, Scan, Window
from guardproxy.wire.json import view

Wanted = Callable[[Channel, Check], bool]
"""Whether a check reads a text now."""


class LaterDecision(NamedTuple):
    """What a finding leads to; `None` if no rule stops, asks or retries."""

    decision: Stop | Confirm | Retry | None
    lane: Lane
    finding: Finding


class LaterChecks(msgspec.Struct):
    """The checks that read texts later. `jobs`: their scans, empty if none is under way."""

    guard: Guard
    notes: Notes
    jobs: tuple[Job, ...] = ()
    _lanes: list[Lane | Joint] = msgspec.field(default_factory=list)

    def begin(self, gate: Gate, sides: tuple[Side, ...], wanted: Wanted) -> None:
        """Takes the texts of a gate, which are complete. `sides`: those of the exchange so far; `wanted`: the checks that read
        them now."""
        copies = _Copies(self.guard, sides)
        jobs: list[Job] = []
        self._lanes.clear()
        for lane in gate.lanes.every:
            for check in lane.progress.later:
                if wanted(lane.channel, check) and not (lane.judged and check.traits.needs_masked):
                    # A part of a message leaves with the others, as their joined text.
                    copied = str if lane in gate.lanes.joints else partial(copies.of, lane)
                    jobs.append(Job(check, self._window(gate, lane, check, copied)))
                    self._lanes.append(lane)
        for joint in dict.fromkeys(gate.lanes.joints.values()):
            for check in joint.lane.progress.later:
                if wanted(joint.lane.channel, check):
                    jobs.append(
                        Job(check, self._window(gate, joint.lane, check, partial(copies.joined, joint)), joins=True)
                    )
                    self._lanes.append(joint)
        self.jobs = tuple(jobs)
        self.notes.measures.scans += len(jobs)

    def _window(self, gate: Gate, lane: Lane, check: Check, copied: Callable[[], str | None]) -> Window:
        """Returns the window of a whole text. `copied`: returns what the check may send elsewhere."""
        # No other check has read the lane, so nothing has decoded it.
        if lane.encoded and lane.text.view is None:
            lane.text.view = view(lane.text.part(0, lane.text.total))
        facts = self.guard.forms.facts_for(gate, lane, check)
        assert facts is not None  # noqa: S101 - only a check that needs a form may wait for its facts
        if check.traits.needs_masked:
            facts = replace(facts, masked=MaskedCopy(copied(), self.guard.setting.id))
        text = lane.text.view.text if lane.text.view else lane.text.part(0, lane.text.total)
        return Window(lane.channel, text, facts=facts)

    def learn(self, scans: Sequence[Scan]) -> list[LaterDecision]:
        """Takes the scans; returns what follows from each finding, in the order of the texts."""
        tally = self.guard.tally
        decisions: list[LaterDecision] = []
        self.note(scans)
        for read, job, scan in zip(self._lanes, self.jobs, scans, strict=True):
            findings = scan.findings
            # Nobody knows what the check would have found, so the finding spans the whole text, as in `Progress.learn`.
            if scan.error:
                findings = (Finding(0, len(job.window.text), job.check.name, CHECK_ERROR, 1.0),)
            shares = read.shares(findings) if isinstance(read, Joint) else {read: findings}
            for lane, its in shares.items():
                known = set(lane.progress.findings)  # a part has findings of its own text
                new = [finding for finding in its if finding not in known]
                lane.progress.add(new, lane.text)
                decisions += [LaterDecision(tally.see(lane.channel, finding), lane, finding) for finding in new]
        self.jobs = ()
        return decisions

    def note(self, scans: Sequence[Scan]) -> None:
        """Notes what models at upstreams said, for the record."""
        guard = self.guard
        for job, scan in zip(self.jobs, scans, strict=True):
            if (verdict := scan.verdict) is not None:
                channel = job.window.channel
                attempt = guard.attempt if channel.direction == "response" else 0
                # The digest is keyed: the record may show no text, and a short text could be guessed.
                question = verdict.question and guard.setting.keys.seal(verdict.question.encode())
                placed = structs.replace(
                    verdict, question=question, direction=channel.direction, path=channel.path, attempt=attempt
                )
                self.notes.measures.verdicts.append(placed)


class _Copies:
    """The texts of an exchange as the record shows them."""

    def __init__(self, guard: Guard, sides: tuple[Side, ...]) -> None:
        self._guard = guard
        self._sides = sides
        self._masks: Masks | None = None

    def of(self, lane: Lane) -> str | None:
        """Returns the text of a lane; `None` if the record cannot show it."""
        if self._masks is None:
            self._masks = Masks(True, self._sides, dict(self._guard.editor.masked_values()))
        return self._masks.masked(lane).text

    def joined(self, joint: Joint) -> str | None:
        """Returns the text of the parts of a message; `None` if the record cannot show one of them."""
        texts = [self.of(part) for part in joint.parts]
        return None if None in texts else "".join(text for text in texts if text is not None)
