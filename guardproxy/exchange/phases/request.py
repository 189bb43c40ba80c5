"""The request half of an exchange: reads the body, scans its texts, decides, edits, and sends it upstream.

In: the body, then scans. Out: transitions. The request is sent upstream
when all its texts are settled and its schemas have proved usable. Checks that send its texts elsewhere read it last, and checks
that only rules with `parallel` use after it was sent (`later_checks.py`).

The body that goes upstream is made in this order. First the texts are edited, because findings count in the client's own texts.
Then the plan sets the model and its parameters, so that the `fields` of a policy, which follow, have the last word about them.
Additions to the system prompt come last: no check reads them and no rule edits them. If no step changes anything, the client's
bytes go on as they came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec import structs

from guardproxy.decisions import Confirm, Retry, Stop
from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.events import Event, Opaque, Text
from guardproxy.exchange.gate.expected_schema import with_own
from guardproxy.exchange.gate.gate import Lane, QueuedFrame
from guardproxy.exchange.inputs.caching import CacheQuery
from guardproxy.exchange.inputs.data_subject import owner_of
from guardproxy.exchange.inputs.recollection import MemoryClaimed, MemoryRecalled
from guardproxy.exchange.inputs.setting import Setting
from guardproxy.exchange.inputs.transcript import (
    Refused,
    RequestReceived,
    RunScans,
    Scanned,
    SendUpstream,
)
from guardproxy.exchange.memory.use import ExchangeMemory, MemoryAsking
from guardproxy.exchange.phases.client import Client
from guardproxy.exchange.phases.guard import Guard
from guardproxy.exchange.phases.later_checks import LaterChecks
from guardproxy.exchange.phases.ledger import Ledger
from guardproxy.exchange.phases.scans import Scans
from guardproxy.exchange.phases.stage import RequestDraft
from guardproxy.exchange.phases.stages import Stages, stages_of
from guardproxy.exchange.phases.states import Over, Reading, Recalling, Sent, State, Transition, Waiting
from guardproxy.exchange.routes.attempts import Attempts
from guardproxy.gateway import about_of, conversation_of
from guardproxy.policy import BoundRules
from guardproxy.wire import Request, RequestStatement, statement_of
from guardproxy.wire.json import JsonFault


@dataclass(slots=True)
class RequestPhase:
    """The phase of a request: from its bytes to the body that goes upstream."""

    setting: Setting
    guard: Guard
    ledger: Ledger
    client: Client
    attempts: Attempts
    cache: CacheQuery | None = None
    """What to look for in the cache, once the request was sent."""
    later: LaterChecks = field(init=False)
    """The checks that read the request last, before and after it was sent."""
    _scans: Scans = field(init=False)
    _draft: RequestDraft = field(init=False)
    _stages: Stages = field(init=False)
    _is_as_sent: bool = True  # whether the decoded body is the client's, byte for byte

    def __post_init__(self) -> None:
        self._scans = Scans(self.ledger.request.gate, self.guard.editor, self.ledger.notes)
        self.later = LaterChecks(self.guard, self.ledger.notes)

    def refused(self, event: Refused) -> Transition[Over]:
        """Takes the driver's refusal."""
        self.ledger.refuse(event)
        error = DownstreamError(event.code, event.message, event.field, retry_s=event.retry_s)
        return self.client.refuse(error, event.at_s)

    def received(self, event: RequestReceived) -> Transition[Recalling | Reading | Sent | Over]:
        """Takes the body."""
        ledger, contract = self.ledger, self.setting.codec.contract
        ledger.begin(event, event.body)
        try:
            request = self._read(event.body)
            self._is_as_sent = request.frame.data == event.body
            self.guard.begin(request.model, event.language)
            ledger.describe(request, event, self._conversation(request, event))
            bound = self._bind(request, event)
            answered = contract.is_answered(self.setting.address.route)
            if subjects := bound.keeping.subjects:  # policies seal the texts
                conversation, tenant = ledger.notes.conversation, self.setting.tenant
                tree, headers = request.frame.tree, event.headers
                ledger.owner = owner_of(subjects, contract.user_fields, tree, headers, tenant, conversation)
            acts = bound.has_parallel and contract.acts(request.frame.tree)
            self.guard.forms.tree = request.frame.tree
            self.guard.bind(bound, with_own(request.shapes, bound.judging if answered else ()), acts=acts)
            side, stages = ledger.request, stages_of(bound)
            side.read = bound.reads("request")
            events: list[Event] = request.events() if side.read else [Opaque(request.frame)]
            draft = self._draft = RequestDraft(self.guard, ledger, self.attempts, request, event, events)
            self._stages = stages
            for stage in stages.read:
                stage.amend(draft)
            if draft.documents is not None and side.read:
                events = draft.documents.split(events)
            side.gate.push(self.guard.forms.in_request(events, bound) if bound.needs_tools and side.read else events)
            if side.read:
                side.gate.read_across(events, contract.limits["messages"])
            if fault := side.gate.fault:
                raise DownstreamError(fault.code, f"the request body: {fault.message}")
            for stage in stages.taken:
                stage.amend(draft)
        except DownstreamError as error:
            return self.client.refuse(error, event.at_s)
        if stages.memory:
            self.guard.memory = memory = ExchangeMemory(stages.memory)
            asking = MemoryAsking(self.setting, request, event, ledger.notes.conversation)
            return State.RECALLING, [memory.ask(asking, ledger.owner if bound.keeping.subjects else None)]
        return self._advance(bound, event.at_s)

    def recalled(self, event: MemoryRecalled) -> Transition[Recalling | Reading | Sent | Over]:
        """Takes what earlier exchanges left."""
        guard = self.guard
        if (memory := guard.memory) is not None:  # pragma: no branch - it was asked
            guard.forms.facts = memory.learn(event, guard.forms.facts)
            guard.recalled(memory, self.ledger.notes.measures.unix_s, self._draft.request.frame.tree)
        return self._advance(guard.tally.bound, event.at_s)

    def claimed(self, event: MemoryClaimed) -> Transition[Recalling | Reading | Sent | Over]:
        """Takes the approvals that this exchange claimed."""
        if (confirmations := self.guard.confirmations) is not None and confirmations.is_claiming:
            confirmations.claimed(event)
            return self._advance(self.guard.tally.bound, event.at_s)
        return State.RECALLING, []

    def scanned(self, event: Scanned) -> Transition[Recalling | Reading | Sent | Over]:
        """Takes the scans of the texts."""
        if self.later.jobs:
            return self._judged(event)
        if shortage := self.guard.shortage(self._scans.distant, event.scans):
            return self.client.no_capacity(shortage, event.at_s)
        self._scans.learn(event.scans)
        return self._advance(self.guard.tally.bound, event.at_s)

    def proved(self, event: Scanned) -> Transition[Sent | Over]:
        """Takes the scans of the schemas."""
        forms = self.guard.forms
        if shortage := self.guard.shortage(forms.jobs, event.scans):
            return self.client.no_capacity(shortage, event.at_s)
        forms.learn(event.scans)
        if forms.refused:
            return self.client.refuse(DownstreamError(ErrorCode.SCHEMA_REFUSED, forms.refused), event.at_s)
        return self._send_upstream(event.at_s)

    def checked(self, event: Scanned) -> Transition[Waiting | Over]:
        """Takes the scans of the checks that judge the request after it was sent."""
        if (ending := self._ended(event, is_sent=True)) is not None:
            return ending
        # Only now may another destination get the body: until here a parallel check could refuse it.
        self.attempts.passed()
        self.guard.tally.begin_answers()
        return State.WAITING, []

    def _judged(self, event: Scanned) -> Transition[Literal[State.PROVING] | Sent | Over]:
        """Takes the scans of the checks that read the request last before it is sent."""
        ending, entry = self._ended(event, is_sent=False), self.ledger.entry
        if ending is not None:
            return ending
        assert entry is not None  # noqa: S101 - the rules have decided about it
        return self._write(self.guard.tally.bound, entry, event.at_s)

    def _ended(self, event: Scanned, *, is_sent: bool) -> Transition[Over] | None:
        """Takes the scans of later checks; returns what follows if they end the exchange."""
        if shortage := self.guard.shortage(self.later.jobs, event.scans):
            self.later.note(event.scans)
            return self.client.no_capacity(shortage, event.at_s, cancels=is_sent)
        seen = self.later.learn(event.scans)
        self.ledger.time("request_judged", event.at_s)
        stop = self.guard.tally.most_severe(decision for decision, _, _ in seen if decision)
        if stop is None:
            return None
        assert not isinstance(stop, Confirm)  # noqa: S101 - no rule that asks a person has such a check
        return self.client.block(stop, event.at_s, "blocked_request", cancels=is_sent)

    def _read(self, body: bytes) -> Request:
        """Decodes a body. Raises `DownstreamError` if the body is not a request or exceeds the limits."""
        limits, ids = self.setting.limits, self.setting.keys.ids
        bounds = limits.request_bounds or limits.bounds
        try:
            # On the bytes, before anything decodes them: decoding is what a hostile body makes expensive.
            bounds.check(body)
            if ids is not None:
                body = ids.opened_body(body)
            self.attempts.sent_path, query = self.setting.address.sent
            request = self.setting.codec.read_request(self.attempts.sent_path, query, body)
            bounds.check_tree(request.frame.tree, self.setting.codec.contract.limits, len(body))
        except JsonFault as fault:
            raise DownstreamError(fault.code, f"the request body: {fault}") from None
        return request

    def _conversation(self, request: Request, event: RequestReceived) -> str:
        """The pseudonym of the conversation."""
        setting = self.setting
        return setting.history.conversation or conversation_of(
            setting.codec, request, setting.tenant, event.conversation, setting.keys.seal
        )

    def _bind(self, request: Request, event: RequestReceived) -> BoundRules:
        """Selects the rules for the request."""
        setting, stored = self.setting, self.setting.codec.contract.stored
        route = setting.address.route
        # What is read back was answered under the rules of another route.
        route = stored.made_by.get(route, route) if stored is not None else route
        # No policy looks at the request to see whether it applies, so nothing has to be read for that.
        if (bound := setting.policies.unconditional) is not None:
            return bound
        statement = RequestStatement()
        if setting.policies.asks_body:
            statement = statement_of(request.frame.tree, setting.codec.contract.statements)
        about = about_of(route, setting.tenant_name, request, statement, event.headers)
        return setting.policies.bind(
            route,
            request.model,
            setting.tenant_name,
            self.ledger.notes.conversation,
            about,
            known=setting.history.matched,
            demanded=setting.client.policies,
        )

    def _advance(self, bound: BoundRules, at_s: float) -> Transition[Recalling | Reading | Sent | Over]:
        ledger, guard, tally = self.ledger, self.guard, self.guard.tally
        if scan := self._scans.ask():
            return State.SCANNING, [scan]
        if guard.confirmations is not None and (claim := guard.claim(ledger.request.gate.lanes.every)) is not None:
            return State.RECALLING, [claim]
        entry = ledger.release_request(at_s)
        # All findings count, not only the first: the decision must not depend on the order of rules or texts.
        seen = [
            (tally.see(piece.lane.channel, finding) or piece.lane.stop_of(finding), piece.lane)
            for piece in entry.pieces
            for _, finding in piece.findings()
        ]
        if seen and (stop := self._stop(seen)):
            return self.client.block(stop, at_s, "blocked_request", cancels=False)
        if bound.has_later:
            sides = (ledger.request, ledger.answer.side)
            self.later.begin(ledger.request.gate, sides, lambda channel, check: not guard.is_parallel(channel, check))
            if self.later.jobs:
                return State.SCANNING, [RunScans(self.later.jobs)]
        return self._write(bound, entry, at_s)

    def _write(
        self, bound: BoundRules, entry: QueuedFrame, at_s: float
    ) -> Transition[Literal[State.PROVING] | Sent | Over]:
        """Sends the request, or says why it cannot be sent."""
        try:
            return self._written(bound, entry, at_s)
        except DownstreamError as error:
            return self.client.refuse(error, at_s)

    def _stop(self, seen: Sequence[tuple[Stop | Confirm | Retry | None, Lane]]) -> Stop | Retry | None:
        """What the most severe of the decisions about findings leads to. `seen`: each with the lane of its finding."""
        asked: dict[Confirm, Lane] = {}
        left: list[Stop | Confirm | Retry] = []
        for decision, lane in seen:
            if isinstance(decision, Confirm):
                if self.guard.passes(lane):
                    continue
                asked.setdefault(decision, lane)
            if decision is not None:
                left.append(decision)
        chosen = self.guard.tally.most_severe(left)
        return self.guard.ask(asked[chosen], chosen) if isinstance(chosen, Confirm) else chosen

    def _written(self, bound: BoundRules, entry: QueuedFrame, at_s: float) -> Transition[Literal[State.PROVING] | Sent]:
        """Writes the body that goes upstream. Raises `DownstreamError` if a policy sets a field that cannot be set."""
        ledger, draft, stages = self.ledger, self._draft, self._stages
        draft.entry = entry
        for stage in stages.decided:
            stage.amend(draft)
        # Not before: a stage has just edited excerpts, as `drop_chunk` does.
        if (cut := ledger.request.gate.lanes.cut) is not None:
            cut.join()
        draft.texts, changed = entry.texts()
        codec, plan, attempts = self.setting.codec, self.attempts.plan, self.attempts
        if stages.edited:
            changed |= self._edit(draft)
        body = codec.edited(entry.frame, draft.texts) if changed else entry.frame.data
        is_read_back = bool(self._read_back)  # such a request has no body that a stage could write
        is_again = bool(bound.judging or bound.retries) and not is_read_back
        if is_read_back and self.guard.prompts is not None:
            self.guard.prompts.hide_every_system_text()
        elif is_again or plan.changes_body or stages.built:
            # The tree of the request still holds the texts as the client sent them, so an edited body is parsed again.
            attempts.tree = codec.read_body(body) if changed else entry.frame.tree
            if self._build(draft):
                body, changed = codec.write_body(attempts.tree), True
        attempts.body = body
        ledger.notes.measures.sizes["upstream"] = len(body)
        # A digest of the same bytes is not computed twice.
        ledger.notes.measures.seals["upstream"] = (
            self.setting.keys.seal(body) if changed or not self._is_as_sent else ledger.notes.measures.seals["request"]
        )
        # What the model is asked for is read from the body as it is sent: a policy may have changed the form of the answer. A
        # schema that no check can read is refused now, and not after the model has answered.
        if is_again:
            if codec.contract.is_answered(self.setting.address.route):
                self.guard.forms.demand = codec.contract.demand(attempts.tree)
            if jobs := self.guard.forms.proofs(bound.judging):
                return State.PROVING, [RunScans(jobs)]
        return self._send_upstream(at_s)

    def _edit(self, draft: RequestDraft) -> bool:
        """Runs the stages of the edited texts. Returns whether a text changed."""
        documents, cut = draft.documents, self.ledger.request.gate.lanes.cut
        if not self.ledger.request.read:  # no check reads the request, so the gate has none of its texts
            events = draft.request.events()
            if documents is not None:
                events = documents.split(events)
                documents.take(events, {})
            draft.texts = [(text, text.text) for text in events if isinstance(text, Text) and text.excerpt is None]
        elif documents is not None and cut is not None:
            edits = {number: holder.rewrite.edits for number, holder in cut.holders.items()}
            documents.take((piece.text for piece in draft.entry.pieces), edits)
        for stage in self._stages.edited:
            stage.amend(draft)
        return any(text.text != new for text, new in draft.texts)

    def _build(self, draft: RequestDraft) -> bool:
        """Carries out the plan, and runs the stages of the tree. Returns whether it changed."""
        attempts, before = self.attempts, self.attempts.tree
        draft.tree = attempts.planned(attempts.plan) if attempts.plan.changes_body else before
        for stage in self._stages.built:
            stage.amend(draft)
        attempts.tree = draft.tree
        return draft.tree is not before

    def _send_upstream(self, at_s: float) -> Transition[Sent]:
        self.ledger.answer.began_s = at_s
        lanes = self.ledger.request.gate.lanes
        edits = sum([len(lane.rewrite.edits) for lane in lanes.every if lane.rewrite.edits])
        if lanes.cut is not None:
            edits -= sum([len(lane.rewrite.edits) for lane in lanes.cut.places])  # those of the texts that hold them
        attempts, target = self.attempts, self.attempts.plan.upstream
        for stage in self._stages.written:
            stage.amend(self._draft)
        bound, self.cache = self.guard.bound, self._draft.cache
        sending = SendUpstream(
            attempts.body,
            edits,
            target=target,
            path=attempts.path,
            cache=self.cache,
            earlier=self._earlier() if bound and bound.restores else None,
        )
        if bound and bound.has_parallel:
            sides = (self.ledger.request, self.ledger.answer.side)
            self.later.begin(self.ledger.request.gate, sides, self.guard.is_parallel)
        if jobs := self.later.jobs:
            return State.CHECKING, [structs.replace(sending, parallel=True), RunScans(jobs)]
        if attempts.failover is not None:
            attempts.passed()
        self.guard.tally.begin_answers()
        return State.WAITING, [sending]

    def _earlier(self) -> tuple[str, ...] | None:
        """The ids of the stored turns to which the request refers; `None` if no values may come back. Without a credential,
        nobody can prove whose they are."""
        stored, entry = self.setting.codec.contract.stored, self.ledger.entry
        if stored is None or entry is None or not self.setting.tenant:
            return None
        return (self._read_back,) if self._read_back else stored.referred(entry.frame.tree)

    @property
    def _read_back(self) -> str:
        """The id of the stored answer or conversation that the request reads back; empty if it asks a model."""
        stored, address = self.setting.codec.contract.stored, self.setting.address
        return stored.read_back(address.route, address.path) if stored is not None else ""
