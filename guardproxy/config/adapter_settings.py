"""The settings of adapters: the port on which other gateways ask for verdicts, and their tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass

from guardproxy.config.declaration import POSITIVE, AllowedValues, setting, split_address

_TOKEN = re.compile(r"[a-z_-]+=(?!file:)[!-~]{16,}", re.ASCII)
_TOKEN_PATH = re.compile(r"[a-z_-]+=file:(?P<path>.+)", re.ASCII)


def is_address(entry: str) -> bool:
    """Whether an entry is a port, or a host and a port."""
    host, colon, port = entry.rpartition(":")
    if not port.isascii() or not port.isdecimal() or int(port) > 65535:
        return not entry
    return not colon or bool(host and (int(port) == 0 or split_address(f"//{entry}").hostname))


def is_token(entry: str) -> bool:
    return _TOKEN.fullmatch(entry) is not None or _TOKEN_PATH.fullmatch(entry) is not None


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """The settings of adapters. Times are in seconds."""

    address: str = setting(
        "adapters",
        "",
        "The port for other gateways that ask whether a request or an answer may pass: PORT or HOST:PORT. Only the first of "
        "several workers opens it.",
        AllowedValues(form="a port, or a host and a port, like 8090 or 0.0.0.0:8090", is_right=is_address),
    )
    grpc_address: str = setting(
        "adapters_grpc",
        "",
        "The same for gateways that call by gRPC (agentgateway's MCP policies): PORT or HOST:PORT. Needs `adapters`, and the "
        "extra `agentgateway`.",
        AllowedValues(form="a port, or a host and a port, like 8091 or 0.0.0.0:8091", is_right=is_address),
    )
    tokens: tuple[str, ...] = setting(
        "adapter_token",
        (),
        "`NAME=TOKEN`, or `NAME=file:PATH`: opens the adapter NAME for calls with this token, of 16 characters or more.",
        AllowedValues(form="like litellm=TOKEN, with 16 characters or more, or litellm=file:PATH", is_right=is_token),
        is_secret=True,
        path=_TOKEN_PATH,
    )
    keep_s: float = setting(
        "adapter_keep_s",
        600.0,
        "Seconds for which the request of a call is kept in memory, so that the answer of the same call gets its values back.",
        POSITIVE,
    )

    @property
    def host(self) -> str:
        """The address to listen on."""
        return _host_of(self.address)

    @property
    def port(self) -> int | None:
        """The port to listen on; 0 for any free port, `None` for none."""
        return _port_of(self.address)

    @property
    def grpc_host(self) -> str:
        """The address to listen on for gRPC."""
        return _host_of(self.grpc_address)

    @property
    def grpc_port(self) -> int | None:
        """The port to listen on for gRPC; 0 for any free port, `None` for none."""
        return _port_of(self.grpc_address)


def _host_of(address: str) -> str:
    return address.rpartition(":")[0].strip("[]") or "127.0.0.1"


def _port_of(address: str) -> int | None:
    return int(address.rpartition(":")[2]) if address else None
