"""The contract of a wire format: everything that decides whether and how a text of the format is guarded.

Every field is required and has no default: a format that leaves one out does not load. `guardproxy.testing.codec`
holds a format to what it declares here.

Decision: docs/decisions/0031-a-format-declares-what-is-guarded.md
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from guardproxy.events import Path
from guardproxy.findings import KINDS, Channel, Direction, Form, Kind
from guardproxy.wire.contract.bounds import Counted
from guardproxy.wire.contract.calls import CallMap
from guardproxy.wire.contract.headers import FormatHeaders, LimitHeaders
from guardproxy.wire.contract.listed import ListedEntries
from guardproxy.wire.contract.repeated import RepeatedHeaders
from guardproxy.wire.contract.request_facts import Fields
from guardproxy.wire.contract.stored import StoredIds
from guardproxy.wire.json.vocabulary import Vocabulary
from guardproxy.wire.request.offered_tools import OfferedTool, OfferedTools, listed_tools, offered_tools

Part = Literal["answer", "tool", "input"]
"""A text of an answer: the answer itself, the name of a tool that is called, the arguments of a call."""

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
"""The schema of an answer that must be some JSON object."""

_KIND_OF: Mapping[Part, Kind] = {"answer": "assistant", "tool": "tool_arguments", "input": "tool_arguments"}


@dataclass(frozen=True, slots=True)
class Demand:
    """What a request demands of its answer. `answer`: the form of the answer, if any. `tools`: the form of the arguments of
    each tool that may be called (`None`: any arguments); `None` if the request declares no tools."""

    answer: Form | None = None
    tools: Mapping[str, Form | None] | None = None

    @property
    def tool_names(self) -> Form | None:
        """The form of a called tool's name."""
        if self.tools is None:
            return None
        return Form(words=tuple(sorted(self.tools)))

    def forms(self) -> Iterator[tuple[str, Form]]:
        """Every schema of the request, with its purpose."""
        if self.answer:
            yield "the answer", self.answer
        for name, form in (self.tools or {}).items():
            if form:
                yield f"the tool `{name}`", form


NO_DEMAND = Demand()


def demand_of(schema: Any, tools: Mapping[str, Any]) -> Demand:
    """Returns the demand of a request with this schema of its answer (`None`: no schema) and these schemas of its tools'
    arguments (`None`: any arguments)."""
    forms = {name: None if inner is None else Form(inner, call=True) for name, inner in tools.items()}
    return Demand(None if schema is None else Form(schema), forms or None)


@dataclass(frozen=True, slots=True)
class MediaTypes:
    """The content types of the format: of a whole answer, of a stream, and those that a request may have (lower case, without
    parameters). `empty`: the statuses of answers that have no content, whatever their type; if there are any, the answer to a
    `DELETE` has none either, and a `GET` begins a stream of messages, which has no end."""

    whole: str
    streamed: str
    requests: tuple[str, ...]
    empty: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class QuerySyntax:
    """The queries that a guarded route accepts. No check reads a query, so `pattern` must leave no room for a text. `words`:
    describes the accepted queries in the message of a refusal. `credential`: the parameter that may hold the key of the
    request; it is moved to the header of the key before the query is read. Empty: a key in a query is refused."""

    pattern: re.Pattern[str]
    words: str
    credential: str = ""


SDK_QUERY = QuerySyntax(
    re.compile(
        r"(?:beta=(?:true|false)|api-version=(?:[0-9]{4}-[0-9]{2}-[0-9]{2}(?:-preview)?|v1|preview|latest)|&)*",
        re.ASCII,
    ),
    "beta=true and api-version=DATE",
)
"""What SDKs of the shipped formats send."""


@dataclass(frozen=True, slots=True)
class Signs:
    """Shows that a client speaks the format on a route that no format reads: beginnings of paths, lower-case names of
    headers."""

    paths: tuple[str, ...]
    headers: tuple[str, ...]

    def match(self, path: str, headers: Collection[str]) -> bool:
        """Whether a request has a sign of the format. `headers`: the names of its headers, in any case."""
        return path.startswith(self.paths) or not {name.lower() for name in headers}.isdisjoint(self.headers)


@dataclass(frozen=True, slots=True)
class RefusedRoutes:
    """Routes of the format's API that are refused, as no check can read what they carry. `pattern`: matches a method and a
    path; `advice`: the message of the refusal, which says what a client can do."""

    pattern: re.Pattern[str]
    advice: str


