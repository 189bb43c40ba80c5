"""The upstream side of a request: forwards it, reads the answer. Redirects are not followed. Errors of aiohttp become
`UpstreamError` here.

Each configured upstream has a circuit breaker (`breaker.py`). These count as failures: a connection that cannot be made, no
first byte in time, a status of 500 or more, an answer that breaks off or stalls. These do not: a status below 500 (such as
429 and 404) and 529, which says that the upstream is overloaded; a request that this process could not send for lack of file
descriptors; a client that leaves.
"""

from __future__ import annotations

import asyncio
import errno
import math
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

import aiohttp
from multidict import CIMultiDict

from guardproxy.config import Config
from guardproxy.errors import ErrorCode, UpstreamCause, UpstreamError, naming_switch
from guardproxy.server.aiohttp_parts import unread
from guardproxy.server.upstream.breaker import Breaker, Result, State, Thresholds, Ticket
from guardproxy.server.upstream.connections import (
    Connections,
    ConnectTimeoutError,
    RequestProgress,
    UpstreamAnswer,
    cause_of,
)
from guardproxy.server.upstream.deadlines import Deadlines
from guardproxy.server.upstream.drain import Leftovers

UNCONNECTED = frozenset(
    (
        *(UpstreamCause.DNS, UpstreamCause.REFUSED, UpstreamCause.NO_ROUTE, UpstreamCause.CONNECT_TIMEOUT),
        *(UpstreamCause.CERTIFICATE, UpstreamCause.TLS, UpstreamCause.TLS_TIMEOUT),
        *(UpstreamCause.PROXY, UpstreamCause.PROXY_TIMEOUT),
    )
)
"""The causes that no request can have: there was no connection."""
OVERLOADED = 529  # Anthropic answers 529 instead of 429 when it is overloaded by all customers together
_OUR_SHORTAGE = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL))
_BROKEN = (aiohttp.ClientError, OSError, asyncio.IncompleteReadError)
_clock = time.monotonic

Sending = Coroutine[Any, Any, UpstreamAnswer]


class AnswerHead(Protocol):
    """The head of an answer."""

    @property
    def status(self) -> int: ...

    @property
    def content_type(self) -> str: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def has_arrived(self) -> bool:
        """Whether all of the answer has arrived, so that `Answering.arrived` returns what is left."""
        ...


class Answering(Protocol):
    """What answers a request: an `Upstream`, or the proxy itself (`intake/feedback.py`)."""

    @property
    def sending(self) -> object | None:
        """The request that was begun and whose head nobody has taken yet."""
        ...

    @property
    def response(self) -> AnswerHead | None: ...

    def begin(
        self, method: str, url: str, headers: CIMultiDict[str], body: bytes | None, *, at_once: bool = False
    ) -> None: ...

    async def head(self) -> AnswerHead: ...

    async def read(self) -> bytes: ...

    def arrived(self) -> bytes: ...

    def release(self) -> None: ...

    def close(self) -> None: ...


def check_answer_head(answer: AnswerHead, *, has_own_key: bool) -> None:
    """Raises `UpstreamError` for the head of an answer that cannot go to the client. `has_own_key`: whether the upstream got a
    key of the proxy."""
    status = answer.status
    if (coding := answer.headers.get("Content-Encoding")) and coding.lower() != "identity":
        raise UpstreamError(ErrorCode.UPSTREAM_ENCODING)
    if has_own_key and status in (401, 403):
        # The answer is about the key of the proxy, and may quote it. A client would look for the fault in its own key.
        message = f"the upstream refused the key of the proxy with status {status}"
        raise UpstreamError(ErrorCode.UPSTREAM_KEY_REFUSED, message)
    # A redirect would send the client, with its key, past the checks.
    if 300 <= status < 400 or status < 200:
        raise UpstreamError(ErrorCode.UPSTREAM_REDIRECT, f"the upstream answered with status {status}")


_WAITS = {
    UpstreamCause.DNS: "the name of the upstream was not resolved in time",
    UpstreamCause.CONNECT_TIMEOUT: "the upstream did not take a connection in time",
    UpstreamCause.PROXY_TIMEOUT: "the proxy on the way to the upstream did not make a tunnel in time",
    UpstreamCause.TLS_TIMEOUT: "the upstream did not end the TLS handshake in time",
}


def _late(error: TimeoutError, cause: UpstreamCause) -> str:
    """The message for a request without an answer in time, with the setting of the time limit that was over."""
    text = _WAITS.get(cause, ErrorCode.UPSTREAM_TIMEOUT.sentence)
    if isinstance(error, ConnectTimeoutError):
        return naming_switch(text, "timeout_connect_s")
    is_idle = isinstance(error, aiohttp.ServerTimeoutError)  # the limit of a connection that is read
    return naming_switch(text, "timeout_idle_s" if is_idle else "timeout_first_byte_s")


def _note_end(sending: asyncio.Task[UpstreamAnswer]) -> None:
    """Takes the error of a request that nobody waits for, so that asyncio does not log it."""
    if not sending.cancelled():
        sending.exception()


