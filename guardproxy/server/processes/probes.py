"""The admin port, in a thread of its own: it answers while the event loop of the proxy is blocked.

In: an application, listening sockets, the path of a socket for the other processes of the server. Out: a port that answers,
over TLS if it has a certificate. The application reads plain attributes of the proxy. Work for the loop of the proxy (a reload)
is passed to that loop.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aiohttp import web
from aiohttp.http import HttpProcessingError

from guardproxy.config import ADMIN, Config
from guardproxy.server.aiohttp_parts import Owned
from guardproxy.server.intake.fair_share import Shares
from guardproxy.server.intake.tls_site import TlsSite
from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.trust.certificates import Certificates

_log_of_http = logging.getLogger(f"{__name__}.http")
_log_of_http.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))
"""What aiohttp says, but for malformed requests: whoever reaches the port could fill the log with what he sends."""
MOST_HANDSHAKES = 64  # under way at the same time


@dataclass(frozen=True, slots=True)
class AdminTls:
    """What the admin port needs for TLS: see `TlsSite`."""

    context: Callable[[], ssl.SSLContext]
    handshake_s: float
    failed: Callable[[str], None] = lambda why: None

    @classmethod
    def of(cls, config: Config, certificates: Certificates, metrics: Metrics) -> AdminTls | None:
        """Returns what the settings want; `None` for plain HTTP."""
        if not certificates.encrypts(ADMIN):
            return None
        failed = partial(metrics.handshake_failed, ADMIN)
        return cls(partial(certificates.context_for, ADMIN), config.timeouts.head_s, failed)


class _Handshakes:
    """Makes connections of the admin port, and limits those whose handshake is under way."""

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self._shares = Shares(MOST_HANDSHAKES)

    def __call__(self) -> asyncio.BaseProtocol:
        return self._server()

    def welcome(self, connection: Owned) -> bool:
        return self._shares.take(connection.owner, 1)

    def leave(self, connection: Owned) -> None:
        self._shares.give(connection.owner, 1)


class AdminPort:
    """Answers on `sockets`, which listen, from the start to `close`. `tls`: `None` for plain HTTP. Other processes of this
    server speak plain HTTP at `path`, which is open to this user alone."""

    def __init__(
        self,
        app: web.Application,
        sockets: Sequence[socket.socket],
        path: Path | None = None,
        tls: AdminTls | None = None,
    ) -> None:
        self.port = int(sockets[0].getsockname()[1])
        self._path = path
        self._tls = tls
        self._sockets = list(sockets)
        self._own_sockets = [_bound(path)] if path else []
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(app,), name="admin", daemon=True)
        self._thread.start()

    def _run(self, app: web.Application) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(app))

    async def _serve(self, app: web.Application) -> None:
        runner = web.AppRunner(app, access_log=None, logger=_log_of_http, handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        tls, server = self._tls, runner.server
        plain = self._own_sockets if tls else [*self._sockets, *self._own_sockets]
        sites: list[web.SockSite | TlsSite] = [web.SockSite(runner, opened) for opened in plain]
        if tls and server is not None:
            sites.append(TlsSite(_Handshakes(server), self._sockets, tls.context, tls.handshake_s, tls.failed))
        for site in sites:
            await site.start()
        await self._over.wait()
        for site in sites:
            await site.stop()
        await runner.cleanup()

    def close(self) -> None:
        """Ends the thread."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(timeout=5)
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _bound(path: Path) -> socket.socket:
    """A socket at a path, instead of that of a process that was killed."""
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(path))
    bound.listen()
    return bound
