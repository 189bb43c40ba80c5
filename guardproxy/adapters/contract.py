"""What an adapter declares: how another gateway asks for a verdict, and how it gets one.

In: the body of a call, as the other gateway writes it. Out: an `AdapterCall`, which says what to judge in terms of a chat
request and its answer; then, from the `AdapterVerdict`, the body of the answer. An adapter has no I/O: the server checks the
token, plays the exchange and keeps the record.

Decision: docs/decisions/0070-an-adapter-asks-the-same-exchange.md
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import structs

from guardproxy.adapters.chat import ROUTE, Said, request_of
from guardproxy.findings import Direction


class FiredRule(msgspec.Struct, frozen=True):
    """A rule that held, of a policy that is enforced. `direction`, `path`: of the text in the request or the answer. `score`:
    that of the finding. `acts`: whether it changes or ends the exchange; a rule that only flags does not."""

    policy: str
    rule: str
    label: str
    direction: Direction
    path: str
    score: float
    acts: bool


class AdapterCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of another gateway: what to judge.

    `route`: that of the format of the bodies. `request`: the body of a request; `None`: the call brings an answer only.
    `said`: what the model of a chat said, of which more may follow. `answer`: the body of a whole answer. Without both, the
    call is about the request. `call_id`: the name that the other gateway gives the exchange, empty if it gives none.
    `is_named_by_edit`: whether the edited request is the name. `caller`: tells the clients of the other gateway apart, as far
    as it names them. `conversation`: the name of the conversation, empty if its texts tell it. `given`: what the adapter needs
    to write the answer. `path`: that of the route, if it has parameters. `asked`: the request to judge an answer with whose
    own request is not known; `empty`: the answer of a call about a request alone, in which no rule finds a text."""

    route: str = ROUTE
    path: str = ""
    request: dict[str, Any] | None = None
    said: Said | None = None
    answer: dict[str, Any] | None = None
    call_id: str = ""
    is_named_by_edit: bool = False
    caller: str = ""
    conversation: str = ""
    asked: dict[str, Any] = msgspec.field(default_factory=lambda: request_of(()))
    empty: dict[str, Any] = {}
    given: Any = None

    def having(self, **members: Any) -> AdapterCall:
        """Returns the call with other values of `members`."""
        return structs.replace(self, **members)

    @property
    def is_about_answer(self) -> bool:
        """Whether the call is about what a model said."""
        return self.said is not None or self.answer is not None


class AdapterVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the exchange decided.

    `is_blocked`: whether a policy stops the call; then `message` says so, without the name of the rule. `at_end`: whether only
    the end of the answer makes it a block: a longer answer might pass. `request`: the request as it goes to the model; `None`
    if it is blocked. `answer`: the whole answer as the client gets it. `open`: what was said and may be shown whatever
    follows; `said`: all of it, if it ends here. `rules`: what held, in order. `names`: the rules in force for texts of a
    user. `id`: of the exchange."""

    id: str = ""
    is_blocked: bool = False
    at_end: bool = False
    message: str = ""
    code: str = ""
    request: Any = None
    answer: Any = None
    open: Said = Said()
    said: Said = Said()
    rules: tuple[FiredRule, ...] = ()
    names: tuple[str, ...] = ()


class Adapter(ABC):
    """The door for one other gateway. `name`: of the setting of its token. `routes`: a method and a path each, on the port of
    adapters."""

    name: str
    routes: tuple[str, ...]
    error_is_verdict: bool = False
    """Whether an error after the check of the token has the status 200 and says no: the gateway lets pass what it gets another
    status for, unless it is told not to."""

    @abstractmethod
    def read(self, route: str, tree: Any, headers: Mapping[str, str]) -> AdapterCall:
        """Reads a call. `headers`: of the HTTP request, by lower-case name. Raises `DownstreamError` (400)."""
        ...

    @abstractmethod
    def write(self, call: AdapterCall, verdict: AdapterVerdict) -> dict[str, Any]:
        """Writes the answer to a call."""
        ...

    def error(self, code: str, message: str) -> dict[str, Any]:
        """Writes the body of an error: the call could not be read, or could not be judged now."""
        return {"error": {"message": message, "type": "guardproxy_error", "param": None, "code": code}}

    # For tests, documentation and benchmarks.

    @abstractmethod
    def asking(self, text: str, call_id: str) -> tuple[str, dict[str, Any]]:
        """Returns the route and the body of a call about a request whose user says `text`."""
        ...

    @abstractmethod
    def answering(self, text: str, call_id: str) -> tuple[str, dict[str, Any]] | None:
        """Returns the route and the body of a call about the answer `text`; `None` if the gateway asks about requests only."""
        ...

    @abstractmethod
    def told(self, answer: Any, text: str) -> str | None:
        """Returns the text that the gateway goes on with after this answer to a call about `text`; `None` after a block."""
        ...


class GrpcAdapter(Adapter):
    """An adapter whose gateway calls by gRPC. `service`: its name; `methods`: the route of each method. `routes` take the same
    calls as JSON."""

    service: str
    methods: Mapping[str, str]

    @abstractmethod
    def decode(self, data: bytes) -> dict[str, Any]:
        """Returns the tree of a call. Raises `DownstreamError` or `JsonFault`."""
        ...

    @abstractmethod
    def encode(self, answer: Mapping[str, Any]) -> bytes:
        """Returns the bytes of what `write` returns."""
        ...
