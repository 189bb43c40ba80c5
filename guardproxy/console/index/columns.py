"""What the index keeps of a line of the log: columns, and no text. Pure.

In: lines. Out: a row for an exchange, or for what was said later about an exchange.

Only the needed members of a line are decoded. A line of an older version, or one that this decoder cannot read, goes through
the readers of the log. Every name is cut to `LIMIT_NAME_CHARS`, so that a client cannot fill the index with names.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from guardproxy.audit import ENTRY_VERSION, entry_of, open_line
from guardproxy.audit.record import SERVER_ERROR, UPSTREAM_5XX
from guardproxy.errors import AuditError
from guardproxy.wire import installed

LIMIT_NAME_CHARS = 200
LIMIT_NAMES = 50
"""Names in a list of a row: rules, labels, checks."""
HASH_CHARS = 32
"""Of the hash of a line, in hexadecimal digits. They recognize the line again."""
START_BITS = 44
"""For the byte where a line begins in its file: a file has less than 16 TB."""
LIMIT_NUMBER = 1 << 53
FEEDBACK_KIND = "feedback"
"""The kind of what a client says about an exchange. It is the record of an exchange of its own."""

_OLDEST = 2  # the oldest version whose needed members have the names of today
_LEAF = b"\x00"
_NULL = ord("n")
_EXCHANGE = "exchange"
# Kinds of entries that have the id of an exchange and belong to its course. Any other kind with an id is said about it.
_OWN = frozenset({_EXCHANGE, "intent", "closing"})


class ErasedKey(msgspec.Struct):
    """The id of a data key that was destroyed. `number`: of the line that says so."""

    number: int
    key: str


class IndexedFinding(msgspec.Struct):
    """The highest score of a check for a label in an exchange. `number`: of the exchange."""

    number: int
    check: str
    label: str
    score: float


class IndexedRow(msgspec.Struct):
    """The columns of an exchange, in the order of the table. `number`: of the file and of the byte where its line begins
    (`number_of`); `length`: of the line in bytes; `seq`: the number of the line; `hash`: the start of its hash; `intact`:
    whether the line has this hash. `keep`: `sealed`, `kept` or `none`; `seal`: the id of the data key. Times in seconds
    (`at_s`) and milliseconds, `cost` in millionths of the unit of prices. `top_score`: the highest score of a finding, with
    its check and label; below 0 without findings."""

    number: int
    at_s: float
    id: str
    length: int
    seq: int
    hash: str
    intact: bool
    tenant: str = ""
    tenant_name: str = ""
    client: str = ""
    route: str = ""
    format: str = ""
    model: str = ""
    served_model: str = ""
    upstream: str = ""
    policies: Sequence[str] = ()
    rules: Sequence[str] = ()
    shadow: Sequence[str] = ()
    labels: Sequence[str] = ()
    outcome: str = ""
    error: str = ""
    status: int = 0
    edited: bool = False
    attempts: int = 1
    stream: bool = False
    cache: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: int | None = None
    added_ms: float | None = None
    first_ms: float | None = None
    total_ms: float | None = None
    uninspected: bool = False
    keep: str = "none"
    seal: str = ""
    conversation: str = ""
    top_check: str = ""
    top_label: str = ""
    top_score: float = -1.0


class LaterRow(msgspec.Struct):
    """What the log says later about an exchange. `kind`: of the entry, or `feedback`. `value`: thumbs, a score, a verdict.
    `tenant`: who gave feedback; empty for entries of the proxy and of commands."""

    number: int
    exchange: str
    kind: str
    value: str
    by: str
    tenant: str
    at_s: float
    length: int
    seq: int
    hash: str


class LineColumns(msgspec.Struct):
    """What one line gives. `seq`: its number in the log; -1 for a header. `hash`, `prev`: as it states them; `intact`:
    whether it has this hash."""

    seq: int
    hash: str
    prev: str
    intact: bool
    row: IndexedRow | None = None
    findings: Sequence[IndexedFinding] = ()
    later: LaterRow | None = None
    erased: Sequence[ErasedKey] = ()


TABLES: Mapping[str, type[msgspec.Struct]] = {
    "exchanges": IndexedRow,
    "findings": IndexedFinding,
    "later": LaterRow,
    "erased": ErasedKey,
}
"""The tables whose rows come from lines, and the columns of each."""


class _FindingMembers(msgspec.Struct):
    check: str = ""
    label: str = ""
    score: float = 0.0


class _TextMembers(msgspec.Struct):
    text: msgspec.Raw = msgspec.Raw(b"null")
    findings: list[_FindingMembers] = []
    edits: list[Any] = []


class _SideMembers(msgspec.Struct):
    texts: list[_TextMembers] = []
    uninspected: list[str] = []


class _AnswerMembers(_SideMembers):
    status: int | None = None
    model: str = ""


class _AttemptMembers(msgspec.Struct):
    upstream: str = ""
    model: str = ""
    usage: dict[str, Any] | None = None
    response: _AnswerMembers | None = None


class _PolicyPart(msgspec.Struct):
    """A part that names a policy."""

    policy: str = ""


class _PlanMembers(msgspec.Struct):
    upstream: str = ""
    model: str = ""


class _ErrorMembers(msgspec.Struct):
    code: str = ""


class _FeedbackMembers(msgspec.Struct):
    exchange: str = ""
    thumbs: str | None = None
    score: float | None = None


class _CacheMembers(msgspec.Struct):
    result: str = ""
    mode: str = ""


class _SealMembers(msgspec.Struct):
    key: str = ""


class _LineMembers(msgspec.Struct):
    """The needed members of a line of any kind."""

    v: int = 0
    kind: str = ""
    seq: int = -1
    hash: str = ""
    prev: str = ""
    at: float = 0.0
    id: str = ""
    tenant: str = ""
    tenant_name: str | None = None
    client: str = ""
    route: str = ""
    codec: str = ""
    model: str = ""
    conversation: str = ""
    outcome: str = ""
    status: int = 0
    stream: bool = False
    rules: list[str] = []
    shadow: list[str] = []
    decisions: list[_PolicyPart] = []
    request: _SideMembers = msgspec.field(default_factory=_SideMembers)
    response: _AnswerMembers = msgspec.field(default_factory=_AnswerMembers)
    attempts: list[_AttemptMembers] = []
    usage: dict[str, Any] = {}
    timings: dict[str, float] = {}
    cost: int | None = None
    plan: _PlanMembers | None = None
    routing: list[_PolicyPart] = []
    refusals: list[_PolicyPart] = []
    cache: _CacheMembers | None = None
    error: _ErrorMembers | None = None
    feedback: _FeedbackMembers | None = None
    sealed: _SealMembers | None = None
    # Of other kinds.
    keys: list[str] = []
    by: str = ""
    policy: str = ""
    score: int | None = None
    verdict: str = ""
    failure: str | None = None


_NO_ATTEMPT, _NO_PLAN = _AttemptMembers(), _PlanMembers()
_decode = msgspec.json.Decoder(_LineMembers).decode


def number_of(file: int, start: int) -> int:
    """Returns the number of the exchange whose line begins at the byte `start` of a file."""
    return file << START_BITS | start


def place_of(number: int) -> tuple[int, int]:
    """Returns the number of the file, and the byte where the line begins."""
    return number >> START_BITS, number & ((1 << START_BITS) - 1)


def columns_of(line: bytes, file: int, start: int) -> LineColumns | None:
    """Returns the columns of a line that begins at the byte `start` of the file with the number `file`; `None` if it is not a
    line of a log."""
    try:
        read = _decode(line)
    except (msgspec.DecodeError, UnicodeError):
        read = None
    if read is None or not _OLDEST <= read.v <= ENTRY_VERSION:
        read = _by_readers(line)
        if read is None:
            return None
    is_intact = leaf_hash(line, read.hash) == read.hash
    if read.seq < 0:
        return LineColumns(-1, read.hash, "", is_intact)
    number = number_of(file, start)
    if read.kind == _EXCHANGE and read.feedback is None:
        return _exchange(read, len(line), number, is_intact)
    later = None
    if read.feedback is not None:
        if read.outcome == "answered":
            value = read.feedback.thumbs or ("" if read.feedback.score is None else f"{read.feedback.score:g}")
            later = _later(read, line, number, read.feedback.exchange, FEEDBACK_KIND, value)
    elif read.id and read.kind not in _OWN:
        value = read.verdict or ("" if read.score is None else str(read.score))
        later = _later(read, line, number, read.id, read.kind, value)
    erased = [ErasedKey(number, key) for key in read.keys] if read.kind == "erased" else ()
    return LineColumns(_number(read.seq), read.hash, read.prev, is_intact, later=later, erased=erased)


def _by_readers(line: bytes) -> _LineMembers | None:
    """Reads a line as the log's readers do: the header, an older version, or a text that is no Unicode."""
    members = open_line(line)
    if members is None:
        return None
    if "seq" not in members:
        return _LineMembers(hash=str(members.get("hash", "")))
    try:
        entry = entry_of(members)
        chain = {name: members.get(name) for name in ("seq", "hash", "prev")}
        return msgspec.convert({**_plain(entry.document()), **chain}, _LineMembers)
    except (AuditError, msgspec.ValidationError):
        return None


