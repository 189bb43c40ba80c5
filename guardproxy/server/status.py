"""The admin port: `/livez`, `/readyz`, `/metrics`, `/version`, `POST /reload`, which reloads the policies, and `POST
/cache/purge`, which drops the answers of the cache. The same paths below `/all` show all processes of the server
(`siblings.py`).

The application runs in a thread of its own (`probes.py`). So everything that it reads of the proxy is a plain attribute.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest

from guardproxy.config import SETTINGS
from guardproxy.server.durations import Durations
from guardproxy.server.opening import EVERYWHERE
from guardproxy.server.scanner import Meters
from guardproxy.server.siblings import ALONE, Handler, Siblings, add_all

LAG_EVERY_S = 0.25


class Metrics:
    """All metrics. Labels are bounded: routes come from the configuration, rules from the policies."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def name(of: str) -> str:
            return f"guardproxy_{of}"

        def seconds(of: str, text: str, labels: tuple[str, ...] = ()) -> Durations:
            return Durations(name(f"{of}_seconds"), text, labels, registry)

        self.exchanges = Counter(
            name("exchanges"), "Exchanges by how they ended.", ("route", "outcome"), registry=registry
        )
        rule = ("policy", "rule", "action", "mode")
        self.rules = Counter(name("rule_hits"), "Rules that held.", rule, registry=registry)
        self.spans = Counter(
            name("redacted_spans"), "Spans replaced by placeholders.", ("direction",), registry=registry
        )
        self.attempts = Counter(
            name("discarded_answers"),
            "Answers that were not sent, by what followed.",
            ("route", "decision"),
            registry=registry,
        )
        self.saved_tokens = Counter(
            name("saved_tokens"), "Tokens of answers ended early (estimate).", registry=registry
        )
        self.saved_seconds = Counter(
            name("saved_seconds"), "Time of answers ended early (estimate).", registry=registry
        )
        routes = ("policy", "upstream", "mode")
        self.routes = Counter(name("routes"), "Requests by where policies routed them.", routes, registry=registry)
        self.saved_money = Counter(
            name("saved_money"), "Money that simple requests saved (estimate).", ("policy", "mode"), registry=registry
        )
        self.limit_refusals = Counter(
            name("limit_refusals"), "Requests past a limit, also in shadow mode.", ("limit", "mode"), registry=registry
        )
        self.key_refusals = Counter(
            name("key_refusals"),
            "Requests whose key is refused, also in shadow mode.",
            ("code", "mode"),
            registry=registry,
        )
        self.cache_lookups = Counter(
            name("cache_lookups"),
            "Requests for which the cache was asked, by what it had.",
            ("match", "mode", "result"),
            registry=registry,
        )
        self.cache_stored = Counter(name("cache_stored"), "Answers that were stored.", registry=registry)
        self.cache_answers = Gauge(name("cache_answers"), "Answers in memory.", registry=registry)
        self.cache_bytes = Gauge(name("cache_bytes"), "Memory that stored answers take.", registry=registry)
        self.cache_evicted = Gauge(
            name("cache_evicted"), "How many answers were dropped for want of memory.", registry=registry
        )
        self.turn_lookups = Counter(
            name("turn_lookups"),
            "Requests that refer to a stored turn, by whether values of it were kept.",
            ("result",),
            registry=registry,
        )
        self.turn_bytes = Gauge(name("turn_bytes"), "Memory that values of stored turns take.", registry=registry)
        self.turns_evicted = Gauge(
            name("turns_evicted"), "How many turns were dropped for want of memory.", registry=registry
        )
        self.altered = Counter(
            name("altered_placeholders"),
            "Placeholders that a model changed, so that no value came back.",
            ("label",),
            registry=registry,
        )
        self.judged = Counter(
            name("judged_answers"), "Answers that a judge was to score.", ("policy", "result"), registry=registry
        )
        self.scores = Counter(name("judge_scores"), "Scores of judges.", ("policy", "score"), registry=registry)
        self.duration = seconds("exchange_duration", "From request to end.", ("route",))
        self.first_token = seconds("time_to_first_token", "From a request to the first text of a stream.", ("model",))
        self.per_token = seconds("time_per_output_token", "The mean time between two tokens of a stream.", ("model",))
        self.between_pieces = seconds("time_between_pieces", "Between two pieces of a stream, as the client gets them.")
        self.tokens = Counter(
            name("tokens"),
            "Tokens that upstreams counted.",
            ("direction", "model", "tenant"),
            registry=registry,
        )
        self.cost = Counter(
            name("cost"), "The cost of exchanges whose model has a price.", ("model", "tenant"), registry=registry
        )
        self.decisions = Counter(
            name("decisions"), "Exchanges by the strongest decision about them.", ("decision",), registry=registry
        )
        self.scan = seconds("scan", "Time that one exchange waited for scans.")
        self.scanner = Meters(
            Counter(
                name("scan_cache"), "Whole texts by whether their scan was remembered.", ("result",), registry=registry
            ),
            Counter(
                name("scan_no_capacity"),
                "Scans that gave no verdict for want of capacity, by the reason.",
                ("reason",),
                registry=registry,
            ),
            Gauge(name("scans_waiting"), "Scans that wait for a thread or are under way.", registry=registry),
        )
        self.commit = seconds("audit_commit", "Time until a record was durable.")
        self.intent = seconds("audit_intent", "Time until an intent was durable: what it adds to an exchange.")
        self.unknown = Counter(
            name("unknown_exchanges"), "Exchanges of an earlier process that had no end.", registry=registry
        )
        self.audit_writable = Gauge(
            name("audit_writable"), "1, or 0 while the audit log cannot be written.", registry=registry
        )
        self.audit_checkpoint = Gauge(
            name("audit_checkpoint_time"),
            "The time of the newest checkpoint of the audit log, as Unix time; 0 without a key.",
            registry=registry,
        )
        self.audit_recoveries = Gauge(
            name("audit_recoveries"), "How often the audit log could be written again.", registry=registry
        )
        self.observer_dropped = Counter(
            name("observer_dropped"),
            "What an observer did not get because it was slow.",
            ("observer",),
            registry=registry,
        )
        self.observer_failed = Counter(
            name("observer_failed"), "What an observer got and failed on.", ("observer",), registry=registry
        )
        self.alerts = Counter(
            name("alerts"), "Alerts by result: sent, failed, repeated, limited.", ("result",), registry=registry
        )
        self.open = Gauge(name("open_exchanges"), "Exchanges under way.", registry=registry)
        self.connections = Gauge(name("open_connections"), "Client connections.", registry=registry)
        self.refused_connections = Gauge(
            name("refused_connections"), "Client connections that there was no room for.", registry=registry
        )
        self.refused_requests = Gauge(
            name("refused_requests"), "Requests that were refused unread, as too much waited.", registry=registry
        )
        self.body_bytes = Gauge(name("held_body_bytes"), "Memory that request bodies take.", registry=registry)
        self.breakers = Gauge(
            name("upstream_breaker"),
            "1 for the state of an upstream's circuit breaker.",
            ("upstream", "state"),
            registry=registry,
        )
        self.upstream_failures = Counter(
            name("upstream_failures"),
            "Failed requests to an upstream, by why.",
            ("upstream", "cause"),
            registry=registry,
        )
        self.lag = seconds("event_loop_lag", "How late the loop's clock ticks.")
        self.policies = Gauge(name("policy_info"), "The policies in force.", ("digest",), registry=registry)
        self.reloads = Counter(name("policy_reloads"), "Policies that took the place of others.", registry=registry)
        self.reload_failures = Counter(
            name("policy_reload_failures"), "Reloads that failed; the old policies stayed.", registry=registry
        )
        self.reload_fine = Gauge(
            name("policy_last_reload_successful"), "1, or 0 where the last reload failed.", registry=registry
        )
        self.reloaded_at = Gauge(
            name("policy_last_reload_success_timestamp_seconds"), "When policies were loaded last.", registry=registry
        )


