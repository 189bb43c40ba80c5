"""Checks a request that was sent: the checks of rules with `parallel` read its texts while the upstream already works.

In: the lanes of the request, then the scans. Out: the decision of the rules. Such rules edit nothing, and the record masks
nothing that such checks find, so the body that was sent does not depend on them. The answer waits for the decision.

Decision: docs/decisions/0038-a-request-may-be-judged-while-the-upstream-works.md
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from guardproxy.checks import Check
from guardproxy.decisions import Confirm, Retry, Stop
from guardproxy.exchange.gate.gate import Gate, Job
from guardproxy.exchange.gate.joining import Joint
from guardproxy.exchange.gate.lanes import CHECK_ERROR, Lane
from guardproxy.exchange.gate.notes import Notes
from guardproxy.exchange.phases.guard import Guard
from guardproxy.findings import Finding, Scan, Window
from guardproxy.wire.json import view


class ParallelChecks(msgspec.Struct):
    """The checks that read a request after it was sent. `jobs`: their scans, empty if there are none."""

    guard: Guard
    notes: Notes
    jobs: tuple[Job, ...] = ()
    _lanes: list[Lane | Joint] = msgspec.field(default_factory=list)

    def begin(self, gate: Gate) -> None:
        """Takes the texts of the request."""
        jobs = []
        for lane in gate.lanes.every:
            if lane.progress.parallel and lane.encoded and lane.text.view is None:
                lane.text.view = view(lane.text.part(0, lane.text.total))
            for check in lane.progress.parallel:
                jobs.append(Job(check, self._window(gate, lane, check)))
                self._lanes.append(lane)
        for joint in dict.fromkeys(gate.lanes.joints.values()):
            for check in joint.lane.progress.parallel:
                jobs.append(Job(check, self._window(gate, joint.lane, check), joins=True))
                self._lanes.append(joint)
        self.jobs = tuple(jobs)
        self.notes.measures.scans += len(jobs)

    def _window(self, gate: Gate, lane: Lane, check: Check) -> Window:
        text = lane.text.view.text if lane.text.view else lane.text.part(0, lane.text.total)
        facts = self.guard.forms.facts_for(gate, lane, check)
        assert facts is not None  # noqa: S101 - only a check that needs a form may wait for its facts
        return Window(lane.channel, text, facts=facts)

    def learn(self, scans: Sequence[Scan]) -> Stop | Retry | None:
        """Takes the scans; returns the decision of the most severe rule that stops the exchange, if any."""
        tally, seen = self.guard.tally, []
        for read, job, scan in zip(self._lanes, self.jobs, scans, strict=True):
            findings = scan.findings
            if scan.error:
                findings = (Finding(0, len(job.window.text), job.check.name, CHECK_ERROR, 1.0),)
            shares = read.shares(findings) if isinstance(read, Joint) else {read: findings}
            for lane, its in shares.items():
                known = set(lane.progress.findings)  # a part has findings of its own text
                new = [finding for finding in its if finding not in known]
                lane.progress.add(new, lane.text)
                seen += [tally.see(lane.channel, finding) for finding in new]
        self.jobs = ()
        stop = tally.most_severe(decision for decision in seen if decision)
        assert not isinstance(stop, Confirm)  # noqa: S101 - the checks of such a rule never run beside
        return stop
