"""Runs one process of the proxy: its listeners, its signals, the order of its start and its end.

The end has a limit: `END_S` after the time for open exchanges (`drain_s`), a thread ends the process, whatever still runs. A
scan thread inside of a library, or a plug-in that waits for ever, cannot be ended in any other way.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial

from aiohttp import web

from guardproxy import signals
from guardproxy.config import ADAPTERS, CLIENTS, Config
from guardproxy.server.aiohttp_parts import LINGER_S
from guardproxy.server.app import END_S, Doors, Server, no_doors
from guardproxy.server.intake.listener import Listener
from guardproxy.server.intake.tls_site import TlsSite
from guardproxy.server.observing.companions import CompanionOf, no_companion
from guardproxy.server.observing.process_metrics import ALONE, Siblings
from guardproxy.server.observing.status import AdminHosts, ReviewDoors, admin_app, on_loop
from guardproxy.server.opening import (
    BACKLOG,
    adapter_address,
    admin_address,
    bound,
    check_folders,
    check_ports,
    client_address,
    listen,
    naming,
    starting,
)
from guardproxy.server.processes.companion import Beside
from guardproxy.server.processes.probes import AdminPort, AdminTls
from guardproxy.server.processes.standing import readings
from guardproxy.server.trust.certificates import Certificates

_log = logging.getLogger(__name__)
KEEP_ALIVE_S = 75.0
# A collection of young objects takes about 1 ms at this threshold. With a lower threshold, the objects of 32 open exchanges
# alone cause collections that find nothing. A full collection visits every object of all open exchanges and holds the loop.
GC_THRESHOLDS = 20_000, 10, 50
RESERVED_DESCRIPTORS = 128  # logs, models, the admin port, libraries
MOST_DESCRIPTORS = 100_000
SWITCH_S = 0.001  # the longest time that a scanning thread keeps the loop waiting


def connections(wanted: int) -> int:
    """The number of client connections to allow: `wanted`, or, if that is 0, as many as the limit of descriptors allows. Each
    client connection may need an upstream connection too. Raises the soft limit to the hard limit."""
    allowed = max(1, min(MOST_DESCRIPTORS, (descriptors() - RESERVED_DESCRIPTORS) // 2))
    return min(wanted, allowed) if wanted else allowed


def descriptors() -> int:
    """The number of descriptors that this process may open, after raising the limit as far as possible."""
    if sys.platform == "win32":
        return 2 * MOST_DESCRIPTORS
    import resource  # noqa: PLC0415 - Unix only

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS has a lower limit that it does not report
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return 2 * MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


async def serve(
    config: Config,
    worker: int = 0,
    ready: Callable[[int, int], None] | None = None,
    orphaned: asyncio.Event | None = None,
    siblings: Siblings = ALONE,
    doors_of: Doors = no_doors,
    companion_of: CompanionOf = no_companion,
) -> None:
    """Serves until SIGTERM or SIGINT, then drains. `ready(port, admin_port)` is called when both ports listen; without an
    upstream there is no port for clients, and `port` is 0. `orphaned`: set when the parent of this process is gone; then the
    process ends and drops open exchanges. `siblings`: all processes of the server. `doors_of`: its further doors.
    `companion_of`: the process beside it, which the first worker starts."""
    sys.setswitchinterval(SWITCH_S)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    clients, admins = client_address(config, is_shared=config.workers.count > 1), admin_address(config, worker)
    gateways = None if worker else adapter_address(config)
    # Models take a while to load, so what the system refuses is said before.
    with starting(config), ExitStack() as unused:
        if not clients.is_shared:  # the parent of several workers has done it
            check_folders(config)
            check_ports(config)
        certificates = Certificates(config)
        sockets = bound(clients, unused) if config.has_client_port else []
        admin_sockets = bound(admins, unused)
        gateway_sockets = bound(gateways, unused) if gateways else []
        doors = doors_of(config, worker)
        for door in doors:
            door.bind(certificates)
        beside = Beside.of(config, worker, siblings, companion_of)
        server = Server(config, worker, certificates)
        # From here on the listeners close the sockets.
        unused.pop_all()

    hard_end = HardEnd(config.timeouts.drain_s + END_S)

    def from_signal(call: Callable[[], None]) -> Callable[[], None]:
        def ask() -> None:
            loop.call_soon_threadsafe(call)

        return ask

    with signals.serving(hard_end.before(from_signal(stop.set)), from_signal(server.reloading.ask)):
        low = _listener(server)
        server.watch(low)
        runner = web.ServerRunner(low)
        await runner.setup()
        calls = await _adapters(server) if server.adapters else None
        listen(sockets, clients)
        listen(admin_sockets, admins)
        sites = _sites(server, CLIENTS, runner, sockets)
        if calls and gateways:
            listen(gateway_sockets, gateways)
            sites += _sites(server, ADAPTERS, calls, gateway_sockets)
        for site in sites:
            await site.start()
        port = sockets[0].getsockname()[1] if sockets else 0
        app = _admin_app(server, siblings, port)
        beside.add_to(app)
        tls = AdminTls.of(config, certificates, server.metrics)
        admin = AdminPort(app, admin_sockets, beside.admin_socket(siblings), tls)
        beside.start()
        watching = [
            asyncio.create_task(server.reloading.run(config.policies.reload_s), name="reload"),
            asyncio.create_task(server.clients.run(), name="clients"),
            asyncio.create_task(certificates.run(), name="certificates"),
        ]
        leasing = asyncio.create_task(server.state.run(), name="lease")
        server.loop_lag.start(loop)
        details: dict[str, object] = {
            "worker": worker,
            "port": port,
            "admin_port": admin.port,
            "policies": server.policies.digest,
        }
        if gateway_sockets:
            details["adapters_port"] = gateway_sockets[0].getsockname()[1]
        if by_grpc := server.grpc_calls():
            with naming("adapters_grpc"):
                adapters = config.adapters
                details["adapters_grpc_port"] = await by_grpc.start(adapters.grpc_host, adapters.grpc_port or 0)
        for door in doors:
            details.update(await door.open(server))
        _log.info("listening", extra=details | server.about(port))
        _keep_what_is_loaded()
        if ready:
            ready(port, admin.port)
        await _first(stop, *([orphaned] if orphaned else []))
        hard_end.begin()
        server.stop_coming()
        for task in watching:
            task.cancel()
        for site in sites:
            await site.stop()
        low.close_idle()
        if by_grpc:
            ending = asyncio.ensure_future(by_grpc.stop(config.timeouts.drain_s))
        for door in doors:
            await door.stop()
        await server.drain(orphaned)
        for door in doors:
            await door.close()
        leasing.cancel()
        server.loop_lag.stop()
        await runner.cleanup()
        if calls:
            await calls.cleanup()
        if by_grpc:
            await by_grpc.stop(0)
            await ending
        await server.close()
        await asyncio.to_thread(beside.close)
        admin.close()
        _log.info("stopped")


def _sites(
    server: Server, port: str, runner: web.ServerRunner, sockets: Sequence[socket.socket]
) -> list[web.SockSite | TlsSite]:
    """Returns what takes connections from sockets that listen. `port`: what the settings call it."""
    certificates, listener = server.certificates, runner.server
    assert isinstance(listener, Listener)  # noqa: S101 - the runners have no other
    if not certificates.encrypts(port):
        return [web.SockSite(runner, opened, backlog=BACKLOG) for opened in sockets]
    context, failed = partial(certificates.context_for, port), partial(server.metrics.handshake_failed, port)
    return [TlsSite(listener, sockets, context, server.config.timeouts.head_s, failed)]


def _listener(server: Server) -> Listener:
    """Returns what answers clients."""
    config = server.config
    return Listener(
        server.handle,
        limit=connections(config.limits.connections),
        timeout_head_s=config.timeouts.head_s,
        pressure=server.pressure,
        refusal=server.refusal,
        certified=server.certificates.client_of,
        keepalive_timeout=KEEP_ALIVE_S,
        lingering_time=LINGER_S,
        auto_decompress=False,
        access_log=None,
    )


async def _adapters(server: Server) -> web.ServerRunner:
    """Returns what answers the calls of other gateways."""
    assert server.adapters is not None  # noqa: S101 - asked by the caller
    config = server.config
    calls = web.ServerRunner(
        Listener(
            server.handle_call,
            limit=connections(config.limits.connections),
            timeout_head_s=config.timeouts.head_s,
            refusal=server.adapters.refusal,
            keepalive_timeout=KEEP_ALIVE_S,
            lingering_time=LINGER_S,
            auto_decompress=False,
            access_log=None,
        )
    )
    await calls.setup()
    return calls


def _admin_app(server: Server, siblings: Siblings, port: int) -> web.Application:
    """Returns the application of the admin port. It has a thread and a loop of its own, and calls the server on its loop."""
    loop, config = asyncio.get_running_loop(), server.config
    return admin_app(
        server,
        server,
        on_loop(loop, server.reload),
        siblings,
        on_loop(loop, server.purge),
        AdminHosts(config.network.admin_host, (*config.network.admin_allowed_host, *config.console.hosts)),
        ReviewDoors(
            on_loop(loop, server.reviews.listed),
            on_loop(loop, server.reviews.decided),
            config.observability.confirm_key,
        ),
        readings(server, port, loop),
    )


def _keep_what_is_loaded() -> None:
    """Excludes from collections what is loaded: it stays, and to visit it in each full collection would hold the loop."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


class HardEnd:
    """Ends the process `after_s` seconds after `begin`, if it still runs then."""

    def __init__(self, after_s: float) -> None:
        self._timer = threading.Timer(after_s, self._end)
        self._timer.name = "end"
        self._timer.daemon = True
        self._after_s = after_s
        self._has_begun = False

    def begin(self) -> None:
        """Starts the time, once. May be called by the handler of a signal, also while it is called."""
        if not self._has_begun:
            self._has_begun = True
            self._timer.start()

    def before(self, call: Callable[[], None]) -> Callable[[], None]:
        """Returns `call` with the start of the time before it: the loop may be the part that hangs."""

        def begin_and_call() -> None:
            self.begin()
            call()

        return begin_and_call

    def _end(self) -> None:
        threads = sorted(thread.name for thread in threading.enumerate() if thread is not threading.current_thread())
        _log.error("ended by force", extra={"after_s": self._after_s, "threads": threads})
        os._exit(1)


async def _first(*events: asyncio.Event) -> None:
    """Returns when any event is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
