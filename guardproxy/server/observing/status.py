"""The admin port: `/livez`, `/readyz`, `/metrics`, `/version`, `POST /reload`, which reloads the policies, and `POST
/cache/purge`, which drops the answers of the cache. `/confirmations` lists the calls of tools that wait for a person, and
`POST` decides about one. `/status` and `/limits` show as JSON what a process is like and what limits leave
(`server/processes/standing.py`). The same paths below `/all` show all processes of the server (`process_metrics.py`), but for
`/confirmations`.

The application runs in a thread of its own (`processes/probes.py`). So everything that it reads of the proxy is a plain
attribute.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import MappingProxyType
from typing import Any, ParamSpec, Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from guardproxy.config import SETTINGS
from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.observing.process_metrics import ALONE, Handler, Siblings, add_all
from guardproxy.server.opening import EVERYWHERE

LAG_EVERY_S = 0.25


class LoopLag:
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

    def stalled_s(self) -> float:
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

    def liveness_errors(self) -> list[str]:
        """Reasons for `/livez` to fail."""
        ...

    def readiness_errors(self) -> list[str]:
        """Reasons for `/readyz` to fail."""
        ...

    def version(self) -> dict[str, object]: ...


class Reloading(Protocol):
    """A process with policies that can be reloaded, and an audit log."""

    def readiness_warnings(self) -> list[str]:
        """Warnings that do not fail `/readyz`."""
        ...

    def liveness_warnings(self) -> list[str]:
        """Faults that `/livez` names without failing: a restart would not help."""
        ...

    async def reload(self) -> dict[str, object]:
        """Reloads the policies. Returns `ok`, the digest of the policies in force, and the errors."""
        ...


Review = Callable[[dict[str, str]], Coroutine[Any, Any, dict[str, object]]]
"""Answers a request about calls that wait for a person, given its query."""


Reading = Callable[[list[tuple[str, str]]], Coroutine[Any, Any, dict[str, object]]]
"""Returns what a process is like as JSON, given the pairs of a query."""


@dataclass(frozen=True, slots=True)
class ReviewDoors:
    """What the admin port does with calls of tools that wait for a person. `key`: what a request must send; empty: nothing."""

    listed: Review
    decided: Review
    key: str = ""


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
        # A browser sends `localhost.` as it stands in the address, and both are one name in DNS.
        name = name.rstrip(".")
        ends = (f"*.{name.split('.', count)[-1]}" for count in range(1, name.count(".") + 1))
        return "*" in self._names or name in self._names or not self._names.isdisjoint(ends)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


Arguments = ParamSpec("Arguments")


def on_loop(
    loop: asyncio.AbstractEventLoop, work: Callable[Arguments, Coroutine[Any, Any, dict[str, object]]]
) -> Callable[Arguments, Coroutine[Any, Any, dict[str, object]]]:
    """Wraps `work`, which runs on `loop`, so that it can be awaited on another loop."""

    async def awaited(*arguments: Arguments.args, **named: Arguments.kwargs) -> dict[str, object]:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(*arguments, **named), loop))

    return awaited


def admin_app(
    state: AdminState,
    reloading: Reloading | None = None,
    reload_now: Callable[[], Coroutine[Any, Any, dict[str, object]]] | None = None,
    siblings: Siblings = ALONE,
    purge: Callable[[], Coroutine[Any, Any, dict[str, object]]] | None = None,
    hosts: AdminHosts | None = None,
    reviews: ReviewDoors | None = None,
    shown: Mapping[str, Reading] = MappingProxyType({}),
) -> web.Application:
    """The application of the admin port. `reload_now`: replaces `reloading.reload`, which belongs to another loop. `siblings`:
    all processes of the server. `purge`: drops all answers of the cache. `hosts`: those it answers for; by default those of an
    address of this machine alone. `reviews`: calls of tools that wait for a person. `shown`: further paths that show
    what a process is like, as JSON."""
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
        errors = state.liveness_errors()
        lines = [*(errors or ["ok"]), *(reloading.liveness_warnings() if reloading else ())]
        return web.Response(text="".join(f"{line}\n" for line in lines), status=503 if errors else 200)

    async def readyz(_: web.Request) -> web.Response:
        errors = state.readiness_errors()
        lines = [*(errors or ["ready"]), *(reloading.readiness_warnings() if reloading else ())]
        return web.Response(text="".join(f"{reason}\n" for reason in lines), status=503 if errors else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(state.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def version(_: web.Request) -> web.Response:
        return web.json_response(state.version())

    def doing(work: Callable[[], Coroutine[Any, Any, dict[str, object]]], failed: int) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            # Browsers send one of the two with a request of a page, and no page may do this.
            if "Origin" in request.headers or "Sec-Fetch-Site" in request.headers:
                return web.json_response({"ok": False, "error": "not from a web page"}, status=403)
            done = await work()
            return web.json_response(done, status=200 if done["ok"] else failed)

        return handle

    app = web.Application(middlewares=[only_for_hosts])
    handlers: dict[str, Handler] = {"/livez": livez, "/readyz": readyz, "/metrics": metrics, "/version": version}
    for path, handler in handlers.items():
        app.router.add_get(path, handler)
    for path, reading in shown.items():
        handlers[path] = partial(_show, reading)
        app.router.add_get(path, handlers[path])
    if reloading:
        handlers["/reload"] = doing(reload_now or reloading.reload, 422)
        app.router.add_post("/reload", handlers["/reload"])
    if purge:
        handlers["/cache/purge"] = doing(purge, 503)
        app.router.add_post("/cache/purge", handlers["/cache/purge"])
    if reviews:
        app.router.add_get("/confirmations", partial(_review, reviews, reviews.listed))
        app.router.add_post("/confirmations", partial(_review, reviews, reviews.decided))
    add_all(app, handlers, siblings)
    return app


async def _show(reading: Reading, request: web.Request) -> web.Response:
    """Shows what a process is like."""
    return web.json_response(await reading(list(request.query.items())))


async def _review(reviews: ReviewDoors, work: Review, request: web.Request) -> web.Response:
    """Lists the calls that wait for a person, or decides about one of them."""
    if "Origin" in request.headers or "Sec-Fetch-Site" in request.headers:
        return web.json_response({"ok": False, "error": "not from a web page"}, status=403)
    # Bytes that are no UTF-8 are half of a surrogate pair in a header here, which plain UTF-8 cannot write.
    given = request.headers.get("Authorization", "").removeprefix("Bearer ").encode("utf-8", "surrogateescape")
    if reviews.key and not hmac.compare_digest(given, reviews.key.encode()):
        return web.json_response({"ok": False, "error": "the key of `confirm_key` is needed"}, status=401)
    done = await work(dict(request.query))
    return web.json_response(done, status=200 if done["ok"] else 422)
