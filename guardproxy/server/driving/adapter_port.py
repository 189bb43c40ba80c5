"""The port of adapters: other gateways ask here whether a request or an answer may pass.

In: calls over HTTP. Out: verdicts. Each call is an exchange of its own, with a record; it has no upstream. A call about an
answer is judged as the answer to the request that was asked about before it, if the call names it: then values are restored.
Kept: these requests, in memory, up to a number of bytes and each for a time.

No retry is possible here, as the other gateway asks the model: a rule with `retry` blocks. The duties of the gateway do not
run: keys, limits and budgets are those of the other gateway.

Decision: docs/decisions/0070-an-adapter-asks-the-same-exchange.md
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web
from msgspec import structs
from multidict import CIMultiDict

from guardproxy.adapters import (
    ADAPTERS,
    STREAM,
    Adapter,
    AdapterCall,
    AdapterVerdict,
    FiredRule,
    Said,
    body_of,
    canonical,
    refusal_in,
    said_in,
    stream_of,
    tree_of,
)
from guardproxy.audit import reason
from guardproxy.config import AdapterSettings, Config
from guardproxy.decisions import Pass, Retry, Stop
from guardproxy.errors import ConfigError, DownstreamError, ErrorCode
from guardproxy.exchange import (
    Aborted,
    Command,
    DataReceived,
    Exchange,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    SendData,
    SendUpstream,
    UpstreamFailed,
)
from guardproxy.gateway.clients import Guesses, KnownClient
from guardproxy.gateway.store import Get, Put
from guardproxy.policy import BoundRules, Outcome
from guardproxy.server.aiohttp_parts import HttpRequest
from guardproxy.server.driving.direct import DirectDriver, closed
from guardproxy.server.driving.earlier import MemoryTurns
from guardproxy.server.driving.offload import SHORT_BYTES
from guardproxy.server.intake.body import Bodies
from guardproxy.server.intake.headers import check_head, condition_headers
from guardproxy.server.intake.listener import whole_response
from guardproxy.server.opening import naming
from guardproxy.wire import Bounds
from guardproxy.wire.json import JsonFault, write
from guardproxy.wire.request import read_body

LEAST_TOKEN_BYTES = 16
LIMIT_KEPT_BYTES = 64 * 1024 * 1024
NO_ADAPTER = "there is no open adapter at this path; the setting `adapter_token` opens one"
NO_ATTEMPT = "another gateway asks the model, so there is no further attempt"
BLOCKED = "a policy refused this {}"
_clock = time.perf_counter


class CallAdmission(Protocol):
    """The part of admission that calls need. `bodies`: reads bodies; `bounds`: what one body may hold."""

    bodies: Bodies

    @property
    def bounds(self) -> Bounds: ...

    def digest(self, data: bytes) -> str:
        """A keyed digest of the data."""
        ...

    def admit_call(self, route: str, path: str, secret: str, client: KnownClient) -> Exchange:
        """Returns an exchange for a call. Raises `DownstreamError` (503)."""
        ...


class AdapterTokens:
    """The tokens of the adapters. `settings`: each adapter that has a token there is open. Raises `ConfigError`."""

    def __init__(self, settings: AdapterSettings) -> None:
        known = {adapter.name: adapter for adapter in ADAPTERS}
        self._tokens: dict[str, bytes] = {}
        for entry in settings.tokens:
            name, _, token = entry.partition("=")
            if name not in known:
                raise ConfigError(f"there is no adapter `{name}`: choose one of {', '.join(sorted(known))}")
            self._tokens[name] = _token(token)
        self.adapters = tuple(adapter for adapter in ADAPTERS if adapter.name in self._tokens)

    def is_right(self, adapter: Adapter, secret: str) -> bool:
        """Whether `secret` is the token of an adapter, in a time that tells nothing about it."""
        return hmac.compare_digest(self._tokens[adapter.name], secret.encode(errors="surrogateescape"))


def tokens_of(config: Config) -> AdapterTokens | None:
    """Returns the tokens of the settings; `None` if adapters have no port. Raises `ConfigError`."""
    if config.adapters.port is None and config.adapters.grpc_port is None and not config.adapters.tokens:
        return None
    with naming("adapters", "adapters_grpc", "adapter_token"):
        tokens = AdapterTokens(config.adapters)
        if config.adapters.grpc_port is not None and find_spec("grpc") is None:
            raise ConfigError("the package grpcio is not installed: pip install 'guardproxy[agentgateway]'")
        if config.adapters.port is None or not tokens.adapters:
            raise ConfigError("a port for adapters needs the token of at least one, and a token needs the port")
    return tokens


class AskedRequests:
    """The requests that were asked about, until their answers come. `digest`: a keyed digest; `keep_s`: for how long.

    An id that names two different requests names none: another client may have chosen it, and gets no value of this one."""

    def __init__(self, digest: Callable[[bytes], str], keep_s: float, limit_bytes: int = LIMIT_KEPT_BYTES) -> None:
        self._digest = digest
        self._keep_s = keep_s
        self._kept = MemoryTurns(limit_bytes, time.monotonic)

    def _key(self, adapter: Adapter, call: AdapterCall) -> str:
        holder = self._digest(write(["adapter", adapter.name, call.caller]))
        return f"call:{holder}:{self._digest(write([holder, call.call_id]))}"

    async def keep(self, adapter: Adapter, call: AdapterCall, body: bytes) -> None:
        """Keeps the request of a call, if the call has a name."""
        if not call.call_id:
            return
        key, text = self._key(adapter, call), body.decode()
        # `MemoryTurns` never awaits, so no other call comes between these two.
        (older,) = await self._kept.perform([Get(key)])
        await self._kept.perform([Put(key, text if older in (None, text) else "", self._keep_s)])

    async def find(self, adapter: Adapter, call: AdapterCall) -> bytes:
        """Returns the request that the answer of a call belongs to; empty if it is not known."""
        if not call.call_id:
            return b""
        (kept,) = await self._kept.perform([Get(self._key(adapter, call))])
        return str(kept or "").encode()


class AdapterPort:
    """Answers the calls of other gateways. `admission`: admits their exchanges; `driver`: makes what plays one; `finished`:
    takes one that has ended, and its seconds."""

    def __init__(
        self,
        config: Config,
        tokens: AdapterTokens,
        admission: CallAdmission,
        driver: Callable[[Exchange], DirectDriver],
        finished: Callable[[DirectDriver, float], None],
    ) -> None:
        self._config = config
        self._admission = admission
        self._driver = driver
        self._finished = finished
        self._tokens = tokens
        self.open_adapters = tokens.adapters
        self._adapters = {route: adapter for adapter in tokens.adapters for route in adapter.routes}
        self._paths = {route.partition(" ")[2] for route in self._adapters}
        self._guesses = Guesses(config.clients.limit_wrong_keys)
        self._asked = AskedRequests(admission.digest, config.adapters.keep_s)

    def refusal(self, path: str) -> bytes:
        """The body of a refusal because of missing capacity. Nothing of the call is read."""
        code = ErrorCode.NO_CAPACITY
        adapter = self._adapters.get(f"POST {path}", ADAPTERS[0])
        return write(adapter.error(code, code.message()))

    async def handle(self, request: HttpRequest) -> web.StreamResponse:
        """Answers a call."""
        path, _, query = request.raw_path.partition("?")
        route = f"{request.method} {path}"
        adapter = self._adapters.get(route)
        held = self._admission.bodies.hold(request.owner)
        is_known = False
        try:
            check_head(request, path, query)
            if adapter is None:
                code = ErrorCode.METHOD_NOT_ALLOWED if path in self._paths else ErrorCode.UNKNOWN_ROUTE
                raise DownstreamError(code, NO_ADAPTER)
            if query:
                raise DownstreamError(ErrorCode.INVALID_QUERY, "a call of an adapter has no query", "query")
            secret = self.authenticate(adapter, secret_of(request.headers), request.remote or "")
            is_known = True
            _check_type(request)
            # Only now may a client that waits with its body send it: a stranger's body is not wanted.
            request.go_on()
            # All calls of a gateway are one client here: its own clients are not known to this port.
            held.credential = adapter.name
            body = await self._admission.bodies.read(request, held)
            read = partial(self.read, adapter, route, partial(self._tree_of, body), request.headers)
            call = await beside(len(body), read)
            verdict = await self.judge(adapter, call, secret, request.headers, len(body))
            answer = await beside(len(body), lambda: write(adapter.write(call, verdict)))
            return _response(request, 200, answer, verdict.id)
        except JsonFault as fault:
            error = DownstreamError(fault.code, f"the request body: {fault}")
            return _refused(request, adapter, error, is_known=is_known)
        except DownstreamError as error:
            # The rest of a body that nobody reads would be taken for the next request.
            request.closing |= error.status in (408, 413, 505) or not request.content.is_eof()
            return _refused(request, adapter, error, is_known=is_known)
        finally:
            held.release()

    def authenticate(self, adapter: Adapter, secret: str, address: str) -> str:
        """Returns the token of a call from an address. Raises `DownstreamError` (401, 429)."""
        now_s = time.time()
        if wait_s := self._guesses.wait_s(address, now_s):
            raise DownstreamError(ErrorCode.TOO_MANY_WRONG_KEYS, retry_s=wait_s)
        if not secret:
            raise DownstreamError(ErrorCode.MISSING_CREDENTIAL, "the call has no token")
        if not self._tokens.is_right(adapter, secret):
            self._guesses.add(address, now_s)
            raise DownstreamError(ErrorCode.UNKNOWN_CREDENTIAL, "the token of the call is not that of this adapter")
        return secret

    def _tree_of(self, body: bytes) -> Any:
        self._admission.bounds.check(body)
        return read_body(body)

    @staticmethod
    def read(adapter: Adapter, route: str, tree: Callable[[], Any], headers: Mapping[str, str]) -> AdapterCall:
        """Reads a call. `tree`: reads its body. Raises `DownstreamError` or `JsonFault`."""
        return adapter.read(route, tree(), {name.lower(): value for name, value in headers.items()})

    async def judge(
        self, adapter: Adapter, call: AdapterCall, secret: str, headers: Mapping[str, str], size_bytes: int
    ) -> AdapterVerdict:
        """Plays the exchange of a call. `secret`: the token; `size_bytes`: of the call. Raises `DownstreamError` if there is
        no verdict."""
        began_s = _clock()
        body = await beside(size_bytes, partial(body_of, call.request)) if call.request else b""
        if call.is_about_answer:
            asked = await self._asked.find(adapter, self._named(call, call.request)) or body or body_of(call.asked)
        else:
            asked = body
        client = KnownClient(name=adapter.name)
        driver = self._driver(self._admission.admit_call(call.route, call.path, secret, client))
        asked_for = condition_headers(headers, driver.exchange.setting.policies.headers)
        first = RequestReceived(asked, _clock(), time.time(), conversation=call.conversation, headers=asked_for)
        try:
            async with asyncio.timeout(self._config.timeouts.total_s or None):
                verdict = await judged(driver, first, call, size_bytes)
        except TimeoutError:
            code = ErrorCode.TIMEOUT
            if driver.finished is None:
                await driver.take(Aborted(code, code.message(), code.status, _clock()))
            raise DownstreamError(code) from None
        finally:
            await closed(driver)
            self._finished(driver, _clock() - began_s)
        # A refused request reaches no model, so no answer to it will be asked about.
        if not call.is_about_answer and not verdict.is_blocked:
            await self._asked.keep(adapter, self._named(call, verdict.request), body)
        return verdict

    def _named(self, call: AdapterCall, edited: Any) -> AdapterCall:
        """Returns a call with its name. `edited`: the request as it goes to the model."""
        if not call.is_named_by_edit:
            return call
        return structs.replace(call, call_id=self._admission.digest(canonical(edited)))


async def judged(
    driver: DirectDriver, first: RequestReceived, call: AdapterCall, first_bytes: int = 0
) -> AdapterVerdict:
    """Plays a call to its end: the request, then the answer that the call brings, or none. `first_bytes`: the size of the
    call. Raises `DownstreamError` if nothing was decided."""
    commands = await driver.take(first)
    sent = next((command.body for command in commands if isinstance(command, SendUpstream)), first.body)
    shown, is_open, end = b"", False, b""
    if driver.finished is None:
        content = await beside(first_bytes, partial(body_of, call.empty if call.answer is None else call.answer))
        if call.said is not None:
            content, end = await beside(first_bytes, partial(stream_of, call.said))
        await driver.take(ResponseStarted(200, STREAM if call.said else "application/json", _clock()))
        shown = _shown(await driver.take(DataReceived(content, _clock())))
        is_open = driver.finished is None and not driver.exchange.attempt
    rest = b""
    if is_open:
        rest = _shown(await driver.take(DataReceived(end, _clock()))) if end else b""
        if driver.finished is None:
            rest += _shown(await driver.take(ResponseEnded(_clock())))
    # The exchange may ask for further attempts. Each fails at once, until it gives up.
    while driver.finished is None:
        failure = ErrorCode.UPSTREAM_UNAVAILABLE
        await driver.take(UpstreamFailed(failure, NO_ATTEMPT, failure.status, _clock()))
    block = _block(driver, "answer" if call.is_about_answer else "request")
    code, message = block or ("", "")
    said = call.said or Said()
    whole = shown + rest + driver.finished.data if block is None else b""
    read = partial(said_in, like=said)
    exchange = driver.exchange
    return AdapterVerdict(
        id=exchange.setting.id,
        is_blocked=block is not None,
        at_end=is_open,
        code=code,
        message=message,
        request=await beside(len(sent), partial(tree_of, sent)) if block is None else None,
        answer=await beside(len(whole), partial(tree_of, whole)) if block is None and call.answer is not None else None,
        open=await beside(len(shown), partial(read, shown)),
        said=await beside(len(whole), partial(read, whole)) if block is None else said,
        rules=tuple(map(_fired, filter(_is_enforced, exchange.outcomes))),
        names=_names(exchange.bound) if exchange.bound else (),
    )


def _block(driver: DirectDriver, side: str) -> tuple[str, str] | None:
    """Returns the code and the message of a block; `None` if the call passes. Raises `DownstreamError` if nothing was
    decided."""
    finished, exchange = driver.finished, driver.exchange
    assert finished is not None  # noqa: S101 - the caller has played the exchange to its end
    if not driver.is_recorded:
        raise DownstreamError(ErrorCode.AUDIT_UNAVAILABLE)
    outcome, data = finished.outcome, finished.data
    if outcome == "answered":
        return None
    ends = [each.decision for each in exchange.outcomes if each.enforced and isinstance(each.decision, Stop | Retry)]
    message = next((end.message for end in ends if end.message), "") or BLOCKED.format(side)
    if exchange.attempt:  # a rule asked for another attempt
        return ErrorCode.CONTENT_FILTER, message
    said = refusal_in(data) if data.startswith(b"{") else ""
    if outcome in ("blocked_request", "blocked_response"):
        return ErrorCode.CONTENT_FILTER, said or message
    error = finished.record.error
    failure = ErrorCode(error.code if outcome == "refused" and error else outcome)
    if failure.is_retryable:
        raise DownstreamError(failure, said or failure.message())
    return failure, said or failure.message()


def _token(entry: str) -> bytes:
    """Returns a token of the settings, or that of the file that they name. Raises `ConfigError`."""
    path = entry.removeprefix("file:")
    if path == entry:
        return entry.encode()
    try:
        token = Path(path).read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"{path}: {reason(error)}") from None
    if len(token) < LEAST_TOKEN_BYTES:
        raise ConfigError(f"{path}: a token has {LEAST_TOKEN_BYTES} characters or more")
    return token


def _is_enforced(outcome: Outcome) -> bool:
    return outcome.enforced


def _fired(outcome: Outcome) -> FiredRule:
    finding, channel = outcome.finding, outcome.channel
    acts = not isinstance(outcome.decision, Pass)
    return FiredRule(outcome.policy, outcome.rule, finding.label, channel.direction, channel.path, finding.score, acts)


def _shown(commands: Sequence[Command]) -> bytes:
    return b"".join([command.data for command in commands if isinstance(command, SendData)])


def _names(bound: BoundRules) -> tuple[str, ...]:
    """The ids of the rules for texts of a user, in order."""
    rules = (each.rule for each in bound.rules if ("request", "user") in each.rule.on)
    return tuple(dict.fromkeys(rule.id for rule in rules))


async def beside(size_bytes: int, step: Callable[[], Any]) -> Any:
    """The result of work on a body of this size; in a thread if it takes long."""
    return step() if size_bytes <= SHORT_BYTES else await asyncio.to_thread(step)


def secret_of(headers: Mapping[str, str]) -> str:
    """Returns the token of a call: `Authorization: Bearer TOKEN`, or `x-api-key`."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "").strip()


def _check_type(request: HttpRequest) -> None:
    """Raises `DownstreamError` (415) for a body that is not JSON."""
    if request.content_type != "application/json" or (request.charset or "utf-8").lower() != "utf-8":
        raise DownstreamError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, field="content-type")


def _response(request: HttpRequest, status: int, body: bytes, exchange: str = "", **more: str) -> web.StreamResponse:
    headers = CIMultiDict({"Content-Type": "application/json", "Server": "guardproxy", **more})
    if exchange:
        headers["x-guardproxy-id"] = exchange
    return whole_response(request, status, body, headers)


def _refused(
    request: HttpRequest, adapter: Adapter | None, error: DownstreamError, *, is_known: bool
) -> web.StreamResponse:
    """Answers a call without a verdict. `is_known`: whether it has the token of its adapter."""
    if adapter is not None and adapter.error_is_verdict and is_known:
        return _response(request, 200, write(adapter.error(error.code, str(error))))
    body = write((adapter or ADAPTERS[0]).error(error.code, str(error)))
    more = {"Retry-After": str(error.retry_s or 1)} if error.code.is_retryable or error.retry_s else {}
    return _response(request, error.status, body, **more)
