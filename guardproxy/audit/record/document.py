"""The typed entries of the audit log: the record of an exchange, intents, closings and gaps.

In: values. Out: JSON objects. `versions.py` reads entries of this version and of older versions.

Times are Unix times in seconds. Offsets count code points of the text as the record shows it (masked); ends are
exclusive. An optional member with its default value is not written. A new or changed member needs a new
`ENTRY_VERSION` and a reader for the previous version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from guardproxy.audit.record.canonical import canonical
from guardproxy.audit.record.feedback import RecordedFeedback, RecordedJudge
from guardproxy.audit.record.part import RecordLeaf, RecordPart
from guardproxy.audit.record.tasks import (
    RecordedCache,
    RecordedDuty,
    RecordedField,
    RecordedPlan,
    RecordedPrompt,
    RecordedRefusal,
    RecordedRoute,
)
from guardproxy.findings import Direction, ModelVerdict

ENTRY_VERSION = 3

SERVER_ERROR = 500  # the least HTTP status for an error of the server
UPSTREAM_5XX = "upstream_5xx"
"""The outcome of an exchange that ended with the complete answer of an upstream whose status was 500 or more."""

# A text with more findings than this is converted in steps: a call of msgspec holds the interpreter lock while it runs.
_STEP_FINDINGS = 256
_STEP_BYTES = 1 << 14  # the corresponding limit for a record, in bytes of its bodies

Span = tuple[int, int]
MatchedCondition = Literal["yes", "no", "failed", "unknown"]
Offset = Annotated[int, Meta(description="An offset in the text as the record shows it, in code points.")]
UnixTime = Annotated[float, Meta(description="Unix time in seconds.")]
Version = Annotated[int, Meta(description="The version of the entry's format.")]
ExchangeId = Annotated[str, Meta(description="The id of the exchange, which clients get in `x-guardproxy-id`.")]
Engine = Annotated[str, Meta(description="The name and version of the program that wrote the entry.")]
Tenant = Annotated[str, Meta(description="The tenant: a digest of the credential. Empty without a credential.")]
Route = Annotated[str, Meta(description="Method and path of the request.")]
Policies = Annotated[str, Meta(description="The digest of the active policies.")]
Seals = Annotated[
    Mapping[str, str], Meta(description="Keyed digests of the bodies: `request`, `upstream` (as sent), `client`.")
]


class RecordedOrigin(RecordLeaf, frozen=True, kw_only=True):
    """A place that a value in the arguments of a call came from."""

    argument: Annotated[str, Meta(description="The member of the arguments. Empty: all of them.")]
    kind: Annotated[str, Meta(description="The kind of the text that it came from.")]
    path: Annotated[str, Meta(description="The path of that text in the request.")]
    start: Offset
    end: Offset
    earlier: Annotated[
        bool, Meta(description="The text was in an earlier exchange of the conversation. Its offsets are not known.")
    ] = False


class RecordedFinding(RecordLeaf, frozen=True, kw_only=True):
    """A finding of a check in a text."""

    check: str
    label: str
    start: Offset
    end: Offset
    score: float
    repair: Annotated[bool, Meta(description="The whole text was replaced by a repaired text.")] = False
    origins: Annotated[
        tuple[RecordedOrigin, ...], Meta(description="Where the value came from, if that was asked.")
    ] = ()


class RecordedText(RecordLeaf, frozen=True, kw_only=True):
    """A text of a request or of an answer."""

    path: Annotated[str, Meta(description="The path of the text in the body. `#key` at the end: an object's key.")]
    kind: Annotated[str, Meta(description="The kind of text: `user`, `system`, `assistant`, `tool_arguments`, ...")]
    chars: Annotated[int, Meta(description="The length of the original text in code points.")]
    text: Annotated[str | None, Meta(description="The text with masked sensitive values. `null`: not kept.")]
    checks: Annotated[tuple[str, ...], Meta(description="The checks that read the text.")]
    findings: tuple[RecordedFinding, ...]
    edits: Annotated[tuple[Span, ...], Meta(description="The spans that rules replaced: start and end.")]
    released: Annotated[int, Meta(description="The number of code points that were sent on.")]
    open: Annotated[bool, Meta(description="The text is incomplete.")] = False
    encoded: Annotated[bool, Meta(description="JSON in a string. Checks read it decoded.")] = False
    number: Annotated[bool, Meta(description="A JSON number.")] = False
    unmapped: Annotated[bool, Meta(description="The text is in a field that the wire format does not have.")] = False
    fixed: Annotated[bool, Meta(description="A word of the protocol.")] = False
    judged: Annotated[bool, Meta(description="The text is judged as a whole and is not kept.")] = False
    shape: Annotated[
        tuple[str, tuple[Any, ...]] | None, Meta(description="The part of the request's schema for this text.")
    ] = None
    run: Annotated[
        str,
        Meta(description="The `path` of the first part, if the parts were read as one text. Findings may span parts."),
    ] = ""
    span: Annotated[
        Span | None,
        Meta(
            description="The place of a document, or of what is around documents, in the text that holds it. The path of that "
            "text is `path` up to its last `#`."
        ),
    ] = None

    grounds: Annotated[
        tuple[RecordedFinding, ...],
        Meta(
            description="Statements that texts of the request support or contradict: these passages are the `origins`."
        ),
    ] = ()

    def document(self) -> dict[str, Any]:
        """Returns the JSON object of the text."""
        large = len(self.findings) + len(self.grounds) > _STEP_FINDINGS
        return RecordPart.document(self) if large else RecordLeaf.document(self)


class PlacedText(NamedTuple):
    """A text with its side of the exchange. `attempt`: the number of the answer that it is a part of, from 0."""

    direction: Direction
    attempt: int
    text: RecordedText


class RecordedSide(RecordPart, frozen=True, kw_only=True):
    """A direction of an exchange."""

    texts: tuple[RecordedText, ...]
    uninspected: Annotated[tuple[str, ...], Meta(description="Places that no check can read. `*`: all.")]
    uninspected_kinds: Annotated[
        tuple[str, ...] | None, Meta(description="The kind of each of these places. Missing in old records.")
    ] = None
    unmapped: Annotated[tuple[str, ...], Meta(description="Places of texts that the wire format does not have.")]


class RecordedRequest(RecordedSide, frozen=True, kw_only=True):
    """The request."""

    body: Annotated[Any, Meta(description="The body with masked sensitive values. `null`: not kept.")]


class RecordedAnswer(RecordedSide, frozen=True, kw_only=True):
    """An answer of the model."""

    status: Annotated[int | None, Meta(description="The HTTP status of the upstream. `null`: no answer.")]
    streamed: bool
    model: Annotated[str, Meta(description="The model in the answer.")]
    finish: Annotated[tuple[str, ...], Meta(description="Why the answer ended, in the upstream's words.")]
    runs: Annotated[
        tuple[tuple[int, int], ...],
        Meta(description="The order of the texts: index in `texts` and length of each run. Index -1: no text."),
    ]
    opening: Annotated[
        int, Meta(description="The number of `runs` that came in the first frame. 0: no frame, or an old record.")
    ] = 0
    withheld: Annotated[tuple[str, ...], Meta(description="Fields that were removed from the answer.")]


class RecordedDecision(RecordLeaf, frozen=True, kw_only=True):
    """A rule that held, and its finding."""

    policy: str
    rule: str
    action: str
    mode: Literal["enforce", "shadow"]
    direction: Direction
    path: Annotated[str, Meta(description="The `path` of the text.")]
    check: str
    label: str
    start: Offset
    end: Offset
    attempt: Annotated[int, Meta(description="The number of the answer, from 0.")] = 0
    confirmation: Annotated[
        str, Meta(description="The id under which a person may approve the call, for a rule with `action: confirm`.")
    ] = ""
    approved_by: Annotated[str, Meta(description="Who has approved the call, so that it passed. Empty: nobody.")] = ""


class RecordedFault(RecordLeaf, frozen=True, kw_only=True):
    """A place of an answer that does not fit its schema."""

    place: str
    expected: str
    found: str


class RecordedAttempt(RecordPart, frozen=True, kw_only=True):
    """An answer of the model, if there are several."""

    decision: Annotated[str, Meta(description="The decision about the answer; for the last answer the outcome.")]
    rule: Annotated[str, Meta(description="The rule that discarded the answer.")]
    errors: tuple[RecordedFault, ...]
    cut: Annotated[bool, Meta(description="The answer was stopped before its end.")]
    tokens: Annotated[int, Meta(description="Tokens of the request and of the answer.")]
    output_tokens: int
    counted: Annotated[bool, Meta(description="The upstream counted the tokens. Otherwise they are estimated.")]
    began: Annotated[float, Meta(description="Milliseconds since the request was received.")]
    ended: Annotated[float, Meta(description="Milliseconds since the request was received.")]
    upstream: Annotated[str, Meta(description="The upstream that was asked. Empty: that of the request.")] = ""
    model: Annotated[str, Meta(description="The model that it was asked for, if a plan or a route set it.")] = ""
    cause: Annotated[str, Meta(description="Why the upstream failed. Missing for the last answer: see `error`.")] = ""
    usage: Annotated[Mapping[str, Any] | None, Meta(description="Missing for the last answer: see the record.")] = None
    response: Annotated[RecordedAnswer | None, Meta(description="Missing for the last answer: see the record.")] = None


class RecordedSaving(RecordLeaf, frozen=True, kw_only=True):
    """The estimated savings from stopping wrong answers early."""

    tokens: int
    seconds: float
    money: float


class RecordedShortage(RecordLeaf, frozen=True, kw_only=True):
    """The check that gave no verdict because of a lack of capacity."""

    check: str
    reason: str


class RecordedError(RecordLeaf, frozen=True, kw_only=True):
    """The reason why the exchange failed or was refused."""

    code: str
    message: str = ""
    field: Annotated[str | None, Meta(description="The field of the request at fault.")] = None
    cause: Annotated[str, Meta(description="Why the upstream failed: `dns`, `refused`, `certificate`, ...")] = ""


class RecordedPlaces(RecordLeaf, frozen=True, kw_only=True):
    """Places of an answer in which redacted values may be restored."""

    kinds: Annotated[
        tuple[str, ...] | None,
        Meta(description="Kinds of texts. `null`: all."),
    ] = msgspec.field(name="in")
    urls: Annotated[tuple[str, ...], Meta(description="Hosts whose URLs may hold the values.")]


class RecordedValues(RecordLeaf, frozen=True, kw_only=True):
    """Values of earlier turns that were kept for the client, and could come back in the answer."""

    kinds: Annotated[
        tuple[str, ...] | None, Meta(description="The kinds of texts in which they may be restored. `null`: all.")
    ] = msgspec.field(name="in")
    urls: Annotated[tuple[str, ...], Meta(description="The hosts in whose URLs they may be restored.")]
    causes: Annotated[
        tuple[tuple[str, str, str], ...],
        Meta(description="Why they were replaced: the kind of the text, the check and the label."),
    ]
    placeholders: Annotated[tuple[str, ...], Meta(description="Those that the answer holds.")]


class RecordedSealing(RecordLeaf, frozen=True, kw_only=True):
    """The encrypted part of a record: members as `keep: redacted` would write them (`sealing/cipher.py`)."""

    v: Annotated[int, Meta(description="The version of the entry whose members these are.")]
    key: Annotated[str, Meta(description="The id of the data key.")]
    salt: Annotated[str, Meta(description="A random number that no other record has, in hexadecimal digits.")]
    members: Annotated[
        Mapping[str, tuple[str, ...]],
        Meta(description="The members of the record, each in encrypted pieces in base64."),
    ]


class LogEntry(RecordPart, frozen=True, kw_only=True, tag_field="kind"):
    """A line of the log, except its header. The chain adds `seq`, `prev` and `hash`."""

    v: Version
    at: UnixTime

    @property
    def is_small(self) -> bool:
        """Whether one call may convert and encode the whole entry."""
        return True

    def document(self) -> dict[str, Any]:
        """Returns the JSON object of the entry."""
        if not self.is_small:
            return RecordPart.document(self)
        members: dict[str, Any] = msgspec.to_builtins(self)
        return members

    def to_json(self) -> bytes:
        """Returns the canonical JSON of the entry: sorted keys, no spaces, UTF-8. Raises `AuditError`."""
        return canonical(self.document())


class Record(LogEntry, frozen=True, kw_only=True, tag="exchange"):
    """An exchange: a request and all answers to it, without sensitive values."""

    id: ExchangeId
    engine: Engine
    tenant: Tenant
    route: Route
    policies: Policies
    codec: Annotated[str, Meta(description="The wire format. Empty: the route was passed through and not checked.")]
    outcome: Annotated[
        str,
        Meta(
            description="The end of the exchange: `answered`, `passed`, `upstream_5xx` (the upstream's answer was an "
            "error of its own), `refused`, `blocked_request`, `blocked_response`, `client_closed`, or the code of an error. "
            "Releases up to 0.1 wrote `answered` for `upstream_5xx`."
        ),
    ]
    status: Annotated[int, Meta(description="The HTTP status for the client. 0: no status.")]
    rules: Annotated[tuple[str, ...], Meta(description="The enforced rules that held.")]
    decisions: Annotated[tuple[RecordedDecision, ...], Meta(description="Every rule that held, for each finding.")]
    request: RecordedRequest
    response: Annotated[RecordedAnswer, Meta(description="The last answer.")]
    sizes: Annotated[
        Mapping[str, int], Meta(description="Bytes of the bodies: `request`, `upstream` (as sent), `client`.")
    ] = msgspec.field(name="bytes")
    timings: Annotated[
        Mapping[str, float],
        Meta(
            description="Milliseconds since the request was received: `request_scanned`, `upstream_answered`, "
            "`first_byte` (to the client), `finished`."
        ),
    ]
    model: Annotated[str, Meta(description="The model in the request.")]
    stream: Annotated[bool, Meta(description="Whether the request asks for a stream.")]
    checks: Annotated[Mapping[str, str], Meta(description="The digest of every check that applied.")]
    shadow: Annotated[tuple[str, ...], Meta(description="The rules in shadow mode that held.")]
    usage: Annotated[Mapping[str, Any], Meta(description="Token counts, in the upstream's words.")]
    seals: Seals
    scans: Annotated[int, Meta(description="The number of scans.")]
    path: Annotated[str, Meta(description="The path of the request, if `route` has parameters.")] = ""
    tenant_name: Annotated[str | None, Meta(description="The name of the tenant, if it has a name.")] = None
    client: Annotated[str, Meta(description="The name of the client whose key the request had.")] = ""
    demanded: Annotated[
        tuple[str, ...], Meta(description="The policies that the client's key demands, whatever their `match`.")
    ] = ()
    matched: Annotated[
        Mapping[str, MatchedCondition], Meta(description="The result of each condition of `match: when`.")
    ] = {}
    language: Annotated[str, Meta(description="The language in the request's header.")] = ""
    conversation: Annotated[str, Meta(description="The pseudonym of the conversation.")] = ""
    signs: Annotated[int, Meta(description="The number of keep-alives while the answer was held back.")] = 0
    attempts: Annotated[
        tuple[RecordedAttempt, ...], Meta(description="All answers of the model, if there are several.")
    ] = ()
    saved: RecordedSaving | None = None
    duties: Annotated[
        tuple[RecordedDuty, ...], Meta(description="The gateway store's answers to duties, in order.")
    ] = ()
    refusals: Annotated[
        tuple[RecordedRefusal, ...],
        Meta(
            description="What duties and sections of policies refused, and what they would have refused in shadow mode."
        ),
    ] = ()
    cost: Annotated[
        int | None, Meta(description="The cost of all attempts, in millionths of the unit of prices. `null`: no price.")
    ] = None
    plan: RecordedPlan | None = None
    routing: Annotated[tuple[RecordedRoute, ...], Meta(description="What the sections `route` decided.")] = ()
    fields: Annotated[tuple[RecordedField, ...], Meta(description="What policies did with fields of the request.")] = ()
    prompts: Annotated[
        tuple[RecordedPrompt, ...], Meta(description="What policies did with the system prompt and marked.")
    ] = ()
    cache: RecordedCache | None = None
    no_capacity: RecordedShortage | None = None
    error: RecordedError | None = None
    restore: Annotated[
        tuple[RecordedPlaces, ...] | None, Meta(description="Where values may be restored. Missing in old records.")
    ] = None
    earlier: Annotated[
        tuple[RecordedValues, ...], Meta(description="The values of earlier turns that could come back in the answer.")
    ] = ()
    recalled: Annotated[
        Mapping[str, tuple[Mapping[str, str], ...]],
        Meta(
            description="What was recalled of earlier exchanges, by its use: the entries in order, each with its members and "
            "their values as JSON. Digests and names, no texts."
        ),
    ] = {}
    unrecalled: Annotated[
        bool,
        Meta(description="Whether the store was away, and the setting `state_down` let the exchange go on without it."),
    ] = False
    altered: Annotated[
        Mapping[str, int],
        Meta(description="How many placeholders the model changed so that no value could be restored, by label."),
    ] = {}
    feedback: Annotated[
        RecordedFeedback | None, Meta(description="What a client thinks of another exchange. No model answered it.")
    ] = None
    judges: Annotated[tuple[RecordedJudge, ...], Meta(description="The judges that the exchange was chosen for.")] = ()
    verdicts: Annotated[
        tuple[ModelVerdict, ...],
        Meta(description="What models at upstreams said about texts, for checks with `use: llm`."),
    ] = ()
    sealed: Annotated[
        RecordedSealing | None, Meta(description="What is encrypted. The other members are as with `keep: none`.")
    ] = None

    @property
    def is_small(self) -> bool:
        """Whether one call may convert and encode the whole record."""
        return sum(self.sizes.values()) <= _STEP_BYTES

    @property
    def is_read(self) -> bool:
        """Whether a wire format read the exchange; false for a route that was passed through."""
        return bool(self.codec)

    @property
    def is_from_cache(self) -> bool:
        """Whether the first answer came from the cache, so that no model worked for it."""
        return self.cache is not None and self.cache.result == "hit" and self.cache.mode == "enforce"

    @property
    def is_given_feedback(self) -> bool:
        """Whether this is feedback that was recorded, and no rule blocked it."""
        return self.feedback is not None and self.outcome == "answered"

    @property
    def answers(self) -> tuple[RecordedAnswer, ...]:
        """Returns every answer of the model, in order."""
        earlier = (attempt.response for attempt in self.attempts[:-1])
        return (*(answer for answer in earlier if answer is not None), self.response)

    @property
    def placed_texts(self) -> tuple[PlacedText, ...]:
        """Returns every text in the order in which entries `reviewed` count: those of the request, then of all answers."""
        answers = (PlacedText("response", at, text) for at, answer in enumerate(self.answers) for text in answer.texts)
        return (*(PlacedText("request", 0, text) for text in self.request.texts), *answers)

    def held_in(self, policy: str, rule: str) -> tuple[int, ...]:
        """Returns the numbers of the texts in which a rule held, as `placed_texts` counts."""
        held = {
            (found.direction, found.attempt, found.path)
            for found in self.decisions
            if (found.policy, found.rule) == (policy, rule)
        }
        return tuple(
            number
            for number, (direction, attempt, text) in enumerate(self.placed_texts)
            if (direction, attempt, text.path) in held
        )

    @property
    def finding_count(self) -> int:
        """Returns the number of findings in all texts."""
        sides: tuple[RecordedSide, ...] = (self.request, *self.answers)
        return sum(len(text.findings) for side in sides for text in side.texts)

    @property
    def total_ms(self) -> float | None:
        """Returns the time from the request to the end of the exchange, in milliseconds; `None` if it is not known."""
        return self.timings.get("finished")


class Intent(LogEntry, frozen=True, kw_only=True, tag="intent"):
    """An exchange that is about to go upstream, without texts. A record or a closing with the same `id` follows."""

    id: ExchangeId
    engine: Engine
    tenant: Tenant
    route: Route
    policies: Policies
    seals: Seals


class Closing(LogEntry, frozen=True, kw_only=True, tag="closing"):
    """The end of an exchange whose record could not be kept. Its outcome is unknown."""

    id: ExchangeId
    engine: Engine
    tenant: Tenant
    route: Route
    policies: Policies
    seals: Seals
    outcome: Literal["unknown"]
    began: Annotated[float | None, Meta(description="The time of the intent.")]
    why: Annotated[str, Meta(description="Why there is no record.")]


class Gap(LogEntry, frozen=True, kw_only=True, tag="gap"):
    """A period in which the log could not be written. All traffic was refused."""

    since: UnixTime
    why: Annotated[str, Meta(description="Why the log could not be written.")]
