"""The exchange: one request and everything answered to it, as a machine without sockets, threads or clock.

`receive(input)` gives the commands that follow (`transcript.py`). Phases: `request` (its texts are scanned), `waiting` (sent
upstream), `answer` (the answer flows through a gate), `over`. Request and answer, whole or streamed, pass the same gate. An
answer that a rule wants again is discarded, unsent, and the phase is `waiting` once more (`answering.py`).

Rules that must hold
- Nothing is sent upstream before every text of the request is settled, and nothing to the client before its frame is.
- At most one `Scan` is under way; what arrives meanwhile joins the next window, so a slow check makes larger windows.
- Everything is decided in the order of the frames: the outcome is a function of the bytes, not of their chunks.
- The end of an answer travels in `Finish`: the client sees it only when the record is durable.
"""

from __future__ import annotations

from dataclasses import dataclass

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.events import Fault, Opaque
from guardproxy.exchange.answering import Answering
from guardproxy.exchange.forms import with_own
from guardproxy.exchange.machine import Limits, Setting
from guardproxy.exchange.transcript import (
    Aborted,
    CancelUpstream,
    Command,
    DataReceived,
    DownstreamGone,
    Input,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    Scanned,
    SendUpstream,
    UpstreamFailed,
    Waited,
)
from guardproxy.exchange.transcript import Scan as ScanCommand
from guardproxy.findings import Facts
from guardproxy.policy import About, Bound, Tally
from guardproxy.wire import UNINSPECTED, Request, RequestStatement, statement_of, uninspected, unmapped
from guardproxy.wire.json import JsonFault, read

__all__ = ["Exchange", "Limits", "Setting"]


