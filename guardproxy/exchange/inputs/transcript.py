"""The inputs of an exchange (past tense) and its commands (imperative).

`line` prints an input or a command as a line without any text of the request or answer, for logs and tests. `at_s` is the
time of a monotonic clock that only the driver reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from guardproxy.audit import Record
from guardproxy.audit.record import RecordedCache
from guardproxy.concurrency import lazy
from guardproxy.decisions import Plan
from guardproxy.errors import ErrorCode
from guardproxy.exchange.gate.earlier import GivenValues
from guardproxy.exchange.gate.gate import Job
from guardproxy.exchange.inputs.caching import CacheQuery
from guardproxy.exchange.inputs.recollection import ClaimMemory, MemoryClaimed, MemoryRecalled, RecallMemory
from guardproxy.findings import Scan
from guardproxy.gateway import Refusal, StoreAnswered


class RequestReceived(msgspec.Struct, frozen=True):
    """The whole request body.

    `unix_s`: the wall clock, for the record. `language`, `conversation`: the language of the texts and the conversation, if
    headers name them. `session`: the id of the protocol's session, if the format has one. `headers`: the
    headers that policies ask for, by lower-case name; `None` if they are not known.
    `answers`: the answers of the gateway's store to duties. `refusals`: what duties would have refused in shadow mode.
    `plans`: the plans of duties; the exchange merges them (`decisions.merge_plans`), applies the result to the body, and
    records it. `unavailable`: the upstreams that cannot be asked now, of those that policies route to.
    """

    body: bytes
    at_s: float = 0.0
    unix_s: float = 0.0
    language: str = ""
    conversation: str = ""
    headers: Mapping[str, str] | None = msgspec.field(default_factory=dict)
    answers: tuple[StoreAnswered, ...] = ()
    plans: tuple[Plan, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    unavailable: tuple[str, ...] = ()
    session: str = ""


class Scanned(msgspec.Struct, frozen=True):
    """The answers to a `RunScans`, in its order."""

    scans: tuple[Scan, ...]
    at_s: float = 0.0


class ValuesFound(msgspec.Struct, frozen=True):
    """The values of the turns to which the request refers. Comes before the answer, if at all."""

    groups: tuple[GivenValues, ...]
    at_s: float = 0.0


class ResponseStarted(msgspec.Struct, frozen=True):
    """The upstream's status and media type (`application/json`, without parameters). `cache`: what the cache had, if it was
    asked; after a hit, the answer is that of an earlier exchange."""

    status: int
    media_type: str
    at_s: float = 0.0
    cache: RecordedCache | None = None


class DataReceived(msgspec.Struct, frozen=True):
    """A chunk of the answer, cut at any byte."""

    data: bytes
    at_s: float = 0.0


class ResponseEnded(msgspec.Struct, frozen=True):
    """The answer's body is complete by the rules of HTTP."""

    at_s: float = 0.0


class UpstreamFailed(msgspec.Struct, frozen=True):
    """The upstream gave no answer, or broke it off. `status`: the HTTP status for the client, if no head was sent yet. `cause`:
    why (`UpstreamCause`), for the record; empty if it is not known."""

    code: ErrorCode
    message: str
    status: int = 502
    at_s: float = 0.0
    cause: str = ""


class Aborted(msgspec.Struct, frozen=True):
    """The driver ends the exchange in any state, because of a deadline or a shutdown."""

    code: ErrorCode
    message: str
    status: int = 504
    at_s: float = 0.0


class Waited(msgspec.Struct, frozen=True):
    """No input came for the time that `Exchange.patience_s` returned."""

    at_s: float = 0.0


class DownstreamGone(msgspec.Struct, frozen=True):
    """The client closed its connection."""

    at_s: float = 0.0


