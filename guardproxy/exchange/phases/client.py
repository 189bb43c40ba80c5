"""The client's side of an exchange: the head of the answer, keep-alives, receipts, and the ways an exchange ends.

In: decisions of the other parts. Out: commands, or the transition to the end. Every exchange ends in one of these ways, each
with a `Finish`:

    answered   the answer of the model, to its end
    refused    the request cannot be taken
    blocked    a rule stops the exchange and the client has seen nothing of the answer
    stopped    a rule stops the exchange and the client has seen some of the answer
    failed     a fault of the upstream, of a check or of the proxy

Decision: docs/decisions/0028-a-receipt-names-no-rule.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import msgspec

from guardproxy.audit.record import SERVER_ERROR, UPSTREAM_5XX
from guardproxy.decisions import Retry, Stop
from guardproxy.errors import DownstreamError, ErrorCode, Shortage
from guardproxy.events import Fault
from guardproxy.exchange.gate.notes import MissingVerdict, Side
from guardproxy.exchange.inputs.setting import Setting
from guardproxy.exchange.inputs.transcript import CancelUpstream, Command, Finish, SendData, SendHead
from guardproxy.exchange.phases.guard import Guard
from guardproxy.exchange.phases.ledger import Ledger
from guardproxy.exchange.phases.states import Over, State, Transition
from guardproxy.exchange.record import receipt
from guardproxy.findings import Direction
from guardproxy.wire import Decoder

NO_RETRY = ("x-should-retry", "false")  # without it, SDKs send a refused request twice more
RETRY_SOON = ("Retry-After", "1")
# The messages of rules that have none. They say what was done, and not by which rule or check: a client that learns the rule
# learns how to avoid it. The record and the log name the rule.
REFUSED: Mapping[str, str] = {
    "blocked_request": "a policy refused this request",
    "blocked_response": "a policy refused the answer of the model",
}
ENDED = "a policy ended the answer of the model"
# How a stream of messages that nobody announces may end without a word: its client asks for the rest, or comes back.
_ENDS = frozenset(
    (ErrorCode.TIMEOUT, ErrorCode.SHUTTING_DOWN, ErrorCode.UPSTREAM_TRUNCATED, ErrorCode.UPSTREAM_TIMEOUT)
)
REST_INVALID = "the rest of the answer is not what a policy asks for"


class Client(msgspec.Struct):
    """Makes the commands that send something to the client."""

    setting: Setting
    guard: Guard
    ledger: Ledger
    has_head: bool = False
    """Whether the head of an answer was sent."""
    has_text: bool = False
    """Whether some of an answer was sent, not only keep-alives."""
    _request_members: list[str] = msgspec.field(default_factory=list)  # the request's part of the receipt

    def expect(self, status: int, *, streamed: bool) -> None:
        """Takes the head that the client will get, unless it got that of an earlier answer."""
        if not self.has_head:
            self.ledger.notes.status, self.ledger.notes.streamed = status, streamed

    def begin(self, at_s: float) -> list[Command]:
        """Sends the head of the upstream's answer, if it was not sent before."""
        if self.has_head:
            return []
        notes = self.ledger.notes
        receipt = self._receipt("" if notes.streamed else self.completed)
        return [self._head(SendHead(notes.status, notes.streamed, receipt=receipt), at_s)]

    def send(self, data: bytes, at_s: float) -> list[Command]:
        """Sends a part of the answer."""
        if (ids := self.setting.keys.ids) is not None:
            data = ids.sealed(data)
        self.ledger.sent(data)
        self.ledger.notes.measures.is_delivered = True
        sending: list[Command] = [SendData(data)] if data else []
        return sending if self.has_head else [*self.begin(at_s), *sending]

    def answered(self, data: bytes, at_s: float) -> Transition[Over]:
        """Ends an exchange with a complete answer of the model. `data`: the rest of the answer."""
        if (ids := self.setting.keys.ids) is not None:
            data = ids.sealed(data)
        self.ledger.sent(data)
        self.ledger.notes.measures.is_delivered = True
        return State.OVER, [*self.begin(at_s), self._finish(self.completed, data, at_s)]

    @property
    def completed(self) -> str:
        """The outcome of an exchange that ends with a complete answer of the model."""
        return completed(self.ledger.notes.upstream_status, "answered")

    # Endings.

    def refuse(self, error: DownstreamError, at_s: float) -> Transition[Over]:
        """Ends an exchange whose request cannot be taken."""
        self.ledger.notes.failure = error
        status, body = self.setting.codec.own_answer(error.status, error.code, str(error), error.field)
        if error.retry_s is not None:
            body = self.setting.codec.contract.with_wait(body, error.retry_s)
        soon = RETRY_SOON if error.retry_s is None else ("Retry-After", str(error.retry_s))
        return State.OVER, self._own(status, body, "refused", at_s, soon if error.code.is_retryable else NO_RETRY)

    def block(
        self,
        stop: Stop | Retry,
        at_s: float,
        outcome: Literal["blocked_request", "blocked_response"],
        *,
        cancels: bool = True,
    ) -> Transition[Over]:
        """Ends an exchange because of a rule, before any content was sent (keep-alives may have been). `cancels`: whether the
        upstream was asked and must be cancelled."""
        codec, message = self.setting.codec, stop.message or REFUSED[outcome]
        self.ledger.notes.measures.is_blocked = outcome == "blocked_request"
        # Keep-alives have begun a stream, so the refusal must be its ending, behind what the dialect opens a stream
        # with.
        if self.has_head:
            decoder = codec.decoder(streamed=True, failed=False, limit_bytes=0)
            opening = codec.opening(self.ledger.notes.model)
            last = opening + self.trailer(outcome) + self._filtered(stop, message, decoder)
            return State.OVER, self._last(outcome, last, at_s)
        code = ErrorCode.CONFIRMATION_REQUIRED if is_asked(stop) else ErrorCode.CONTENT_FILTER
        cancel: list[Command] = [CancelUpstream()] if cancels else []
        status, body = codec.own_answer(code.status, code, message)
        return State.OVER, [*cancel, *self._own(status, body, outcome, at_s, NO_RETRY)]

    def stop(self, out: Sequence[bytes], stop: Stop | Retry, decoder: Decoder, at_s: float) -> Transition[Over]:
        """Ends an exchange because of a rule, after some of the answer was sent. `out`: the parts that may still be sent."""
        codec = self.setting.codec
        if isinstance(stop, Retry):
            message = stop.message or REST_INVALID
            ending = codec.error_event(ErrorCode.INVALID_ANSWER, message, decoder)
        else:
            ending = self._filtered(stop, stop.message or ENDED, decoder)
        data = b"".join([*out, self.trailer("blocked_response"), ending])
        return State.OVER, [*self.begin(at_s), *self._last("blocked_response", data, at_s)]

    def _filtered(self, stop: Stop | Retry, message: str, decoder: Decoder) -> bytes:
        """The end of a stream that a rule ends. In most dialects a filtered ending has no words, and whoever asks a person
        needs the id."""
        codec = self.setting.codec
        if is_asked(stop):
            return codec.error_event(ErrorCode.CONFIRMATION_REQUIRED, message, decoder)
        return codec.filtered(decoder, message)

    def fail(self, fault: Fault, at_s: float, status: int = 502, *, cancels: bool = False) -> Transition[Over]:
        """Ends an exchange because of a fault. `status`: the HTTP status, if no head was sent yet; `cancels`: whether the
        upstream is still answering and must be cancelled."""
        self.ledger.notes.failure = fault
        codec = self.setting.codec
        if self.has_head:
            is_quiet = self.ledger.answer.held.listens and fault.code in _ENDS
            ending = b"" if is_quiet else codec.error_event(fault.code, fault.message, self.ledger.answer.decoder)
            return State.OVER, self._last(fault.code, self.trailer(fault.code) + ending, at_s)
        status, body = codec.own_answer(status, fault.code, fault.message)
        soon = (RETRY_SOON,) if fault.code == ErrorCode.NO_CAPACITY else ()
        cancel: list[Command] = [CancelUpstream()] if cancels else []
        return State.OVER, [*cancel, *self._own(status, body, fault.code, at_s, *soon)]

    def no_capacity(self, missing: MissingVerdict, at_s: float, *, cancels: bool = False) -> Transition[Over]:
        """Ends an exchange because a check had no capacity. Nothing was decided, so the client may send the request again."""
        self.ledger.notes.no_capacity = missing
        shortage = missing.shortage
        # A tenant that has used up its share must slow down (429). The others are told that the proxy is short (503).
        status = 429 if shortage is Shortage.SHARE else 503
        message = (
            f"the proxy is overloaded and cannot check this text now ({shortage.value}); send the request again later"
        )
        return self.fail(Fault(ErrorCode.NO_CAPACITY, message), at_s, status, cancels=cancels)

    def gone(self, at_s: float) -> Transition[Over]:
        """Ends an exchange whose client closed its connection."""
        # The record has the size of what the client got even if that is nothing.
        self.ledger.sent(b"", sealed=False)
        return State.OVER, [CancelUpstream(), self._finish("client_closed", b"", at_s)]

    def trailer(self, outcome: str) -> bytes:
        """The receipt as a comment of a stream, to send before the terminal event; empty if the client gets no such
        comment."""
        streaming = self.setting.receipts and self.ledger.notes.streamed
        return self.setting.codec.comment(receipt.line(self._receipt(outcome))) if streaming else b""

    def _own(self, status: int, body: bytes, outcome: str, at_s: float, *headers: tuple[str, str]) -> list[Command]:
        """Ends an exchange with an answer of the proxy itself."""
        head = self._head(SendHead(status, own=True, headers=headers, receipt=self._receipt(outcome)), at_s)
        self.ledger.sent(body, sealed=False)
        return [head, self._finish(outcome, body, at_s)]

    def _last(self, outcome: str, data: bytes, at_s: float) -> list[Command]:
        """Ends an answer whose head was sent."""
        if (ids := self.setting.keys.ids) is not None:
            data = ids.sealed(data)
        self.ledger.sent(data)
        return [CancelUpstream(), self._finish(outcome, data, at_s)]

    def _head(self, head: SendHead, at_s: float) -> SendHead:
        self.has_head = True
        self.ledger.notes.status = head.status
        self.ledger.time("first_byte", at_s)
        return head

    def _finish(self, outcome: str, data: bytes, at_s: float) -> Finish:
        self.ledger.time("finished", at_s)
        return Finish(outcome, data, partial(self.ledger.record, outcome), self._unrecorded)

    def _unrecorded(self) -> bytes:
        """The data to send instead of an ending whose record cannot be kept."""
        code, message = ErrorCode.AUDIT_UNAVAILABLE, "the record of this exchange could not be kept"
        codec = self.setting.codec
        if self.has_head and self.ledger.notes.streamed:
            return codec.error_event(code, message, self.ledger.answer.decoder)
        return codec.error(code.status, code, message)

    def _receipt(self, outcome: str) -> str:
        """The receipt of an exchange. Without `outcome`, as at the head of a stream, it covers the request only."""
        if not self.setting.receipts:
            return ""
        guard, ledger = self.guard, self.ledger
        exchange, policies = self.setting.id, self.setting.policies.digest
        if guard.bound is None:
            return receipt.refused(exchange, policies, outcome)
        sides: Mapping[Direction, Side] = {"request": ledger.request}
        if outcome and ledger.notes.upstream_status is not None:
            sides = ledger.sides
        if not self._request_members:  # the request does not change after its first receipt
            self._request_members = receipt.members_of("request", ledger.request)
        known: Mapping[Direction, list[str]] = {"request": self._request_members}
        return receipt.receipt(exchange, policies, outcome, sides, guard.outcomes, guard.attempt + 1, known)


def is_asked(stop: Stop | Retry) -> bool:
    """Whether a person may approve what was stopped."""
    return isinstance(stop, Stop) and stop.confirmation != ""


def completed(status: int | None, outcome: str) -> str:
    """The outcome of a complete answer: `outcome`, or that of an upstream's own error."""
    return UPSTREAM_5XX if status is not None and status >= SERVER_ERROR else outcome