@dataclass(slots=True)
class Exchange(Answering):
    """One exchange."""

    _proving: bool = False  # whether the request's schemas can be used is being found out

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
                self._answer.size_bytes += len(happened.data)
                return self._events(self._answer.decoder.feed(happened.data), happened.at_s)
            case ResponseEnded():
                self._answer.ended = True
                return self._events(self._answer.decoder.end(), happened.at_s)
            case UpstreamFailed():
                return self._upstream_failed(happened)
            case Aborted():
                return self._fail(Fault(happened.code, happened.message), happened.at_s, happened.status)
            case Waited():
                return self._waited(happened.at_s)
            case DownstreamGone():
                return [CancelUpstream(), self._finish("client_closed", at_s=happened.at_s)]
            case _:  # Refused
                self._time("received", happened.at_s)
                self._notes.unix_s = happened.unix_s
                self._notes.answers = happened.answers
                error = DownstreamError(happened.code, happened.message, happened.field, retry_s=happened.retry_s)
                return self._refuse(error, happened.at_s)

    # The request.

    def _request_received(self, happened: RequestReceived) -> list[Command]:
        self._time("received", happened.at_s)
        self._notes.unix_s = happened.unix_s
        self._notes.answers = happened.answers
        self._notes.sizes["request"] = len(happened.body)
        self._notes.seals["request"] = self.setting.seal(happened.body)
        try:
            request = self._read(happened.body)
        except DownstreamError as error:
            return self._refuse(error, happened.at_s)
        self._notes.model, self._notes.stream = request.model, request.stream
        self._notes.language = happened.language
        self._forms.facts = Facts(self.setting.route, request.model, language=happened.language)
        self._notes.conversation = self._conversation(request, happened)
        self._bound = self._bind(request, happened)
        self._shapes = with_own(
            request.shapes, self._bound.judging if self.setting.codec.contract.is_answered(self.setting.route) else ()
        )
        self._tally = Tally(self._bound)
        self._editor.bound = self._bound
        self._request.read = self._bound.reads("request")
        events = request.events() if self._request.read else [Opaque(request.frame)]
        if self._bound.refuses_unmapped and (found := unmapped(events)):
            message = "the request has a field that this proxy does not know, and the policy refuses those"
            return self._refuse(DownstreamError(ErrorCode.UNMAPPED_FIELD, message, found), happened.at_s)
        if refused := uninspected(events, self._bound.refuses_opaque, self._bound.refuses_token_ids):
            code, field = refused
            return self._refuse(DownstreamError(code, UNINSPECTED[code].format(field=field), field), happened.at_s)
        self._request.gate.push(events)
        if fault := self._request.gate.fault:
            return self._refuse(DownstreamError(fault.code, f"the request body: {fault.message}"), happened.at_s)
        return self._advance_request(happened.at_s)

    def _read(self, body: bytes) -> Request:
        """The request of a body that holds no more than the limits. Raises `DownstreamError`."""
        bounds = self.setting.limits.bounds
        try:
            bounds.check(body)
            request = self.setting.codec.read_request(*self.setting.target, body)
            bounds.check_tree(request.frame.tree, self.setting.codec.contract.limits)
        except JsonFault as fault:
            raise DownstreamError(fault.code, f"the request body: {fault}") from None
        return request

    def _conversation(self, request: Request, happened: RequestReceived) -> str:
        """A pseudonym of the conversation that the request belongs to: by its header, or by its first words."""
        named = ("named", happened.conversation) if happened.conversation else None
        said = named or ("", self.setting.codec.turns.first_words(request.frame.tree))
        plain = "\0".join(("conversation", self.setting.tenant, *said)).encode("utf-8", "surrogatepass")
        return self.setting.conversation or self.setting.seal(plain)

    def _bind(self, request: Request, happened: RequestReceived) -> Bound:
        setting = self.setting
        said = (
            statement_of(request.frame.tree, setting.codec.contract.statements)
            if setting.policies.asks_body
            else RequestStatement()
        )
        about = About(
            *(setting.route, request.model, setting.tenant_name, happened.headers, request.stream),
            max_tokens=said.max_tokens,
            messages=said.messages,
            tools=said.tools,
            models=said.models,
            limits=said.limits,
            counts=said.counts,
            offered=said.offered,
            unclear=said.unclear,
        )
        known, conversation = setting.matched, self._notes.conversation
        return setting.policies.bind(setting.route, request.model, setting.tenant_name, conversation, about, known)

    def _advance_request(self, at_s: float) -> list[Command]:
        if scan := self._pump(self._request.gate):
            return [scan]
        self._time("request_scanned", at_s)
        self._entry = next(self._request.gate.release())
        self._request.note(self._entry)
        seen = [
            self._tally.see(piece.lane.channel, finding) or piece.lane.stops.get(finding)
            for piece in self._entry.pieces
            for _, finding in piece.findings()
        ]
        if stop := self._tally.most_severe(decision for decision in seen if decision):
            return self._blocked(stop, at_s)
        texts, changed = self._entry.texts()
        body = self.setting.codec.edited(self._entry.frame, texts) if changed else self._entry.frame.data
        self._attempts.body = body
        self._notes.sizes["upstream"] = len(body)
        self._notes.seals["upstream"] = self.setting.seal(body) if changed else self._notes.seals["request"]
        if self._bound and (self._bound.judging or self._bound.retries):
            self._attempts.tree = read(body) if changed else self._entry.frame.tree
            if self.setting.codec.contract.is_answered(self.setting.route):
                self._forms.demand = self.setting.codec.contract.demand(self._attempts.tree)
            if jobs := self._forms.proofs(self._bound.judging):
                self._proving = True
                return [ScanCommand(jobs)]
        return self._send_upstream(at_s)

    def _send_upstream(self, at_s: float) -> list[Command]:
        self._tally.begin_answers()
        self._answer.began_s = at_s
        self.phase = "waiting"
        return [SendUpstream(self._attempts.body, sum(len(lane.edits) for lane in self._request.gate.lanes))]

    def _scanned(self, happened: Scanned) -> list[Command]:
        if self._proving:
            self._proving = False
            if missing := self._unanswered(self._forms.jobs, happened.scans):
                return self._no_capacity(*missing, happened.at_s)
            self._forms.learn(happened.scans)
            if self._forms.refused:
                error = DownstreamError(ErrorCode.SCHEMA_REFUSED, self._forms.refused)
                return self._refuse(error, happened.at_s)
            return self._send_upstream(happened.at_s)
        if self._pending_gate is None:  # of an answer that was discarded meanwhile
            return []
        asked = [job for job in self._pending if job.check is not self._editor.restoring]
        if missing := self._unanswered(asked, happened.scans):
            return self._no_capacity(*missing, happened.at_s)
        of_request = self._pending_gate is self._request.gate
        self._learn(happened.scans)
        return self._advance_request(happened.at_s) if of_request else self._advance_answer(happened.at_s)