class Refused(msgspec.Struct, frozen=True):
    """The driver could not take the request (too large, wrong media type, draining, refused by a duty). `retry_s`: the
    seconds after which the client may ask again, `None` if unknown; `answers`: the answers of the gateway's store to
    duties; `refusals`: what duties refused, and would have refused in shadow mode; `model`: what the request asks for, if it
    was decoded."""

    code: ErrorCode
    message: str
    field: str | None = None
    at_s: float = 0.0
    unix_s: float = 0.0
    retry_s: int | None = None
    answers: tuple[StoreAnswered, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    model: str = ""

    @property
    def status(self) -> int:
        """The HTTP status of the refusal."""
        return self.code.status


Input = (
    RequestReceived
    | Scanned
    | ValuesFound
    | MemoryRecalled
    | MemoryClaimed
    | ResponseStarted
    | DataReceived
    | ResponseEnded
    | UpstreamFailed
    | Aborted
    | Waited
    | DownstreamGone
    | Refused
)


class RunScans(msgspec.Struct, frozen=True):
    """Run these jobs, then give their scans to the exchange as `Scanned`."""

    jobs: tuple[Job, ...]


class SendUpstream(msgspec.Struct, frozen=True):
    """Forward this body. `edits`: the number of replaced spans. `attempt`: the number of the attempt, from 0; `target`: the
    name of another upstream than the default, otherwise empty; `path`: another path than that of the request, otherwise
    empty. `parallel`: whether the scans of the following `RunScans` run while the upstream works; their result comes before
    the answer. `cache`: what to look for in the cache first, if policies let it answer. `earlier`: the ids of the turns whose
    values the answer may need, which come as `ValuesFound`; `None` if values of this turn cannot come back later. `deleted`:
    the id of what the request deletes."""

    body: bytes
    edits: int = 0
    attempt: int = 0
    target: str = ""
    path: str = ""
    parallel: bool = False
    cache: CacheQuery | None = None
    earlier: tuple[str, ...] | None = None
    deleted: str = ""


class SendHead(msgspec.Struct, frozen=True):
    """Begin the answer. `own`: whether the answer is guardproxy's own; otherwise the upstream's headers are forwarded.
    `receipt`: see `record/receipt.py`."""

    status: int
    streamed: bool = False
    own: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    receipt: str = ""


class SendData(msgspec.Struct, frozen=True):
    """Send these bytes to the client."""

    data: bytes


class CancelUpstream(msgspec.Struct, frozen=True):
    """Close the connection to the upstream."""


class ReleaseUpstream(msgspec.Struct, frozen=True):
    """Stop listening to the upstream: its answer is complete, so its connection may be used again."""


@dataclass(frozen=True)
class Finish:
    """Keep the record; when it is durable, send `data` and end.

    `failing`: the data to send if the record cannot be kept, or a function that writes it. `composing`: the record, or a
    function that composes it. The time to compose grows with the size of the exchange, so the caller of `record` chooses
    where that runs. The exchange is over, so the record does not change.
    """

    outcome: str
    data: bytes = b""
    composing: Record | Callable[[], Record] | None = field(default=None, compare=False)
    failing: bytes | Callable[[], bytes] = field(default=b"", compare=False)

    @lazy
    def failed(self) -> bytes:
        """The data to send if the record cannot be kept."""
        return self.failing() if callable(self.failing) else self.failing

    @lazy
    def record(self) -> Record:
        """The record. It is composed at the first access."""
        record = self.composing if isinstance(self.composing, Record) else self.composing and self.composing()
        assert record is not None  # noqa: S101 - only tests compare commands without a record
        return record


Command = (
    RunScans
    | RecallMemory
    | ClaimMemory
    | SendUpstream
    | SendHead
    | SendData
    | CancelUpstream
    | ReleaseUpstream
    | Finish
)


def line(value: Input | Command, *, shows_paths: bool = False) -> str:
    """Prints an input or a command as a line, without any text of the exchange. `shows_paths`: whether to print the paths of
    texts, for tests: a path holds keys of objects, and those are texts."""
    name = type(value).__name__
    match value:
        case RunScans():
            return f"{name} {', '.join(_scan(job, shows_paths=shows_paths) for job in value.jobs)}"
        case Scanned():
            descriptions = [
                f"{finding.check} {finding.label} {finding.start}..{finding.end} {finding.score:.2f}"
                for scan in value.scans
                for finding in scan.findings
            ]
            failed = [f"{scan.error}" for scan in value.scans if scan.error]
            return " ".join([name, ", ".join(descriptions + failed) or "nothing"])
        case RequestReceived():
            return f"{name} {len(value.body)} bytes"
        case SendUpstream():
            again = f", attempt {value.attempt}" if value.attempt else ""
            before = ", not judged yet" if value.parallel else ""
            return f"{name} {len(value.body)} bytes, {value.edits} edits{again}{before}"
        case DataReceived() | SendData():
            return f"{name} {len(value.data)} bytes"
        case RecallMemory():
            return f"{name} {', '.join(key.use for key in value.keys) or 'nothing'}"
        case MemoryRecalled():
            return f"{name} {sum(map(len, value.entries))} members{'' if value.is_reached else ', not reached'}"
        case ClaimMemory():
            return f"{name} {len(value.claims)} members"
        case MemoryClaimed():
            return f"{name} {sum(text is not None for text in value.values)} of {len(value.values)} members"
        case ValuesFound():
            return f"{name} {sum(len(group.values) for group in value.groups)} values"
        case ResponseStarted():
            return f"{name} {value.status} {value.media_type}"
        case SendHead():
            return f"{name} {value.status}{' streamed' if value.streamed else ''}{' own' if value.own else ''}"
        case UpstreamFailed():
            return f"{name} {value.status} {value.code}{value.cause and ', ' + value.cause}"
        case Refused() | Aborted():
            return f"{name} {value.status} {value.code}"
        case Finish():
            return f"{name} {value.outcome} {len(value.data)} bytes"
        case _:
            return name


def _scan(job: Job, *, shows_paths: bool) -> str:
    window = job.window
    where = window.channel.path if shows_paths else window.channel.kind
    end = f"{window.start + len(window.text)}{'' if window.last else '+'}"
    return f"{job.check.name} {where} {window.start}..{end}"