@dataclass(frozen=True, slots=True)
class KeyHeader:
    """How the format's API takes a key: the name of a header, and the prefix of the key in its value."""

    name: str
    prefix: str


@dataclass(frozen=True, slots=True)
class UsageFields:
    """The fields of a `usage` object that count tokens of the request (`prompt`) and of the answer. The first field that is
    present counts.

    `more_prompt`, `more_answer`: fields that count further tokens, which the first fields leave out. `cached`: the first of
    these counts tokens of the request that the provider read from its cache; `written`: those that it wrote there. A name
    with a dot leads through an object.
    """

    prompt: tuple[str, ...]
    answer: tuple[str, ...]
    more_prompt: tuple[str, ...] = ()
    more_answer: tuple[str, ...] = ()
    cached: tuple[str, ...] = ()
    written: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TelemetryNames:
    """The names of the format's API in OpenTelemetry's conventions for generative AI: of its provider, and of the operation
    that it asks a model for. A route of embeddings has the operation `embeddings` in every format."""

    provider: str
    operation: str


def unchanged(body: bytes, wait_s: int) -> bytes:
    """Returns the body: clients of the format read `Retry-After`."""
    return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The declarations of a format.

    Texts. `carries`: the kinds of texts in each direction; the decoder emits no other kind. `words`: the strings that are not
    text. `opaque`: the kinds of content that no check can read. `repeats`: the names of fields that can repeat a text; they
    are dropped if a rule may edit or stop the text.

    Schemas. `demand`: reads what a request demands of its answer. `parts`: the paths of an answer's texts that a schema can
    apply to; `None` if the format has no such part. `answer_path`: the path of the text of a plain answer. `calls`: where calls
    of tools are. `name_path`: from the path of a call's arguments to that of the tool's name. `choice`: matches the beginning
    of a path that tells alternative answers apart; the empty string if there are no alternatives.

    Answers. `usage`: the fields that count tokens. `lists`: lists whose entries can be left out one by one; `None` if the
    answers of the format have none. `terminal`: the events that end a stream. `error_path`: the path of the
    message of an error. `media`: the content types. `unanswered`: the routes whose answer does not come from a model.
    `with_wait`: adds to the body of an error the seconds after which the client may ask again, if clients of the format look
    for them there.

    Requests. `serves_models`: whether the servers are of models: a request names a model, may be sent again or to another
    server, and is counted in tokens. Of a server of tools, none of that holds. `limits`: the fields whose lengths are limited.
    `statements`: the fields that conditions of policies read.
    `acts`: whether the provider may act for a request beyond answering it, as by a tool that it runs.
    `denied`: fields of a request that bypass the checks, and what each does; they are refused unless a policy allows them.
    `query`: the queries that pass. `signs`: shows that a client speaks the format. `refused`: routes of the API that need a
    message of their own when they are refused. `key_header`: how the API takes a key.
    `headers`: the headers of the format, and the shapes of their values. `repeated`: the headers that repeat values of the
    body; `None` if the format has none. `limit_headers`: writes the headers that tell a client
    what its limits leave. `user_fields`: the places where a request names the end user, the more specific first; policies can
    seal the texts of that user with a key of their own. `telemetry`: the names of the API in traces and metrics.
    `stored`: where requests and answers name what the provider stores, and the forms of its ids and paths; `None` if it stores
    nothing that a request can name.
    """

    carries: Mapping[Direction, frozenset[Kind]]
    words: Vocabulary
    opaque: frozenset[str]
    repeats: frozenset[str]
    demand: Callable[[Mapping[str, Any]], Demand]
    parts: Mapping[Part, re.Pattern[str] | None]
    answer_path: Path
    calls: CallMap
    name_path: Callable[[str], str]
    choice: re.Pattern[str]
    usage: UsageFields
    lists: ListedEntries | None
    terminal: tuple[bytes, ...]
    error_path: Path
    media: MediaTypes
    unanswered: frozenset[str]
    limits: Mapping[Counted, tuple[str, ...]]
    serves_models: bool
    statements: Fields
    acts: Callable[[Mapping[str, Any]], bool]
    query: QuerySyntax
    signs: Signs
    denied: Mapping[str, str]
    refused: tuple[RefusedRoutes, ...]
    key_header: KeyHeader
    headers: FormatHeaders
    repeated: RepeatedHeaders | None
    limit_headers: LimitHeaders
    user_fields: tuple[tuple[str, ...], ...]
    telemetry: TelemetryNames
    with_wait: Callable[[bytes, int], bytes]
    stored: StoredIds | None

    def __post_init__(self) -> None:
        """Raises `ValueError` if a declaration is incomplete."""
        self._check("carries", self.carries, get_args(Direction))
        self._check("parts", self.parts, get_args(Part))
        self._check("limits", self.limits, get_args(Counted))
        for direction, kinds in self.carries.items():
            if unknown := sorted(kinds.difference(KINDS)):
                raise ValueError(f"`carries` has unknown kinds of texts of the {direction}: {', '.join(unknown)}")
        if self.key_header.name.lower() not in self.headers.credentials:
            raise ValueError(f"`headers.credentials` lacks `{self.key_header.name}`, the header of the key")
        if not self.terminal:
            raise ValueError("`terminal` is empty: a stream that is cut off could not be told from a complete one")

    @staticmethod
    def _check(name: str, table: Mapping[Any, Any], keys: tuple[str, ...]) -> None:
        if missing := [key for key in keys if key not in table]:
            raise ValueError(f"`{name}` says nothing of {', '.join(missing)}")

    def carried(self) -> Mapping[Direction, tuple[Kind, ...]]:
        """The kinds of texts by direction, in the order in which all kinds are listed."""
        return {direction: tuple(kind for kind in KINDS if kind in kinds) for direction, kinds in self.carries.items()}

    def formed(self) -> frozenset[tuple[Direction, Kind]]:
        """The texts that a schema can apply to."""
        return frozenset(("response", _KIND_OF[part]) for part, pattern in self.parts.items() if pattern is not None)

    def offered(self, tree: Any) -> OfferedTools:
        """Returns the tools that a request offers to a model."""
        return offered_tools(tree, self.statements.tools, self.statements.messages)

    def listed(self, tree: Any) -> tuple[OfferedTool, ...]:
        """Returns the definitions of tools that an answer lists: those of a server, or of the servers that a provider asks."""
        return tuple(listed_tools(tree))

    def is_answered(self, route: str) -> bool:
        """Whether a model answers on a route of the format."""
        return route not in self.unanswered

    def part(self, channel: Channel) -> Part | None:
        """The part of an answer that a text belongs to, if any."""
        if channel.direction != "response":
            return None
        for part, pattern in self.parts.items():
            if pattern is not None and channel.kind == _KIND_OF[part] and pattern.fullmatch(channel.path):
                return part
        return None

    def choice_of(self, path: str) -> str:
        """Returns the prefix of the paths of one alternative answer; empty if the format has no alternatives."""
        match = self.choice.match(path)
        return match[0] if match else ""

    def tokens(self, usage: Mapping[str, Any]) -> tuple[int | None, int | None]:
        """The tokens of the request and of the answer that a `usage` object counts; `None` if it does not count them, or not as
        a whole number from 0."""
        fields = self.usage
        return _total(usage, fields.prompt, fields.more_prompt), _total(usage, fields.answer, fields.more_answer)

    def cached(self, usage: Mapping[str, Any]) -> tuple[int, int]:
        """The tokens of the request that the provider read from its cache, and those that it wrote there. Both are a part of
        the tokens of the request."""
        return _first(usage, self.usage.cached) or 0, _first(usage, self.usage.written) or 0


def _total(usage: Mapping[str, Any], names: tuple[str, ...], more: tuple[str, ...]) -> int | None:
    count = _first(usage, names)
    return count if count is None or not more else count + sum(_first(usage, (name,)) or 0 for name in more)


def _first(usage: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """The count in the first of these fields that is present; `None` if there is none, or if it is no whole number from 0."""
    for name in names:
        if name in usage:
            value = usage[name]
        elif "." in name:
            within, _, last = name.rpartition(".")
            counts = usage.get(within)
            if not isinstance(counts, Mapping) or last not in counts:
                continue
            value = counts[last]
        else:
            continue
        return value if type(value) is int and value >= 0 else None
    return None


def name_beside(path: str) -> str:
    """The path of a tool's name in the object that holds the arguments at `path`."""
    return path.rpartition(".")[0] + ".name"
