"""Hosts that are asked without an HTTP proxy: how `upstream_no_proxy` and NO_PROXY spell them.

In: an entry, then the host and the port of an address. Out: whether the entry means it. Nothing is resolved: a network means
addresses that are written as such.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_-]{1,63})*", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
PORT_MOST = 65535


@dataclass(frozen=True, slots=True)
class Exemption:
    """An entry. `name`: of a host, with all names below it; `*` for every host. `network`: of addresses. `port`: the only one;
    `None`: every port."""

    name: str = ""
    network: IPv4Network | IPv6Network | None = None
    port: int | None = None

    @classmethod
    def read(cls, entry: str) -> Exemption | None:
        """Returns an entry; `None` if it cannot be read."""
        text, port = entry.strip().lower(), ""
        if text.startswith("["):  # an IPv6 address, perhaps with a port
            text, end, port = text[1:].partition("]")
            if not end or ":" not in text or address_of(text) is None or (port and port[0] != ":"):
                return None
            port = port[1:] or port.replace(":", "?")  # a colon without a number is no port
        elif text.count(":") == 1:
            text, _, port = text.partition(":")
            port = port or "?"
        if port and not (_PORT.fullmatch(port) and 0 < int(port) <= PORT_MOST):
            return None
        number = int(port) if port else None
        if text == "*":
            return cls("*", port=number)
        if "/" in text:
            return cls(network=_network(text)) if number is None and _network(text) else None
        if address := address_of(text):
            return cls(network=ip_network(address), port=number)
        name = _name(text)
        return cls(name, port=number) if name else None

    def means(self, host: str, port: int) -> bool:
        """Whether the entry means a host: a name in lower case and ASCII, or an address without brackets."""
        if self.port not in (None, port):
            return False
        if self.name == "*":
            return True
        address = address_of(host)
        if self.network is not None:
            return address is not None and address.version == self.network.version and address in self.network
        host = host.rstrip(".")
        return address is None and (host == self.name or host.endswith(f".{self.name}"))


def address_of(text: str) -> Address | None:
    """Returns the address that a host is; `None` for a name. An IPv4 address in an IPv6 one is the IPv4 address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _name(text: str) -> str:
    """Returns a name without what spellings put around it; empty if it is none. Names of four numbers are addresses that are
    not right."""
    name = text.removeprefix("*").removeprefix(".").removesuffix(".")
    try:
        name = name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return ""
    return name if _HOST.fullmatch(name) and not name.replace(".", "").isdecimal() else ""
