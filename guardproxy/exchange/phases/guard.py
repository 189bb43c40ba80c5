"""Applies the policies to an exchange: selects the checks of a text, decides about findings, and edits texts.

In: the rules for the request, once it was read. Out: the gates of both directions, and decisions about findings. All parts
of the exchange share one guard.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from guardproxy.checks import Check
from guardproxy.decisions import Confirm, Stop
from guardproxy.exchange.gate.calls import call_of
from guardproxy.exchange.gate.editing import Editor
from guardproxy.exchange.gate.expected_schema import Forms
from guardproxy.exchange.gate.gate import Gate, Job, Lane
from guardproxy.exchange.gate.notes import MissingVerdict, Side
from guardproxy.exchange.inputs.prompts import Prompts
from guardproxy.exchange.inputs.recollection import ClaimMemory
from guardproxy.exchange.inputs.setting import Setting
from guardproxy.exchange.memory.approvals import APPROVED, Confirmations
from guardproxy.exchange.memory.use import ExchangeMemory
from guardproxy.findings import Channel, Facts, Scan, ToolCall
from guardproxy.policy import BoundRules, Outcome, Tally
from guardproxy.policy.values import FieldChange
from guardproxy.redaction import NO_SHAPES, Shapes


@dataclass(slots=True)
class Guard:
    """The policies, applied to one exchange."""

    setting: Setting
    forms: Forms = field(init=False)
    editor: Editor = field(init=False)
    bound: BoundRules | None = None
    """The rules for the request; `None` until it was read."""
    tally: Tally = field(init=False)
    """Counts findings; unset until the request was read."""
    fields: list[FieldChange] = field(default_factory=list)
    """What the rules did with fields of the request, by their names."""
    shapes: Shapes = NO_SHAPES
    """The constraints that schemas of the request put on texts."""
    prompts: Prompts | None = None
    """What policies do with the system prompt; `None` if no policy has the section `prompt`."""
    memory: ExchangeMemory | None = None
    """What earlier exchanges left, and what this one leaves; `None` if no rule needs it."""
    confirmations: Confirmations | None = None
    """The calls that a person must approve; `None` if no rule asks for that."""
    acts: bool = True
    """Whether the provider may act for the request."""
    is_listening: bool = False
    """Whether the answer is a stream of messages that nobody announces, which does not end by itself."""

    def __post_init__(self) -> None:
        keys, history = self.setting.keys, self.setting.history
        contract, address = self.setting.codec.contract, self.setting.address
        # A message to a server of tools does not name the server: the route does.
        server = address.sent[0].rpartition("/")[2] if contract.calls.by_route else ""
        self.forms = Forms(contract, server=server)
        self.forms.begin_answer()
        self.editor = Editor(keys.mint, keys.hashed, history.restoring, from_system=history.restores_system)

    def begin(self, model: str, language: str) -> None:
        """Takes the facts that hold for all texts: the model that the request names, and the language if a header names it."""
        self.forms.facts = Facts(self.setting.address.route, model, language=language)

    def bind(self, bound: BoundRules, shapes: Shapes, *, acts: bool) -> None:
        """Takes the rules for the request. `acts`: whether the provider may act for it."""
        self.acts = acts
        self.bound = self.editor.bound = bound
        self.tally = Tally(bound, self.setting.codec.contract.calls.made)
        self.shapes = shapes

    def begin_prompts(self, prompts: Prompts) -> None:
        """Takes what policies do with the system prompt. Checks look for its secret word from now on."""
        self.prompts = prompts
        if canary := prompts.canary:
            self.forms.facts = replace(self.forms.facts, canary=canary)
            self.editor.hide("CANARY", canary)

    @property
    def hides(self) -> bool:
        """Whether an answer may repeat a system prompt that policies changed."""
        repeats = "system" in self.setting.codec.contract.carries["response"]
        prompts = self.prompts
        return prompts is not None and bool(prompts.hides or prompts.hides_system) and repeats

    @property
    def attempt(self) -> int:
        """The number of the answer that is under way, from 0."""
        return self.tally.attempt if self.bound else 0

    @property
    def has_retries(self) -> bool:
        """Whether a rule may ask for another answer."""
        return self.bound is not None and self.bound.retries

    @property
    def outcomes(self) -> list[Outcome]:
        """Every rule that held so far, in order."""
        return self.tally.outcomes if self.bound else []

    def discard_answer(self) -> None:
        """Forgets what the discarded answer said; the next attempt begins."""
        self.tally.next_attempt()
        self.forms.begin_answer()
        if self.confirmations is not None:
            self.confirmations.discard_answer()
        # The provider stores the next answer under another id.
        self.editor.turn.stored_id = ""

    # Calls that a person must approve.

    def recalled(self, memory: ExchangeMemory, unix_s: float, tree: Any) -> None:
        """Takes the approvals of the client. `tree`: of the request."""
        if APPROVED in memory.uses:
            beside = self.setting.codec.contract.calls.beside(tree)
            self.confirmations = Confirmations(self.setting, unix_s, beside)
            self.confirmations.learn(memory)

    def claim(self, lanes: Iterable[Lane]) -> ClaimMemory | None:
        """Returns the command that claims approvals for the calls of these lanes; `None` if there are none."""
        confirmations = self.confirmations
        if confirmations is None or not confirmations.may_claim:
            return None
        return confirmations.claim(self._call(lane) for lane in lanes if self._asks_about(lane))

    def passes(self, lane: Lane) -> bool:
        """Whether a person has approved the call of a lane."""
        assert self.confirmations is not None  # noqa: S101 - a rule asks about the call
        member = self.setting.codec.contract.calls.member_of(lane.channel.path)
        # All texts of a call share an approval, so the place is that of the call and not of the text.
        place = self.attempt, lane.channel.direction, member.call if member else lane.channel.path
        return self.confirmations.passes(place, lane, self._call(lane))

    def ask(self, lane: Lane, confirm: Confirm) -> Stop:
        """Returns the refusal of the call of a lane, which nobody has approved."""
        assert self.confirmations is not None  # noqa: S101 - a rule asks about the call
        policy = next(outcome.policy for outcome in reversed(self.outcomes) if outcome.decision is confirm)
        at = self.attempt, lane.channel.direction, lane.channel.path
        return self.confirmations.ask(at, self._call(lane), confirm, policy)

    def _call(self, lane: Lane) -> ToolCall:
        return call_of(lane, self.setting.codec.contract.calls, self.forms.server)

    def _asks_about(self, lane: Lane) -> bool:
        """Whether a rule may ask about the call of a lane: it is complete, and a check of such a rule found something."""
        channel, checks = lane.channel, {finding.check for finding in lane.progress.findings}
        if channel.kind != "tool_arguments" or channel.direction != self.tally.calls_in or not lane.text.ended:
            return False
        rules = (rule for check in checks for rule in self.tally.bound.rules_using(channel, check))
        return any(rule.enforced and isinstance(rule.decision, Confirm) for rule in rules)

    def side(self) -> Side:
        """The notes of a direction, with a new gate."""
        most = self.setting.limits.bounds.texts
        return Side(Gate(self._checks_for, self.forms.facts_for, most=most, later_for=self._later_for))

    def shortage(self, jobs: Sequence[Job], scans: Sequence[Scan]) -> MissingVerdict | None:
        """The first check of `jobs` that had no capacity, and the reason; `None` if no rule depends on such a check.

        A check that only rules in shadow mode use decides nothing. Its shortage is recorded as a failure of the check.
        """
        for job, scan in zip(jobs, scans, strict=True):
            if scan.no_capacity is not None and self._is_enforced(job):
                return MissingVerdict(job.check.name, scan.no_capacity)
        return None

    def _is_enforced(self, job: Job) -> bool:
        if self.bound is None:
            return True
        concerned = self.bound.rules_using(job.window.channel, job.check.name)
        # Without a rule that names the check, the exchange itself needs its verdict, as for the proof of a schema.
        return not concerned or any(rule.enforced for rule in concerned)

    def _later_for(self, channel: Channel) -> tuple[Check, ...]:
        """The checks of a channel that read its text after all others: those that may judge it after it was sent, and those
        that send it elsewhere. In a stream of messages that nobody announces no answer ends, so the latter read it at once, and
        fail without the text that they may send."""
        bound, answers = self.bound, channel.direction == "response"
        if bound is None or not (bound.has_parallel or bound.has_later):
            return ()
        parallel = bound.parallel_for(channel, acts=self.acts) if bound.has_parallel and not answers else ()
        if not bound.has_later or (answers and self.is_listening):
            return parallel
        return (*parallel, *[check for check in bound.later_for(channel) if check not in parallel])

    def is_parallel(self, channel: Channel, check: Check) -> bool:
        """Whether a check judges the text of a channel after it was sent."""
        bound = self.bound
        return bound is not None and bound.has_parallel and check in bound.parallel_for(channel, acts=self.acts)

    def _checks_for(self, channel: Channel) -> tuple[Check, ...]:
        checks = self.bound.checks_for(channel) if self.bound else ()
        if self.bound and (self.bound.judging or self.bound.needs_tools):
            checks = tuple(check for check in checks if self.forms.wants(check, channel))
        if channel.direction == "response" and self.editor.restores:
            return (*checks, self.editor.begin_restoring())
        return checks
