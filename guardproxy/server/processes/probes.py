"""The admin port, in a thread of its own: it answers while the event loop of the proxy is blocked.

In: an application, listening sockets, the path of a socket for the other processes of the server. Out: a port that answers. The
application reads plain attributes of the proxy. Work for the loop of the proxy (a reload) is passed to that loop.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web


class AdminPort:
    """Answers on `sockets`, which listen, from the start to `close`."""

    def __init__(self, app: web.Application, sockets: Sequence[socket.socket], path: Path | None = None) -> None:
        self.port = int(sockets[0].getsockname()[1])
        self._path = path
        self._sockets = [*sockets, *([_bound(path)] if path else [])]
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(app,), name="admin", daemon=True)
        self._thread.start()

    def _run(self, app: web.Application) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(app))

    async def _serve(self, app: web.Application) -> None:
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        for listening in self._sockets:
            await web.SockSite(runner, listening).start()
        await self._over.wait()
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
