"""Builds the server and runs it: listeners, limits, the order of start and stop.

`Server` holds everything that one process has: one configuration, one policy set, built checks, one client session, one
recorder. A request is looked at in this order: head, route, credential, capacity, body; only then is it an exchange.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import signal
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import ContentEncodingError
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge

from guardproxy import placeholders, plugins
from guardproxy.config import Config
from guardproxy.errors import DownstreamError, PolicyError
from guardproxy.exchange import Exchange, Limits, Setting
from guardproxy.passing import PassThrough
from guardproxy.policy.evaluate import PolicySet
from guardproxy.policy.load import PolicyErrors
from guardproxy.remote import Remotes
from guardproxy.scanning import folder_of, load
from guardproxy.server.driver import Driver
from guardproxy.server.headers import (
    asked_for,
    check_body_headers,
    check_head,
    check_query,
    credential,
    fallback_headers,
    named,
    upstream_headers,
)
from guardproxy.server.listener import Listener
from guardproxy.server.recorder import Recorder, key_of
from guardproxy.server.reload import Reload
from guardproxy.server.scanner import Scanner
from guardproxy.server.status import Metrics, admin_app
from guardproxy.server.upstream import Upstream, session
from guardproxy.supervisor import Models, Settings, cores
from guardproxy.supervisor.meters import Registry
from guardproxy.transcript import Finish, Refused, RequestReceived
from guardproxy.wire import Codec, codec_for, codecs

_log = logging.getLogger(__name__)
KEEP_ALIVE_S = 75.0
LAG_EVERY_S = 0.25
SWITCH_S = 0.001  # how long a thread that scans may keep the loop waiting, at the most
UNKNOWN = "unknown"  # what records and metrics call a route that is not listed: clients must not make up labels


def engine() -> str:
    """The version that records name."""
    try:
        return f"guardproxy {version('guardproxy')}"
    except PackageNotFoundError:
        return "guardproxy dev"


def settings(config: Config) -> Settings:
    """How this process runs models: on its share of the cores, where each worker has models of its own."""
    alone = config.workers == 1 or (config.supervisor_shared and not config.supervisor_url)
    workers = config.supervisor_workers or max(1, cores() // (1 if alone else config.workers))
    return Settings(
        threads=config.supervisor_threads,
        workers=workers,
        queue=config.supervisor_queue,
        remembered=config.supervisor_remembered,
        url=config.supervisor_url,
        timeout_s=config.timeout_scan_s,
        socket=config.supervisor_socket,
    )


class Server:
    """One process."""

    def __init__(self, config: Config, worker: int = 0) -> None:
        self.config = config
        self.metrics = Metrics()
        self._remotes = Remotes(config.remote_check_host, dict(one.split("=", 1) for one in config.remote_check_key))
        self._models = Models(
            (config.models,) if config.models else (), settings(config), Registry(self.metrics.registry)
        )
        self.reloading = Reload(folder_of(config.policies), self._load, self.metrics)
        config.audit.mkdir(parents=True, exist_ok=True)
        self._key = key_of(config.audit, config.key)
        self._engine = engine()
        self._recorder = Recorder(config.audit, worker, self._engine, config.audit_sink)
        self._scanner = Scanner(config.scan_threads, config.timeout_scan_s, self.metrics.remembered)
        self._client = session(config)
        self._limits = Limits(config.limit_held_chars, config.limit_answer_bytes, config.quiet_s)
        self._open: dict[asyncio.Task[Any], Driver | None] = {}
        self._draining = False
        self._pass_through = frozenset(config.pass_through)

    def _load(self) -> PolicySet:
        """The policies as they lie in their folder. Raises `PolicyError`."""
        policies = load(self.config.policies, self.config.models, self._models, self._remotes)
        check_fallbacks(policies, self.config)
        return policies

    def trouble(self) -> list[str]:
        """Why no traffic should come."""
        reasons = [] if self._recorder.healthy else ["the audit log cannot be written"]
        return [*reasons, *(["draining"] if self._draining else [])]

    @property
    def policies(self) -> PolicySet:
        """Those in force. An exchange takes them once, and keeps them to its end."""
        return self.reloading.policies

    def remarks(self) -> list[str]:
        """What somebody should know though traffic may come."""
        if not self.reloading.errors:
            return []
        stays = f"the policies' folder cannot be used; {self.policies.digest} stays in force:"
        return [stays, *(str(error) for error in self.reloading.errors)]

    async def reload(self) -> dict[str, object]:
        """Loads the policies anew, for the admin port."""
        ok = await self.reloading.now()
        errors = [
            {"file": one.path, "line": one.line, "column": one.column, "message": one.message}
            for one in self.reloading.errors
        ]
        return {"ok": ok, "policies": self.policies.digest, "errors": errors}

    def version(self) -> dict[str, object]:
        checks = {check.name: check.digest for check in self.policies.checks.values()}
        brought = [str(one) for group in plugins.GROUPS for one in plugins.installed(group)]
        return {"engine": self._engine, "policies": self.policies.digest, "checks": checks, "plugins": brought}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request, to the end of its answer."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - aiohttp runs handlers in tasks
        self._open[task] = None
        self.metrics.open.inc()
        began = time.perf_counter()
        route, driver = UNKNOWN, None
        try:
            route, driver, first = await self._admit(request)
            self._open[task] = driver
            return await driver.run(first)
        finally:
            del self._open[task]
            self.metrics.open.dec()
            if driver and driver.finished:
                self._note(route, driver.finished, time.perf_counter() - began)

    async def _admit(self, request: web.BaseRequest) -> tuple[str, Driver, RequestReceived | Refused]:
        """The exchange of a request, and what it is told first."""
        path = request.message.path.partition("?")[0]
        route = f"{request.method} {path}"
        codec = codec_for(route)
        known = codec is not None or route in self._pass_through
        tenant = ""
        first: RequestReceived | Refused
        query = ""
        try:
            path, query = check_head(request)
            if codec:
                check_query(query)
            if not self._recorder.healthy:
                raise DownstreamError(503, "audit_unavailable", "the audit log cannot be written")
            if not known:
                raise self._unknown(route, path)
            tenant = self._tenant(credential(request.headers))
            if len(self._open) > self.config.limit_exchanges:
                raise DownstreamError(503, "no_capacity", "too many requests are under way")
            body = await self._body(request, read=codec is not None)
            asked = asked_for(request.headers, self.policies.headers)
            first = RequestReceived(body, time.perf_counter(), time.time(), *named(request.headers), asked)
        except DownstreamError as error:
            first = Refused(error.status, error.code, str(error), error.field, time.perf_counter(), time.time())
        chosen = codec or _dialect(request, path)
        setting = Setting(
            id=secrets.token_hex(12),
            route=route if known else UNKNOWN,
            tenant=tenant,
            codec=chosen,
            policies=self.policies,
            mint=lambda label, value: placeholders.mint(self._key, tenant, label, value),
            seal=self._seal,
            hashed=lambda kind, value: placeholders.hashed(self._key, tenant, kind, value),
            limits=self._limits,
            engine=self._engine,
            receipts=self.config.receipts == "on",
        )
        exchange = Exchange(setting) if codec or isinstance(first, Refused) else PassThrough(setting)
        upstream = Upstream(self._client)
        driver = Driver(exchange, request, upstream, self._scanner, self._recorder, self.metrics, self.config)
        where = path + (f"?{query}" if query else "")
        headers = upstream_headers(request.headers.items(), request.headers.get("Connection", ""))
        driver.targets[""] = self.config.upstream_for(chosen.provider) + where, headers
        for name in self.policies.fallbacks:
            own = fallback_headers(headers, chosen.provider, self.config.key_for(name))
            driver.targets[name] = self.config.upstream_for(name) + where, own
        return setting.route, driver, first

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

    async def _body(self, request: web.BaseRequest, *, read: bool) -> bytes:
        if read:
            check_body_headers(request)
        length = request.content_length
        if length is not None and length > self.config.limit_body_bytes:
            raise self._too_large()
        try:
            async with asyncio.timeout(self.config.timeout_body_s):
                return await request.read()
        except TimeoutError:
            raise DownstreamError(408, "body_timeout", "the request body did not arrive in time") from None
        except HTTPRequestEntityTooLarge:
            raise self._too_large() from None
        except (ContentEncodingError, web.RequestPayloadError):
            raise DownstreamError(
                400, "invalid_body", "the request body is cut off or not encoded as it says"
            ) from None

    def _too_large(self) -> DownstreamError:
        limit = self.config.limit_body_bytes
        return DownstreamError(413, "request_too_large", f"the request body is larger than {limit} bytes")

    def _note(self, route: str, finished: Finish, seconds: float) -> None:
        record = finished.record
        self.metrics.exchanges.labels(route, finished.outcome).inc()
        self.metrics.duration.labels(route).observe(seconds)
        for one in record["decisions"]:
            self.metrics.rules.labels(one["policy"], one["rule"], one["action"], one["mode"]).inc()
        for one in record.get("attempts", ())[:-1]:
            self.metrics.attempts.labels(route, one["decision"]).inc()
        self.metrics.saved_tokens.inc(record.get("saved", {}).get("tokens", 0))
        self.metrics.saved_seconds.inc(record.get("saved", {}).get("seconds", 0))
        for side in ("request", "response"):
            if edits := sum(len(text["edits"]) for text in record[side]["texts"]):
                self.metrics.spans.labels(side).inc(edits)
        # What a rule touched or what failed is news; all the rest is in the audit log and the metrics.
        plain = finished.outcome in ("answered", "passed") and not record["rules"]
        level = logging.DEBUG if plain else logging.INFO
        if not _log.isEnabledFor(level):
            return
        _log.log(
            level,
            "exchange",
            extra={
                "id": record["id"],
                "route": route,
                "outcome": finished.outcome,
                "status": record["status"],
                "rules": record["rules"],
                "ms": round(seconds * 1000, 2),
            },
        )

    async def drain(self) -> None:
        """Waits for open exchanges; those that are still open after `drain_s` are cancelled."""
        self._draining = True
        if self._open:
            await asyncio.wait(self._open, timeout=self.config.drain_s)
        for task, driver in list(self._open.items()):
            if driver:
                driver.abort()
            task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=self.config.timeout_write_s)

    async def close(self) -> None:
        await self._client.close()
        self._scanner.close()
        self.reloading.close()
        self._remotes.close()
        self._recorder.close()


def check_fallbacks(policies: PolicySet, config: Config) -> None:
    """Whether every upstream that a policy falls back to has an address. Raises `PolicyErrors`."""
    errors = [
        PolicyError(
            f"a policy falls back to the upstream `{name}`: give --upstream {name}=URL",
            *(rule.place.path or policy.source, rule.place.line, rule.place.column),
        )
        for policy in policies.policies
        for rule in policy.rules
        if rule.retry and (name := rule.retry.upstream) and name not in config.named
    ]
    if errors:
        raise PolicyErrors(errors)


def _dialect(request: web.BaseRequest, path: str) -> Codec:
    """The format to refuse in, for a route that has none."""
    anthropic = path.startswith("/v1/messages") or "anthropic-version" in request.headers
    wanted = "anthropic" if anthropic else "openai"
    return next(codec for codec in codecs() if codec.provider == wanted)


class LagClock:
    """Measures how late the loop runs what is due. It polls nothing: a timer of the loop itself is what is measured."""

    def __init__(self, loop: asyncio.AbstractEventLoop, metrics: Metrics) -> None:
        self._loop = loop
        self._metrics = metrics
        self._timer = loop.call_later(LAG_EVERY_S, self._tick, loop.time() + LAG_EVERY_S)

    def _tick(self, due: float) -> None:
        now = self._loop.time()
        self._metrics.lag.observe(max(0.0, now - due))
        self._timer = self._loop.call_at(now + LAG_EVERY_S, self._tick, now + LAG_EVERY_S)

    def stop(self) -> None:
        self._timer.cancel()


async def serve(config: Config, worker: int = 0, ready: Callable[[int, int], None] | None = None) -> None:
    """Serves until SIGTERM or SIGINT, then drains. `ready(port, admin_port)` is called when both ports listen."""
    sys.setswitchinterval(SWITCH_S)
    server = Server(config, worker)
    limit = config.limit_body_bytes

    def factory(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, protocol._loop, client_max_size=limit)

    low = Listener(
        server.handle,
        request_factory=factory,
        handler_cancellation=True,
        keepalive_timeout=KEEP_ALIVE_S,
        lingering_time=2,
        access_log=None,
    )
    runner = web.ServerRunner(low)
    admin = web.AppRunner(admin_app(server, server), access_log=None)
    await runner.setup()
    await admin.setup()
    site = web.TCPSite(runner, config.host, config.port, reuse_port=config.workers > 1 or None, backlog=1024)
    await site.start()
    admin_port = config.admin_port + worker if config.admin_port else 0
    admin_site = web.TCPSite(admin, config.admin_host, admin_port)
    await admin_site.start()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, server.reloading.ask)
    watching = asyncio.create_task(server.reloading.run(config.reload_s), name="reload")
    lag = LagClock(loop, server.metrics)
    port, admin_port = runner.addresses[0][1], admin.addresses[0][1]
    _log.info("listening", extra={"port": port, "admin_port": admin_port, "policies": server.policies.digest})
    if ready:
        ready(port, admin_port)
    await stop.wait()
    _log.info("draining", extra={"open": len(server._open)})
    server._draining = True
    watching.cancel()
    await site.stop()
    await server.drain()
    lag.stop()
    await runner.cleanup()
    await server.close()
    await admin.cleanup()
    _log.info("stopped")
