"""Admits requests: what a request must be before it becomes an exchange, and the exchange that it becomes.

A request is looked at in this order: head, route, credential, capacity, body, capacity. It takes a slot for its exchange when
its body is there. A request that fails becomes an exchange as well, one that only refuses, so that it is recorded.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from ipaddress import ip_network
from typing import Protocol

from multidict import CIMultiDict

from guardproxy import redaction
from guardproxy.config import Config
from guardproxy.errors import DownstreamError
from guardproxy.exchange import Exchange, Limits, PassThrough, Refused, RequestReceived, Setting
from guardproxy.policy import PolicySet
from guardproxy.server.body import Bodies, Held
from guardproxy.server.credentials import read_credential, refuse_in_query
from guardproxy.server.headers import asked_for, check_body_headers, check_head, check_query, is_trusted, named
from guardproxy.server.listener import Request
from guardproxy.server.onward import fallback_headers, refuse_names, upstream_headers
from guardproxy.server.tenants import Tenants
from guardproxy.wire import Bounds, Codec, codec_for, codecs

UNKNOWN = "unknown"  # what records and metrics call a route that is not listed: clients must not make up labels


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that became an exchange. `first`: what the exchange is told first. `targets`: for each upstream by its name
    (the request's own has none) the URL and the headers to send."""

    exchange: Exchange | PassThrough
    first: RequestReceived | Refused
    targets: dict[str, tuple[str, CIMultiDict[str]]]


class Slots(Protocol):
    """How many exchanges may still begin."""

    draining: bool

    def full(self) -> bool:
        """Whether none may begin now."""
        ...

    def take(self) -> bool:
        """Takes a slot for the exchange of the current task; false where none is free."""
        ...


class Admission:
    """`policies`: gives those in force. `healthy`: whether records can be kept. `key`: the secret behind placeholders and
    tenants' pseudonyms. `engine`: the version that records name."""

    def __init__(
        self, config: Config, policies: Callable[[], PolicySet], healthy: Callable[[], bool], key: bytes, engine: str
    ) -> None:
        self._config = config
        self._policies = policies
        self._healthy = healthy
        self._key = key
        self._engine = engine
        self._limits = Limits(config.limit_held_chars, config.limit_answer_bytes, config.quiet_s, bounds_of(config))
        self._pass_through = frozenset(config.pass_through)
        self._tenants = Tenants(config.tenants)
        self._hops = tuple(map(ip_network, config.trusted_hop))
        self._more = frozenset(map(str.lower, config.request_header))
        refuse_names(config)
        self.bodies = Bodies(config)

    async def admit(self, request: Request, slots: Slots, held: Held) -> Admitted:
        """The exchange of a request. `held`: counts the memory of its body."""
        path = request.message.path.partition("?")[0]
        route = f"{request.method} {path}"
        policies = self._policies()
        codec = codec_for(route)
        known = codec is not None or route in self._pass_through
        tenant, name = "", ""
        headers: CIMultiDict[str] = CIMultiDict()
        first: RequestReceived | Refused
        query = ""
        try:
            path, query = check_head(request)
            refuse_in_query(query)
            if codec:
                check_query(query)
            if slots.draining:
                raise DownstreamError(503, "shutting_down", "the proxy is shutting down")
            if not self._healthy():
                raise DownstreamError(503, "audit_unavailable", "the audit log cannot be written")
            if not known:
                raise self._unknown(route, path)
            credential = read_credential(request.headers)
            tenant, name = self._tenant(credential.secret), self._tenants.name(credential.secret)
            if not name and self._config.unknown_tenant == "refuse":
                raise DownstreamError(401, "unknown_credential", "the credential of the request is not known here")
            about = request.headers.items(), ",".join(request.headers.getall("Connection", []))
            headers = upstream_headers(*about, credential.headers, self._seal, self._more)
            asked = asked_for(request.headers, policies.headers)
            if slots.full():
                raise _no_slot()
            if codec:
                check_body_headers(request)
            await request.go_on()
            held.credential = tenant
            body = await self.bodies.read(request, held)
            if not slots.take():
                raise _no_slot()
            first = RequestReceived(body, time.perf_counter(), time.time(), *self._named(request), asked)
        except DownstreamError as error:
            request.closing |= error.status in (408, 413, 505) or not request.content.is_eof() or slots.draining
            first = Refused(error.status, error.code, str(error), error.field, time.perf_counter(), time.time())
        chosen = codec or _dialect(request, path)
        setting = Setting(
            id=secrets.token_hex(12),
            route=route if known else UNKNOWN,
            tenant=tenant,
            tenant_name=name,
            codec=chosen,
            policies=policies,
            mint=lambda label, value: redaction.mint(self._key, tenant, label, value),
            seal=self._seal,
            hashed=lambda kind, value: redaction.hashed(self._key, tenant, kind, value),
            limits=self._limits,
            engine=self._engine,
            receipts=self._config.receipts == "on",
        )
        exchange = Exchange(setting) if codec or isinstance(first, Refused) else PassThrough(setting)
        where = path + (f"?{query}" if query else "")
        targets = {"": (self._config.upstream_for(chosen.provider) + where, headers)}
        for other in policies.fallbacks:
            own = fallback_headers(headers, chosen.provider, self._config.key_for(other))
            targets[other] = self._config.upstream_for(other) + where, own
        return Admitted(exchange, first, targets)

    def _named(self, request: Request) -> tuple[str, str]:
        """The language and the conversation that a trusted hop names; a client's own words for them do not count."""
        peer = request.transport.get_extra_info("peername") if request.transport else None
        return named(request.headers) if is_trusted(peer, self._hops) else ("", "")

    def _unknown(self, route: str, path: str) -> DownstreamError:
        guarded = sorted(route for codec in codecs() for route in codec.routes)
        if any(one.split(" ", 1)[1] == path for one in (*guarded, *self._pass_through)):
            return DownstreamError(405, "method_not_allowed", "this path does not take this method")
        return DownstreamError(
            404,
            "unknown_route",
            f"this route is not guarded: guardproxy reads {', '.join(guarded)}. To let a route through unread, start it "
            f"with --pass-through '{route}'",
        )

    def _tenant(self, secret: str) -> str:
        """A pseudonym of the credential, so that placeholders of one tenant mean nothing to another."""
        return self._seal(b"tenant:" + secret.encode())[:16] if secret else ""

    def _seal(self, data: bytes) -> str:
        """A keyed digest: commits to the bytes, and cannot be guessed back from."""
        return hashlib.blake2b(data, digest_size=16, key=self._key[:64]).hexdigest()


def _no_slot() -> DownstreamError:
    return DownstreamError(503, "no_capacity", "too many requests are under way")


def bounds_of(config: Config) -> Bounds:
    """How much one body may hold."""
    return Bounds(**{limit.name: getattr(config, f"limit_{limit.name}") for limit in fields(Bounds)})


def _dialect(request: Request, path: str) -> Codec:
    """The format to refuse in, for a route that has none."""
    anthropic = path.startswith("/v1/messages") or "anthropic-version" in request.headers
    wanted = "anthropic" if anthropic else "openai"
    return next(codec for codec in codecs() if codec.provider == wanted)