def _plain(value: Any) -> Any:
    """Returns a value without texts, as the needed members do not have any, and with `null` for a text that is kept."""
    if isinstance(value, Mapping):
        return {
            _clean(name): msgspec.Raw(b"null" if part is None else b"0") if name == "text" else _plain(part)
            for name, part in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return _clean(value) if isinstance(value, str) else value


def _clean(text: str) -> str:
    """Returns a text with `\\ufffd` for each half surrogate pair."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def leaf_hash(line: bytes, claim: str) -> str:
    """Returns the hash of a line, in hexadecimal digits, as the chain computes it: over the line without its member `hash`,
    which says `claim`."""
    body = line.removesuffix(b"\n")
    member = b'"hash":"%s",' % claim.encode(errors="replace")
    return hashlib.sha256(_LEAF + body.replace(member, b"", 1)).hexdigest()


def _exchange(read: _LineMembers, length: int, number: int, is_intact: bool) -> LineColumns:
    sides: list[_SideMembers] = [read.request, read.response]
    sides += [attempt.response for attempt in read.attempts[:-1] if attempt.response is not None]
    texts = [text for side in sides for text in side.texts]
    findings = _findings(texts, number)
    row = _row(read, length, number, is_intact)
    if findings:
        top = max(findings, key=_score)
        row.top_check, row.top_label, row.top_score = top.check, top.label, top.score
        row.labels = _names([finding.label for finding in findings])
    for text in texts:
        if text.edits:
            row.edited = True
            break
    for side in sides:
        if side.uninspected:
            row.uninspected = True
            break
    if read.sealed is not None:
        row.keep, row.seal = "sealed", _name(read.sealed.key)
    elif any(memoryview(text.text)[0] != _NULL for text in texts):
        row.keep = "kept"
    return LineColumns(row.seq, read.hash, read.prev, is_intact, row, findings[:LIMIT_NAMES])


def _row(read: _LineMembers, length: int, number: int, is_intact: bool) -> IndexedRow:
    """Returns the row without what the texts say."""
    outcome = read.outcome
    if outcome == "answered" and (read.response.status or 0) >= SERVER_ERROR:
        outcome = UPSTREAM_5XX
    last = read.attempts[-1] if read.attempts else _NO_ATTEMPT
    plan = read.plan or _NO_PLAN
    tokens_in, tokens_out = _tokens(read)
    timings = read.timings
    named = [part.policy for parts in (read.decisions, read.refusals, read.routing) for part in parts]
    return IndexedRow(
        number=number,
        at_s=_time(read.at),
        id=_name(read.id),
        length=length,
        seq=_number(read.seq),
        hash=read.hash[:HASH_CHARS],
        intact=is_intact,
        tenant=_name(read.tenant),
        tenant_name=_name(read.tenant_name or ""),
        client=_name(read.client),
        route=_name(read.route),
        format=_name(read.codec),
        model=_name(read.model),
        served_model=_name(last.model or plan.model or read.response.model or read.model),
        upstream=_name(last.upstream or plan.upstream),
        policies=_names(named),
        rules=_names(read.rules),
        shadow=_names(read.shadow),
        outcome=_name(outcome),
        error=_name(read.error.code) if read.error else "",
        status=_number(read.status),
        attempts=max(1, len(read.attempts)),
        stream=read.stream,
        cache=_name(read.cache.result) if read.cache else "",
        tokens_in=_count(tokens_in),
        tokens_out=_count(tokens_out),
        cost=_count(read.cost),
        added_ms=_added_ms(timings),
        first_ms=timings.get("first_byte"),
        total_ms=timings.get("finished"),
        conversation=_name(read.conversation),
    )


def _score(finding: IndexedFinding) -> float:
    return finding.score


def _findings(texts: Iterable[_TextMembers], number: int) -> list[IndexedFinding]:
    """Returns the highest score of each check and label."""
    best: dict[tuple[str, str], float] = {}
    for text in texts:
        for finding in text.findings:
            key = finding.check, finding.label
            if finding.score > best.get(key, -1.0):
                best[key] = finding.score
    return [IndexedFinding(number, _name(check), _name(label), score) for (check, label), score in best.items()]


def _later(read: _LineMembers, line: bytes, number: int, exchange: str, kind: str, value: str) -> LaterRow:
    return LaterRow(
        number=number,
        exchange=_name(exchange),
        kind=kind,
        value=_name(value),
        by=_name(read.by),
        tenant=_name(read.tenant) if kind == FEEDBACK_KIND else "",
        at_s=_time(read.at),
        length=len(line),
        seq=_number(read.seq),
        hash=read.hash[:HASH_CHARS],
    )


def _tokens(read: _LineMembers) -> tuple[int | None, int | None]:
    """Returns the tokens of all requests and of all answers; `None` if the upstream did not count them. An answer from the
    cache used none."""
    codec = installed().named(read.codec) if read.codec else None
    if codec is None:
        return None, None
    usages = [*(attempt.usage or {} for attempt in read.attempts[:-1]), read.usage]
    is_from_cache = read.cache is not None and read.cache.result == "hit" and read.cache.mode == "enforce"
    counts = [codec.contract.tokens(usage) for usage in usages[int(is_from_cache) :] if usage]
    asked = [prompt for prompt, _ in counts if prompt is not None]
    answered = [answer for _, answer in counts if answer is not None]
    return sum(asked) if asked else None, sum(answered) if answered else None


def _added_ms(timings: Mapping[str, float]) -> float | None:
    """Returns what guardproxy added before the first byte for the client: until the request was scanned, and from the first
    byte of the upstream to the first byte for the client."""
    scanned = timings.get("request_scanned")
    answered, first = timings.get("upstream_answered"), timings.get("first_byte")
    if scanned is None:
        return None
    return scanned + (max(0.0, first - answered) if answered is not None and first is not None else 0.0)


def _number(value: int) -> int:
    """Returns an integer that the table can hold."""
    return max(-LIMIT_NUMBER, min(value, LIMIT_NUMBER))


def _count(value: int | None) -> int | None:
    return None if value is None else _number(value)


def _time(at: float) -> float:
    return at if math.isfinite(at) else 0.0


def _name(text: str) -> str:
    short = text if len(text) <= LIMIT_NAME_CHARS else text[:LIMIT_NAME_CHARS]
    return short.replace("\0", "\ufffd") if "\0" in short else short


def _names(texts: Sequence[str]) -> Sequence[str]:
    if not texts:
        return ()
    return sorted({_name(text) for text in texts if text})[:LIMIT_NAMES]
