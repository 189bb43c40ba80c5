"""The certificates in force: reads their files again and again while the proxy runs.

In: settings, polls. Out: the context for the next connection to a port, and for the next one to an upstream.
Kept: what the files in force hold, and digests of what was seen. A connection keeps the context with which it
began, so streams go on. Files that cannot be used change nothing: what was read before stays in force, and
`warnings` says why.

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
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client import Gauge
from yarl import URL

from guardproxy.config import CLIENTS, DEFAULT, PORTS, PROXY, SETTINGS, Config, UpstreamSettings
from guardproxy.errors import ConfigError
from guardproxy.gateway.clients import KnownClient
from guardproxy.server.opening import naming
from guardproxy.server.trust.contexts import BuiltContext, TlsFiles, read_again, said

_log = logging.getLogger(__name__)
POLL_S = 2.0
SOON_S = 14 * 86_400.0
AGAIN_S = 86_400.0  # between two lines of the log about the same end
DAY_S = 86_400.0
_OF_PORTS = "tls_cert", "tls_key", "tls_client_ca"
_OF_UPSTREAMS = "upstream_cert", "upstream_cert_key", "upstream_ca"


class CertificateEnd(NamedTuple):
    """When certificates of a file end. `setting`: the name of the setting that names the file. `name`: that of the certificate
    of a port, empty without one, or of the upstream."""

    setting: str
    name: str
    path: Path
    until_s: float


@dataclass(slots=True)
class _Watched:
    """The files of a context. `settings`: the names of the settings that may name them, in the order of `TlsFiles`."""

    files: TlsFiles
    settings: tuple[str, str, str]
    name: str
    built: BuiltContext
    content: dict[Path, bytes]  # in force
    used: str  # digests of the content: of that in force, of that seen last, of that tried last
    seen: str
    tried: str
    fault: str = ""

    @property
    def is_of_port(self) -> bool:
        """Whether others connect with these files to this machine."""
        return self.settings is _OF_PORTS

    def setting_of(self, path: Path) -> str:
        """The name of the setting that names a file; of the first one, if several do."""
        places = zip((self.files.cert, self.files.key, self.files.authorities), self.settings, strict=True)
        return next(name for place, name in places if place == path)

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the settings that name the files."""
        return tuple(dict.fromkeys(self.setting_of(path) for path in self.files.paths))


