"""The exchange: a request and all its answers, as a state machine without sockets, threads or a clock.

`Exchange.receive(input)` returns the commands to perform (`inputs/transcript.py`). Requests and answers, whole or streamed,
pass the same kind of gate.

`phases/states.py` draws the states and the transitions between them. Each method below takes the inputs of a state, and its
type says which states follow.

Parts
    RequestPhase   reads, scans and edits the request
    AnswerPhase    decodes, gates and checks the answers, and asks for further attempts
    Client         the head, receipts and the endings
    Patience       keep-alives, and the time limit of all attempts
    Guard          the rules for the request, the editor, the tally of findings
    Ledger         notes, times, sizes; the record is composed from it

Rules that must hold
- The request is sent upstream when all its texts are settled, except for checks that only rules with `parallel` use; no byte of
  the answer is read before these have read the request.
- A frame is sent to the client when it is settled.
- At most one `RunScans` is under way. Text that arrives meanwhile joins the next window, so a slow check makes larger windows.
- Decisions are made in the order of the frames: the outcome is a function of the bytes, not of their chunks.
- The end of an answer is part of `Finish`: the client gets it only when the record is durable.

Decision: docs/decisions/0007-the-end-of-an-answer-waits-for-the-disk.md
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from guardproxy.audit import Intent, Record
from guardproxy.audit.record import RecordedRoute
from guardproxy.events import Fault
from guardproxy.exchange.gate.earlier import StoredTurn
from guardproxy.exchange.gate.notes import Side
from guardproxy.exchange.inputs.caching import CacheQuery, StoredAnswer, is_storable, stored_answer
from guardproxy.exchange.inputs.prompts import PromptChange
from guardproxy.exchange.inputs.recollection import MemoryChange, MemoryClaimed, MemoryRecalled
from guardproxy.exchange.inputs.setting import Setting
from guardproxy.exchange.inputs.transcript import (
    Aborted,
    Command,
    DataReceived,
    DownstreamGone,
    Input,
    Refused,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    Scanned,
    UpstreamFailed,
    ValuesFound,
    Waited,
)
from guardproxy.exchange.phases.answer import AnswerPhase, new_answer
from guardproxy.exchange.phases.client import Client
from guardproxy.exchange.phases.guard import Guard
from guardproxy.exchange.phases.keep_alive import Patience
from guardproxy.exchange.phases.ledger import Ledger, Size
from guardproxy.exchange.phases.request import RequestPhase
from guardproxy.exchange.phases.states import (
    TRANSITIONS,
    Answering,
    Over,
    Reading,
    Recalling,
    Sent,
    State,
    Transition,
    Waiting,
)
from guardproxy.exchange.routes.attempts import Attempts
from guardproxy.findings import Direction
from guardproxy.policy import BoundRules, Outcome
from guardproxy.policy.values import FieldChange
from guardproxy.wire import Dialect


@dataclass(slots=True)
class Exchange:
    """State machine of a request and all its answers. `receive(input)` returns the commands to perform.

    >>> exchange = Exchange(setting)
    >>> exchange.receive(RequestReceived(body))
    [RunScans(...)]
    """

    setting: Setting
    state: State = State.EXPECTING
    _guard: Guard = field(init=False)
    _ledger: Ledger = field(init=False)
    _client: Client = field(init=False)
    _patience: Patience = field(init=False)
    _request: RequestPhase = field(init=False)
    _answer: AnswerPhase = field(init=False)

    def __post_init__(self) -> None:
        setting = self.setting
        guard = self._guard = Guard(setting)
        attempts = Attempts(setting.codec, setting.history)
        # The first answer exists before an upstream begins one, so that no part needs a case for an exchange without
        # one.
        answer = new_answer(guard, 0.0)
        ledger = self._ledger = Ledger(setting, guard, attempts, guard.side(), answer)
        client = self._client = Client(setting, guard, ledger)
        self._patience = Patience(setting, ledger.notes, client, attempts)
        self._request = RequestPhase(setting, guard, ledger, client, attempts)
        self._answer = AnswerPhase(setting, guard, ledger, client, attempts, self._patience, answer)

    def receive(self, event: Input) -> list[Command]:
        """Takes an input; returns the commands that follow from it, in order.

        Ignores an input that the state does not expect, such as data of a discarded answer.
        """
        state: State
        match self.state:
            case State.HOLDING | State.ANSWERING:
                state, commands = self._answering(event)
            case State.WAITING:
                state, commands = self._waiting(event)
            case State.SCANNING:
                state, commands = self._scanning(event)
            case State.PROVING:
                state, commands = self._proving(event)
            case State.CHECKING:
                state, commands = self._checking(event)
            case State.RECALLING:
                state, commands = self._recalling(event)
            case State.EXPECTING:
                state, commands = self._expecting(event)
            case State.OVER:  # pragma: no branch - these are all states
                return []
        if state is not self.state:
            assert state in TRANSITIONS[self.state], f"{self.state} -> {state}"  # noqa: S101 - the drawing
            self.state = state
        return commands

    # A method for each state. Its type names the states that may follow.

    def _expecting(self, event: Input) -> Transition[Literal[State.EXPECTING] | Recalling | Reading | Sent | Over]:
        match event:
            case RequestReceived():
                return self._request.received(event)
            case Refused():
                return self._request.refused(event)
        return self._anytime(event) or (State.EXPECTING, [])

    def _recalling(self, event: Input) -> Transition[Recalling | Reading | Sent | Over]:
        match event:
            case MemoryRecalled():
                return self._request.recalled(event)
            case MemoryClaimed():
                return self._request.claimed(event)
        return self._anytime(event) or (State.RECALLING, [])

    def _scanning(self, event: Input) -> Transition[Recalling | Reading | Sent | Over]:
        if isinstance(event, Scanned):
            return self._request.scanned(event)
        return self._anytime(event) or (State.SCANNING, [])

    def _proving(self, event: Input) -> Transition[Literal[State.PROVING] | Sent | Over]:
        if isinstance(event, Scanned):
            return self._request.proved(event)
        return self._anytime(event) or (State.PROVING, [])

    def _checking(self, event: Input) -> Transition[Sent | Over]:
        if isinstance(event, Scanned):
            return self._request.checked(event)
        return self._anytime(event) or (State.CHECKING, [])

    def _waiting(self, event: Input) -> Transition[Waiting | Answering | Over]:
        match event:
            case ResponseStarted():
                return self._answer.started(event)
            case Waited():
                return self._answer.waited(event.at_s)
        return self._anytime(event) or (State.WAITING, [])

    def _answering(self, event: Input) -> Transition[Answering | Waiting | Over]:
        match event:
            case DataReceived():
                return self._answer.received(event)
            case Scanned():
                return self._answer.scanned(event)
            case ResponseEnded():
                return self._answer.ended(event)
            case UpstreamFailed():
                return self._answer.broken_off(event)
            case Waited():
                return self._answer.waited(event.at_s)
            case MemoryClaimed():
                return self._answer.claimed(event)
        return self._anytime(event) or (self._answer.state, [])

    def _anytime(self, event: Input) -> Transition[Waiting | Over] | None:
        """Takes an input that may come in any state; returns `None` if the state does not change."""
        match event:
            case ValuesFound():
                self._guard.editor.recall(event.groups)
            case UpstreamFailed():
                return self._answer.upstream_failed(event)
            case Aborted():
                fault, is_receiving = Fault(event.code, event.message), self._answer.is_receiving
                return self._client.fail(fault, event.at_s, event.status, cancels=is_receiving)
            case DownstreamGone():
                return self._client.gone(event.at_s)
        return None

    # Read access for callers.

    @property
    def is_over(self) -> bool:
        """Whether `Finish` was given."""
        return self.state is State.OVER

    @property
    def is_listening(self) -> bool:
        """Whether the client waits for messages that nobody announces, so that the exchange does not end by itself."""
        return self._answer.answer.held.listens

    @property
    def is_answering(self) -> bool:
        """Whether an answer is under way."""
        return self.state in (State.HOLDING, State.ANSWERING)

    @property
    def sides(self) -> dict[Direction, Side]:
        """The notes of each direction so far."""
        return self._ledger.sides

    @property
    def answers(self) -> tuple[Side, ...]:
        """The notes of each answer of the model, in order."""
        return self._ledger.answers

    @property
    def attempt(self) -> int:
        """The number of the answer that is under way, from 0."""
        return self._guard.attempt

    def for_another(self, model: str) -> tuple[Dialect, bytes]:
        """Returns the request as it went upstream first, so without redacted values, for another model: where it goes, and its
        body. Raises `DownstreamError` if the body cannot be read."""
        attempts, codec = self._ledger.attempts, self.setting.codec
        path, query = self.setting.address.sent
        path, tree = codec.turns.with_model(attempts.path or path, codec.read_body(attempts.body), model)
        return Dialect(codec, model, f"{path}?{query}" if query else path), codec.write_body(tree)

    @property
    def bound(self) -> BoundRules | None:
        """The rules for this request; `None` until it was read."""
        return self._guard.bound

    @property
    def outcomes(self) -> list[Outcome]:
        """Every rule that held so far, in order."""
        return self._guard.outcomes

    @property
    def field_changes(self) -> tuple[FieldChange, ...]:
        """What policies did with fields of the request, by their names."""
        return tuple(self._guard.fields)

    @property
    def routing(self) -> tuple[RecordedRoute, ...]:
        """What the sections `route` of the policies decided."""
        return self._ledger.routing()

    @property
    def prompt_changes(self) -> tuple[PromptChange, ...]:
        """What policies did with the system prompt, and with texts that the user did not write."""
        return tuple(self._guard.prompts.changes) if self._guard.prompts else ()

    @property
    def canary(self) -> str:
        """The secret word in the system prompt; empty if there is none."""
        return self._guard.prompts.canary if self._guard.prompts else ""

    @property
    def sensitive_values(self) -> list[str]:
        """All sensitive values that checks found so far."""
        return list(self._guard.editor.tokens)

    @property
    def is_asking(self) -> bool:
        """Whether the exchange ended with a call that waits for a person."""
        return self._guard.confirmations is not None and self._guard.confirmations.is_asking

    @property
    def size(self) -> Size:
        """The size of the exchange, by which the driver decides where the next step runs."""
        return self._ledger.size(begun=self._client.has_head)

    @property
    def intent(self) -> Intent | None:
        """The log entry to write before the first byte goes upstream, without any text; `None` if the policies turn it
        off."""
        return self._ledger.intent

    @property
    def cache(self) -> CacheQuery | None:
        """What the exchange looks for in the cache; `None` if no policy lets the cache answer, or before it was sent."""
        return self._request.cache

    def stored_answer(self, body: bytes, at_s: float) -> StoredAnswer | None:
        """The answer of an exchange that ended with `answered`, to give it again; `None` if it may not be stored. `body`: the
        upstream's bytes; `at_s`: Unix time."""
        query, answer = self._request.cache, self._answer.answer
        if query is None or not is_storable(self.setting, query, self._ledger.attempts, answer, self.outcomes):
            return None
        return stored_answer(self.setting, body, at_s, is_streamed=answer.streamed)

    @property
    def stored_turn(self) -> StoredTurn | None:
        """The values to keep for the turns that may follow the answer; `None` if there are none, or if no turn can follow."""
        return self._ledger.stored_turn()

    @property
    def memory_changes(self) -> tuple[MemoryChange, ...]:
        """What the exchange leaves for later ones, once it is over; empty if no rule needs the memory."""
        return self._ledger.memory_changes()

    def record(self, outcome: str) -> Record:
        """The record so far. The complete record is part of `Finish`."""
        return self._ledger.record(outcome)

    def patience_s(self, at_s: float) -> float | None:
        """Seconds that the driver may wait before it sends `Waited`; `None`: no limit."""
        return self._patience.wait_s(self._answer.answer, at_s)
