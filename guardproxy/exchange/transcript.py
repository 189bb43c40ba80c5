"""What an exchange is told (inputs, past tense) and what it asks for (commands, imperative).

`line` prints either as one line without any text of the request or answer: logs and tests read the same notation.
`at_s` is a monotonic clock that only the driver reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from guardproxy.audit import Record
from guardproxy.concurrency import lazy
from guardproxy.decisions import Plan
from guardproxy.errors import ErrorCode
from guardproxy.exchange.gate import Job
from guardproxy.findings import Scan as ScanResult
from guardproxy.gateway import StoreAnswered


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """The whole request body.

    `unix_s`: the wall clock, for the record. `language`: of its texts, `conversation`: the conversation that it belongs to,
    where headers name them. `headers`: those that policies ask for, by their names in lower case; `None` where they are not
    known. `answers`: what the gateway's store answered to duties. `plans`: where duties want the request to go; the exchange
    merges them (`decisions.merged`), applies the result to the body, and records it.
    """

    body: bytes
    at_s: float = 0.0
    unix_s: float = 0.0
    language: str = ""
    conversation: str = ""
    headers: Mapping[str, str] | None = field(default_factory=dict)
    answers: tuple[StoreAnswered, ...] = ()
    plans: tuple[Plan, ...] = ()


@dataclass(frozen=True, slots=True)
class Scanned:
    """The answers to a `Scan`, in its order."""

    scans: tuple[ScanResult, ...]
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    """The upstream's status and media type (`application/json`, without parameters)."""

    status: int
    media_type: str
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class DataReceived:
    """Bytes of the answer, cut anywhere."""

    data: bytes
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ResponseEnded:
    """The answer's body is complete, as HTTP sees it."""

    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class UpstreamFailed:
    """No answer, or no more of it. `status`: what the client gets when nothing was sent yet."""

    code: ErrorCode
    message: str
    status: int = 502
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Aborted:
    """The driver ends the exchange, whatever it waits for (a deadline, a shutdown)."""

    code: ErrorCode
    message: str
    status: int = 504
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Waited:
    """Nothing has happened for as long as `Exchange.patience_s` said."""

    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class DownstreamGone:
    """The client closed its connection."""

    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Refused:
    """The driver could not take the request (too large, wrong media type, draining, refused by a duty). `retry_s`: after how
    many seconds the client may ask again, where that is known; `answers`: what the gateway's store answered to duties."""

    code: ErrorCode
    message: str
    field: str | None = None
    at_s: float = 0.0
    unix_s: float = 0.0
    retry_s: int | None = None
    answers: tuple[StoreAnswered, ...] = ()

    @property
    def status(self) -> int:
        """The HTTP status of the refusal."""
        return self.code.status


Input = (
    RequestReceived
    | Scanned
    | ResponseStarted
    | DataReceived
    | ResponseEnded
    | UpstreamFailed
    | Aborted
    | Waited
    | DownstreamGone
    | Refused
)


@dataclass(frozen=True, slots=True)
class Scan:
    """Run these jobs and tell the exchange with `Scanned`."""

    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class SendUpstream:
    """Forward this body. `edits`: how many spans of it were replaced. `attempt`: which one, from 0; `target`: another upstream
    than the request's own, by its name."""

    body: bytes
    edits: int = 0
    attempt: int = 0
    target: str = ""


@dataclass(frozen=True, slots=True)
class SendHead:
    """Begin the answer. `own`: guardproxy's own answer; else the upstream's headers go along. `receipt`: see `receipt.py`."""

    status: int
    streamed: bool = False
    own: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    receipt: str = ""


@dataclass(frozen=True, slots=True)
class SendData:
    """Send these bytes to the client."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CancelUpstream:
    """Close the connection to the upstream."""


@dataclass(frozen=True)
class Finish:
    """Keep the record; when it is durable, send `data` and end. `failed`: what to send when it cannot be kept. `composing`:
    the record, or what composes it. That takes as long as the exchange is large, so whoever asks chooses where it runs;
    the exchange is over, so it is the same whenever it is asked for."""

    outcome: str
    data: bytes = b""
    composing: Record | Callable[[], Record] | None = field(default=None, compare=False)
    failed: bytes = b""

    @lazy
    def record(self) -> Record:
        """The record; composed once."""
        record = self.composing if isinstance(self.composing, Record) else self.composing and self.composing()
        assert record is not None  # noqa: S101 - only tests compare commands without a record
        return record


Command = Scan | SendUpstream | SendHead | SendData | CancelUpstream | Finish


def line(value: Input | Command) -> str:
    """One line, without any text of the exchange."""
    name = type(value).__name__
    match value:
        case Scan():
            places = (
                f"{job.check.name} {job.window.channel.path} {job.window.start}..{job.window.start + len(job.window.text)}"
                f"{'' if job.window.last else '+'}"
                for job in value.jobs
            )
            return f"{name} {', '.join(places)}"
        case Scanned():
            found = [
                f"{one.check} {one.label} {one.start}..{one.end} {one.score:.2f}"
                for scan in value.scans
                for one in scan.findings
            ]
            failed = [f"{scan.error}" for scan in value.scans if scan.error]
            return " ".join([name, ", ".join(found + failed) or "nothing"])
        case RequestReceived():
            return f"{name} {len(value.body)} bytes"
        case SendUpstream():
            again = f", attempt {value.attempt}" if value.attempt else ""
            return f"{name} {len(value.body)} bytes, {value.edits} edits{again}"
        case DataReceived() | SendData():
            return f"{name} {len(value.data)} bytes"
        case ResponseStarted():
            return f"{name} {value.status} {value.media_type}"
        case SendHead():
            return f"{name} {value.status}{' streamed' if value.streamed else ''}{' own' if value.own else ''}"
        case UpstreamFailed() | Refused() | Aborted():
            return f"{name} {value.status} {value.code}"
        case Finish():
            return f"{name} {value.outcome} {len(value.data)} bytes"
        case _:
            return name
