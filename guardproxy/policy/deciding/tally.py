"""Counts the findings of an exchange, and says which rules hold.

In: findings, in the order of their text in the stream, so that a decision never depends on timing. Out: the decision that
each finding leads to. Kept: the findings that rules with `and` wait for, and every rule that held.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter

import msgspec

from guardproxy.decisions import Confirm, Decision, Pass, Retry, Stop
from guardproxy.findings import Channel, Direction, Finding
from guardproxy.policy.conditions.expression import CHECK_ERROR
from guardproxy.policy.deciding.evaluate import BoundRule, BoundRules, Outcome, name_in

ON_ERROR = "on_error"


class Tally(msgspec.Struct):
    """Collects the findings of an exchange. `outcomes`: every rule that held, in order. `calls_in`: the direction in which
    tools are called. The calls of the other one were made earlier, so nobody is asked about them. `weaker`: what the last
    finding leads to if a person has approved the call."""

    bound: BoundRules
    calls_in: Direction = "response"
    outcomes: list[Outcome] = msgspec.field(default_factory=list)
    attempt: int = 0
    weaker: Retry | None = None
    _present: dict[tuple[str, str], set[str]] = msgspec.field(default_factory=dict)
    _before: dict[tuple[str, str], set[str]] = msgspec.field(default_factory=dict)  # names found in the request

    def begin_answers(self) -> None:
        """Marks the end of the request. Findings are counted for each answer separately from now on."""
        if self._present:
            self._before = {key: set(names) for key, names in self._present.items()}

    def next_attempt(self) -> None:
        """Discards an answer: its findings do not count for the next attempt."""
        self.attempt += 1
        self._present = {key: set(names) for key, names in self._before.items()}

    def see(self, channel: Channel, finding: Finding) -> Stop | Confirm | Retry | None:
        """Adds a finding. Returns the strongest decision that it leads to, or `None` if no rule stops, asks or retries."""
        stop: Stop | None = None
        confirm: Confirm | None = None
        retry: Retry | None = None
        for bound in self.bound.rules_using(channel, finding.check):
            if isinstance(bound.decision, Confirm) and channel.direction != self.calls_in:
                continue
            name = name_in(bound, finding)
            if name == CHECK_ERROR and bound.enforced:
                stop = self._apply_on_error(bound, channel, finding) or stop
            present = self._present.setdefault(bound.key, set())
            present.add(name)
            if name in bound.names_in_when and bound.rule.when.holds(present):
                self._note(bound.rule.id, bound.rule.action, bound.decision, bound, channel, finding)
                if isinstance(bound.decision, Stop) and bound.enforced:
                    stop = stop or bound.decision
                elif isinstance(bound.decision, Confirm) and bound.enforced:
                    confirm = confirm or bound.decision
                elif isinstance(bound.decision, Retry) and bound.enforced:
                    retry = retry or bound.decision
        self.weaker = retry
        return stop or confirm or retry

    def most_severe(self, decisions: Iterable[Stop | Confirm | Retry]) -> Stop | Confirm | Retry | None:
        """Returns the decision of the most severe rule, wherever its finding is in the request. A failed check comes
        before all rules, and a rule that asks a person after those that end the exchange for good."""
        order: dict[Decision, int] = {}
        for number, bound in enumerate(self.bound.rules):
            if isinstance(bound.decision, (Stop, Confirm, Retry)):
                order.setdefault(bound.decision, number)
        ranks = ((isinstance(decision, Confirm), order.get(decision, -1), decision) for decision in decisions)
        return min(ranks, key=itemgetter(0, 1), default=(False, 0, None))[2]

    def _apply_on_error(self, bound: BoundRule, channel: Channel, finding: Finding) -> Stop | None:
        """Applies a policy's `on_error` after a check that one of its rules uses has failed."""
        spec = bound.policy.checks.get(bound.names[finding.check])
        if ((spec and spec.on_error) or bound.policy.on_error) == "flag":
            self._note(ON_ERROR, "flag", Pass(ON_ERROR), bound, channel, finding)
            return None
        stop = Stop(ON_ERROR, "a check could not be completed")
        self._note(ON_ERROR, "block", stop, bound, channel, finding)
        return stop

    def _note(
        self, rule: str, action: str, decision: Decision, bound: BoundRule, channel: Channel, finding: Finding
    ) -> None:
        outcome = Outcome(bound.policy.name, rule, action, decision, bound.enforced, channel, finding, self.attempt)
        if outcome not in self.outcomes[-4:]:
            self.outcomes.append(outcome)
