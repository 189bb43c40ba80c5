"""The listener: the server of aiohttp, with limits on connections and fixed answers to malformed HTTP.

A malformed request is refused with a fixed JSON body. The error page and the log of aiohttp quote the bytes that it could not
read, but must not contain what a client sent.

Connections are bounded. Each address has a share (`fair_share.py`), so no address can take all of them. When most of them are
in use, idle connections (kept alive, or without a byte so far) are closed, the oldest first; one whose bytes wait in its socket
is not idle. A connection for which there is no room gets 503, and is closed once the client has closed it, or after
`LINGER_S`: a socket that is closed with unread bytes resets the connection, and the client never sees the 503. The head of a
request must be complete `timeout_head_s` after its first byte.

Under pressure (`pressure.py`) a request whose body has arrived is refused here, before a task or an exchange begins. Such a
request costs the loop a tenth of a millisecond, has no record, and leaves its connection open.

A client that shuts down its sending side counts as gone, because TCP does not distinguish this from a close. Its exchange
ends as `client_closed`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.hdrs import AUTHORIZATION, METH_HEAD
from multidict import CIMultiDict

from guardproxy.errors import ErrorCode
from guardproxy.server.aiohttp_parts import ClientConnection, ClientServer, Owned, ShortResponse, error_body
from guardproxy.server.intake.fair_share import Shares
from guardproxy.server.intake.pressure import Pressure
from guardproxy.wire import installed

NEAR = 0.75  # share of all connections above which idle connections are closed
CALM = 0.625  # share of all connections down to which they are closed
MOST_LINGERING = 256  # refused connections that wait for their client to close them
_BODILESS = (204, 205, 304)
REAP_EVERY_S = 0.1  # a search for idle connections takes time for each connection


def sender_of(headers: Mapping[str, str], owner: str) -> str:
    """Who sends a request: its credential as it is written, otherwise the owner of its connection."""
    if value := headers.get(AUTHORIZATION):  # nearly always
        return value
    return next((value for name in installed().headers.credentials if (value := headers.get(name))), owner)


def whole_response(request: web.BaseRequest, status: int, body: bytes, headers: CIMultiDict[str]) -> web.StreamResponse:
    """Returns a response with this body, which aiohttp writes. `headers` are taken over."""
    if request.method == METH_HEAD or status in _BODILESS or not body:
        return web.Response(status=status, body=body, headers=headers)
    headers["Content-Length"] = str(len(body))
    return ShortResponse(status, body, headers)


class Listener(ClientServer):
    """Decides which connections stay. `limit`: their maximum number; `pressure`: that on the process; `refusal`: returns the
    body of a refusal under pressure, for a path; `certified`: see `ClientServer.certified`."""

    pressure: Pressure

    def __init__(
        self,
        handler: Any,
        *,
        limit: int,
        timeout_head_s: float,
        pressure: Pressure | None = None,
        refusal: Callable[[str], bytes] = lambda path: error_body(ErrorCode.NO_CAPACITY),
        certified: Callable[[Any], Any] = lambda certificate: None,
        **options: Any,
    ) -> None:
        super().__init__(handler, timeout_head_s, **options)
        self.pressure = pressure or Pressure()
        self._refusal = refusal
        self._certified = certified
        self.lingering = 0
        self.shares = Shares(limit)
        self.refused = 0
        self._reaped_s = 0.0

    def certified(self, certificate: Any) -> Any:
        return self._certified(certificate) if certificate else None

    def welcome(self, connection: Owned) -> bool:
        if self.shares.used >= NEAR * self.shares.total:
            self._reap()
        if self.shares.take(connection.owner, 1):
            return True
        self.refused += 1
        return False

    def leave(self, connection: Owned) -> None:
        self.shares.give(connection.owner, 1)

    def refuses(self, headers: Mapping[str, str], owner: str, path: str) -> bytes | None:
        return self._refusal(path) if self.pressure.refuses(sender_of(headers, owner)) else None

    def may_linger(self) -> bool:
        if self.lingering >= MOST_LINGERING:
            return False
        self.lingering += 1
        return True

    def lingered(self) -> None:
        self.lingering -= 1

    def close_idle(self) -> None:
        """Closes every idle connection."""
        for connection in self.connections:
            if isinstance(connection, ClientConnection) and connection.idle_since_s is not None:
                connection.force_close()

    def hang_up(self) -> None:
        """Closes every idle connection, and every other one at the end of its answer."""
        for connection in self.connections:
            if isinstance(connection, ClientConnection):
                if connection.idle_since_s is not None:
                    connection.force_close()
                else:
                    connection.close()

    def _reap(self) -> None:
        """Closes idle connections, the oldest first, until enough are free."""
        now_s = asyncio.get_running_loop().time()
        if now_s < self._reaped_s + REAP_EVERY_S:
            return
        idle: list[tuple[float, int, ClientConnection]] = []
        for number, connection in enumerate(self.connections):
            if isinstance(connection, ClientConnection) and (since_s := connection.idle_since_s) is not None:
                idle.append((since_s, number, connection))
        wanted = max(1, self.shares.used - int(CALM * self.shares.total))
        closed = 0
        # The number keeps the sort from comparing connections.
        for *_, connection in sorted(idle):
            if closed == wanted:
                break
            if not connection.has_unread_bytes():  # its request has not been read yet
                connection.force_close()
                closed += 1
        if closed < wanted:  # an immediate second search would find no more
            self._reaped_s = now_s