class Pulse:
    """Measures whether the event loop runs. A timer of the loop shows how late the loop is; there is no polling."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._ticked_s = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begins to measure `loop`. Must be called on that loop."""
        self._ticked_s = time.monotonic()
        self._timer = loop.call_later(LAG_EVERY_S, self._tick, loop, loop.time() + LAG_EVERY_S)

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self._ticked_s = time.monotonic()
        self._metrics.lag.observe(max(0.0, now - due))
        self._timer = loop.call_at(now + LAG_EVERY_S, self._tick, loop, now + LAG_EVERY_S)

    def still_s(self) -> float:
        """The seconds for which the loop has not run; 0 before the start and after the end. Any thread may call it."""
        return time.monotonic() - self._ticked_s if self._timer else 0.0

    def stop(self) -> None:
        """Ends measuring."""
        if self._timer:
            self._timer.cancel()
            self._timer = None


class AdminState(Protocol):
    """The state that the admin port shows."""

    metrics: Metrics

    def stuck(self) -> list[str]:
        """Reasons for `/livez` to fail."""
        ...

    def trouble(self) -> list[str]:
        """Reasons for `/readyz` to fail."""
        ...

    def version(self) -> dict[str, object]: ...


class Reloading(Protocol):
    """A process with policies that can be reloaded, and an audit log."""

    def remarks(self) -> list[str]:
        """Warnings that do not fail `/readyz`."""
        ...

    def ailments(self) -> list[str]:
        """Faults that `/livez` names without failing: a restart would not help."""
        ...

    async def reload(self) -> dict[str, object]:
        """Reloads the policies. Returns `ok`, the digest of the policies in force, and the errors."""
        ...


