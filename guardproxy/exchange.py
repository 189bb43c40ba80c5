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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from guardproxy.checks import Check
from guardproxy.decisions import Stop
from guardproxy.errors import DownstreamError
from guardproxy.events import Event, Fault, Text
from guardproxy.findings import Channel, Finding, Scan
from guardproxy.gate import CHECK_ERROR, Entry, Gate, Job, Lane, Piece
from guardproxy.placeholders import RESTORE, Restoring
from guardproxy.policy.evaluate import Bound, PolicySet, Tally
from guardproxy.record import VERSION, Side, Writer, merge, unmapped
from guardproxy.transcript import (
    Aborted,
    CancelUpstream,
    Command,
    DataReceived,
    DownstreamGone,
    Finish,
    Input,
    Refused,
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

Phase = Literal["request", "waiting", "answer", "over"]
NO_RETRY = ("x-should-retry", "false")


@dataclass(frozen=True, slots=True)
class Limits:
    """`held_chars`: text that one answer may hold back; `answer_bytes`: a whole answer, or one event of a stream."""

    held_chars: int = 2_000_000
    answer_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Setting:
    """What an exchange is handed. `mint(label, value)` makes a placeholder; `seal(data)` a keyed digest of bytes."""

    id: str
    route: str
    tenant: str
    codec: Codec
    policies: PolicySet
    mint: Callable[[str, str], str]
    seal: Callable[[bytes], str]
    limits: Limits = Limits()
    engine: str = ""


@dataclass(slots=True)
class Exchange:
    """The state of one exchange."""

    setting: Setting
    phase: Phase = "request"
    _bound: Bound | None = None
    _model: str = ""
    _stream: bool = False
    _request: Side = field(init=False)
    _answer: Side = field(init=False)
    _tally: Tally = field(init=False)
    _entry: Entry | None = None  # the request's frame
    _decoder: Decoder | None = None
    _pending: list[Job] = field(default_factory=list)
    _pending_gate: Gate | None = None
    _restoring: Restoring = field(default_factory=lambda: Restoring({}))
    _values: dict[str, str] = field(default_factory=dict)  # placeholder -> value, to restore
    _tokens: dict[str, str] = field(default_factory=dict)  # value -> placeholder, for the record
    _fault: Fault | None = None
    _fault_status: int = 502
    _ended: bool = False
    _head_sent: bool = False
    _status: int = 0
    _upstream_status: int | None = None
    _streamed: bool = False
    _times: dict[str, float] = field(default_factory=dict)
    _unix_s: float = 0.0
    _sizes: dict[str, int] = field(default_factory=dict)
    _seals: dict[str, str] = field(default_factory=dict)
    _sent: Any = field(default_factory=hashlib.sha256)
    _scans: int = 0
    _refusal: DownstreamError | None = None

    def __post_init__(self) -> None:
        self._request = Side(Gate(self._checks_for))
        self._answer = Side(Gate(self._checks_for))

    @property
    def wants_more(self) -> bool:
        """Whether more bytes of the answer can be of use now; `False` while as much is held as may be."""
        return self.phase == "answer" and not self._pending

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
                return self._events(self._decoder.feed(happened.data) if self._decoder else [], happened.at_s)
            case ResponseEnded():
                self._ended = True
                return self._events(self._decoder.end() if self._decoder else [], happened.at_s)
            case UpstreamFailed():
                return self._upstream_failed(happened)
            case Aborted():
                return self._fail(Fault(happened.code, happened.message), happened.at_s, happened.status)
            case DownstreamGone():
                return [CancelUpstream(), self._finish("client_closed", at_s=happened.at_s)]
            case Refused():
                self._time("received", happened.at_s)
                self._unix_s = happened.unix_s
                error = DownstreamError(happened.status, happened.code, happened.message, happened.field)
                return self._refuse(error, happened.at_s)

    # The request.

    def _request_received(self, happened: RequestReceived) -> list[Command]:
        self._time("received", happened.at_s)
        self._unix_s = happened.unix_s
        self._sizes["request"] = len(happened.body)
        self._seals["request"] = self.setting.seal(happened.body)
        try:
            request = self.setting.codec.read_request(happened.body)
        except DownstreamError as error:
            return self._refuse(error, happened.at_s)
        self._model, self._stream = request.model, request.stream
        self._bound = self.setting.policies.bind(self.setting.route, request.model, self.setting.tenant)
        self._tally = Tally(self._bound)
        if self._bound.refuses_unmapped and (found := _unmapped(request.events)):
            message = "the request has a field that this proxy does not know, and the policy refuses those"
            return self._refuse(DownstreamError(400, "unmapped_field", message, found), happened.at_s)
        self._request.gate.push(request.events)
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
        self._sizes["upstream"] = len(body)
        self._seals["upstream"] = self.setting.seal(body)
        self.phase = "waiting"
        return [SendUpstream(body, sum(len(lane.edits) for lane in self._request.gate.lanes))]

    # The answer.

    def _response_started(self, happened: ResponseStarted) -> list[Command]:
        self._time("upstream_answered", happened.at_s)
        self._upstream_status = self._status = happened.status
        self._streamed = happened.media_type == "text/event-stream"
        self.phase = "answer"
        if not self._streamed and happened.media_type != "application/json":
            if happened.status < 400:
                message = "the upstream answered with another content type than JSON or an event stream"
                return self._fail(Fault("upstream_content_type", message), happened.at_s)
            message = f"the upstream answered with status {happened.status} and no readable error"
            return self._fail(Fault("upstream_error", message), happened.at_s, happened.status)
        self._decoder = self.setting.codec.decoder(
            streamed=self._streamed, failed=happened.status >= 400, limit_bytes=self.setting.limits.answer_bytes
        )
        return []

    def _upstream_failed(self, happened: UpstreamFailed) -> list[Command]:
        self._fault_status = happened.status
        fault = Fault(happened.code, happened.message)
        if self.phase != "answer":
            return self._fail(fault, happened.at_s, happened.status)
        return self._events([fault], happened.at_s)

    def _events(self, events: Sequence[Event], at_s: float) -> list[Command]:
        if self._bound and self._bound.refuses_unmapped and _unmapped(events):
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
            out.append(self.setting.codec.edited(entry.frame, texts) if changed else entry.frame.data)
            if self._decoder:
                self._decoder.sent(entry.frame)
            if not self._head_sent:
                commands.append(self._head(SendHead(self._status, self._streamed), at_s))
            if entry.frame.terminal:
                data = b"".join(out)
                self._sent.update(data)
                return [*commands, *self._cancel(), self._finish("answered", data, at_s)]
        return commands + self._send(out)

    def _first_stop(self, entry: Entry) -> tuple[Piece, int, Stop] | None:
        for piece in entry.pieces:
            for at, finding in piece.findings():
                if stop := self._tally.see(piece.lane.channel, finding):
                    return piece, at, stop
        return None

    def _stop(self, entry: Entry, piece: Piece, at: int, stop: Stop, out: list[bytes], at_s: float) -> list[Command]:
        self._answer.cut = (piece.lane.index, at)
        if not self._head_sent:
            return [CancelUpstream(), *self._blocked(stop, at_s)]
        texts, _ = entry.texts(until=(piece, at))
        if any(new for _, new in texts) and (last := self.setting.codec.cut(entry.frame, texts)):
            out.append(last)
            if self._decoder:
                self._decoder.sent(replace(entry.frame, data=last))
        if self._decoder:
            out.append(self.setting.codec.filtered(self._decoder, stop.message or _because(stop)))
        data = b"".join(out)
        self._sent.update(data)
        return [CancelUpstream(), self._finish("blocked_response", data, at_s)]

    def _send(self, out: list[bytes]) -> list[Command]:
        data = b"".join(out)
        self._sent.update(data)
        self._sizes["client"] = self._sizes.get("client", 0) + len(data)
        return [SendData(data)] if data else []

    # Scanning.

    def _checks_for(self, channel: Channel) -> tuple[Check, ...]:
        checks = self._bound.checks_for(channel) if self._bound else ()
        if channel.direction == "response" and self._values:
            return (*checks, self._restoring)
        return checks

    def _pump(self, gate: Gate) -> ScanCommand | None:
        """Scans what can be scanned at once; gives the command for what needs the driver."""
        while jobs := gate.jobs():
            distant = tuple(job for job in jobs if job.check is not self._restoring)
            self._pending, self._pending_gate = jobs, gate
            if distant:
                self._scans += len(distant)
                return ScanCommand(distant)
            self._learn([])
        return None

    def _learn(self, scans: Sequence[Scan]) -> None:
        answers = iter(scans)
        merged = [
            self._restoring.scan([job.window])[0] if job.check is self._restoring else next(answers)
            for job in self._pending
        ]
        gate, self._pending, self._pending_gate = self._pending_gate, [], None
        if gate:
            for lane, found in gate.learn(merged):
                self._edit(lane, found)

    def _scanned(self, happened: Scanned) -> list[Command]:
        of_request = self._pending_gate is self._request.gate
        self._learn(happened.scans)
        return self._advance_request(happened.at_s) if of_request else self._advance_answer(happened.at_s)

    def _edit(self, lane: Lane, found: Sequence[Finding]) -> None:
        """Decides what stands for the findings' spans, in what is sent and in the record."""
        edits: list[tuple[int, int, str]] = []
        masks: list[tuple[int, int, str]] = []
        plain: set[tuple[int, int]] = set()  # spans whose value must not come back
        for finding in found:
            if finding.check == RESTORE:
                edits.append((finding.start, finding.end, RESTORE))
                continue
            if finding.label == CHECK_ERROR:
                continue
            edit = self._bound.edit(lane.channel, finding) if self._bound else None
            if edit:
                edits.append((finding.start, finding.end, finding.label))
                if not edit.restore or lane.channel.direction == "response":
                    plain.add((finding.start, finding.end))
            if edit or self._sensitive(finding):
                masks.append((finding.start, finding.end, finding.label))
        for start, end, label in merge(edits):
            text = lane.text_of(start, end)
            if label == RESTORE and text in self._values:
                lane.edit(start, end, self._values[text])
                continue
            token = self.setting.mint("VALUE" if label == RESTORE else label, text)
            lane.edit(start, end, token)
            self._tokens.setdefault(text, token)
            if not any(start <= low and high <= end for low, high in plain):
                self._values[token] = text
                self._restoring = Restoring(self._values)
        for start, end, label in merge(masks):
            text = lane.text_of(start, end)
            token = lane.stand_in(end - start) or self.setting.mint(label, text)
            lane.masks.append((start, end, token))
            self._tokens.setdefault(text, self.setting.mint(label, text))

    def _sensitive(self, finding: Finding) -> bool:
        """Whether the record must not show what was found. A check that judges whole texts says `sensitive = False`."""
        if self._bound is None:
            return True
        checks = {check.name: check for check in self._bound.checks.values()}
        return bool(getattr(checks.get(finding.check), "sensitive", True))

    # Endings.

    def _head(self, head: SendHead, at_s: float) -> SendHead:
        self._head_sent = True
        self._status = head.status
        self._time("first_byte", at_s)
        return head

    def _own(self, status: int, body: bytes, outcome: str, at_s: float, *headers: tuple[str, str]) -> list[Command]:
        head = self._head(SendHead(status, own=True, headers=headers), at_s)
        return [head, self._finish(outcome, body, at_s)]

    def _refuse(self, error: DownstreamError, at_s: float) -> list[Command]:
        self._refusal = error
        body = self.setting.codec.error(error.status, error.code, str(error), error.field)
        return self._own(error.status, body, "refused", at_s, NO_RETRY)

    def _blocked(self, stop: Stop, at_s: float) -> list[Command]:
        body = self.setting.codec.error(400, "content_filter", stop.message or _because(stop))
        outcome = "blocked_request" if self.phase == "request" else "blocked_response"
        return self._own(400, body, outcome, at_s, NO_RETRY)

    def _fail(self, fault: Fault, at_s: float, status: int = 502) -> list[Command]:
        self._fault = fault
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
        self._sizes["client"] = self._sizes.get("client", 0) + len(data)
        self.phase = "over"
        code, message = "audit_unavailable", "the record of this exchange could not be kept"
        streaming = self._head_sent and self._streamed
        failed = self.setting.codec.error_event(code, message) if streaming else self.setting.codec.error(503, code, message)
        return Finish(outcome, data, self._record(outcome), failed)

    def _time(self, name: str, at_s: float) -> None:
        self._times.setdefault(name, at_s)

    def _record(self, outcome: str) -> dict[str, Any]:
        bound, seen = self._bound, self._decoder.seen if self._decoder else None
        writer = Writer(bound is not None and bound.keep != "none", self._tokens)
        outcomes = self._tally.outcomes if bound else []
        sides = (self._request, self._answer)
        began = self._times.get("received", 0.0)
        names = sorted({check.name: check.digest for check in bound.checks.values()}.items()) if bound else []
        record: dict[str, Any] = {
            "v": VERSION,
            "id": self.setting.id,
            "at": self._unix_s,
            "engine": self.setting.engine,
            "tenant": self.setting.tenant,
            "route": self.setting.route,
            "codec": self.setting.codec.name,
            "model": writer.scrub(self._model),
            "stream": self._stream,
            "policies": self.setting.policies.digest,
            "checks": dict(names),
            "outcome": outcome,
            "status": self._status,
            "rules": sorted({one.rule for one in outcomes if one.enforced}),
            "shadow": sorted({one.rule for one in outcomes if not one.enforced}),
            "decisions": writer.decisions(outcomes, sides),
            "request": {
                "body": writer.request_body(self._entry) if self._entry and writer.keep else None,
                "texts": writer.texts(self._request),
                "uninspected": list(self._request.uninspected),
                "unmapped": [writer.scrub(path) for path in unmapped(self._request)],
            },
            "response": {
                "status": self._upstream_status,
                "streamed": self._streamed,
                "texts": writer.texts(self._answer),
                "runs": writer.runs(self._answer),
                "uninspected": list(self._answer.uninspected),
                "unmapped": [writer.scrub(path) for path in unmapped(self._answer)],
                "model": seen.model if seen else "",
                "finish": seen.finish if seen else [],
            },
            "usage": seen.usage if seen else {},
            "bytes": self._sizes,
            "seals": {**self._seals, "client": self.setting.seal(self._sent.digest())},
            "scans": self._scans,
            "timings": {
                name: round((at_s - began) * 1000, 3) for name, at_s in self._times.items() if name != "received"
            },
        }
        if self._answer.cut:
            lane, at = self._answer.cut
            wire = writer.masked(self._answer.gate.lanes[lane]).wire
            record["response"]["cut"] = [lane, wire.translate(at)]
        if self._refusal:
            record["error"] = {"code": self._refusal.code, "field": self._refusal.field}
        elif self._fault:
            record["error"] = {"code": self._fault.code, "message": self._fault.message}
        return record


def _because(stop: Stop) -> str:
    return f"stopped by the policy rule `{stop.rule}`"


def _unmapped(events: Sequence[Event]) -> str | None:
    return next(
        (event.channel.path for event in events if isinstance(event, Text) and event.channel.kind == "unmapped"), None
    )
