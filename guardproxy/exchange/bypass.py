"""Passes a configured route without checks (`GET /v1/models`), with the inputs, commands and record of an exchange.

The outcome in the record is `passed`, or that of an upstream's own error. The record names no wire format, so the log shows
that the exchange was not inspected.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from guardproxy.audit import Intent
from guardproxy.audit.record import RecordedError
from guardproxy.errors import ErrorCode
from guardproxy.exchange.inputs.sealed_ids import IdStream
from guardproxy.exchange.inputs.setting import Setting
from guardproxy.exchange.inputs.transcript import (
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
    SendData,
    SendHead,
    SendUpstream,
    UpstreamFailed,
)
from guardproxy.exchange.phases.client import completed
from guardproxy.exchange.record import receipt
from guardproxy.exchange.record.recording import intent, passed
from guardproxy.gateway import Refusal, StoreAnswered


@dataclass(slots=True)
class PassThrough:
    """An exchange that no check reads."""

    setting: Setting
    _began: float = 0.0
    _unix_s: float = 0.0
    _status: int = 0
    _started: bool = False
    _ids: IdStream | None = None
    _answers: tuple[StoreAnswered, ...] = ()
    _refusals: tuple[Refusal, ...] = ()
    _error: RecordedError | None = None
    _seals: dict[str, str] = field(default_factory=dict)
    _sizes: dict[str, int] = field(default_factory=lambda: {"upstream": 0, "client": 0})

    def __post_init__(self) -> None:
        if self.setting.keys.ids is not None:
            self._ids = IdStream(self.setting.keys.ids)

    @property
    def deleted_id(self) -> str:
        """The id of the stored answer or conversation that the request deletes; empty if it deletes none."""
        address = self.setting.address
        is_deletion = address.route.startswith("DELETE ")
        stored = self.setting.policies.formats.stored_at(address.path) if is_deletion else None
        return stored.deleted_id(address.path) if stored else ""

    @property
    def is_listening(self) -> bool:
        """Always false: an answer that is passed through ends by itself."""
        return False

    @property
    def seals_ids(self) -> bool:
        """Whether ids in the answer are sealed."""
        return self._ids is not None

    @property
    def sensitive_values(self) -> list[str]:
        """Always empty: pass-through bodies are not scanned."""
        return []

    def receive(self, event: Input) -> list[Command]:
        """Takes an input; returns the commands that follow from it."""
        match event:
            case RequestReceived():
                self._began, self._unix_s = event.at_s, event.unix_s
                self._answers, self._refusals = event.answers, event.refusals
                self._sizes["upstream"] = len(event.body)
                self._seals["request"] = self.setting.keys.seal(event.body)
                return [SendUpstream(event.body, deleted=self.deleted_id)]
            case ResponseStarted():
                self._status, self._started = event.status, True
                streamed = event.media_type == self.setting.codec.contract.media.streamed
                return [SendHead(event.status, streamed=streamed, receipt=self._receipt)]
            case DataReceived():
                data = self._ids.feed(event.data) if self._ids else event.data
                self._sizes["client"] += len(data)
                return [SendData(data)] if data else []
            case ResponseEnded():
                data = self._ids.end() if self._ids else b""
                self._sizes["client"] += len(data)
                return [self._finish(completed(self._status, "passed"), data, event.at_s)]
            case UpstreamFailed() | Aborted():
                cause = event.cause if isinstance(event, UpstreamFailed) else ""
                self._error = RecordedError(code=event.code, message=event.message, cause=cause)
                # The body is passed on unread, so nobody knows where in its format it broke off: no error can follow.
                if self._started:
                    return [CancelUpstream(), self._finish(event.code, b"", event.at_s)]
                self._status = event.status
                body = self.setting.codec.error(event.status, event.code, event.message)
                head = SendHead(event.status, own=True, receipt=self._receipt)
                return [head, self._finish(event.code, body, event.at_s)]
            case DownstreamGone():
                return [CancelUpstream(), self._finish("client_closed", b"", event.at_s)]
            case _:
                return []

    @property
    def _receipt(self) -> str:
        setting = self.setting
        return receipt.unread(setting.id, setting.policies.digest) if setting.receipts else ""

    @property
    def intent(self) -> Intent | None:
        """The log entry that is written before the first byte goes upstream."""
        return intent(self.setting.origin, self._unix_s, self._seals)

    def patience_s(self, at_s: float) -> float | None:
        """Always `None`: the driver waits without limit."""
        return None

    def _finish(self, outcome: str, data: bytes, at_s: float) -> Finish:
        record = passed(
            self.setting.origin,
            outcome,
            self._unix_s,
            self._status,
            self._sizes,
            self._seals,
            at_s - self._began,
            self._answers,
            self._refusals,
            self._error,
        )
        code = ErrorCode.AUDIT_UNAVAILABLE
        failed = self.setting.codec.error(code.status, code, "the record of this exchange could not be kept")
        return Finish(outcome, data, record, b"" if self._started else failed)