class AdminHosts:
    """The values of `Host` for which the admin port answers. A web page of a strange name that is made to resolve to this
    machine (DNS rebinding) sends that name, so no page can read the port. `own`: the address that it listens on; `further`:
    names, and `*.NAME` for those below a name, or `*` for every name."""

    def __init__(self, own: str = "127.0.0.1", further: Iterable[str] = ()) -> None:
        self._is_everywhere = own in EVERYWHERE
        self._names = {"localhost", own.lower(), *(name.lower().rstrip(".") for name in further)}
        self._address = _address(own)

    def accept(self, host: str | None) -> bool:
        """Whether a request with this header is answered. Clients that send none are no browsers."""
        if host is None:
            return True
        name = host.strip().lower()
        if not name.startswith("[") and name.count(":") == 1:
            name = name.partition(":")[0]
        elif name.startswith("["):
            name = name[1:].partition("]")[0]
        if (address := _address(name)) is not None:  # an address is not resolved
            return self._is_everywhere or address.is_loopback or address == self._address
        name = name.rstrip(".")
        ends = (f"*.{name.split('.', count)[-1]}" for count in range(1, name.count(".") + 1))
        return "*" in self._names or name in self._names or not self._names.isdisjoint(ends)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def on_loop(
    loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, dict[str, object]]]
) -> Callable[[], Coroutine[Any, Any, dict[str, object]]]:
    """Wraps `work`, which runs on `loop`, so that it can be awaited on another loop."""

    async def awaited() -> dict[str, object]:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), loop))

    return awaited


def admin_app(
    state: AdminState,
    reloading: Reloading | None = None,
    reload_now: Callable[[], Coroutine[Any, Any, dict[str, object]]] | None = None,
    siblings: Siblings = ALONE,
    purge: Callable[[], Coroutine[Any, Any, dict[str, object]]] | None = None,
    hosts: AdminHosts | None = None,
) -> web.Application:
    """The application of the admin port. `reload_now`: replaces `reloading.reload`, which belongs to another loop. `siblings`:
    all processes of the server. `purge`: drops all answers of the cache. `hosts`: those it answers for; by default those of an
    address of this machine alone."""
    allowed = hosts or AdminHosts()

    @web.middleware
    async def only_for_hosts(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        peer = request.transport.get_extra_info("peername") if request.transport else None
        if isinstance(peer, tuple) and not allowed.accept(
            request.headers.get("Host")
        ):  # not another process of the server
            return web.Response(
                status=403, text=f"not for this host: name it with {SETTINGS['admin_allowed_host'].names}\n"
            )
        return await handler(request)

    async def livez(_: web.Request) -> web.Response:
        stuck = state.stuck()
        lines = [*(stuck or ["ok"]), *(reloading.ailments() if reloading else ())]
        return web.Response(text="".join(f"{line}\n" for line in lines), status=503 if stuck else 200)

    async def readyz(_: web.Request) -> web.Response:
        trouble = state.trouble()
        lines = [*(trouble or ["ready"]), *(reloading.remarks() if reloading else ())]
        return web.Response(text="".join(f"{reason}\n" for reason in lines), status=503 if trouble else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(state.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def version(_: web.Request) -> web.Response:
        return web.json_response(state.version())

    def doing(work: Callable[[], Coroutine[Any, Any, dict[str, object]]], failed: int) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            if "Origin" in request.headers or "Sec-Fetch-Site" in request.headers:
                return web.json_response({"ok": False, "error": "not from a web page"}, status=403)
            done = await work()
            return web.json_response(done, status=200 if done["ok"] else failed)

        return handle

    app = web.Application(middlewares=[only_for_hosts])
    handlers: dict[str, Handler] = {"/livez": livez, "/readyz": readyz, "/metrics": metrics, "/version": version}
    for path, handler in handlers.items():
        app.router.add_get(path, handler)
    if reloading:
        handlers["/reload"] = doing(reload_now or reloading.reload, 422)
        app.router.add_post("/reload", handlers["/reload"])
    if purge:
        handlers["/cache/purge"] = doing(purge, 503)
        app.router.add_post("/cache/purge", handlers["/cache/purge"])
    add_all(app, handlers, siblings)
    return app
