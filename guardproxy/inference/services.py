"""Services that checks query over HTTP (`use: http`): which hosts are allowed, and the process's connections to them.

In: the queries of a check, from any thread. Out: a future of the service's answers. Kept: a loop in its own thread,
started by the first query, and a pool of connections. No redirects, no cookies, no proxies from the environment;
certificates are always verified. An answer has at most `LIMIT_BYTES` bytes and must be complete within `timeout_s`
seconds.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from guardproxy.checks import VERSION
from guardproxy.errors import ConfigError, OptionError, RemoteCapacityError, RemoteError, Shortage

_log = logging.getLogger(__name__)
LIMIT_BYTES = 4 << 20
CLOSE_S = 5.0
_PORTS = {"https": 443, "http": 80}
_SHORT = {429: Shortage.FULL, 502: Shortage.GONE, 503: Shortage.FULL, 504: Shortage.LATE}
"""Statuses that say nothing about a text: the service, or a proxy in front of it, has no capacity."""

Origin = tuple[str, str, int]


def origin(allowed: str) -> Origin:
    """Parses an origin that an operator allows: `dlp.example`, `dlp.example:8443`, or either after `http://`. Raises
    `ConfigError`."""
    try:
        parts = urlsplit(allowed if "://" in allowed else f"https://{allowed}")
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        port = None
    if port is None or not parts.hostname or "@" in parts.netloc or parts.path.strip("/") or parts.query:
        raise ConfigError(f"a host must be like `dlp.example` or `http://127.0.0.1:9000`, not `{allowed}`")
    return parts.scheme, parts.hostname, port


def origin_of(url: str) -> Origin:
    """Returns the origin of a URL. Raises `ConfigError`."""
    parts = urlsplit(url)
    return origin(f"{parts.scheme}://{parts.netloc}")


class Remotes:
    """The services of a process. `allowed`: hosts, see `origin`. `keys`: the bearer token that a host requires."""

    def __init__(self, allowed: Sequence[str], keys: Mapping[str, str] | None = None) -> None:
        self._allowed = {origin(host) for host in allowed}
        self._keys = {origin(host): key for host, key in (keys or {}).items()}
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._session: aiohttp.ClientSession | None = None

    def __call__(self, url: str, timeout_s: float) -> Remote:
        """Returns the service at a URL. Raises `OptionError` for a host that is not allowed."""
        parts = urlsplit(url)
        where = origin_of(url)
        if where not in self._allowed:
            shown = parts.netloc if parts.scheme == "https" else f"http://{parts.netloc}"
            raise OptionError(
                "url", f"this host is not allowed; the operator allows it with --remote-check-host {shown}"
            )
        return Remote(self, url, timeout_s, self._keys.get(where, ""))

    def submit(self, url: str, timeout_s: float, key: str, body: bytes) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(self._ask(url, timeout_s, key, body), self._running())

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = Thread(target=self._loop.run_forever, name="remote checks", daemon=True)
                self._thread.start()
            return self._loop

    async def _ask(self, url: str, timeout_s: float, key: str, body: bytes) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=64, keepalive_timeout=30),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with self._session.post(
                url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                if answer.status in _SHORT:
                    raise RemoteCapacityError(
                        _SHORT[answer.status], f"the service answered with status {answer.status}"
                    )
                if answer.status != 200:
                    raise RemoteError(f"the service answered with status {answer.status}")
                return _results(await _read(answer))
        except RemoteError as error:
            _log.warning("a remote check failed", extra={"host": urlsplit(url).netloc, "error": str(error)})
            raise
        except (aiohttp.ClientError, OSError) as error:  # a timeout is an `OSError`
            _log.warning("a remote check failed", extra={"host": urlsplit(url).netloc, "error": type(error).__name__})
            message = f"the request to the service failed: {type(error).__name__}"
            if (shortage := _shortage(error)) is not None:
                raise RemoteCapacityError(shortage, message) from None
            raise RemoteError(message) from None

    def close(self) -> None:
        """Closes the connections and ends the thread."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        if self._session is not None:
            asyncio.run_coroutine_threadsafe(self._session.close(), loop).result(CLOSE_S)
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join(CLOSE_S)
        loop.close()


@dataclass(frozen=True, slots=True)
class Remote:
    """One service, as a check sees it."""

    remotes: Remotes
    url: str
    timeout_s: float
    key: str = ""

    def submit(self, queries: Sequence[Mapping[str, Any]]) -> Future[Any]:
        """Returns a future of the service's results, one for each query."""
        texts = [{name: value for name, value in query.items() if name != "check"} for query in queries]
        request = {"version": VERSION, "check": queries[0]["check"], "texts": texts}
        return self.remotes.submit(self.url, self.timeout_s, self.key, json.dumps(request).encode())


def _shortage(error: Exception) -> Shortage | None:
    """Returns why there is no answer; `None` if the connection itself is invalid (a certificate) or an answer was cut
    off."""
    if isinstance(error, TimeoutError):
        return Shortage.LATE
    if isinstance(error, aiohttp.ClientSSLError):
        return None
    return Shortage.GONE if isinstance(error, (aiohttp.ClientConnectionError, OSError)) else None


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > LIMIT_BYTES:
            raise RemoteError(f"the service answered with more than {LIMIT_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _results(body: bytes) -> Any:
    try:
        return json.loads(body)["results"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RemoteError("the service did not answer with `results` in JSON") from None
