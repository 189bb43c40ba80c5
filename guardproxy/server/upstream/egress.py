"""The way to an upstream: with which certificates, and through which HTTP proxy.

In: settings, variables of the environment. Out: for an origin, a context and the address of a proxy. A proxy is asked for a
tunnel (CONNECT), over TLS if its address says so, and sees the name of an upstream and never a byte of an exchange. An upstream
with plain HTTP is never asked through a proxy: it would see everything.

Decision: docs/decisions/0088-a-proxy-on-the-way-out-gets-tunnels-only.md
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from aiohttp import encode_basic_auth
from aiohttp.hdrs import PROXY_AUTHORIZATION
from yarl import URL

from guardproxy.config import ENVIRONMENT, PROXY, SETTINGS, Exemption, UpstreamSettings, address_of
from guardproxy.errors import ConfigError

_VARIABLES = ("https_proxy", "HTTPS_PROXY")
_NO_PROXY = ("no_proxy", "NO_PROXY")
_BETWEEN = re.compile(r"[\s,]+")


class Way(NamedTuple):
    """The way to an origin. `context`: `True` for the usual one, which trusts the authorities of the system. `proxy`: an HTTP
    proxy without user and password; `None`: none. `headers`: what the proxy gets with its request. `proxy_context`: for TLS to
    the proxy."""

    context: ssl.SSLContext | bool = True
    proxy: URL | None = None
    headers: Mapping[str, str] | None = None
    proxy_context: ssl.SSLContext | bool = True


DIRECT = Way()


class Egress:
    """The ways of the settings. `environ`: where the variables of a proxy are. `context_of`: returns the context for an origin,
    or for the proxy, whose name is `PROXY`; `None` for the usual one. Raises `ConfigError`."""

    def __init__(
        self,
        settings: UpstreamSettings,
        environ: Mapping[str, str],
        context_of: Callable[[str], ssl.SSLContext | None] = lambda origin: None,
    ) -> None:
        self._context_of = context_of
        address, where, exempt = settings.proxy, SETTINGS["upstream_proxy"].names, list(settings.no_proxy)
        if address == ENVIRONMENT:
            address = _first(environ, _VARIABLES)
            where = " or ".join(_VARIABLES)
            exempt += filter(None, _BETWEEN.split(_first(environ, _NO_PROXY)))
        self._exemptions = tuple(map(_exemption, exempt))
        self._way = _way(address, where)

    @property
    def proxy(self) -> str:
        """The host and port of the proxy; empty without one."""
        return self._way.proxy.raw_authority if self._way.proxy else ""

    def way(self, url: URL) -> Way:
        """Returns the way to the origin of an address."""
        if url.scheme != "https":
            return DIRECT
        context = self._context_of(str(url.origin()))
        way = DIRECT
        if self._way.proxy and not self._is_exempt(url):
            way = self._way._replace(proxy_context=self._context_of(PROXY) or True)
        return way._replace(context=context) if context else way

    def _is_exempt(self, url: URL) -> bool:
        host, port = (url.raw_host or "").lower(), url.port or 443
        address = address_of(host)
        if (address and address.is_loopback) or host.rstrip(".") == "localhost":
            return True
        return any(exemption.means(host, port) for exemption in self._exemptions)


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    """Returns the first of these variables that is not empty."""
    return next((value for name in names if (value := environ.get(name, "").strip())), "")


def _exemption(entry: str) -> Exemption:
    found = Exemption.read(entry)
    if found is None:
        raise ConfigError(f"NO_PROXY: `{entry}` must be {SETTINGS['upstream_no_proxy'].allowed}")
    return found


def _way(address: str, where: str) -> Way:
    """Returns the way through the proxy at an address. Messages do not quote it: it may hold a password."""
    if not address:
        return DIRECT
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise ConfigError(f"{where}: the address of the proxy cannot be read") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise ConfigError(f"{where} must be like http://proxy:3128 or https://proxy:3129")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if ":" in user or not (user + password).isprintable():
        raise ConfigError(f"{where}: the user or the password of the proxy cannot be sent")
    headers = {str(PROXY_AUTHORIZATION): encode_basic_auth(user, password, "utf-8")} if user or password else {}
    return Way(True, URL(f"{parts.scheme}://{host}:{port}"), headers)
