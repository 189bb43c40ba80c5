"""The certificates in force: reads their files again and again while the proxy runs.

In: settings, polls. Out: the context for the next client that connects, and for the next connection to an
upstream. Kept: digests of what the files hold. A connection keeps the context with which it began, so streams go
on. Files that cannot be used change nothing: what was read before stays in force, and `warnings` says why.

A certificate and its key are two files that somebody replaces one after the other. So content is used when two polls saw the
same.

Decision: docs/decisions/0087-certificates-are-replaced-under-open-streams.md
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client import Gauge
from yarl import URL

from guardproxy.config import DEFAULT, SETTINGS, Config, UpstreamSettings
from guardproxy.errors import ConfigError
from guardproxy.gateway import KnownClient
from guardproxy.server.opening import naming
from guardproxy.server.trust.contexts import BuiltContext, TlsFiles, read_again, said

_log = logging.getLogger(__name__)
POLL_S = 2.0
SOON_S = 14 * 86_400.0
AGAIN_S = 86_400.0  # between two lines of the log about the same end
DAY_S = 86_400.0
_OF_CLIENTS = "tls_cert", "tls_key", "tls_client_ca"
_OF_UPSTREAMS = "upstream_cert", "upstream_cert_key", "upstream_ca"


class CertificateEnd(NamedTuple):
    """When certificates of a file end. `setting`: the name of the setting that names the file. `upstream`: of which upstream;
    empty for clients, and for all of them."""

    setting: str
    upstream: str
    path: Path
    until_s: float


@dataclass(slots=True)
class _Watched:
    """The files of a context. `settings`: the names of the settings that may name them, in the order of `TlsFiles`."""

    files: TlsFiles
    settings: tuple[str, str, str]
    upstream: str
    built: BuiltContext
    used: str  # digests of the content: of that in force, of that seen last, of that tried last
    seen: str
    tried: str
    authorities: bytes
    fault: str = ""
    told_s: dict[Path, float] = field(default_factory=dict)

    def setting_of(self, path: Path) -> str:
        """The name of the setting that names a file; of the first one, if several do."""
        places = zip((self.files.cert, self.files.key, self.files.authorities), self.settings, strict=True)
        return next(name for place, name in places if place == path)

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the settings that name the files."""
        return tuple(dict.fromkeys(self.setting_of(path) for path in self.files.paths))


