"""The notes that an exchange makes while it runs. They are the only input of the record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from guardproxy.audit import Intent, Owner, Record
from guardproxy.audit.record import RecordedRoute
from guardproxy.decisions import merge_plans
from guardproxy.exchange.gate.earlier import StoredTurn, recorded_values
from guardproxy.exchange.gate.gate import QueuedFrame
from guardproxy.exchange.gate.notes import DutyNotes, Notes, Side
from guardproxy.exchange.inputs.recollection import MemoryChange
from guardproxy.exchange.inputs.setting import Setting
from guardproxy.exchange.inputs.transcript import Refused, RequestReceived, ResponseStarted
from guardproxy.exchange.memory.use import MemoryEnding
from guardproxy.exchange.phases.guard import Guard
from guardproxy.exchange.record.masking import Masks
from guardproxy.exchange.record.recording import NO_OWNER, NOTHING_ASKED, Origin, compose, intent, recorded_feedback
from guardproxy.exchange.routes.attempts import Answer, Attempts, tokens_of
from guardproxy.exchange.routes.routing import RouteChoice
from guardproxy.findings import Direction
from guardproxy.gateway import NO_PRICES, Refusal, priced, prices_of
from guardproxy.harmless import is_harmless
from guardproxy.policy.sections import SECTIONS
from guardproxy.policy.usage import PriceList
from guardproxy.redaction import altered_placeholders
from guardproxy.wire import FEEDBACK, Request
from guardproxy.wire.json import is_word, plain


class Size(msgspec.Struct, frozen=True):
    """The size of an exchange, by which the driver decides where the next step runs.

    `values`: the number of sensitive values, with those of earlier turns. `held_chars`: the number of characters of the answer
    that are held back. `begun`: whether the head of the answer was sent. `restorable`: the number of values that may be
    restored in the answer.
    """

    request_texts: int = 0
    answer_texts: int = 0
    values: int = 0
    request_bytes: int = 0
    answer_bytes: int = 0
    held_chars: int = 0
    begun: bool = True
    restorable: int = 0


class Ledger(msgspec.Struct):
    """The notes of one exchange: sizes, times, seals, texts, answers of the model."""

    setting: Setting
    guard: Guard
    attempts: Attempts
    request: Side
    answer: Answer
    """The answer that is under way."""
    notes: Notes = msgspec.field(default_factory=Notes)
    entry: QueuedFrame | None = None
    """The request's frame, once it was released."""
    choices: tuple[RouteChoice, ...] = ()
    """What the sections `route` of the policies decided."""
    owner: Owner = NO_OWNER
    """Whose key seals the texts, if policies seal them."""
    _sent: Any = msgspec.field(default_factory=hashlib.sha256)
    _origin: Origin | None = None

    def begin(self, event: RequestReceived | Refused, body: bytes | None = None) -> None:
        """Notes the time of the request, the answers of the gateway's store, and the refusals of its duties. `body`: that of
        the request, `None` if the driver refused it."""
        self.time("received", event.at_s)
        self.notes.measures.unix_s = event.unix_s
        if event.answers or event.refusals:
            self.notes.duties = DutyNotes(event.answers, event.refusals)
        if body is not None:
            self.notes.measures.sizes["request"] = len(body)
            self.notes.measures.seals["request"] = self.setting.keys.seal(body)

    def refuse(self, event: Refused) -> None:
        """Notes a refusal of the driver. No check has read the name of the model, so it is noted only if it is harmless."""
        self.begin(event)
        if is_word(event.model) and is_harmless(event.model):
            self.notes.duties = self.notes.duties._replace(model=event.model)

    def note_refusal(self, refusal: Refusal) -> None:
        """Notes that a policy refuses the request, or would refuse it if it were enforced."""
        duties = self.notes.duties
        self.notes.duties = duties._replace(refusals=(*duties.refusals, refusal))

    def describe(self, request: Request, event: RequestReceived, conversation: str) -> None:
        """Notes what the request asks for, and where the gateway plans to send it. `conversation`: its pseudonym."""
        notes = self.notes
        notes.model, notes.stream, notes.language = request.model, request.stream, event.language
        notes.conversation = conversation
        self.attempts.plan = notes.plan = merge_plans(event.plans)

    def release_request(self, at_s: float) -> QueuedFrame:
        """Takes the request's frame out of its gate, once all its texts are scanned."""
        self.time("request_scanned", at_s)
        # A request is a single frame.
        entry = self.entry = next(self.request.gate.release())
        self.request.note(entry)
        return entry

    def begin_answer(self, answer: Answer) -> None:
        """Takes the answer that is under way from now on."""
        self.answer = answer
        self.notes.upstream_status = answer.status

    def note_head(self, event: ResponseStarted, *, streamed: bool) -> None:
        """Notes the head of the upstream's answer. `streamed`: whether its body is a stream."""
        self.time("upstream_answered", event.at_s)
        self.answer.status = self.notes.upstream_status = event.status
        self.answer.streamed = streamed
        self.notes.measures.cache = event.cache or self.notes.measures.cache

    def time(self, name: str, at_s: float) -> None:
        """Notes the first time of something that happened."""
        times = self.notes.measures.times
        if name not in times:
            times[name] = at_s

    def spent_s(self, at_s: float) -> float:
        """Seconds since the request came."""
        return at_s - self.notes.measures.times.get("received", at_s)

    def sent(self, data: bytes, *, sealed: bool = True) -> None:
        """Notes bytes that go to the client. `sealed`: whether they belong to an answer of the model."""
        if sealed:
            self._sent.update(data)
        sizes = self.notes.measures.sizes
        sizes["client"] = len(data) + (sizes["client"] if "client" in sizes else 0)  # noqa: SIM401 - a step of the hot path

    @property
    def sides(self) -> dict[Direction, Side]:
        """The notes of each direction."""
        return {"request": self.request, "response": self.answer.side}

    @property
    def answers(self) -> tuple[Side, ...]:
        """The notes of each answer of the model, in order."""
        return (*(attempt.side for attempt in self.attempts.earlier), self.answer.side)

    def size(self, *, begun: bool) -> Size:
        """The size of the exchange. `begun`: whether the head of the answer was sent."""
        answer, editor, sizes = self.answer, self.guard.editor, self.notes.measures.sizes
        asked, answered = self.request.gate.lanes.every, answer.side.gate.lanes.every
        tokens, values = editor.tokens, editor.values
        # Most of it is empty without rules, and this is asked for each input.
        restorable = len(values) if values else 0
        known = len(tokens) if tokens else 0
        return Size(
            len(asked) if asked else 0,
            len(answered) if answered else 0,
            known + restorable if editor.turn.earlier else known,
            sizes["request"] if "request" in sizes else 0,  # noqa: SIM401 - a step of the hot path
            answer.size_bytes,
            answer.side.gate.held + answer.held.chars,
            begun,
            restorable,
        )

    @property
    def intent(self) -> Intent | None:
        """The log entry to write before the first byte goes upstream, without any text; `None` if the policies turn it
        off."""
        if self.guard.bound is not None and not self.guard.bound.intent:
            return None
        return intent(self._identity(), self.notes.measures.unix_s, self.notes.measures.seals)

    def _identity(self) -> Origin:
        """The identity of the exchange, which its log entries share."""
        if self._origin is None:
            self._origin = self.setting.origin
        return self._origin

    def stored_turn(self) -> StoredTurn | None:
        """The values to keep for the turns that may follow the answer; `None` if there are none, or if no turn can follow. An
        answer of the cache is no exception: the cache finds only answers to requests with the same placeholders."""
        turn, answer, entry = self.guard.editor.turn, self.answer, self.entry
        stored = self.setting.codec.contract.stored
        if stored is None or entry is None or answer.status != 200 or not self.setting.tenant:
            return None
        if self.setting.address.route in stored.made_by:  # to read a turn again does not keep it for longer
            return None
        tree = entry.frame.tree if self.attempts.tree is None else self.attempts.tree  # as a policy changed it
        conversations = stored.referred(tree, lasting=True)
        is_named = bool(turn.stored_id or conversations)
        # With `store: false` the provider keeps nothing, so no later turn can refer to this one.
        groups = turn.given() if is_named and tree.get("store") is not False else ()
        return StoredTurn(id=turn.stored_id, conversations=conversations, groups=groups) if groups else None

    def memory_changes(self) -> tuple[MemoryChange, ...]:
        """What the exchange leaves for later ones."""
        memory, answer, attempts = self.guard.memory, self.answer, self.attempts
        if memory is None or memory.asking is None:
            return ()
        sent = self.entry.frame.tree if self.entry is not None else None
        tree = sent if attempts.tree is None else attempts.tree  # as a policy changed it
        stored_id = self.guard.editor.turn.stored_id
        answers = (*(attempt.side for attempt in attempts.earlier), answer.side)
        ending = MemoryEnding(
            memory,
            memory.asking,
            self.request,
            answers,
            tree,
            answer.status,
            stored_id,
            self.guard.forms.sources,
            is_sent="upstream" in self.notes.measures.sizes and not self.notes.measures.is_blocked,
            is_delivered=self.notes.measures.is_delivered,
            shown=self._shown(),
            confirmations=self.guard.confirmations,
        )
        return memory.changes(ending)

    def _shown(self) -> Callable[[str], str] | None:
        """What removes sensitive values from a text; `None` if policies keep no texts in the clear."""
        bound, editor = self.guard.bound, self.guard.editor
        if bound is None or bound.keeping.keep in ("none", "sealed"):
            return None
        return Masks(True, (self.request, *self.answers), dict(editor.masked_values())).scrub

    def record(self, outcome: str) -> Record:
        """The record so far."""
        notes, guard, answer = self.notes, self.guard, self.answer
        notes.measures.seals["client"] = self.setting.keys.seal(self._sent.digest())
        record = compose(
            self._identity(),
            outcome,
            notes,
            bound=guard.bound,
            outcomes=guard.outcomes,
            sides=(self.request, answer.side),
            entry=self.entry,
            tokens=guard.editor.masked_values(),
            seen=answer.decoder.seen,
            attempts=self.attempts.every(answer, outcome, notes.measures.times.get("finished", 0.0)),
            restore=guard.editor.restored_places(),
            fields=guard.fields,
            owner=self.owner,
            of_tasks=self._of_tasks(outcome),
            asked=guard.confirmations.found if guard.confirmations is not None else NOTHING_ASKED,
        )
        prices = self.setting.limits.prices
        of_policies = prices_of(guard.bound) if guard.bound is not None and guard.bound.sections else ()
        is_priced = (prices is not None or of_policies) and self.setting.codec is not FEEDBACK  # no model answers that
        return self._priced(record, of_policies) if is_priced else record

    def _of_tasks(self, outcome: str) -> dict[str, Any]:
        """What sections of policies, values of earlier turns and the client's feedback add to the record, as its members."""
        bound, prompts, members = self.guard.bound, self.guard.prompts, dict[str, Any]()
        if self.guard.editor.restores:
            members |= self._of_values()
        if self.guard.memory is not None:
            members["recalled"] = self.guard.memory.recorded()
            members["unrecalled"] = not self.guard.memory.is_reached
        if self.choices:
            members["routing"] = self.routing()
        if prompts is not None:
            members["prompts"] = prompts.recorded()
        if bound is not None and bound.sections and outcome == "answered":
            for name, sections in bound.sections.items():
                members |= SECTIONS[name].recorded(sections, self.setting.id)
        if self.setting.codec is FEEDBACK and self.entry is not None:
            members["feedback"] = recorded_feedback(plain(self.entry.frame.tree))
        return members

    def _of_values(self) -> dict[str, Any]:
        """What the record says about values of earlier turns, and about placeholders that the model changed."""
        editor, members = self.guard.editor, dict[str, Any]()
        if editor.turn.earlier:
            members["earlier"] = tuple(recorded_values(group, tokens) for group, tokens in editor.turn.groups_met())
        if editor.values:
            lanes = [lane for lane in self.answer.side.gate.lanes.every if not lane.judged]
            # The end of a text that broke off may be the beginning of a placeholder, and is not settled.
            texts = (lane.text.scanned(0, lane.progress.settled) for lane in lanes)
            if changed := altered_placeholders(texts, editor.values):
                members["altered"] = changed
        return members

    def _priced(self, record: Record, of_policies: Sequence[PriceList]) -> Record:
        """The record with the cost of the exchange. If a rule falls back to another model, the higher price counts."""
        plans = (self.notes.plan, self.attempts.plan)
        models = tuple(dict.fromkeys(plan.model or self.notes.model for plan in plans))
        prices = self.setting.limits.prices or NO_PRICES
        return priced(record, self.setting.codec.contract, prices, models, of_policies)

    def routing(self) -> tuple[RecordedRoute, ...]:
        """What the sections `route` decided, with what that saved."""
        if not self.choices:
            return ()
        answer, attempts, tokens = self.answer, self.attempts, None
        if answer.status == 200:
            usage, contract = answer.decoder.seen.usage, self.setting.codec.contract
            tokens = tokens_of(contract, usage, answer.chars(), len(attempts.body), cut=False)
        return tuple(choice.recorded(attempts.plan, tokens) for choice in self.choices)
