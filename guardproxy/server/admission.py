"""Admits requests: checks a request before it becomes an exchange, and builds the exchange.

The form of the head is checked first, then the duties of the gateway run in their order, then the body is read and a slot for
the exchange is taken. A refused request becomes an exchange too, which only refuses, so that it is recorded. Pass-through
routes take the same steps.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache, partial
from ipaddress import ip_network
from typing import Any, TypeVar

import msgspec
from msgspec import structs
from multidict import CIMultiDict

from guardproxy.audit import Record
from guardproxy.config import Config, LimitSettings, UpstreamSettings
from guardproxy.decisions import Plan
from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.exchange import (
    Address,
    Exchange,
    ExchangeLimits,
    Keys,
    PassThrough,
    Refused,
    RequestReceived,
    SealedIds,
    Setting,
)
from guardproxy.gateway import (
    UNKNOWN,
    BodyHeaders,
    Capacity,
    ClientKeys,
    Duties,
    Duty,
    Head,
    KnownClients,
    KnownTenants,
    OwnedIds,
    Prices,
    Readiness,
    Routes,
    Slots,
    Tenancy,
    TenantNames,
    Trail,
    holder_of,
    load_duties,
)
from guardproxy.gateway.clients import Guesses, KnownClient, moved_from_query, refuse_in_query
from guardproxy.gateway.store import MemoryStore, Store
from guardproxy.policy import PolicySet
from guardproxy.policy.sections import LIMITS
from guardproxy.server.aiohttp_parts import HttpRequest
from guardproxy.server.driving.asking.upstreams import MARK
from guardproxy.server.intake.body import FREE_TEXTS, Bodies, BodyAccount, texts_of
from guardproxy.server.intake.feedback import FeedbackRoute
from guardproxy.server.intake.headers import (
    check_head,
    check_passed_query,
    check_query,
    condition_headers,
    is_trusted,
    named,
)
from guardproxy.server.upstream.mcp.challenges import METADATA_ROUTE
from guardproxy.server.upstream.mcp.door import PROVIDER, McpDoor, McpDoors, no_upstream
from guardproxy.server.upstream.mcp.tokens import BearerToken
from guardproxy.server.upstream.repeated_headers import RepeatedValues, sent_headers
from guardproxy.server.upstream.request_headers import refuse_names, upstream_headers, use_own_key
from guardproxy.server.upstream.targets import Availability, FoundUpstream, Targets
from guardproxy.server.upstream.upstream import Breakers
from guardproxy.wire import FEEDBACK_ROUTE, Bounds, Codec, Contract, Formats
from guardproxy.wire.contract import KeyHeader
from guardproxy.wire.json import JsonFault

_log = logging.getLogger(__name__)

LIMIT_KEYS = 1024  # tenants whose keys are kept
LIMIT_UPSTREAMS = 256  # providers whose base URLs are kept
LIMIT_PATHS = 256  # whose refusals are kept
_UNNAMED = ("", "")  # no trusted hop names a language and a conversation
SMALL_BYTES = 64 * 1024  # a larger body is decoded in a thread
REREAD = 4  # a body with headers that repeat it is read more often, and its scalars are listed
_WITHOUT_BODY = ("GET", "HEAD")
ID_BYTES = 12
IDS_AT_ONCE = 256

Result = TypeVar("Result")


class RandomIds:
    """Ids of 96 random bits, in hexadecimal. For one thread."""

    def __init__(self) -> None:
        self._left = ""

    def next(self) -> str:
        """Returns an id that was not returned before."""
        # To read random bytes, a thread gives up the interpreter, and gets it back only when no other thread computes: half a
        # millisecond for each request beside scans. So they are read for many ids at once.
        if not self._left:
            self._left = os.urandom(ID_BYTES * IDS_AT_ONCE).hex()
        found, self._left = self._left[: 2 * ID_BYTES], self._left[2 * ID_BYTES :]
        return found


class AdmittedRequest(msgspec.Struct, frozen=True):
    """An admitted request with its exchange. `first`: the first input of the exchange. `targets`: the places where it may be
    sent. `head`: what duties see of the request. `own_headers`: headers that duties add to the answer. `duties`: those that
    admitted it."""

    exchange: Exchange | PassThrough
    first: RequestReceived | Refused
    targets: Targets
    head: Head
    own_headers: Mapping[str, str]
    duties: Duties
    door: McpDoor | None = None
    """The door of the MCP server that the request is for, if it is for one."""


@dataclass(frozen=True, slots=True)
class Further:
    """What settings add to admission. `clients`: returns the clients in force, if the proxy has keys or tokens of its own.
    `key_notice(code, mode)`: is called for each request whose key is refused, or would be. `limits`: returns the duty that
    limits, for a keyed digest. `is_limiting`: whether it runs for every request, not only where a policy has limits. `prices`:
    returns the prices of models, if there are any. `store`: of all duties."""

    clients: Callable[[], KnownClients] | None = None
    key_notice: Callable[[str, str], None] = lambda code, mode: None
    limits: Callable[[Callable[[bytes], str]], Duty] | None = None
    is_limiting: bool = False
    prices: Callable[[], Prices] | None = None
    store: Store = field(default_factory=MemoryStore)


class Settling:
    """Lets duties do their last work for exchanges, while no client waits."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def settle(self, admitted: AdmittedRequest, record: Record) -> None:
        """Passes a finished exchange to the duties that admitted it."""
        self._begin(admitted.head, admitted.duties.settle(admitted.head, record))

    def abandon(self, duties: Duties, head: Head) -> None:
        """Tells the duties that the client left before there was an exchange."""
        self._begin(head, duties.abandon(head))

    async def close(self, timeout_s: float) -> None:
        """Waits for the work under way."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    def _begin(self, head: Head, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._finish(head, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _finish(head: Head, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            _log.error("duties not settled", extra={"id": head.id, "error": type(error).__name__})


class Admission:
    """Admits requests. `policies`: returns the policies in force. `is_recording`: whether records can be kept. `slots`: the
    slots for exchanges. `key`: the secret behind placeholders and the pseudonyms of tenants. `engine`: the version that
    records name. `further`: what settings add. `breakers`: those of the upstreams."""

    def __init__(
        self,
        config: Config,
        policies: Callable[[], PolicySet],
        is_recording: Callable[[], bool],
        slots: Slots,
        key: bytes,
        engine: str,
        mcp_tokens: Mapping[str, BearerToken],
        further: Further | None = None,
        breakers: Breakers | None = None,
        mark: str = "",
    ) -> None:
        further = further or Further()
        self._mark = mark  # of the proxy's own questions to models
        clients = further.clients
        self._config = config
        self._policies = policies
        self._slots = slots
        self._key = key[:64]  # the longest that the digest takes
        self._seals_ids = config.clients.seal_ids != "off"
        self._shares_ids = config.clients.seal_ids_scope == "tenant"
        self._engine = engine
        self._ids_of_exchanges = RandomIds()
        self._keys_of = lru_cache(LIMIT_KEYS)(lambda tenant: Keys.of(key, tenant, self._seal))
        bounds = bounds_of(config.limits)
        self._limits = ExchangeLimits(
            config.limits.held_chars,
            config.limits.answer_bytes,
            config.timeouts.quiet_s,
            bounds,
            replace(bounds, texts=min(bounds.texts, config.limits.request_texts)),
        )
        self._has_own_keys = clients is not None
        self._has_certificates = config.clients.tls_client_ca is not None
        # By the name of a provider or of an upstream.
        self._upstream_of = lru_cache(LIMIT_UPSTREAMS)(partial(_upstream_of, config.upstreams))
        self._availability = Availability(breakers)
        self._hops = tuple(map(ip_network, config.network.trusted_hop))
        self._more = frozenset(map(str.lower, config.network.request_header))
        self._passed_query = frozenset(config.network.pass_through_query)
        refuse_names(config.network)
        self.bodies = Bodies(config)
        self._refusals: tuple[Formats | None, dict[str, bytes]] = (None, {})  # by path, for these formats
        self._feedback = FeedbackRoute(policies, self._seal) if config.clients.feedback == "on" else None
        formats = self._formats
        self._mcp = McpDoors(config, self._seal, mcp_tokens) if config.mcp.entries else None
        open_routes = (METADATA_ROUTE,) if self._mcp else ()
        self._routes = Routes((*config.network.pass_through, *open_routes), formats)
        self._capacity = Capacity(slots)
        self._prices = further.prices
        self._priced = self._limits
        # Cheap refusals come first. No store is queried before the credential is known. Capacity is scarce, so it comes last.
        self._readiness = Readiness(lambda: slots.draining, is_recording)
        self._tenant_names = TenantNames(config.tenants.entries)
        first = (
            self._readiness,
            self._routes,
            Tenancy(self._tenant_names, self._seal),
            *((self._client_keys(clients, further.key_notice, open_routes),) if clients else ()),
            *((KnownTenants(open_routes),) if config.tenants.unknown == "refuse" else ()),
            *((OwnedIds(self._seal),) if self._feedback else ()),
        )
        last = (
            *load_duties(config.tenants.duty),
            self._capacity,
            BodyHeaders(config.limits.body_bytes, formats),
        )
        limits = (further.limits(self._seal),) if further.limits else ()
        self._limited = Duties((*first, *limits, *last), further.store)
        # A request for which nothing is limited costs no step of the duty.
        self.duties = self._limited if further.is_limiting else Duties((*first, *last), further.store)
        self.settling = Settling()

    def refusal(self, path: str) -> bytes:
        """The body of a refusal because of missing capacity, in the format of a path. Nothing of the request is read."""
        formats = self._formats()
        # A reload brings other formats. The bound is against paths that clients make up.
        if formats is not self._refusals[0] or len(self._refusals[1]) >= LIMIT_PATHS:
            self._refusals = formats, {}
        if (body := self._refusals[1].get(path)) is None:
            codec = formats.codec_for(f"POST {path}") or formats.codec_of_client(path, {})
            code = ErrorCode.NO_CAPACITY
            body = self._refusals[1][path] = codec.error(code.status, code, code.message())
        return body

    @property
    def bounds(self) -> Bounds:
        """What one body may hold."""
        return self._limits.bounds

    def digest(self, data: bytes) -> str:
        """A keyed digest of the data."""
        return self._seal(data)

    def admit_call(self, route: str, path: str, secret: str, client: KnownClient) -> Exchange:
        """Returns an exchange for a call that its port has authenticated, and that has no upstream of its own. `route`: of the
        format of its bodies; `path`: of the route, if it has parameters; `secret`: what tells its tenant. Takes a slot. Raises
        `DownstreamError` (503)."""
        head = Head(id=self._ids_of_exchanges.next(), route=route)
        self._readiness.admit(head)
        self._capacity.take()
        policies, tenant = self._policies(), self._seal(b"tenant:" + secret.encode())[:16]
        codec = policies.formats.codec_for(route)
        assert codec is not None  # noqa: S101 - a format that is always there
        address = Address(route, path)
        sent_path, sent_query = address.sent
        codec = codec.for_request(sent_path, sent_query)
        return Exchange(
            Setting(
                id=head.id,
                address=address,
                tenant=tenant,
                tenant_name=self._tenant_names.name(secret),
                codec=codec,
                policies=policies,
                keys=self._keys_of(tenant),
                limits=self._limits_now() if self._prices else self._limits,
                engine=self._engine,
                client=client,
            )
        )

    async def admit(self, request: HttpRequest, held: BodyAccount) -> AdmittedRequest:
        """Admits a request. `held`: the account for the memory of its body."""
        head = sent = self._head(request)
        if self._has_certificates:
            head = sent = head.changed(certificate=request.certificate)
        policies = self._policies()
        duties = self._limited if LIMITS.name in policies.section_names else self.duties
        feedback = self._feedback if head.route == FEEDBACK_ROUTE else None
        codec = (feedback or policies).formats.codec_for(head.route)
        policies = feedback.policies if feedback else policies
        if codec:
            if head.query:
                head = _with_key_in_header(head, codec.contract)
            codec = codec.for_request(head.path, head.query)
        trail = Trail(head)
        headers: CIMultiDict[str] = CIMultiDict()
        # A refusal is written in the format of the client's SDK, even where the route is of no format.
        chosen = codec or policies.formats.codec_of_client(head.path, request.headers)
        own = self._upstream_of(chosen.provider)
        door: McpDoor | None = None
        first: RequestReceived | Refused
        ids: SealedIds | None = None
        repeated: RepeatedValues | None = None
        try:
            check_head(request, sent.path, sent.query)
            # A check that asks a model through this very proxy would ask again for its own question, without an end.
            if policies.asks_models and self._mark and request.headers.get(MARK) == self._mark:
                raise DownstreamError(ErrorCode.ASKS_ITSELF)
            self._check_query(trail.head, codec)
            if self._mcp and (door := self._mcp.door(chosen.provider, head)):
                self._mcp.check_origin(request.headers)
                own = self._mcp.upstream(door)
            if request.upstream_of is not None:  # who sends the request on knows the host
                own = own._replace(url="", is_whole=False)
            elif not own.url and head.route != UNKNOWN and not feedback:
                raise no_upstream(own.name)
            # No byte of the body is read for a client that may not ask. The duties also find out who it is, which decides how
            # ids in its request are opened and whose share of memory its body takes.
            await duties.admit(trail)
            ids = self._ids(trail.head, codec) if self._seals_ids else None
            if ids:
                trail.head = trail.head.changed(path=ids.opened_path(trail.head.path))
            headers = upstream_headers(
                request.headers.items(),
                ",".join(request.headers.getall("Connection", ())),
                {} if door and door.asks_metadata else trail.head.credential.headers,
                self._seal,
                self._more,
            )
            session = door.pass_on(trail.head, headers) if door else ""
            header_values = condition_headers(request.headers, policies.headers) if policies.headers else {}
            held.credential = trail.head.tenant
            body = await self._body(request, held, codec, ids)
            if feedback:
                feedback.check(body, trail.head.tenant)
            if codec and codec.contract.repeated:
                repeated = await self._repeated(request, trail.head, codec, body)
            self._capacity.take()  # not before: a client that sends its body slowly must not hold a slot
            language, conversation = self._named(request) if self._hops else _UNNAMED
            conversation = conversation or session or request.conversation
            if conversation:
                trail.head = trail.head.changed(conversation=conversation)
            is_planning = codec and duties.is_planning(trail.head)
            plans = await self._plans(duties, trail, codec, body) if codec and is_planning else ()
            first = RequestReceived(
                body,
                at_s=time.perf_counter(),
                unix_s=trail.head.unix_s,
                language=language,
                conversation=conversation,
                headers=header_values,
                answers=tuple(trail.answers),
                plans=plans,
                refusals=duties.refusals(trail.head) if duties.is_refusing else (),
                session=request.headers.get(session, "")
                if codec and (session := codec.contract.headers.session)
                else "",
            )
        except DownstreamError as error:
            # The rest of a body that nobody reads would be taken for the next request.
            request.closing |= error.status in (408, 413, 505) or not request.content.is_eof() or self._slots.draining
            first = _refused(error, trail, duties)
        except BaseException:  # the client left, for example: nobody else gives back what the duties have reserved
            self.settling.abandon(duties, trail.head)
            raise
        head = trail.head
        setting = self._setting(head, chosen, policies, ids)
        exchange = Exchange(setting) if codec or isinstance(first, Refused) else PassThrough(setting)
        targets = self._targets(head, headers, own, chosen.contract.key_header)
        targets.repeated = repeated
        if policies.routed and isinstance(first, RequestReceived):
            first = structs.replace(first, unavailable=targets.unavailable(policies.routed))
        own_headers = duties.headers(head, chosen.contract)
        if door and isinstance(first, Refused) and first.status == 401:
            own_headers = {**own_headers, **door.refusal()}
        return AdmittedRequest(exchange, first, targets, head, own_headers, duties, door)

    def _check_query(self, head: Head, codec: Codec | None) -> None:
        """Refuses a query that holds a secret, or that the format or the route does not have."""
        if head.query:
            refuse_in_query(head.query)
        if codec:
            check_query(head.query, codec.contract.query)
        elif head.route != UNKNOWN:
            check_passed_query(head.query, self._passed_query)

    async def _body(self, request: HttpRequest, held: BodyAccount, codec: Codec | None, ids: SealedIds | None) -> bytes:
        """Reads the body, and opens the ids in it if no exchange does. Raises `DownstreamError` for one that the method or the
        format does not allow."""
        # Only now may a client that waits with its body send it: one that is refused sends none.
        request.go_on()
        body = await self.bodies.read(request, held)
        # No API wants it, and no check reads it on routes without a format. `DELETE` has one on some of these.
        if body and (request.method in _WITHOUT_BODY or (codec and request.method == "DELETE")):
            raise DownstreamError(ErrorCode.UNEXPECTED_BODY)
        if not body and codec and request.method == "POST":  # to a format that reads streams, it would begin one
            raise DownstreamError(ErrorCode.INVALID_JSON)
        if codec and len(body) > 2 * FREE_TEXTS:
            held.add_texts(await _beside(len(body), partial(texts_of, body)))
        if ids and codec is None:  # no exchange opens them
            body = await _beside(len(body), partial(ids.opened_body, body))
        return body

    def _setting(self, head: Head, codec: Codec, policies: PolicySet, ids: SealedIds | None) -> Setting:
        """Returns the setting of the exchange. `ids`: what seals the ids of its answer, if anything does."""
        keys = self._keys_of(head.tenant)
        return Setting(
            id=head.id,
            address=Address(head.route, head.path, head.query),
            tenant=head.tenant,
            tenant_name=head.tenant_name,
            codec=codec,
            policies=policies,
            keys=replace(keys, ids=ids) if ids else keys,
            limits=self._limits_now() if self._prices else self._limits,
            engine=self._engine,
            receipts=self._config.audit.receipts == "on",
            client=head.client,
        )

    def _targets(self, head: Head, headers: CIMultiDict[str], own: FoundUpstream, key_header: KeyHeader) -> Targets:
        """Returns where the exchange may send its request. `headers`: those for the upstream; a key of the proxy replaces the
        client's."""
        is_stranger = self._has_own_keys and not head.client.identity  # in shadow mode; it gets no key of the proxy
        has_own_key = self._has_own_keys and not is_stranger
        if has_own_key:
            use_own_key(headers, key_header, own.key, self._more)
        find, holder = self._keyless_upstream if is_stranger else self._upstream_of, "" if has_own_key else head.tenant
        where = head.path + (f"?{head.query}" if head.query else "")
        return Targets(find, self._availability, own, where, headers, key_header, holder)

    def _keyless_upstream(self, name: str) -> FoundUpstream:
        return self._upstream_of(name)._replace(key="")

    def _ids(self, head: Head, codec: Codec | None) -> SealedIds | None:
        """What seals the ids in a request and its answer; `None` if it has none."""
        stored = codec.contract.stored if codec else self._formats().stored_at(head.path)
        if stored is None:
            return None
        holder = holder_of("tenant" if self._shares_ids else "client", head.tenant, head.tenant_name)
        return SealedIds(self._seal, holder, stored, self._config.clients.seal_ids == "accept", head.tenant)

    def _formats(self) -> Formats:
        """The formats in force, with that of feedback if clients may send it."""
        return self._feedback.formats if self._feedback else self._policies().formats

    def _limits_now(self) -> ExchangeLimits:
        """The limits of an exchange, with the prices in force."""
        prices = self._prices() if self._prices else None
        if self._priced.prices is not prices:
            self._priced = replace(self._limits, prices=prices)
        return self._priced

    def _client_keys(
        self, clients: Callable[[], KnownClients], notice: Callable[[str, str], None], open_routes: tuple[str, ...]
    ) -> ClientKeys:
        settings, policies = self._config.clients, self._policies
        return ClientKeys(
            clients,
            Guesses(settings.limit_wrong_keys),
            self._seal,
            policies=lambda: policies().names,
            formats=self._formats,
            is_shadow=settings.keys_mode == "shadow",
            notice=notice,
            open_routes=open_routes,
        )

    def _head(self, request: HttpRequest) -> Head:
        """The head of a request, as the client sent it."""
        path, _, query = request.raw_path.partition("?")
        stored = self._formats().stored_at(path)
        return Head(
            id=self._ids_of_exchanges.next(),
            method=request.method,
            path=path,
            query=query,
            headers=request.headers,
            address=request.remote or "",
            length_bytes=request.content_length,
            unix_s=time.time(),
            route=self._routes.route_of(
                request.method, stored.without_id(path, sealed=self._seals_ids) if stored else path
            ),
        )

    async def _plans(self, duties: Duties, trail: Trail, codec: Codec, body: bytes) -> tuple[Plan, ...]:
        """The plans of the duties for the request. An unreadable body has no plan, because the exchange refuses it. Raises
        `DownstreamError`."""
        try:
            self._limits.bounds.check(body)
            decoded = await _beside(len(body), partial(codec.read_request, trail.head.path, trail.head.query, body))
        except (DownstreamError, JsonFault):
            return ()
        trail.model = decoded.model
        plans = await duties.plan(trail, decoded)
        for plan in plans:
            if plan.upstream and plan.upstream not in self._config.upstreams.named:
                message = f"the upstream `{plan.upstream}`, which a duty chose, has no address"
                raise DownstreamError(ErrorCode.UPSTREAM_UNAVAILABLE, message)
        return plans

    async def _repeated(self, request: HttpRequest, head: Head, codec: Codec, body: bytes) -> RepeatedValues | None:
        """What headers of the request repeat of its body; `None` if there are no such headers, or if the exchange refuses the
        body. Raises `DownstreamError` if a header has another value than the body."""
        sent, repeated = sent_headers(request.headers.items(), codec.contract), codec.contract.repeated
        if not sent or repeated is None:
            return None
        try:
            self._limits.bounds.check(body)
            decoded = await _beside(REREAD * len(body), partial(codec.read_request, head.path, head.query, body))
        except (DownstreamError, JsonFault):
            return None
        places = await _beside(REREAD * len(body), partial(repeated.places, decoded.frame.tree, sent))
        return RepeatedValues(places, codec.read_body, repeated.values)

    def _named(self, request: HttpRequest) -> tuple[str, str]:
        """The language and the conversation that a trusted hop names. The headers of other clients are ignored."""
        peer = request.transport.get_extra_info("peername") if request.transport else None
        return named(request.headers) if is_trusted(peer, self._hops) else _UNNAMED

    def _seal(self, data: bytes) -> str:
        """A keyed digest of the data. It commits to the bytes and cannot be reversed by guessing."""
        return hashlib.blake2b(data, digest_size=16, key=self._key).hexdigest()


