"""The contract of a duty: a task that the gateway performs for every request.

A duty is pure: its decision depends only on the head, the request and the store's answers. A method that does not use
the store returns its result. A method that uses the store is a generator: it yields a tuple of calls and receives the
tuple of their answers:

    def admit(self, head: Head) -> Steps[Head]:
        (count,) = yield (Add(f"requests:{head.tenant}", 1, ttl_s=60),)
        if count > 100:
            raise DownstreamError(ErrorCode.RATE_LIMIT_EXCEEDED, "more than 100 requests a minute", retry_s=60)
        return head

Each method runs at its stage: `admit` before the body is read, `plan` after it is decoded, `settle` after the exchange
has ended, or `abandon` if the client left before there was an exchange.

The answers are recorded with the exchange, and `rerun` (`order.py`) passes the recorded answers to the same generator.
Of a head, a record keeps `id`, `route`, `tenant`, `tenant_name` and `unix_s`. A duty that uses the store must
therefore decide by these and by the answers alone.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import structs

from guardproxy.audit import Record
from guardproxy.decisions import Plan
from guardproxy.gateway.clients.clients import NO_CLIENT, KnownClient
from guardproxy.gateway.clients.credentials import NO_CREDENTIAL, Credential
from guardproxy.gateway.store.calls import Answer, Call
from guardproxy.wire import Contract, Request

Result = TypeVar("Result")
Steps = Generator[tuple[Call, ...], tuple[Answer, ...], Result]
"""The steps of a duty's method: yields calls for the store, receives their answers, returns a result."""

Stage = Literal["admit", "plan", "refusals", "headers", "settle", "abandon"]


class Head(msgspec.Struct, frozen=True):
    """A request before its body is read, and the facts that duties added.

    `method`, `path`, `query`, `headers`: as the client sent them, but a key in the query is moved to its header;
    `headers` is a multi-valued mapping that ignores case. `address`: of the peer. `length_bytes`: the announced length
    of the body. `unix_s`: the time of arrival.
    `route`: such as `POST /v1/messages`, or `unknown`. `tenant`: a pseudonym of the credential, or of the client.
    `tenant_name`: the name of its owner in the settings. Both are empty if there is none. `credential`: the credential
    in normal form, after the duty `tenants` ran; empty after `client-keys` ran. `client`: the client that `client-keys`
    found, with its scope. `certificate`: the client that the certificate of the connection names; `None` without a
    certificate. `conversation`: the name that a trusted hop gives the conversation.
    """

    id: str
    method: str = ""
    path: str = ""
    query: str = ""
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    address: str = ""
    length_bytes: int | None = None
    unix_s: float = 0.0
    route: str = ""
    tenant: str = ""
    tenant_name: str = ""
    credential: Credential = NO_CREDENTIAL
    client: KnownClient = NO_CLIENT
    certificate: KnownClient | None = None
    conversation: str = ""

    def changed(self, **members: Any) -> Head:
        """The head with other values of `members`."""
        return structs.replace(self, **members)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal of a duty, or one that it would make if it were enforced. `code`: of the error. `name`, `policy`: the part of
    the settings or of a policy that refuses, such as a limit."""

    duty: str
    code: str
    name: str = ""
    policy: str = ""
    enforced: bool = True


@dataclass(frozen=True, slots=True)
class StoreAnswered:
    """The store's answers to a list of calls of a duty."""

    duty: str
    answers: tuple[Answer, ...]


class Duty:
    """A task of the gateway. A subclass sets `name` and overrides the stages in which it takes part.

    `name`: its name in settings, records and metrics.
    """

    name: str = ""

    def admit(self, head: Head) -> Head | Steps[Head]:
        """Returns the head, with facts that the duty adds. Raises `DownstreamError` to refuse the request."""
        return head

    def plans(self, head: Head) -> bool:
        """Whether `plan` is needed for this request. The body is decoded only if a duty needs it."""
        return True

    def plan(self, head: Head, request: Request) -> Plan | Steps[Plan | None] | None:
        """Returns where the request goes, or `None` if this duty does not decide it. `request`: the decoded body.
        Raises `DownstreamError` to refuse the request. The plans of all duties are merged (`decisions.merge_plans`)
        and recorded; a replay uses the recorded plan."""
        return None

    def refusals(self, head: Head) -> tuple[Refusal, ...]:
        """Returns what this duty refused, and what it would have refused in shadow mode, for the record. It is called after
        the last duty, before `headers`."""
        return ()

    def headers(self, head: Head, contract: Contract) -> Mapping[str, str]:
        """Returns headers to add to the answer, whatever it is. `contract`: of the format that the client speaks. It is called
        once, after the last duty."""
        return {}

    def settle(self, head: Head, record: Record) -> Steps[None] | None:
        """Processes the record of a finished exchange. Runs after the answer was sent."""
        return None

    def abandon(self, head: Head) -> Steps[None] | None:
        """Gives back what `admit` and `plan` took. Runs instead of `settle` if the client left before there was an exchange,
        perhaps while the store worked on a call of theirs."""
        return None


def has_stage(duty: Duty, stage: Stage) -> bool:
    """Whether a duty overrides a stage; other stages are skipped."""
    return getattr(type(duty), stage) is not getattr(Duty, stage)
