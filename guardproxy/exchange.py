"""The exchange: one request and everything answered to it, as a machine without sockets, threads or clock.

`receive(input)` gives the commands that follow (`transcript.py`). Phases: `request` (its texts are scanned), `waiting` (sent
upstream), `answer` (the answer flows through a gate), `over`. Request and answer, whole or streamed, pass the same gate.

Rules that must hold
- Nothing is sent upstream before every text of the request is settled, and nothing to the client before its frame is.
- At most one `Scan` is under way; what arrives meanwhile joins the next window, so a slow check makes larger windows.
- Everything is decided in the order of the frames: the outcome is a function of the bytes, not of their chunks.
- The end of an answer travels in `Finish`: the client sees it only when the record is durable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from guardproxy.checks import Check
from guardproxy.decisions import Stop
from guardproxy.editing import Editor
from guardproxy.errors import DownstreamError
from guardproxy.events import Event, Fault, Opaque
from guardproxy.findings import Channel, Direction, Scan
from guardproxy.gate import Entry, Gate, Job, Piece
from guardproxy.offsets import moved
from guardproxy.placeholders import Restoring
from guardproxy.policy.evaluate import Bound, Outcome, PolicySet, Tally
from guardproxy.record import Notes, Side, compose
from guardproxy.shapes import NO_SHAPES, Shapes
from guardproxy.transcript import (
    Aborted,
    CancelUpstream,
    Command,
    DataReceived,
    DownstreamGone,
    Finish,
    Input,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    Scanned,
    SendData,
    SendHead,
    SendUpstream,
    UpstreamFailed,
)
from guardproxy.transcript import Scan as ScanCommand
from guardproxy.wire import Codec, Decoder
from guardproxy.wire.decoding import unmapped

Phase = Literal["request", "waiting", "answer", "over"]
NO_RETRY = ("x-should-retry", "false")  # SDKs send a refused request again else, twice
RETRY_SOON = ("Retry-After", "1")


@dataclass(frozen=True, slots=True)
class Limits:
    """`held_chars`: text that one answer may hold back; `answer_bytes`: a whole answer, or one event of a stream."""

    held_chars: int = 2_000_000
    answer_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Setting:
    """What an exchange is handed. `mint(label, value)` makes a placeholder; `seal(data)` a keyed digest of bytes;
    `restoring(values)` the check that finds placeholders; `hashed(hash_type, value)` the keyed hash of a value."""

    id: str
    route: str
    tenant: str
    codec: Codec
    policies: PolicySet
    mint: Callable[[str, str], str]
    seal: Callable[[bytes], str]
    limits: Limits = Limits()
    engine: str = ""
    restoring: Callable[[Mapping[str, str]], Check] = Restoring
    hashed: Callable[[str, str], str] = field(kw_only=True)


@dataclass(slots=True)
class Exchange:
    """The state of one exchange."""

    setting: Setting
    phase: Phase = "request"
    _bound: Bound | None = None
    _request: Side = field(init=False)
    _answer: Side = field(init=False)
    _tally: Tally = field(init=False)
    _entry: Entry | None = None  # the request's frame
    _shapes: Shapes = NO_SHAPES
    _decoder: Decoder = field(init=False)
    _pending: list[Job] = field(default_factory=list)
    _pending_gate: Gate | None = None
    _editor: Editor = field(init=False)
    _notes: Notes = field(default_factory=Notes)
    _fault_status: int = 502
    _ended: bool = False
    _head_sent: bool = False
    _sent: Any = field(default_factory=hashlib.sha256)

    def __post_init__(self) -> None:
        self._request = Side(Gate(self._checks_for))
        self._answer = Side(Gate(self._checks_for))
        self._editor = Editor(self.setting.mint, self.setting.hashed, self.setting.restoring)
        self._decoder = self.setting.codec.decoder(streamed=False, failed=True, limit_bytes=0)  # until an answer begins

    @property
    def sides(self) -> dict[Direction, Side]:
        """What is known of each direction so far."""
        return {"request": self._request, "response": self._answer}

    @property
    def found(self) -> list[str]:
        """Every value that a check found so far."""
        return list(self._editor.tokens)

    @property
    def outcomes(self) -> list[Outcome]:
        """Every rule that held so far, in order."""
        return self._tally.outcomes if self._bound else []

    def record(self, outcome: str) -> dict[str, Any]:
        """The record as it stands; a `Finish` carries the last one."""
        self._notes.seals["client"] = self.setting.seal(self._sent.digest())
        about = {
            "id": self.setting.id,
            "engine": self.setting.engine,
            "tenant": self.setting.tenant,
            "route": self.setting.route,
            "codec": self.setting.codec.name,
            "policies": self.setting.policies.digest,
            "outcome": outcome,
        }
        sides = (self._request, self._answer)
        tokens, seen = self._editor.tokens, self._decoder.seen
        return compose(about, self._notes, self._bound, self.outcomes, sides, self._entry, tokens, seen)

    def receive(self, happened: Input) -> list[Command]:
        """Takes one input; gives the commands that follow from it, in order."""
        if self.phase == "over":
            return []
        match happened:
            case RequestReceived():
                return self._request_received(happened)
            case Scanned():
                return self._scanned(happened)
            case ResponseStarted():
                return self._response_started(happened)
            case DataReceived():
                return self._events(self._decoder.feed(happened.data), happened.at_s)
            case ResponseEnded():
                self._ended = True
                return self._events(self._decoder.end(), happened.at_s)
            case UpstreamFailed():
                return self._upstream_failed(happened)
            case Aborted():
                return self._fail(Fault(happened.code, happened.message), happened.at_s, happened.status)
            case DownstreamGone():
                return [CancelUpstream(), self._finish("client_closed", at_s=happened.at_s)]
            case _:  # Refused
                self._time("received", happened.at_s)
                self._notes.unix_s = happened.unix_s
                error = DownstreamError(happened.status, happened.code, happened.message, happened.field)
                return self._refuse(error, happened.at_s)

    # The request.

    def _request_received(self, happened: RequestReceived) -> list[Command]:
        self._time("received", happened.at_s)
        self._notes.unix_s = happened.unix_s
        self._notes.sizes["request"] = len(happened.body)
        self._notes.seals["request"] = self.setting.seal(happened.body)
        try:
            request = self.setting.codec.read_request(happened.body)
        except DownstreamError as error:
            return self._refuse(error, happened.at_s)
        self._notes.model, self._notes.stream, self._shapes = request.model, request.stream, request.shapes
        self._bound = self.setting.policies.bind(self.setting.route, request.model, self.setting.tenant)
        self._tally = Tally(self._bound)
        self._editor.bound = self._bound
        self._request.read = self._bound.reads("request")
        events = request.events() if self._request.read else [Opaque(request.frame)]
        if self._bound.refuses_unmapped and (found := unmapped(events)):
            message = "the request has a field that this proxy does not know, and the policy refuses those"
            return self._refuse(DownstreamError(400, "unmapped_field", message, found), happened.at_s)
        self._request.gate.push(events)
        return self._advance_request(happened.at_s)

    def _advance_request(self, at_s: float) -> list[Command]:
        if scan := self._pump(self._request.gate):
            return [scan]
        self._time("request_scanned", at_s)
        self._entry = next(self._request.gate.release())
        self._request.note(self._entry)
        stop = None
        for piece in self._entry.pieces:
            for _, finding in piece.findings():
                stop = self._tally.see(piece.lane.channel, finding) or stop
        if stop:
            return self._blocked(stop, at_s)
        texts, changed = self._entry.texts()
        body = self.setting.codec.edited(self._entry.frame, texts) if changed else self._entry.frame.data
        self._notes.sizes["upstream"] = len(body)
        self._notes.seals["upstream"] = self.setting.seal(body) if changed else self._notes.seals["request"]
        self.phase = "waiting"
        return [SendUpstream(body, sum(len(lane.edits) for lane in self._request.gate.lanes))]

    # The answer.

    def _response_started(self, happened: ResponseStarted) -> list[Command]:
        self._time("upstream_answered", happened.at_s)
        self._notes.upstream_status = self._notes.status = happened.status
        self._notes.streamed = happened.media_type == "text/event-stream"
        self.phase = "answer"
        if not self._notes.streamed and happened.media_type != "application/json":
            if happened.status < 400:
                message = "the upstream answered with another content type than JSON or an event stream"
                return self._fail(Fault("upstream_content_type", message), happened.at_s)
            message = f"the upstream answered with status {happened.status} and no readable error"
            return self._fail(Fault("upstream_error", message), happened.at_s, happened.status)
        self._answer.read = bool(self._bound and self._bound.reads("response")) or bool(self._editor.values)
        self._decoder = self.setting.codec.decoder(
            streamed=self._notes.streamed,
            failed=happened.status >= 400,
            limit_bytes=self.setting.limits.answer_bytes,
            read=self._answer.read,
            guarded=bool(self._bound and self._bound.guards),
            shapes=self._shapes,
        )
        return []

    def _upstream_failed(self, happened: UpstreamFailed) -> list[Command]:
        self._fault_status = happened.status
        fault = Fault(happened.code, happened.message)
        if self.phase != "answer":
            return self._fail(fault, happened.at_s, happened.status)
        return self._events([fault], happened.at_s)

    def _events(self, events: Sequence[Event], at_s: float) -> list[Command]:
        if self._bound and self._bound.refuses_unmapped and unmapped(events):
            events = [Fault("unmapped_field", "the answer has a field that this proxy does not know")]
        self._answer.gate.push(events)
        return self._advance_answer(at_s)

    def _advance_answer(self, at_s: float) -> list[Command]:
        if self._pending:
            return []
        gate = self._answer.gate
        scan = self._pump(gate)
        commands = self._release(at_s)
        if self.phase == "over":
            return commands
        if scan:
            return [*commands, scan]
        if gate.fault:
            return commands + self._fail(gate.fault, at_s, self._fault_status)
        if gate.held > self.setting.limits.held_chars:
            message = "more text had to be held back than the limit allows"
            return commands + self._fail(Fault("hold_limit", message), at_s)
        if self._ended and gate.empty:
            return [*commands, self._finish("answered", at_s=at_s)]
        return commands

    def _release(self, at_s: float) -> list[Command]:
        """Sends what may leave, in order, up to the first finding that stops the answer."""
        commands: list[Command] = []
        out: list[bytes] = []
        for entry in self._answer.gate.release():
            self._answer.note(entry)
            if stopped := self._first_stop(entry):
                return commands + self._stop(entry, *stopped, out, at_s)
            texts, changed = entry.texts()
            places = moved(entry.frame, self._answer.gate, self._request.gate)
            edited = (
                self.setting.codec.edited(entry.frame, [*texts, *places]) if changed or places else entry.frame.data
            )
            out.append(edited)
            self._decoder.sent(entry.frame)
            if not self._head_sent:
                commands.append(self._head(SendHead(self._notes.status, self._notes.streamed), at_s))
            if entry.frame.terminal:
                data = b"".join(out)
                self._sent.update(data)
                return [*commands, *self._cancel(), self._finish("answered", data, at_s)]
        return commands + self._send(out)

    def _first_stop(self, entry: Entry) -> tuple[Piece, int, Stop] | None:
        for piece in entry.pieces:
            for at, finding in piece.findings():
                if stop := self._tally.see(piece.lane.channel, finding) or piece.lane.stops.get(finding):
                    return piece, at, stop
        return None

    def _stop(self, entry: Entry, piece: Piece, at: int, stop: Stop, out: list[bytes], at_s: float) -> list[Command]:
        if not self._head_sent:
            return [CancelUpstream(), *self._blocked(stop, at_s)]
        texts, _ = entry.texts(until=(piece, at))
        if any(new for _, new in texts) and (last := self.setting.codec.cut(entry.frame, texts)):
            out.append(last)
            self._decoder.sent(replace(entry.frame, data=last))
        out.append(self.setting.codec.filtered(self._decoder, stop.message or _because(stop)))
        data = b"".join(out)
        self._sent.update(data)
        return [CancelUpstream(), self._finish("blocked_response", data, at_s)]

    def _send(self, out: list[bytes]) -> list[Command]:
        data = b"".join(out)
        self._sent.update(data)
        self._notes.sizes["client"] = self._notes.sizes.get("client", 0) + len(data)
        return [SendData(data)] if data else []

    # Scanning.

    def _checks_for(self, channel: Channel) -> tuple[Check, ...]:
        checks = self._bound.checks_for(channel) if self._bound else ()
        if channel.direction == "response" and self._editor.values:
            return (*checks, self._editor.restoring)
        return checks

    def _pump(self, gate: Gate) -> ScanCommand | None:
        """Scans what can be scanned at once; gives the command for what needs the driver."""
        while jobs := gate.jobs():
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
        if gate:
            for lane, found in gate.learn(merged):
                self._editor.edit(lane, found)

    def _scanned(self, happened: Scanned) -> list[Command]:
        of_request = self._pending_gate is self._request.gate
        self._learn(happened.scans)
        return self._advance_request(happened.at_s) if of_request else self._advance_answer(happened.at_s)

    # Endings.

    def _head(self, head: SendHead, at_s: float) -> SendHead:
        self._head_sent = True
        self._notes.status = head.status
        self._time("first_byte", at_s)
        return head

    def _own(self, status: int, body: bytes, outcome: str, at_s: float, *headers: tuple[str, str]) -> list[Command]:
        head = self._head(SendHead(status, own=True, headers=headers), at_s)
        return [head, self._finish(outcome, body, at_s)]

    def _refuse(self, error: DownstreamError, at_s: float) -> list[Command]:
        self._notes.refusal = error
        body = self.setting.codec.error(error.status, error.code, str(error), error.field)
        return self._own(error.status, body, "refused", at_s, RETRY_SOON if error.status == 503 else NO_RETRY)

    def _blocked(self, stop: Stop, at_s: float) -> list[Command]:
        body = self.setting.codec.error(400, "content_filter", stop.message or _because(stop))
        outcome = "blocked_request" if self.phase == "request" else "blocked_response"
        return self._own(400, body, outcome, at_s, NO_RETRY)

    def _fail(self, fault: Fault, at_s: float, status: int = 502) -> list[Command]:
        self._notes.fault = fault
        if self._head_sent:
            data = self.setting.codec.error_event(fault.code, fault.message)
            self._sent.update(data)
            return [CancelUpstream(), self._finish(fault.code, data, at_s)]
        body = self.setting.codec.error(status, fault.code, fault.message)
        return [*self._cancel(), *self._own(status, body, fault.code, at_s)]

    def _cancel(self) -> list[Command]:
        return [CancelUpstream()] if self.phase == "answer" and not self._ended else []

    def _finish(self, outcome: str, data: bytes = b"", at_s: float = 0.0) -> Finish:
        self._time("finished", at_s)
        self._notes.sizes["client"] = self._notes.sizes.get("client", 0) + len(data)
        self.phase = "over"
        code, message = "audit_unavailable", "the record of this exchange could not be kept"
        codec, streaming = self.setting.codec, self._head_sent and self._notes.streamed
        failed = codec.error_event(code, message) if streaming else codec.error(503, code, message)
        return Finish(outcome, data, self.record(outcome), failed)

    def _time(self, name: str, at_s: float) -> None:
        self._notes.times.setdefault(name, at_s)


def _because(stop: Stop) -> str:
    return f"stopped by the policy rule `{stop.rule}`"