class Breakers:
    """The breakers of all configured upstreams, by base URL. `notice`: is called for each failure, with the name of the
    upstream and the cause."""

    def __init__(self, config: Config, notice: Callable[[str, UpstreamCause], None] = lambda name, cause: None) -> None:
        self._notice = notice
        self._causes: dict[str, UpstreamCause] = {}  # of the last failure, by base URL
        thresholds = Thresholds(
            failures=config.upstreams.breaker_failures,
            share=config.upstreams.breaker_share,
            window_s=config.upstreams.breaker_window_s,
            open_s=config.upstreams.breaker_open_s,
        )
        self._names: dict[str, str] = {}
        for number, entry in enumerate(config.upstreams.entries):
            name, url = entry.split("=", 1) if "=" in entry.split("://", 1)[0] else ("", entry)
            default = "default" if number == 0 else f"default-{number}"
            self._names.setdefault(url.rstrip("/").removesuffix("/v1"), name or default)
        for name, url in config.mcp.upstreams.items():
            self._names.setdefault(url, name)
        # The longest first: one base URL may begin with another.
        self._breakers = {base: Breaker(thresholds) for base in sorted(self._names, key=len, reverse=True)}
        self._spare = Breaker(thresholds)

    def of(self, url: str) -> Breaker:
        """The breaker of the upstream that a URL belongs to."""
        for base, breaker in self._breakers.items():  # a step of the hot path
            if url.startswith(base):
                return breaker
        return self._spare

    def _base_of(self, url: str) -> str:
        """The base URL of the upstream that a URL belongs to; empty if it belongs to none."""
        return next((base for base in self._breakers if url.startswith(base)), "")

    def note(self, url: str, cause: UpstreamCause) -> None:
        """Notes why a request to a URL failed."""
        base = self._base_of(url)
        self._causes[base] = cause
        self._notice(self._names.get(base, ""), cause)

    def last_cause(self, url: str) -> UpstreamCause | None:
        """Why the last failed request to the upstream of a URL failed; `None` if none failed."""
        return self._causes.get(self._base_of(url))

    def open(self) -> Mapping[str, tuple[State, UpstreamCause | None]]:
        """The state of each upstream whose breaker is not closed, and why its last failed request failed, by its name."""
        now_s = _clock()
        states = {base: breaker.state(now_s) for base, breaker in self._breakers.items()}
        return {
            self._names[base]: (state, self._causes.get(base)) for base, state in states.items() if state != "closed"
        }

    def states(self) -> Mapping[str, State]:
        """The state of each upstream now, by its name."""
        now_s = _clock()
        return {self._names[base]: breaker.state(now_s) for base, breaker in self._breakers.items()}