def _upstream_of(settings: UpstreamSettings, name: str) -> FoundUpstream:
    """The upstream of a provider or of a name; without an address if no upstream may answer in its place."""
    if name.startswith(PROVIDER):
        return FoundUpstream(name, "", "", is_whole=True)
    known = settings.name_for(name)
    return FoundUpstream(known, settings.url_for(name), settings.key_for(known))


async def _beside(size_bytes: int, decoding: Callable[[], Result]) -> Result:
    """The result of work on a body of this size; in a thread if it takes long."""
    return decoding() if size_bytes <= SMALL_BYTES else await asyncio.to_thread(decoding)


def _refused(error: DownstreamError, trail: Trail, duties: Duties) -> Refused:
    return Refused(
        error.code,
        str(error),
        error.field,
        at_s=time.perf_counter(),
        unix_s=trail.head.unix_s,
        retry_s=error.retry_s,
        answers=tuple(trail.answers),
        refusals=duties.refusals(trail.head),
        model=trail.model,
    )


def _with_key_in_header(head: Head, contract: Contract) -> Head:
    """The head of a request with the key in the header of the format, if the query holds it: URLs end up in logs."""
    secret, query = moved_from_query(head.query, contract.query.credential)
    if not secret:
        return head
    headers = CIMultiDict(head.headers)
    headers.add(contract.key_header.name, contract.key_header.prefix + secret)
    return head.changed(query=query, headers=headers)


def bounds_of(settings: LimitSettings) -> Bounds:
    """The limits on the contents of a body."""
    return Bounds(**{limit.name: getattr(settings, limit.name) for limit in fields(Bounds)})
