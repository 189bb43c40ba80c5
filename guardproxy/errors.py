"""The codes of all errors that a client can get, and the exceptions that several packages use.

Messages are lower case, without a full stop, and never quote text of a request or an answer: they name the field.
`docs/reference/errors.md` is generated from `ErrorCode`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple, Self

_NAMES = " (the setting"
_RETRYABLE = frozenset((429, 500, 502, 503, 504))


class _Spec(NamedTuple):
    """The arguments of `ErrorCode.__new__`: an enum passes the items of a tuple by position."""

    code: str
    status: int
    sentence: str
    meaning: str = ""
    settings: tuple[str, ...] = ()
    policy_key: str = ""
    names_switch: bool = False


class ErrorCode(StrEnum):
    """Every error that a client can get. The value is the stable code in the body, in the record and in metrics.

    `status`: the HTTP status if no part of an answer was sent. `sentence`: the default message. `meaning`: an
    explanation for operators. `settings`, `policy_key`: the settings and the policy key that control when this error
    occurs. `names_switch`: whether the message names them.

    A message names its switch if an honest client exceeds a limit of size, or of time for an answer: the name reveals
    nothing that a larger request would not. It does not name it for errors about capacity, the audit log, credentials
    or an upstream's health: the name would reveal which resource to exhaust or how access is configured.
    """

    status: int
    sentence: str
    meaning: str
    settings: tuple[str, ...]
    policy_key: str
    names_switch: bool

    # The request as HTTP.
    MALFORMED_HTTP = _Spec("malformed_http", 400, "the request is not well-formed HTTP")
    HTTP_VERSION = _Spec("http_version", 505, "only HTTP/1.0 and HTTP/1.1 are supported")
    INVALID_PATH = _Spec("invalid_path", 400, "the path or query has characters that are not accepted")
    INVALID_QUERY = _Spec(
        "invalid_query", 400, "the route does not accept this query", settings=("pass_through_query",)
    )
    UNEXPECTED_BODY = _Spec("unexpected_body", 400, "a request with this method has no body")
    INVALID_HOST = _Spec("invalid_host", 400, "the header `host` must be a name or an address, and a port")
    INVALID_HEADER = _Spec(
        "invalid_header", 400, "a header has characters that are not accepted", settings=("request_header",)
    )
    HEADER_MISMATCH = _Spec("header_mismatch", 400, "a header that repeats a value of the body has another value")
    REPEATED_HEADER = _Spec("repeated_header", 400, "the request repeats a header that a policy reads")
    INVALID_TRANSFER_ENCODING = _Spec("invalid_transfer_encoding", 400, "only chunked transfer encoding is accepted")
    WRONG_ORIGIN = _Spec(
        "wrong_origin",
        403,
        "pages of this origin may not call this server",
        "The header `Origin` names a page that is not of this machine and not in `mcp_origin`.",
        ("mcp_origin",),
    )
    UPGRADE_REFUSED = _Spec(
        "upgrade_refused", 400, "upgrades such as WebSocket are not accepted: use a route with `stream: true`"
    )
    UNKNOWN_EXPECTATION = _Spec("unknown_expectation", 417, "only the expectation 100-continue is supported")
    UNSUPPORTED_MEDIA_TYPE = _Spec("unsupported_media_type", 415, "the content type must be application/json, in UTF-8")
    UNSUPPORTED_ENCODING = _Spec("unsupported_encoding", 415, "the content encoding must be identity, gzip or deflate")
    UNKNOWN_ROUTE = _Spec(
        "unknown_route",
        404,
        "this route is not guarded",
        "No wire format reads the route and no setting passes it through. The message names the flag.",
        ("pass_through",),
    )
    METHOD_NOT_ALLOWED = _Spec("method_not_allowed", 405, "this path does not allow this method")
    UNKNOWN_ID = _Spec("unknown_id", 404, "no stored answer of this credential has this id", "", ("seal_ids",))
    UNKNOWN_SESSION = _Spec("unknown_session", 404, "no session of this client has this id: begin a new one")
    UNKNOWN_EXCHANGE = _Spec("unknown_exchange", 404, "no exchange of this credential has this id", "", ("feedback",))

    # Credentials.
    REPEATED_CREDENTIAL = _Spec("repeated_credential", 400, "the request repeats a header with a credential")
    TWO_CREDENTIALS = _Spec("two_credentials", 400, "the request has two different credentials")
    INVALID_CREDENTIAL = _Spec("invalid_credential", 400, "the credential has a form that is not accepted")
    CREDENTIAL_IN_QUERY = _Spec("credential_in_query", 400, "a credential belongs in a header, not in the query")
    UNKNOWN_CREDENTIAL = _Spec(
        "unknown_credential",
        401,
        "the credential of the request is not known",
        "It matches no key, token or certificate; or `unknown_tenant` is `refuse` and `tenants` does not list it.",
        ("tenants", "unknown_tenant", "client_keys", "jwt_keys", "tls_client_ca"),
    )
    MISSING_CREDENTIAL = _Spec(
        "missing_credential",
        401,
        "the request has no key",
        "Clients need a key, a token or a certificate.",
        ("client_keys", "jwt_keys", "tls_client_ca"),
    )
    EXPIRED_CREDENTIAL = _Spec(
        "expired_credential", 401, "the key or token has expired", "", ("client_keys", "jwt_keys", "tls_client_ca")
    )
    OUT_OF_SCOPE = _Spec(
        "out_of_scope", 403, "the key does not allow this request", "The message says why.", ("client_keys",)
    )
    TOO_MANY_WRONG_KEYS = _Spec(
        "too_many_wrong_keys", 429, "too many wrong keys came from this address", "", ("limit_wrong_keys",)
    )
    KEYS_UNAVAILABLE = _Spec(
        "keys_unavailable", 503, "the keys that verify tokens cannot be read", "", ("jwt_keys", "jwt_keep_s")
    )

    RATE_LIMIT_EXCEEDED = _Spec(
        "rate_limit_exceeded", 429, "too many requests in a short time", "A limit, or a duty of a plug-in.", ("limits",)
    )
    BUDGET_EXCEEDED = _Spec("budget_exceeded", 429, "a budget is used up", "", ("limits",))
    LARGER_THAN_LIMIT = _Spec(
        "larger_than_limit",
        413,
        "the request may use more than a limit allows in all",
        "The limit has `over: refuse`, because the request cannot pass later either.",
        ("limits",),
    )
    STORE_UNAVAILABLE = _Spec(
        "store_unavailable",
        503,
        "the store of the gateway cannot be reached",
        "Limits, approvals or a duty of a plug-in need its answer.",
        ("state", "state_down"),
    )

    # The body.
    HEAD_TIMEOUT = _Spec(
        "head_timeout", 408, "the head of the request did not arrive in time", settings=("timeout_head_s",)
    )
    BODY_TIMEOUT = _Spec(
        "body_timeout",
        408,
        "the request body did not arrive in time",
        settings=("timeout_body_s", "limit_body_rate", "body_grace_s"),
    )
    REQUEST_TOO_LARGE = _Spec(
        "request_too_large", 413, "the request body is too large", "", ("limit_body_bytes",), names_switch=True
    )
    COMPRESSION_RATIO = _Spec(
        "compression_ratio",
        413,
        "the compression ratio of the request body is too high: compress it less or not at all",
        settings=("limit_body_ratio",),
        names_switch=True,
    )
    INVALID_BODY = _Spec("invalid_body", 400, "the request body is cut off or does not match its content encoding")
    INVALID_ENCODING = _Spec("invalid_encoding", 400, "the body is not UTF-8")
    INVALID_JSON = _Spec("invalid_json", 400, "not JSON")
    DUPLICATE_KEY = _Spec(
        "duplicate_key", 400, "a key appears twice in an object", "Two parsers could read the object differently."
    )
    INVALID_NUMBER = _Spec("invalid_number", 400, "a number cannot be read exactly")
    INVALID_TYPE = _Spec("invalid_type", 400, "a field has a type that the format does not allow")
    INVALID_VALUE = _Spec("invalid_value", 400, "a field has a value that the format does not allow")
    TOO_DEEP = _Spec("too_deep", 400, "the body is nested too deeply", settings=("limit_depth",))
    TOO_MANY_TEXTS = _Spec(
        "too_many_texts", 413, "too many strings", "", ("limit_request_texts", "limit_texts"), names_switch=True
    )
    TOO_MANY_VALUES = _Spec("too_many_values", 413, "too many values", "", ("limit_values",), names_switch=True)
    TOO_MANY_MESSAGES = _Spec("too_many_messages", 413, "too many messages", "", ("limit_messages",), names_switch=True)
    TOO_MANY_TOOLS = _Spec("too_many_tools", 413, "too many tools", "", ("limit_tools",), names_switch=True)
    TOO_MANY_PATH_CHARS = _Spec(
        "too_many_path_chars", 413, "the keys that lead to a value are too long", "", ("limit_path_chars",), "", True
    )

    # A policy's decision.
    CONTENT_FILTER = _Spec("content_filter", 400, "a policy blocked the text", "A rule with `action: block` decided.")
    CONFIRMATION_REQUIRED = _Spec(
        "confirmation_required",
        400,
        "a person must confirm the call of the tool",
        "A rule with `action: confirm` decided. The message names the id: after `guardproxy confirm ID` the same call passes "
        "once.",
    )
    INVALID_ANSWER = _Spec(
        "invalid_answer",
        400,
        "the answer does not fit its schema",
        "A rule ended an answer that had begun: `action: retry` had no attempt left. Occurs only as an error event.",
        policy_key="attempts",
    )
    UNMAPPED_FIELD = _Spec(
        "unmapped_field",
        400,
        "a field is not known to this proxy",
        "A policy has `unmapped: refuse`. In an answer: 502.",
        policy_key="unmapped",
    )
    OPAQUE_CONTENT = _Spec(
        "opaque_content",
        400,
        "no check can read the content, and the policy refuses it",
        "For example an image. In an answer: 502.",
        policy_key="opaque",
    )
    TOKEN_IDS = _Spec("token_ids", 400, "no check can read integers that stand for a text", policy_key="token_ids")
    ASKS_ITSELF = _Spec(
        "asks_itself",
        508,
        "the proxy asks itself about a text",
        "The upstream of a check (`use: llm`) or of a judge leads back to this proxy.",
        ("upstream",),
    )
    FIELD_DENIED = _Spec("field_denied", 400, "a field bypasses the checks", policy_key="allow_fields")
    FIELD_REFUSED = _Spec("field_refused", 400, "the policy refuses a field of the request", policy_key="refuse")
    MODEL_NOT_ALLOWED = _Spec(
        "model_not_allowed",
        403,
        "the policy does not allow this model",
        "`deny` refuses models too. The message may be the policy's.",
        policy_key="allow",
    )
    TOOL_NOT_ALLOWED = _Spec(
        "tool_not_allowed",
        403,
        "the policy does not allow this tool",
        "A request offers a tool that is not allowed, and the policy refuses it. The message may be the policy's.",
        policy_key="tools",
    )
    SCHEMA_REFUSED = _Spec(
        "schema_refused",
        400,
        "the request's schema cannot be used",
        "A rule checks answers by the schema, so the request is not sent.",
    )

    # No capacity: there is no decision.
    NO_CAPACITY = _Spec(
        "no_capacity",
        503,
        "too many requests are in progress",
        "A check could not run, or not in time; or slots, connections or memory are used up. The status is 429 if the "
        "client's own share is used up.",
        (
            *("limit_scan_wait_s", "timeout_scan_s", "timeout_scan_s_per_million", "scan_threads"),
            *("limit_exchanges", "limit_connections", "limit_bodies_bytes", "limit_open_texts"),
        ),
    )
    AUDIT_UNAVAILABLE = _Spec(
        "audit_unavailable",
        503,
        "the audit log cannot be written",
        "No answer is sent without its record. The log recovers by itself once its folder can be written.",
        ("audit",),
    )
    SHUTTING_DOWN = _Spec("shutting_down", 503, "the proxy is shutting down", settings=("drain_s",))
    INTERNAL_ERROR = _Spec("internal_error", 500, "the proxy has an internal error")
    TIMEOUT = _Spec("timeout", 504, "the exchange took too long", "", ("timeout_total_s",), names_switch=True)

    # The upstream.
    UPSTREAM_UNAVAILABLE = _Spec(
        "upstream_unavailable",
        503,
        "the upstream failed several times in a row and gets no requests for a while",
        "The circuit breaker of the upstream is open.",
        ("breaker_failures", "breaker_share", "breaker_window_s", "breaker_open_s"),
    )
    UPSTREAM_UNREACHABLE = _Spec(
        "upstream_unreachable", 502, "the upstream cannot be reached", settings=("upstream", "timeout_connect_s")
    )
    UPSTREAM_TIMEOUT = _Spec(
        "upstream_timeout",
        504,
        "the upstream did not answer in time",
        settings=("timeout_connect_s", "timeout_first_byte_s", "timeout_idle_s"),
        names_switch=True,
    )
    UPSTREAM_KEY_REFUSED = _Spec(
        "upstream_key_refused", 502, "the upstream refused the key of the proxy", "", ("upstream_key",)
    )
    UPSTREAM_FAILED = _Spec("upstream_failed", 502, "the upstream closed the connection or did not answer in HTTP")
    UPSTREAM_TRUNCATED = _Spec("upstream_truncated", 502, "the upstream closed the connection in the middle")
    UPSTREAM_ERROR = _Spec(
        "upstream_error",
        502,
        "the upstream answered with an error that cannot be read",
        "The status is the upstream's.",
    )
    UPSTREAM_ENCODING = _Spec("upstream_encoding", 502, "the upstream compressed its answer without a request for it")
    UPSTREAM_REDIRECT = _Spec("upstream_redirect", 502, "the upstream answered with a redirect")
    UPSTREAM_CONTENT_TYPE = _Spec(
        "upstream_content_type", 502, "the upstream's content type is neither JSON nor an event stream"
    )
    UPSTREAM_INVALID_JSON = _Spec("upstream_invalid_json", 502, "the answer is not JSON that can be read safely")
    UPSTREAM_TOO_LARGE = _Spec(
        "upstream_too_large", 502, "the answer is larger than the limit", "", ("limit_answer_bytes",), names_switch=True
    )
    UPSTREAM_EVENT_TOO_LARGE = _Spec(
        "upstream_event_too_large",
        502,
        "an event of the stream is larger than the limit",
        settings=("limit_answer_bytes",),
        names_switch=True,
    )
    HOLD_LIMIT = _Spec(
        "hold_limit",
        502,
        "more text must be held back than the limit allows",
        settings=("limit_held_chars",),
        names_switch=True,
    )

    def __new__(cls, *spec: Any) -> Self:
        given = _Spec(*spec)
        member = str.__new__(cls, given.code)
        member._value_ = given.code
        member.status, member.sentence, member.meaning = given.status, given.sentence, given.meaning
        member.settings, member.policy_key, member.names_switch = given.settings, given.policy_key, given.names_switch
        return member

    @property
    def is_retryable(self) -> bool:
        """Whether the same request may succeed a moment later. If not, the answer has `x-should-retry: false`."""
        return self.status in _RETRYABLE

    def message(self, detail: str = "") -> str:
        """Returns the message for the client: `detail` or the sentence, with the settings if `names_switch`. It adds
        them only once, however often it is applied, and not to a detail that names one of them (`naming_switch`)."""
        text = detail or self.sentence
        if not self.names_switch or _NAMES in text:
            return text
        *others, last = self.settings
        return f"{text}{_NAMES}{'s' * bool(others)} {', '.join(others)}{' and ' * bool(others)}{last})"


def naming_switch(text: str, setting: str) -> str:
    """Returns a message that names the one setting of several that a time-out or a limit comes from."""
    return f"{text}{_NAMES} {setting})"


class UpstreamCause(StrEnum):
    """Why an upstream failed, for operators: in the log, the record, metrics and `/readyz`. Clients do not get it. `meaning`:
    an explanation. `settings`: those that control it."""

    meaning: str
    settings: tuple[str, ...]

    DNS = "dns", "the host's name cannot be resolved"
    REFUSED = "refused", "the host refuses connections to the port"
    NO_ROUTE = "no_route", "no network leads to the host"
    CONNECT_TIMEOUT = (
        "connect_timeout",
        "the host does not answer within `timeout_connect_s`",
        ("upstream", "timeout_connect_s"),
    )
    CERTIFICATE = "certificate", "the certificate is not trusted, has expired or has another name"
    TLS = "tls", "the TLS handshake fails: no common version, no TLS at that port, or the connection is closed in it"
    TLS_TIMEOUT = (
        "tls_timeout",
        "the host takes the connection, and does not end the TLS handshake within `timeout_connect_s`",
        ("upstream", "timeout_connect_s"),
    )
    PROXY = (
        "proxy",
        "the HTTP proxy on the way cannot be reached, or refuses the tunnel",
        ("upstream_proxy", "upstream_no_proxy"),
    )
    PROXY_TIMEOUT = (
        "proxy_timeout",
        "the HTTP proxy on the way does not make the tunnel within `timeout_connect_s`",
        ("upstream_proxy", "timeout_connect_s"),
    )
    FIRST_BYTE_TIMEOUT = (
        "first_byte_timeout",
        "the head of the answer does not come in time",
        ("timeout_first_byte_s",),
    )
    IDLE_TIMEOUT = "idle_timeout", "the answer pauses for longer than `timeout_idle_s`", ("timeout_idle_s",)
    RESET = "reset", "the connection is reset"
    CLOSED = "closed", "the connection is closed before the answer is complete"
    NOT_HTTP = "not_http", "the answer is not HTTP"
    STATUS = "status", "an answer with status 500 or more, but not 529"
    OTHER = "other", "another error of the system"

    def __new__(cls, word: str, meaning: str, settings: tuple[str, ...] = ("upstream",)) -> Self:
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning = meaning
        member.settings = settings
        return member


class GuardproxyError(Exception):
    """Base of all errors that guardproxy raises on purpose. `status`: the HTTP status that it maps to."""

    status = 500


class DownstreamError(GuardproxyError):
    """An error of the client, or a shortage of the proxy: nothing is sent upstream.

    `status`: the HTTP status of the refusal. `field`: the JSON path or header at fault, or `None`. `retry_s`: the
    seconds after which the client may try again, if known. Without a message, it is the code's sentence.
    """

    def __init__(
        self, code: ErrorCode, message: str = "", field: str | None = None, *, retry_s: int | None = None
    ) -> None:
        super().__init__(code.message(message))
        self.status = code.status
        self.code = code
        self.field = field
        self.retry_s = retry_s


class UpstreamError(GuardproxyError):
    """An error of the upstream, which the client gets in its wire format.

    `status`: the HTTP status if nothing was sent yet. `retry_s`: the seconds after which the client may try again, if
    known (503). Without a message, it is the code's sentence. `cause`: why, for the operator; `None` if the code says it.
    """

    def __init__(
        self, code: ErrorCode, message: str = "", retry_s: int | None = None, cause: UpstreamCause | None = None
    ) -> None:
        super().__init__(code.message(message))
        self.status = code.status
        self.cause = cause
        self.code = code
        self.retry_s = retry_s


class PolicyError(GuardproxyError):
    """A policy file that cannot be used. `str()` gives `file:line:column: message`; lines and columns start at 1."""

    def __init__(self, message: str, path: str = "", line: int = 0, column: int = 0) -> None:
        super().__init__(f"{path}:{line}:{column}: {message}" if path else message)
        self.message = message
        self.path = path
        self.line = line
        self.column = column


class OptionError(GuardproxyError):
    """A value that an option of a check or an action does not accept. `key`: the option's name, by which the loader
    finds the line. `item`: for a list, the index of the wrong entry."""

    def __init__(self, key: str, message: str, item: int | None = None) -> None:
        super().__init__(message)
        self.key = key
        self.message = message
        self.item = item


class ConfigError(GuardproxyError):
    """Invalid settings of the process (exit code 2)."""


class EngineError(GuardproxyError):
    """Work on parts of files that cannot be done: the error of a worker, or workers that end again and again."""


class PluginError(ConfigError):
    """A plug-in that cannot be used; the message names its package."""


class Shortage(StrEnum):
    """Why a check without an error of its own gave no verdict."""

    FULL = "queue_full"  # so much work is queued that more would be late
    SHARE = "tenant_share"  # as above, and most of the queued work is this tenant's
    LATE = "late"  # no verdict within the allowed time
    GONE = "unreachable"  # the process or service that gives verdicts cannot be reached


class NoCapacityError(GuardproxyError):
    """A check could not run, or not in time. There is no verdict and no error of the check: the request is refused
    with a status that clients retry, whatever `on_error` says."""

    status = 503

    def __init__(self, shortage: Shortage, message: str) -> None:
        super().__init__(message)
        self.shortage = shortage


class RemoteError(GuardproxyError):
    """A service of a check gave a wrong answer. The check has failed; `on_error` decides."""


class RemoteCapacityError(NoCapacityError, RemoteError):
    """A service of a check gave no answer: it is overloaded, late or cannot be reached."""


class StoreError(GuardproxyError):
    """A store of the gateway cannot be reached."""

    status = 503


class StoreBusyError(StoreError):
    """A store of the gateway answers, but not to all who ask."""


class RefusedError(StoreError):
    """A store of the gateway answered, and refused a command."""


class AuditError(GuardproxyError):
    """A record could not be kept, or a log cannot be read. Traffic is refused while this lasts."""

    status = 503


class RecordError(AuditError):
    """An entry of the audit log cannot be read by this version."""


class SealError(AuditError):
    """Texts cannot be sealed or opened: a key is missing, wrong or erased, or a sealed text was changed."""


class QueryError(AuditError):
    """A query, an export or a report of the audit log is impossible: a missing package, or a wrong query or period."""