class Certificates:
    """The certificates of the settings. `ports`: those of these ports alone. `has_upstreams`: whether those of upstreams too.
    Raises `ConfigError` if a file cannot be used at the start. `renewed`: is called with what was replaced: `upstreams`,
    `ports`, or `authorities` if clients may have become strangers."""

    def __init__(
        self,
        config: Config,
        clock: Callable[[], float] = time.time,
        *,
        ports: Collection[str] = PORTS,
        has_upstreams: bool = True,
    ) -> None:
        self._clock = clock
        self._settings = config.clients
        self._ports: dict[str, _Watched] = {}
        self._upstreams: dict[str, _Watched] = {}
        self._told_s: dict[CertificateEnd, float] = {}
        self.renewed: Callable[[str], None] = lambda what: None
        of_ports: dict[TlsFiles, _Watched] = {}
        for port, name in config.tls.ports.items():
            if port in ports:
                files = _files_of_port(config, port, name)
                self._ports[port] = of_ports[files] = of_ports.get(files) or self._first(files, _OF_PORTS, name)
        files_of: dict[str, TlsFiles] = {}
        for name, url in list(_addresses(config)) if has_upstreams else []:
            address = URL(url)
            if not address.host:  # a server behind standard streams
                continue
            files, origin = _files_of(config.upstreams, name), str(address.origin())
            if files_of.setdefault(origin, files) != files:  # connections are shared by all upstreams of an origin
                names = ", ".join(SETTINGS[setting].names for setting in ("upstream_ca", "upstream_cert"))
                raise ConfigError(f"{names}: {origin} is two upstreams, which need the same files")
            if files.paths and origin.startswith("https:") and origin not in self._upstreams:
                self._upstreams[origin] = self._first(files, _OF_UPSTREAMS, name)
        if has_upstreams and config.upstreams.proxy:
            files = _files_of(config.upstreams, PROXY)
            if files.paths:
                self._upstreams[PROXY] = self._first(files, _OF_UPSTREAMS, PROXY)
        self._all = (*of_ports.values(), *self._upstreams.values())

    def _first(self, files: TlsFiles, settings: tuple[str, str, str], name: str) -> _Watched:
        given = [name for name, path in zip(settings, (files.cert, files.key, files.authorities), strict=True) if path]
        with naming(*given):
            content = files.read()
            built = read_again(files, content, self._clock())
        digest = _digest(content)
        return _Watched(files, settings, name, built, content, digest, digest, digest)

    def encrypts(self, port: str) -> bool:
        """Whether a port, one of `PORTS`, speaks TLS."""
        return port in self._ports

    def context_for(self, port: str) -> ssl.SSLContext:
        """Returns the context for the next connection to a port that speaks TLS. Any thread may call it."""
        return self._ports[port].built.context

    def pair_for(self, port: str) -> tuple[bytes, bytes]:
        """Returns the certificate that a port that speaks TLS shows, with its intermediates, and the key (PEM). Any thread may
        call it."""
        watched = self._ports[port]
        files, content = watched.files, watched.content
        assert files.cert is not None  # noqa: S101 - a port without one speaks no TLS
        return content[files.cert], content[files.key or files.cert]

    def context_of(self, origin: str) -> ssl.SSLContext | None:
        """Returns the context for the next connection to an origin, such as https://api.example, or to the proxy on the way,
        `PROXY`; `None` for the usual one."""
        watched = self._upstreams.get(origin)
        return watched.built.context if watched else None

    @property
    def is_fine(self) -> bool:
        """Whether the files, as they are now, are in force."""
        return not any(watched.fault for watched in self._all)

    def ends(self) -> Iterator[CertificateEnd]:
        """Yields when the certificates in force end. Ports may share one."""
        yield from dict.fromkeys(
            CertificateEnd(watched.setting_of(path), watched.name, path, until_s)
            for watched in self._all
            for path, until_s in watched.built.until_s.items()
        )

    def show(self, gauge: Gauge) -> None:
        """Shows the ends in a metric."""
        for end in self.ends():
            gauge.labels(end.setting, end.name).set(end.until_s)

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
        faults: dict[str, tuple[str, ...]] = {}  # ports may share a file that cannot be used
        for watched in self._all:
            if watched.fault:
                faults[watched.fault] = tuple(dict.fromkeys((*faults.get(watched.fault, ()), *watched.given)))
            found += [(text, watched.given[:2]) for text in watched.built.warnings]
        said = [
            (
                f"{', '.join(SETTINGS[name].names for name in given)}: what was read before stays in force: {fault}",
                given,
            )
            for fault, given in faults.items()
        ]
        found += [(_soon(end, now_s), (end.setting,)) for end in self.ends() if end.until_s < now_s + SOON_S]
        return list(dict.fromkeys((*said, *found)))

    @property
    def warnings(self) -> list[str]:
        """The texts of `remarks`."""
        return [text for text, _ in self.remarks]

    async def run(self) -> None:
        """Polls for ever."""
        if not self._all:
            return
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.step()
            except Exception as error:  # otherwise polling would stop unnoticed
                _log.error("unexpected fault", extra={"error": type(error).__name__}, exc_info=error)

    async def step(self) -> None:
        """Reads the files once. Uses what is new, and was the same at the last poll."""
        for watched in self._all:
            await self._look(watched)
        now_s = self._clock()
        near = [end for end in self.ends() if end.until_s < now_s + SOON_S]
        self._told_s = {end: self._told_s[end] for end in near if end in self._told_s}
        for end in near:
            if self._told_s.get(end, 0.0) <= now_s - AGAIN_S:
                self._told_s[end] = now_s
                _log.warning("certificate ends soon", extra={"about": _soon(end, now_s)})

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
            watched.fault = str(error)
            _log.error("certificates not reloaded", extra={"error": watched.fault})
            return
        before, watched.content = watched.content, content
        watched.built, watched.used, watched.fault = built, digest, ""
        _log.info("certificates reloaded", extra={"files": ", ".join(map(str, watched.files.paths))})
        authorities = watched.files.authorities
        if not watched.is_of_port:
            self.renewed("upstreams")
        elif authorities and content[authorities] != before[authorities]:
            self.renewed("authorities")
        else:
            self.renewed("ports")


def _files_of_port(config: Config, port: str, name: str) -> TlsFiles:
    """Returns the files for a port. Certificates of those who call are credentials of clients alone."""
    cert, key = config.tls.files_of(name)
    clients = config.clients
    if port != CLIENTS or clients.tls_client_ca is None:
        return TlsFiles(cert, key, is_server=True)
    has_others = bool(clients.keys or clients.jwt_keys)
    return TlsFiles(cert, key, clients.tls_client_ca, is_server=True, is_needed=not has_others)


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
    of = f" of `{end.name}`" if end.name else ""
    return f"`{end.setting}`{of}: a certificate in {end.path} {left} {said(end.until_s)}"
