"""What both halves of an exchange share: its state, the scanning of texts, what leaves for the client, the ways it ends.

`exchange.py` reads the request and is what others see; `answering.py` handles the answers. Both derive from `Machine`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from guardproxy import wire
from guardproxy.checks import Check
from guardproxy.decisions import Retry, Stop
from guardproxy.errors import NO_CAPACITY, DownstreamError, Shortage
from guardproxy.events import Fault
from guardproxy.exchange import receipt
from guardproxy.exchange.attempts import Answer, Attempts
from guardproxy.exchange.editing import Editor
from guardproxy.exchange.forms import Forms
from guardproxy.exchange.gate import Entry, Gate, Job
from guardproxy.exchange.notes import Notes, Side
from guardproxy.exchange.recording import compose
from guardproxy.exchange.setting import Setting
from guardproxy.exchange.transcript import CancelUpstream, Command, Finish, SendData, SendHead
from guardproxy.exchange.transcript import Scan as ScanCommand
from guardproxy.findings import Channel, Direction, Scan
from guardproxy.policy import Bound, Outcome, Tally
from guardproxy.redaction import NO_SHAPES, Shapes

Phase = Literal["request", "waiting", "answer", "over"]
RETRY_STATUS = (429, 503)  # the same request may go through a moment later
NO_RETRY = ("x-should-retry", "false")  # SDKs send a refused request again else, twice
RETRY_SOON = ("Retry-After", "1")


@dataclass(frozen=True, slots=True)
class Size:
    """How large an exchange is: texts of the request and of the answer, sensitive values, bytes of both, characters of the
    answer that are held back. `begun`: the head of the answer was sent. `restorable`: values that may come back in it."""

    request_texts: int = 0
    answer_texts: int = 0
    values: int = 0
    request_bytes: int = 0
    answer_bytes: int = 0
    held_chars: int = 0
    begun: bool = True
    restorable: int = 0


@dataclass(slots=True)
class Machine:
    """The state of one exchange."""

    setting: Setting
    phase: Phase = "request"
    _bound: Bound | None = None
    _request: Side = field(init=False)
    _answer: Answer = field(init=False)
    _attempts: Attempts = field(init=False)
    _forms: Forms = field(init=False)
    _tally: Tally = field(init=False)
    _entry: Entry | None = None  # the request's frame
    _shapes: Shapes = NO_SHAPES
    _pending: list[Job] = field(default_factory=list)
    _pending_gate: Gate | None = None
    _editor: Editor = field(init=False)
    _notes: Notes = field(default_factory=Notes)
    _fault_status: int = 502
    _head_sent: bool = False
    _request_told: list[str] = field(default_factory=list)  # what receipts say of the request
    _shown: bool = False  # some of an answer was sent, not only signs of life
    _sent: Any = field(default_factory=hashlib.sha256)

    def __post_init__(self) -> None:
        name = self.setting.codec.name
        setting = self.setting
        keys, history = setting.keys, setting.history
        self._editor = Editor(keys.mint, keys.hashed, history.restoring, from_system=history.restores_system)
        self._attempts = Attempts(name, history)
        self._forms = Forms(name)
        self._request = self._side()
        self._answer = self._next_answer(0.0)

    def _side(self) -> Side:
        gate = Gate(self._checks_for, most=self.setting.limits.bounds.texts)
        gate.facts_for = lambda lane, check: self._forms.facts_for(gate, lane, check)
        return Side(gate)

    def _next_answer(self, at_s: float) -> Answer:
        decoder = self.setting.codec.decoder(streamed=False, failed=True, limit_bytes=0)  # until an answer begins
        return Answer(self._side(), decoder, at_s)

    @property
    def sides(self) -> dict[Direction, Side]:
        """What is known of each direction so far."""
        return {"request": self._request, "response": self._answer.side}

    @property
    def attempt(self) -> int:
        """Which answer of the model is under way, from 0."""
        return self._tally.attempt if self._bound else 0

    @property
    def answers(self) -> tuple[Side, ...]:
        """What is known of each answer of the model, in their order."""
        return (*(attempt.side for attempt in self._attempts.earlier), self._answer.side)

    @property
    def bound(self) -> Bound | None:
        """The rules for this request, once it was read."""
        return self._bound

    @property
    def found(self) -> list[str]:
        """Every value that a check found so far."""
        return list(self._editor.tokens)

    @property
    def outcomes(self) -> list[Outcome]:
        """Every rule that held so far, in order."""
        return self._tally.outcomes if self._bound else []

    @property
    def intent(self) -> dict[str, Any] | None:
        """What the log keeps before the first byte goes upstream, without any text; `None` where the policies say so."""
        if self._bound is not None and not self._bound.intent:
            return None
        return intent(self.setting, self._notes.unix_s, self._notes.seals)

    def record(self, outcome: str) -> dict[str, Any]:
        """The record as it stands; a `Finish` carries the last one."""
        self._notes.seals["client"] = self.setting.keys.seal(self._sent.digest())
        about = {
            "id": self.setting.id,
            "engine": self.setting.engine,
            "tenant": self.setting.tenant,
            **({} if self.setting.tenant_name is None else {"tenant_name": self.setting.tenant_name}),
            "route": self.setting.route,
            "codec": self.setting.codec.name,
            "policies": self.setting.policies.digest,
            "outcome": outcome,
        }
        sides = (self._request, self._answer.side)
        attempts = self._attempts.every(self._answer, outcome, self._notes.times.get("finished", 0.0))
        tokens, seen = self._editor.tokens, self._answer.decoder.seen
        record = compose(about, self._notes, self._bound, self.outcomes, sides, self._entry, tokens, seen, attempts)
        return {**record, "restore": self._editor.told()}

    # Scanning.

    def _checks_for(self, channel: Channel) -> tuple[Check, ...]:
        checks = self._bound.checks_for(channel) if self._bound else ()
        if self._bound and self._bound.judging:
            checks = tuple(check for check in checks if self._forms.wants(check, channel))
        if channel.direction == "response" and self._editor.values:
            return (*checks, self._editor.restoring)
        return checks

    def _pump(self, gate: Gate, *, all_text: bool = False) -> ScanCommand | None:
        """Scans what can be scanned at once; gives the command for what needs the driver. `all_text`: see `Gate.jobs`."""
        while jobs := gate.jobs(all_text=all_text):
            distant = tuple(job for job in jobs if job.check is not self._editor.restoring)
            self._pending, self._pending_gate = jobs, gate
            if distant:
                self._notes.scans += len(distant)
                return ScanCommand(distant)
            self._learn([])
        return None

    def _learn(self, scans: Sequence[Scan]) -> None:
        answers = iter(scans)
        merged = [
            job.check.scan([job.window])[0] if job.check is self._editor.restoring else next(answers)
            for job in self._pending
        ]
        gate, self._pending, self._pending_gate = self._pending_gate, [], None
        assert gate is not None  # noqa: S101 - jobs come from a gate
        for lane, found in gate.learn(merged):
            self._editor.edit(lane, found)

    def _unanswered(self, jobs: Sequence[Job], scans: Sequence[Scan]) -> tuple[str, Shortage] | None:
        """The first check of `jobs` that gave no verdict for want of capacity, and why; `None` where none matters. A check that
        only rules in shadow mode count on decides nothing, so its silence is recorded as its failure and changes nothing."""
        for job, scan in zip(jobs, scans, strict=True):
            if scan.no_capacity is not None and self._is_enforced(job):
                return job.check.name, scan.no_capacity
        return None

    def _is_enforced(self, job: Job) -> bool:
        if self._bound is None:
            return True
        concerned = self._bound.concerned(job.window.channel, job.check.name)
        return not concerned or any(bound.enforced for bound in concerned)

    def _no_capacity(self, check: str, shortage: Shortage, at_s: float) -> list[Command]:
        """Ends the exchange because a check gave no verdict: nothing was decided, so the client may send the request again."""
        self._notes.no_capacity = check, shortage
        self._pending, self._pending_gate = [], None
        status = 429 if shortage is Shortage.SHARE else 503
        message = (
            f"the proxy is overloaded and cannot check this text now ({shortage.value}); send the request again later"
        )
        return self._fail(Fault(NO_CAPACITY, message), at_s, status)

    # What leaves for the client.

    def _begin(self, at_s: float) -> list[Command]:
        """The head of the upstream's answer, once."""
        if self._head_sent:
            return []
        receipt = self._receipt("" if self._notes.streamed else "answered")
        return [self._head(SendHead(self._notes.status, self._notes.streamed, receipt=receipt), at_s)]

    def _send(self, data: bytes) -> list[Command]:
        self._sent.update(data)
        self._notes.sizes["client"] = self._notes.sizes.get("client", 0) + len(data)
        return [SendData(data)] if data else []

    @property
    def size(self) -> Size:
        """How large the exchange is, for whoever decides where its next step runs."""
        return Size(
            len(self._request.gate.lanes),
            len(self._answer.side.gate.lanes),
            len(self._editor.tokens),
            self._notes.sizes.get("request", 0),
            self._answer.size_bytes,
            self._answer.side.gate.held + self._answer.held_chars,
            self._head_sent,
            len(self._editor.values),
        )

    def _receipt(self, outcome: str) -> str:
        """What the client is told with the head of its answer; of a stream, without `outcome`, the request's part."""
        about = (self.setting.id, self.setting.policies.digest)
        if not self.setting.receipts:
            return ""
        if self._bound is None:
            return receipt.refused(*about, outcome)
        known: Mapping[Direction, Side] = {"request": self._request}
        if outcome and self._notes.upstream_status is not None:
            known = self.sides
        if self.phase != "request" and not self._request_told:  # nothing changes there any more
            self._request_told = receipt.members_of("request", self._request)
        told: Mapping[Direction, list[str]] = {"request": self._request_told} if self._request_told else {}
        return receipt.receipt(*about, outcome, known, self.outcomes, self.attempt + 1, told)

    def _trailer(self, outcome: str) -> bytes:
        """The same at the end of a stream, before what ends it in its dialect."""
        streaming = self.setting.receipts and self._notes.streamed
        return receipt.comment(self._receipt(outcome)) if streaming else b""

    # Endings.

    def _head(self, head: SendHead, at_s: float) -> SendHead:
        self._head_sent = True
        self._notes.status = head.status
        self._time("first_byte", at_s)
        return head

    def _own(self, status: int, body: bytes, outcome: str, at_s: float, *headers: tuple[str, str]) -> list[Command]:
        head = self._head(SendHead(status, own=True, headers=headers, receipt=self._receipt(outcome)), at_s)
        return [head, self._finish(outcome, body, at_s)]

    def _last(self, outcome: str, data: bytes, at_s: float) -> list[Command]:
        """The end of an answer that has begun."""
        self._sent.update(data)
        return [CancelUpstream(), self._finish(outcome, data, at_s)]

    def _refuse(self, error: DownstreamError, at_s: float) -> list[Command]:
        self._notes.refusal = error
        body = self.setting.codec.error(error.status, error.code, str(error), error.field)
        soon = RETRY_SOON if error.retry_s is None else ("Retry-After", str(error.retry_s))
        return self._own(error.status, body, "refused", at_s, soon if error.status in RETRY_STATUS else NO_RETRY)

    def _blocked(self, stop: Stop | Retry, at_s: float) -> list[Command]:
        """A refusal of which nothing was sent yet, but for signs of life."""
        codec, message = self.setting.codec, stop.message or because(stop)
        outcome = "blocked_request" if self.phase == "request" else "blocked_response"
        if self._head_sent:
            nothing = codec.decoder(streamed=True, failed=False, limit_bytes=0)
            opening = wire.opening(codec.name, self._notes.model)
            return self._last(outcome, opening + self._trailer(outcome) + codec.filtered(nothing, message), at_s)
        cancel: list[Command] = [] if self.phase == "request" else [CancelUpstream()]
        return [*cancel, *self._own(400, codec.error(400, "content_filter", message), outcome, at_s, NO_RETRY)]

    def _fail(self, fault: Fault, at_s: float, status: int = 502) -> list[Command]:
        self._notes.fault = fault
        if self._head_sent:
            ending = self.setting.codec.error_event(fault.code, fault.message)
            return self._last(fault.code, self._trailer(fault.code) + ending, at_s)
        body = self.setting.codec.error(status, fault.code, fault.message)
        soon = (RETRY_SOON,) if fault.code == NO_CAPACITY else ()
        return [*self._cancel(), *self._own(status, body, fault.code, at_s, *soon)]

    def _cancel(self) -> list[Command]:
        return [CancelUpstream()] if self.phase == "answer" and not self._answer.ended else []

    def _finish(self, outcome: str, data: bytes = b"", at_s: float = 0.0) -> Finish:
        self._time("finished", at_s)
        self._notes.sizes["client"] = self._notes.sizes.get("client", 0) + len(data)
        self.phase = "over"
        code, message = "audit_unavailable", "the record of this exchange could not be kept"
        codec, streaming = self.setting.codec, self._head_sent and self._notes.streamed
        failed = codec.error_event(code, message) if streaming else codec.error(503, code, message)
        return Finish(outcome, data, partial(self.record, outcome), failed)

    def _time(self, name: str, at_s: float) -> None:
        self._notes.times.setdefault(name, at_s)


def intent(setting: Setting, unix_s: float, seals: Mapping[str, str]) -> dict[str, Any]:
    """The record of an exchange that is about to go upstream: who, where, when, under which policies; no text."""
    return {
        "kind": "intent",
        "v": 1,
        "id": setting.id,
        "at": unix_s,
        "engine": setting.engine,
        "tenant": setting.tenant,
        "route": setting.route,
        "policies": setting.policies.digest,
        "seals": {name: seals[name] for name in ("request", "upstream") if name in seals},
    }


def because(stop: Stop | Retry) -> str:
    return f"stopped by the policy rule `{stop.rule}`"
