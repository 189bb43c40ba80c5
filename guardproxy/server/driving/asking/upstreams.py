"""Asks a model at a named upstream: sends one question with the proxy's key, and reads the whole answer.

In: the name of an upstream, a dialect, a question. Out: what the model said. Nothing is asked twice. Connections and
circuit breakers are those of the traffic, so an upstream that is down is not asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from multidict import CIMultiDict

from guardproxy.checks import JudgeQuestion
from guardproxy.config import Config
from guardproxy.errors import UpstreamError
from guardproxy.server.trust.certificates import Certificates
from guardproxy.server.upstream.connections import Connections
from guardproxy.server.upstream.deadlines import Deadlines
from guardproxy.server.upstream.drain import Leftovers
from guardproxy.server.upstream.egress import Egress
from guardproxy.server.upstream.upstream import Breakers, Upstream
from guardproxy.wire import Dialect, ModelReply

LIMIT_ANSWER_BYTES = 1 << 18
MARK = "x-guardproxy-asks"
"""The header of a question. A proxy that gets it back with its own value asks itself."""
_ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared
_HERE = ("localhost", "127.0.0.1", "::1")


class AskingError(Exception):
    """A model gave no answer. `str()`: why, in a word for the log. `code`: of an error of the upstream, or its status as
    text."""


def mark_of(key: bytes) -> str:
    """Returns the value of `MARK`, the same in all processes of a proxy. `key`: the secret behind placeholders."""
    return hmac.digest(key, b"guardproxy asks a model", hashlib.sha256).hex()[:32]


def is_own(config: Config, name: str) -> bool:
    """Whether the URL of a named upstream leads to the port of this proxy for clients."""
    parts, network = urlsplit(config.upstreams.url_for(name)), config.network
    port = parts.port or (443 if parts.scheme == "https" else 80)
    own = (*_HERE, *_ANYWHERE) if network.host in (*_HERE, *_ANYWHERE) else (network.host,)
    return port == network.port and (parts.hostname or "") in own


class Asking:
    """Asks models through the upstreams of the settings, with the proxy's keys. `mark`: see `MARK`."""

    def __init__(
        self, config: Config, connections: Connections, breakers: Breakers, leftovers: Leftovers, mark: str = ""
    ) -> None:
        self._config = config
        self._connections = connections
        self._breakers = breakers
        self._leftovers = leftovers
        self._mark = mark

    async def ask(self, upstream: str, dialect: Dialect, question: JudgeQuestion, timeout_s: float) -> ModelReply:
        """Returns what a model said. Raises `AskingError`, `UpstreamError` and `TimeoutError`."""
        return await self.send(
            upstream, dialect, dialect.body(question.system, question.text, question.allowed.schema), timeout_s
        )

    async def send(
        self, upstream: str, dialect: Dialect, body: bytes, timeout_s: float, limit_bytes: int = LIMIT_ANSWER_BYTES
    ) -> ModelReply:
        """Returns what a model said to a request. `limit_bytes`: of its answer. Raises `AskingError`, `UpstreamError` and
        `TimeoutError`."""
        async with asyncio.timeout(timeout_s):
            status, media_type, data = await self._post(upstream, dialect, body, limit_bytes)
        if status != 200:
            raise AskingError(f"status_{status}")
        return dialect.read(data, media_type)

    async def _post(self, name: str, dialect: Dialect, body: bytes, limit_bytes: int) -> tuple[int, str, bytes]:
        contract = dialect.codec.contract
        headers = CIMultiDict({"Content-Type": "application/json", "Accept-Encoding": "identity"})
        headers.update(contract.headers.needed)
        if key := self._config.upstreams.key_for(name):
            headers[contract.key_header.name] = contract.key_header.prefix + key
        if self._mark:
            headers[MARK] = self._mark
        deadlines = Deadlines()
        asked = Upstream(
            self._connections,
            self._breakers,
            deadlines,
            self._leftovers,
            self._config.timeouts.first_byte_s,
            has_own_key=True,
        )
        try:
            asked.begin("POST", self._config.upstreams.url_for(name) + dialect.path, headers, body)
            head, parts, size_bytes = await asked.head(), list[bytes](), 0
            while part := await asked.read():
                size_bytes += len(part)
                if size_bytes > limit_bytes:
                    raise AskingError("too_large")
                parts.append(part)
            return head.status, head.content_type, b"".join(parts)
        finally:
            asked.close()
            deadlines.close()


@asynccontextmanager
async def asking(config: Config) -> AsyncIterator[Asking]:
    """Yields what asks models, with connections of its own."""
    egress = Egress(config.upstreams, os.environ, Certificates(config, ports=()).context_of)
    connections = Connections(config.timeouts.connect_s, config.timeouts.idle_s, egress.way)
    leftovers = Leftovers()
    try:
        yield Asking(config, connections, Breakers(config), leftovers)
    finally:
        await leftovers.close()
        await connections.close()


def failure_of(error: Exception) -> str:
    """Returns why there is no answer, in a word for the log."""
    if isinstance(error, TimeoutError):
        return "timeout"
    return str(error.code) if isinstance(error, UpstreamError) else str(error)
