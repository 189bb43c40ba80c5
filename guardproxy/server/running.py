"""Runs one process of the proxy: its listeners, its signals, the order of its start and its end."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable
from typing import Any

from aiohttp import web

from guardproxy.config import Config
from guardproxy.server.app import Server
from guardproxy.server.listener import Listener, request_of
from guardproxy.server.status import Metrics, admin_app

_log = logging.getLogger(__name__)
KEEP_ALIVE_S = 75.0
LAG_EVERY_S = 0.25
GC_THRESHOLDS = 5_000, 10, 200  # a full collection looks at every object of all open exchanges, and holds the loop
SWITCH_S = 0.001  # how long a thread that scans may keep the loop waiting, at the most


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
        return request_of(message, payload, protocol, writer, task, limit)

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
    gc.collect()
    gc.freeze()  # what was loaded stays; to look at it again in each full collection would hold the loop
    gc.set_threshold(*GC_THRESHOLDS)
    if ready:
        ready(port, admin_port)
    await stop.wait()
    server.stop_coming()
    watching.cancel()
    await site.stop()
    await server.drain()
    lag.stop()
    await runner.cleanup()
    await server.close()
    await admin.cleanup()
    _log.info("stopped")