class Upstream:
    """The upstream side of a request. `first_byte_s`: the time limit for the head of an answer, connecting included.
    `has_own_key`: whether the key that goes upstream is the proxy's, not the client's. `client`: whose request it is, for the
    circuit breaker."""

    def __init__(
        self,
        connections: Connections,
        breakers: Breakers,
        deadlines: Deadlines,
        leftovers: Leftovers,
        first_byte_s: float = math.inf,
        has_own_key: bool = False,
        client: str = "",
    ) -> None:
        self._connections = connections
        self._breakers = breakers
        self._deadlines = deadlines
        self._leftovers = leftovers
        self._is_complete = False
        self._is_drained = False
        self._first_byte_s = first_byte_s
        self._has_own_key = has_own_key
        self._client = client
        self._progress = RequestProgress()
        self._url = ""
        self._breaker: Breaker | None = None
        self._ticket: Ticket | None = None
        self.sending: Sending | asyncio.Task[UpstreamAnswer] | None = None
        """The request that was begun and whose head nobody has taken yet."""
        self.response: UpstreamAnswer | None = None

    def begin(
        self, method: str, url: str, headers: CIMultiDict[str], body: bytes | None, *, at_once: bool = False
    ) -> None:
        """Takes a request, which `head` sends. `at_once`: sends it now, in a task of its own."""
        # An exchange may ask a second upstream before it has ended the first request.
        if self.response is not None or self.sending is not None or self._ticket is not None:
            self.close()
        sending = self._send(method, url, headers, body, at_once=at_once)
        self.sending = asyncio.ensure_future(sending) if at_once else sending

    async def head(self) -> UpstreamAnswer:
        """Returns the head of the answer to the request that was begun. Raises `UpstreamError`, at once while the breaker of
        this upstream is open."""
        assert self.sending is not None  # noqa: S101 - `begin` came first
        sending, self.sending = self.sending, None
        return await sending

    async def _send(
        self, method: str, url: str, headers: CIMultiDict[str], body: bytes | None, *, at_once: bool
    ) -> UpstreamAnswer:
        self.response = None
        self._is_complete = self._is_drained = False
        self._url = url
        self._breaker = self._breakers.of(url)
        self._ticket = self._breaker.enter(_clock(), self._client)
        if self._ticket is None:
            wait_s = max(1, math.ceil(self._breaker.wait_s(_clock())))
            raise UpstreamError(ErrorCode.UPSTREAM_UNAVAILABLE, retry_s=wait_s, cause=self._breakers.last_cause(url))
        try:
            with self._deadlines.within(self._first_byte_s, asyncio.current_task() if at_once else None):
                response = await self._connections.request(method, url, headers, body, self._progress)
        except (aiohttp.ClientConnectorError, OSError) as error:
            raise self._failure(error) from None
        except aiohttp.ClientHttpProxyError as error:
            message = f"the proxy on the way to the upstream answered with status {error.status}"
            raise UpstreamError(ErrorCode.UPSTREAM_UNREACHABLE, message, cause=self._failed(error)) from None
        except ValueError:  # headers or a URL that cannot be sent are not a fault of the upstream
            self._settle("unknown")
            raise UpstreamError(ErrorCode.UPSTREAM_FAILED, "the request cannot be sent to the upstream") from None
        except aiohttp.ClientError as error:
            raise UpstreamError(ErrorCode.UPSTREAM_FAILED, cause=self._failed(error)) from None
        self.response = response
        status = response.status
        if status >= 500 and status != OVERLOADED:
            self._settle("failed", UpstreamCause.STATUS)
        elif self._ticket and self._ticket.probe:
            self._settle("answered")  # other requests need not wait for the end of a long answer
        elif status >= 400:
            self._settle("unknown")
        if method == "GET" and status == 200 and response.content_type == "text/event-stream":
            # A stream of messages that nobody announces may be silent, and its end is no failure.
            self._settle("answered")
        check_answer_head(response, has_own_key=self._has_own_key)
        return response

    def _failure(self, error: OSError) -> UpstreamError:
        """The error for the client and the result for the breaker that an error of the connection leads to."""
        if error.errno in _OUR_SHORTAGE:
            self._settle("unknown")
            return UpstreamError(ErrorCode.NO_CAPACITY, "this proxy can open no further connection", retry_s=1)
        cause = self._failed(error)
        if isinstance(error, TimeoutError):
            return UpstreamError(ErrorCode.UPSTREAM_TIMEOUT, _late(error, cause), cause=cause)
        if isinstance(error, aiohttp.ClientConnectorError):
            return UpstreamError(ErrorCode.UPSTREAM_UNREACHABLE, cause=cause)
        return UpstreamError(ErrorCode.UPSTREAM_FAILED, cause=cause)

    def _failed(self, error: BaseException) -> UpstreamCause:
        """Notes a failure of the upstream. Returns its cause."""
        cause = cause_of(error, self._progress)
        self._settle("failed", cause)
        return cause

    def _settle(self, result: Result, cause: UpstreamCause | None = None) -> None:
        """Reports the result of the request to the breaker, once. `cause`: why it failed."""
        ticket, self._ticket = self._ticket, None
        if cause is not None:
            self._breakers.note(self._url, cause)
        if ticket and self._breaker:
            # Without a connection, nothing that the client sent can be the cause.
            client = None if cause in UNCONNECTED else self._client
            self._breaker.leave(ticket, result, _clock(), client)

    async def read(self) -> bytes:
        """The next bytes: all that have arrived; empty at the end. Raises `UpstreamError`."""
        assert self.response is not None  # noqa: S101 - `send` came first
        content = self.response.content
        try:
            return content.read_nowait() if content.is_eof() else await content.readany()
        except TimeoutError:
            self._settle("failed", UpstreamCause.IDLE_TIMEOUT)
            message = naming_switch("the upstream stopped sending", "timeout_idle_s")
            raise UpstreamError(ErrorCode.UPSTREAM_TIMEOUT, message, cause=UpstreamCause.IDLE_TIMEOUT) from None
        except _BROKEN as error:
            raise UpstreamError(ErrorCode.UPSTREAM_TRUNCATED, cause=self._failed(error)) from None

    def arrived(self) -> bytes:
        """The rest of an answer that has arrived in full; empty at its end. Raises `UpstreamError`."""
        assert self.response is not None  # noqa: S101 - it has arrived
        if self._is_drained:
            return b""
        try:
            data = unread(self.response.content)
        except _BROKEN as error:
            raise UpstreamError(ErrorCode.UPSTREAM_TRUNCATED, cause=self._failed(error)) from None
        self._is_drained = True  # it was all that is left
        return data

    def release(self) -> None:
        """Notes that nothing more of the answer is needed. `close` then keeps the connection for other requests."""
        self._is_complete = True

    def close(self) -> None:
        """Ends the request. The connection goes back to the pool if the answer was read to its end or is complete. Otherwise
        it is closed, also if it has not begun."""
        sending, self.sending = self.sending, None
        if isinstance(sending, asyncio.Task):
            sending.cancel()
            sending.add_done_callback(_note_end)
        elif sending is not None:
            sending.close()
        if self.response is not None:
            self._settle("answered")  # no failure while it was read
            if self._is_complete:
                self._leftovers.take(self.response)
                self.response = None
            elif not self.response.content.is_eof():  # at its end, the connection is in the pool already
                self.response.close()
        if self._ticket:
            self._settle("unknown")