class Certificates:
    """The certificates of the settings. Raises `ConfigError` if a file cannot be used at the start. `renewed`: is called with
    what was replaced: `upstreams`, `clients`, or `authorities` if clients may have become strangers."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._settings = config.clients
        self._server: _Watched | None = None
        self._upstreams: dict[str, _Watched] = {}
        self.renewed: Callable[[str], None] = lambda what: None
        network, clients = config.network, config.clients
        if network.tls_cert:
            has_others = bool(clients.keys or clients.jwt_keys)
            files = TlsFiles(network.tls_cert, network.tls_key, clients.tls_client_ca, True, is_needed=not has_others)
            self._server = self._first(files, _OF_CLIENTS, "")
        files_of: dict[str, TlsFiles] = {}
        for name, url in _addresses(config):
            address = URL(url)
            if not address.host:  # a server behind standard streams
                continue
            files, origin = _files_of(config.upstreams, name), str(address.origin())
            if files_of.setdefault(origin, files) != files:  # connections are shared by all upstreams of an origin
                names = ", ".join(SETTINGS[setting].names for setting in ("upstream_ca", "upstream_cert"))
                raise ConfigError(f"{names}: {origin} is two upstreams, which need the same files")
            if files.paths and origin.startswith("https:") and origin not in self._upstreams:
                self._upstreams[origin] = self._first(files, _OF_UPSTREAMS, name)

    def _first(self, files: TlsFiles, settings: tuple[str, str, str], upstream: str) -> _Watched:
        given = [name for name, path in zip(settings, (files.cert, files.key, files.authorities), strict=True) if path]
        with naming(*given):
            content = files.read()
            built = read_again(files, content, self._clock())
        digest = _digest(content)
        authorities = content.get(files.authorities, b"") if files.authorities else b""
        return _Watched(files, settings, upstream, built, digest, digest, digest, authorities)

    def for_clients(self) -> ssl.SSLContext:
        """Returns the context for the next client that connects. Raises `ConfigError` if clients speak plain HTTP."""
        if self._server is None:
            raise ConfigError(f"no certificate: {SETTINGS['tls_cert'].names}")
        return self._server.built.context

    def context_of(self, origin: str) -> ssl.SSLContext | None:
        """Returns the context for the next connection to an origin, such as https://api.example; `None` for the usual one."""
        watched = self._upstreams.get(origin)
        return watched.built.context if watched else None

    @property
    def is_fine(self) -> bool:
        """Whether the files, as they are now, are in force."""
        return not any(watched.fault for watched in self._every())

    def ends(self) -> Iterator[CertificateEnd]:
        """Yields when the certificates in force end."""
        for watched in self._every():
            for path, until_s in watched.built.until_s.items():
                yield CertificateEnd(watched.setting_of(path), watched.upstream, path, until_s)

    def show(self, gauge: Gauge) -> None:
        """Shows the ends in a metric."""
        for end in self.ends():
            gauge.labels(end.setting, end.upstream).set(end.until_s)

    def client_of(self, certificate: Mapping[str, Any]) -> KnownClient | None:
        """Returns the client that a certificate names; `None` where certificates are no credentials. `certificate`: as
        `ssl.SSLObject.getpeercert` returns it."""
        if not self._settings.tls_client_ca:
            return None
        until_s = ssl.cert_time_to_seconds(certificate["notAfter"])
        return KnownClient.of_certificate(certificate["subject"], self._settings.tls_client_tenant, until_s)

    @property
    def remarks(self) -> list[tuple[str, tuple[str, ...]]]:
        """What an operator must do something about, with the settings: files that cannot be used, an end that is near, a key
        that others can read."""
        now_s, found = self._clock(), list[tuple[str, tuple[str, ...]]]()
        for watched in self._every():
            said = [watched.fault] if watched.fault else []
            found += [(text, watched.given) for text in (*said, *watched.built.warnings)]
        found += [(_soon(end, now_s), (end.setting,)) for end in self.ends() if end.until_s < now_s + SOON_S]
        return list(dict.fromkeys(found))

    @property
    def warnings(self) -> list[str]:
        """The texts of `remarks`."""
        return [text for text, _ in self.remarks]

    async def run(self) -> None:
        """Polls for ever."""
        if not any(self._every()):
            return
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.step()
            except Exception as error:  # otherwise polling would stop unnoticed
                _log.error("unexpected fault", extra={"error": type(error).__name__}, exc_info=error)

    async def step(self) -> None:
        """Reads the files once. Uses what is new, and was the same at the last poll."""
        for watched in self._every():
            await self._look(watched)
        now_s = self._clock()
        for watched in self._every():
            for path, until_s in watched.built.until_s.items():
                if until_s < now_s + SOON_S and watched.told_s.get(path, 0.0) <= now_s - AGAIN_S:
                    watched.told_s[path] = now_s
                    end = CertificateEnd(watched.setting_of(path), watched.upstream, path, until_s)
                    _log.warning("certificate ends soon", extra={"about": _soon(end, now_s)})

    def _every(self) -> list[_Watched]:
        return [*([self._server] if self._server else []), *self._upstreams.values()]

    async def _look(self, watched: _Watched) -> None:
        try:
            content = await asyncio.to_thread(watched.files.read)
            digest = _digest(content)
        except ConfigError as error:
            content, digest = {}, str(error)
        is_at_rest, watched.seen = digest == watched.seen, digest
        if not is_at_rest or digest == watched.tried:
            return
        watched.tried = digest
        if digest == watched.used:  # what is in force came back
            watched.fault = ""
            return
        try:
            if not content:
                raise ConfigError(digest)
            built = await asyncio.to_thread(read_again, watched.files, content, self._clock())
        except ConfigError as error:
            names = ", ".join(SETTINGS[name].names for name in watched.given)
            watched.fault = f"{names}: what was read before stays in force: {error}"
            _log.error("certificates not reloaded", extra={"error": str(error)})
            return
        watched.built, watched.used, watched.fault = built, digest, ""
        watched.told_s.clear()
        authorities = content.get(watched.files.authorities, b"") if watched.files.authorities else b""
        has_others, watched.authorities = authorities != watched.authorities, authorities
        _log.info("certificates reloaded", extra={"files": ", ".join(map(str, watched.files.paths))})
        if watched is not self._server:
            self.renewed("upstreams")
        else:
            self.renewed("authorities" if has_others else "clients")


def _files_of(settings: UpstreamSettings, name: str) -> TlsFiles:
    """Returns the files for an upstream."""
    authorities, is_own = settings.file_for(settings.ca, name)
    cert, key = (settings.file_for(entries, name)[0] for entries in (settings.cert, settings.cert_key))
    return TlsFiles(cert, key if cert else None, authorities, has_others=not is_own)


def _addresses(config: Config) -> Iterator[tuple[str, str]]:
    """Yields the names and the addresses of all upstreams and MCP servers."""
    upstreams = config.upstreams
    yield from upstreams.named.items()
    yield from ((DEFAULT, url) for url in upstreams.urls if url not in upstreams.named.values())
    yield from config.mcp.upstreams.items()


def _digest(content: Mapping[Path, bytes]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path, text in content.items():
        for part in (str(path).encode(), text):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _soon(end: CertificateEnd, now_s: float) -> str:
    days = max(0, int((end.until_s - now_s) // DAY_S))
    left = f"ends in {days} day{'' if days == 1 else 's'}, at" if end.until_s > now_s else "has ended at"
    of = f" of `{end.upstream}`" if end.upstream else ""
    return f"`{end.setting}`{of}: a certificate in {end.path} {left} {said(end.until_s)}"
