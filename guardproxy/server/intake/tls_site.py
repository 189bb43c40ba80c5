"""Takes connections over TLS: each one is counted before its handshake, and gets the context of that moment.

The servers of asyncio count a connection when its handshake is over. Until then a client could hold as many as it likes, for a
minute each. They also have one context for as long as they listen, and a certificate could not be replaced.

Decision: docs/decisions/0087-certificates-are-replaced-under-open-streams.md
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Protocol

from guardproxy.server.aiohttp_parts import LINGER_S, ClientConnection, Owned, owner_of

_log = logging.getLogger(__name__)
REST_S = 1.0  # after an error that the next attempt would meet again
_WITHOUT = ("PEER_DID_NOT_RETURN_A_CERTIFICATE",)
# Linux reports what went wrong on the network of a waiting connection as an error of accept(2), and takes that connection out
# of the queue. Only after these errors can the next attempt follow at once.
_CLIENT_GONE = (
    errno.ECONNABORTED,
    errno.EPROTO,
    errno.ENOPROTOOPT,
    errno.EOPNOTSUPP,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ETIMEDOUT,
)


class _Handshake:
    """A connection whose handshake is under way."""

    def __init__(self, owner: str) -> None:
        self.owner = owner


def _why(error: OSError) -> str:
    """Returns why a handshake failed, in a word."""
    if isinstance(error, ssl.SSLCertVerificationError) or (
        isinstance(error, ssl.SSLError) and error.reason in _WITHOUT
    ):
        return "certificate"
    if isinstance(error, ssl.SSLError):
        return "tls"
    # asyncio says that the connection was aborted when its time is over, and that it was reset when the client left
    is_late = isinstance(error, TimeoutError | ConnectionAbortedError)
    return "timeout" if is_late else "closed"


class TlsServer(Protocol):
    """Makes what speaks on a connection, and decides which connections stay."""

    def __call__(self) -> asyncio.BaseProtocol:
        """Returns what speaks on a connection whose handshake is over."""

    def welcome(self, connection: Owned) -> bool:
        """Counts a connection if there is room for it. Returns whether there was room."""

    def leave(self, connection: Owned) -> None:
        """Uncounts a connection: one that has failed, or whose handshake is over if it is not a `ClientConnection`, which says
        itself when it has ended."""


class TlsSite:
    """Takes connections from sockets that listen, for a server. `context`: returns the context for the next connection;
    `handshake_s`: the time limit for a handshake; `failed`: is called with a word for each failed one."""

    def __init__(
        self,
        server: TlsServer,
        sockets: Sequence[socket.socket],
        context: Callable[[], ssl.SSLContext],
        handshake_s: float,
        failed: Callable[[str], None] = lambda why: None,
    ) -> None:
        self._server = server
        self._sockets = sockets
        self._context = context
        self._handshake_s = handshake_s
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Takes connections from now on."""
        for opened in self._sockets:
            opened.setblocking(False)
            self._begin(asyncio.create_task(self._take(opened), name="tls"))

    async def stop(self) -> None:
        """Takes no more connections, and gives up handshakes. Open connections go on."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for opened in self._sockets:
            opened.close()

    def _begin(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, opened: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(opened)
            except OSError as error:
                if error.errno not in _CLIENT_GONE:
                    # A shortage, or a socket that is broken. `sock_accept` raises without giving up the loop, so without a
                    # pause this task would run alone for ever.
                    _log.error("no connection can be taken", extra={"error": errno.errorcode.get(error.errno or 0, "")})
                    await asyncio.sleep(REST_S)
                continue
            greeted = _Handshake(owner_of(address[0]))
            if self._server.welcome(greeted):
                self._begin(asyncio.create_task(self._greet(accepted, greeted), name="tls handshake"))
            else:
                accepted.close()  # it speaks TLS, so it could not read a refusal

    async def _greet(self, accepted: socket.socket, greeted: _Handshake) -> None:
        """Makes a connection. Without a handshake there is none, and nothing is logged: anyone can cause that."""
        connection: asyncio.BaseProtocol | None = None

        def made() -> asyncio.BaseProtocol:
            nonlocal connection
            connection = self._server()
            if isinstance(connection, ClientConnection):
                connection.is_counted = True
            return connection

        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                made,
                accepted,
                ssl=self._context(),
                ssl_handshake_timeout=self._handshake_s,
                ssl_shutdown_timeout=LINGER_S,
            )
        except OSError as error:  # those of TLS too
            self._failed(_why(error))
        finally:
            if connection is None:
                accepted.close()
            if not isinstance(connection, ClientConnection) or connection.is_counted:
                self._server.leave(greeted)
