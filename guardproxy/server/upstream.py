"""The one client session: forwards a request, reads its answer. No cookies, no redirects, no proxies from the
environment; TLS is always verified; errors of aiohttp become `UpstreamError` here.
"""

from __future__ import annotations

import asyncio

import aiohttp
from multidict import CIMultiDict

from guardproxy.config import Config
from guardproxy.errors import UpstreamError


def session(config: Config) -> aiohttp.ClientSession:
    """A session that shares nothing between clients but its connections."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=config.timeout_connect_s, sock_read=config.timeout_idle_s)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=15, ttl_dns_cache=30),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=timeout,
        trust_env=False,
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
        read_bufsize=256 * 1024,
    )


class Upstream:
    """One request's upstream side."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client
        self.response: aiohttp.ClientResponse | None = None

    async def send(
        self, method: str, url: str, headers: CIMultiDict[str], body: bytes | None
    ) -> aiohttp.ClientResponse:
        """The answer's head. Raises `UpstreamError`."""
        try:
            self.response = await self._client.request(method, url, headers=headers, data=body, allow_redirects=False)
        except aiohttp.ClientConnectorError:
            raise UpstreamError("upstream_unreachable", "the upstream cannot be reached") from None
        except TimeoutError:
            raise UpstreamError("upstream_timeout", "the upstream did not answer in time", 504) from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise UpstreamError("upstream_failed", "the upstream closed the connection or spoke no HTTP") from None
        if self.response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
            raise UpstreamError("upstream_encoding", "the upstream compressed its answer without being asked")
        if 300 <= self.response.status < 400 or self.response.status < 200:
            raise UpstreamError("upstream_redirect", f"the upstream answered with status {self.response.status}")
        return self.response

    async def read(self) -> bytes:
        """The next bytes, as many as wait; empty at the end. Raises `UpstreamError`."""
        assert self.response is not None  # noqa: S101 - `send` came first
        try:
            return await self.response.content.readany()
        except TimeoutError:
            raise UpstreamError("upstream_timeout", "the upstream stopped sending", 504) from None
        except (aiohttp.ClientError, OSError):
            raise UpstreamError("upstream_truncated", "the upstream closed the connection in the middle") from None
        except asyncio.IncompleteReadError:
            raise UpstreamError("upstream_truncated", "the upstream closed the connection in the middle") from None

    def close(self) -> None:
        """Closes the connection, unless the answer was read to its end (then it goes back to the pool)."""
        if self.response is not None:
            self.response.close()
