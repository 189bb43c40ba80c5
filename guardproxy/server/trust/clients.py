"""The clients and limits in force: reads the files of client keys and of limits, and the keys that sign tokens, again and again
while the proxy runs.

In: settings, polls. Out: `known` and `limits`, which each request takes. Kept: the content that was read last. Content that
cannot be used changes nothing: what was read before stays in force, and `fault` says why.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from yarl import URL

from guardproxy.config import ClientSettings
from guardproxy.errors import ConfigError
from guardproxy.gateway import KnownClients, LimitSet, Prices, maintained_prices, read_limits
from guardproxy.gateway.clients import ALGORITHMS, FILE_NAME, Clients, Tokens, read_client_file
from guardproxy.server.aiohttp_parts import TunnelConnector
from guardproxy.server.opening import naming

_log = logging.getLogger(__name__)
POLL_S = 2.0  # a revoked key is refused after this time, also where policies are reloaded on request only
NO_KEYS = f"the JWK Set has no public key for signatures ({', '.join(sorted(ALGORITHMS))})"
FETCH_TIMEOUT_S = 10.0
LIMIT_FETCH_BYTES = 1024 * 1024


class FetchWay(Protocol):
    """The way to an address (`upstream/egress.py`)."""

    @property
    def context(self) -> Any: ...

    @property
    def proxy(self) -> URL | None: ...

    @property
    def headers(self) -> Mapping[str, str] | None: ...

    @property
    def proxy_context(self) -> Any: ...


class ClientSource:
    """Reads the clients of the settings. Raises `ConfigError` if a file cannot be used at the start. An address of keys is
    asked by `run`; until it has answered, tokens are refused with 503."""

    def __init__(
        self,
        settings: ClientSettings,
        clock: Callable[[], float] = time.monotonic,
        way_of: Callable[[URL], FetchWay] | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._way_of = way_of
        self._read_s = clock()  # when the keys of tokens were read last
        self._contents: dict[str, bytes] = {}
        self._troubles: dict[str, str] = {}
        self._table = maintained_prices() if settings.prices == "genai-prices" else None
        self.limits = LimitSet(prices=Prices(table=self._table))
        self.known = KnownClients(Clients(), has_tokens=bool(settings.jwt_keys))
        for source, (name, read) in self._files().items():
            with naming(name):
                content = read()
                built = self._build(source, content)
                if isinstance(built, Tokens) and not built.has_keys:
                    raise ConfigError(f"{source}: {NO_KEYS}")
                self._use(source, content, built)

    @property
    def is_on(self) -> bool:
        """Whether clients need a key, a token or a certificate that the proxy itself knows."""
        return self._settings.has_credentials

    @property
    def fault(self) -> list[str]:
        """Why content that was read last is not in force."""
        return list(self._troubles.values())

    @property
    def faults(self) -> list[tuple[str, str]]:
        """The same, each with the name of the setting that names the content."""
        names = {source: name for source, (name, _) in self._files().items()}
        return [(fault, names.get(source, "jwt_keys")) for source, fault in self._troubles.items()]

    async def run(self) -> None:
        """Polls for ever: files every `POLL_S` seconds, an address every `jwt_refresh_s` seconds."""
        found = self._files().items()
        files = [self._poll(source, partial(asyncio.to_thread, read), POLL_S) for source, (_, read) in found]
        url = self._settings.jwt_keys if _is_url(self._settings.jwt_keys) else ""
        addresses = [self._poll(url, partial(fetch, url, self._way_of), self._settings.jwt_refresh_s)] if url else []
        await asyncio.gather(*files, *addresses)

    async def _poll(self, source: str, read: Callable[[], Awaitable[bytes]], every_s: float) -> None:
        # Not every system tells of a change: network disks do not, and Kubernetes replaces a whole folder. A missed change
        # would leave a revoked key valid, so files are polled. An address cannot tell of a change at all.
        while True:
            await self.step(source, read)
            await asyncio.sleep(every_s)

    async def step(self, source: str, read: Callable[[], Awaitable[bytes]]) -> None:
        """Reads a source once, and uses its content if it is new. What goes wrong is logged once."""
        is_of_tokens = source == self._settings.jwt_keys
        try:
            content = await read()
            if self._contents.get(source) != content:
                # Many clients take a while to read, and the loop serves requests meanwhile.
                self._use(source, content, await asyncio.to_thread(self._build, source, content))
        except ConfigError as error:
            if str(error) not in self._troubles.get(source, ""):
                _log.error("clients not reloaded", extra={"error": str(error)})
            self._troubles[source] = f"what was read before stays in force: {error}"
            if is_of_tokens and self.known.tokens and self._clock() > self._read_s + self._settings.jwt_keep_s:
                # A key that was withdrawn meanwhile would be accepted for ever.
                self.known = replace(self.known, tokens=None)
                # Otherwise the same keys, once they can be read again, would count as known and stay out of force.
                self._contents.pop(source, None)
                _log.error("tokens are no longer accepted", extra={"error": str(error)})
            if is_of_tokens and not (self.known.tokens and self.known.tokens.has_keys):
                self._troubles[source] = f"tokens are not accepted: {error}"
        else:
            self._troubles.pop(source, None)
            if is_of_tokens:
                self._read_s = self._clock()
                if self.known.tokens and not self.known.tokens.has_keys:
                    self._troubles[source] = f"tokens are not accepted: {source}: {NO_KEYS}"

    def _files(self) -> dict[str, tuple[str, Callable[[], bytes]]]:
        """Returns the setting that names each file and how the file is read, by its path."""
        keys, signing = self._settings.keys, self._settings.jwt_keys
        paths = {
            "client_keys": keys and keys / FILE_NAME,
            "jwt_keys": Path(signing) if signing and not _is_url(signing) else None,
            "limits": self._settings.limits,
        }
        return {str(path): (name, partial(_read, path)) for name, path in paths.items() if path}

    def _build(self, source: str, content: bytes) -> Clients | Tokens | LimitSet:
        """Returns what a source holds. Raises `ConfigError`."""
        settings = self._settings
        if source == settings.jwt_keys:
            return Tokens(content, source, settings.jwt_issuer, settings.jwt_audience, settings.jwt_tenant)
        if settings.limits and source == str(settings.limits):
            return read_limits(content, source, self._table)
        return Clients(read_client_file(content, source))

    def _use(self, source: str, content: bytes, built: Clients | Tokens | LimitSet) -> None:
        """Puts the clients of a source in force."""
        if isinstance(built, LimitSet):
            self.limits = built
        elif isinstance(built, Tokens):
            self.known = replace(self.known, tokens=built)
        else:
            self.known = replace(self.known, clients=built)
        if source in self._contents:
            _log.info("clients reloaded", extra={"source": source})
        self._contents[source] = content


def _is_url(source: str) -> bool:
    return source.startswith(("https://", "http://"))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        hint = "; `guardproxy keys create` makes the file" if path.name == FILE_NAME else ""
        raise ConfigError(f"cannot read {path}: {(error.strerror or type(error).__name__).lower()}{hint}") from None


async def fetch(url: str, way_of: Callable[[URL], FetchWay] | None = None) -> bytes:
    """Returns the content of an address. `way_of`: returns the way to an address; without it, it is asked directly. Raises
    `ConfigError`."""
    way = way_of(URL(url)) if way_of else None
    options: dict[str, Any] = (
        {"ssl": way.context, "proxy": way.proxy, "proxy_headers": dict(way.headers or {})} if way else {}
    )
    timeout = aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S)
    connector = TunnelConnector()
    if way:
        connector.proxy_context = way.proxy_context
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(url, allow_redirects=False, **options) as response,
        ):
            if response.status != 200:
                raise ConfigError(f"{url} answered with status {response.status}")
            content = await response.content.read(LIMIT_FETCH_BYTES + 1)
            while chunk := await response.content.read(LIMIT_FETCH_BYTES + 1 - len(content)):
                content += chunk
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise ConfigError(f"{url} cannot be reached: {type(error).__name__}") from None
    if len(content) > LIMIT_FETCH_BYTES:
        raise ConfigError(f"{url} answered with more than {LIMIT_FETCH_BYTES} bytes")
    return content
