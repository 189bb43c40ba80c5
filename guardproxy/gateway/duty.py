"""The contract of a duty: a task that the gateway does for every request.

A duty is pure: what it decides follows from the head, the request and what the store answered. A method that asks no store
returns its result. A method that asks the store is a generator: it yields a tuple of calls and gets the tuple of their answers:

    def admit(self, head: Head) -> Steps[Head]:
        (count,) = yield (Add(f"requests:{head.tenant}", 1, ttl_s=60),)
        if count > 100:
            raise DownstreamError(ErrorCode.RATE_LIMIT_EXCEEDED, "more than 100 requests a minute", retry_s=60)
        return head

A method gets called at its stage: `admit` before the body is read, `plan` when it is decoded, `settle` when the exchange has
ended.

The answers are recorded with the exchange, and `rerun` (`order.py`) hands the recorded answers to the same generator. A
record keeps of a head: `id`, `route`, `tenant`, `tenant_name`, `unix_s`. So a duty that asks the store must decide by these
and by the answers alone.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import structs

from guardproxy.audit import Record
from guardproxy.decisions import Plan
from guardproxy.gateway.credentials import NO_CREDENTIAL, Credential
from guardproxy.gateway.store import Answer, Call
from guardproxy.wire import Request

Result = TypeVar("Result")
Steps = Generator[tuple[Call, ...], tuple[Answer, ...], Result]
"""The steps of a duty's method: yields calls for the store, gets their answers, returns a result."""

Stage = Literal["admit", "plan", "settle"]


class Head(msgspec.Struct, frozen=True):
    """A request before its body is read, and what duties learned of it.

    `method`, `path`, `query`, `headers`: as they were sent (a multi-valued mapping that ignores case). `address`: of the
    peer. `length_bytes`: what the body's announced length is. `unix_s`: when the request came. `route`: `POST /v1/messages`,
    or `unknown`. `tenant`: a pseudonym of the credential, `tenant_name`: what settings call its owner; empty where there is
    none. `credential`: the credential in normal form, once the duty `tenants` has read it.
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

    def changed(self, **members: Any) -> Head:
        """The head with other values of `members`."""
        return structs.replace(self, **members)


@dataclass(frozen=True, slots=True)
class StoreAnswered:
    """What the store answered to one list of calls of a duty."""

    duty: str
    answers: tuple[Answer, ...]


class Duty:
    """A task of the gateway. A subclass sets `name` and overrides the stages that it has a part in.

    `name`: what settings, records and metrics call it.
    """

    name: str = ""

    def admit(self, head: Head) -> Head | Steps[Head]:
        """The head, with what this duty learned of the request. Raises `DownstreamError` to refuse it."""
        return head

    def plan(self, head: Head, request: Request) -> Plan | Steps[Plan | None] | None:
        """Where the request goes; `None` if this duty has no say in it. `request`: the decoded body. Raises `DownstreamError`
        to refuse it. The plans of all duties are merged (`decisions.merged`) and recorded, and a replay takes the recorded
        plan."""
        return None

    def settle(self, head: Head, record: Record) -> Steps[None] | None:
        """Takes note of an exchange that ended. Runs after the answer was sent."""
        return None


def has_stage(duty: Duty, stage: Stage) -> bool:
    """Whether a duty overrides a stage; the others cost nothing."""
    return getattr(type(duty), stage) is not getattr(Duty, stage)
