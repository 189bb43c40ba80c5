"""The settings of TLS on the ports: certificates, each declared once, and the ports that show them.

Decision: docs/decisions/0089-a-certificate-is-declared-once-and-ports-name-it.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from guardproxy.config.declaration import AllowedValues, setting

NAMED_FILE = re.compile(r"(?:(?P<name>(?:[a-z]+/)?[A-Za-z0-9][A-Za-z0-9._-]*)=)?(?P<path>[^=].*)", re.ASCII | re.DOTALL)
CLIENTS, ADMIN, ADAPTERS, ADAPTERS_GRPC, EXT_PROC = PORTS = (
    "clients",
    "admin",
    "adapters",
    "adapters_grpc",
    "ext_proc",
)
TLS_PORT = re.compile(rf"(?P<port>{'|'.join(PORTS)})(?:=(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*))?", re.ASCII)
_FILES = AllowedValues(
    form="like /etc/tls/tls.crt, or NAME=/etc/tls/tls.crt for the certificate of this name",
    is_right=lambda entry: NAMED_FILE.fullmatch(entry) is not None,
)
_PORTS = AllowedValues(
    form=f"{', '.join(PORTS[:-1])} or {PORTS[-1]}, or one of them with the name of a certificate, like admin=inner",
    is_right=lambda entry: TLS_PORT.fullmatch(entry) is not None,
)


def files_by_name(entries: tuple[str, ...]) -> Mapping[str, Path]:
    """Returns the files of entries `FILE` and `NAME=FILE`, by name; empty is the name of `FILE`."""
    matches = filter(None, map(NAMED_FILE.fullmatch, entries))
    return {match["name"] or "": Path(match["path"]) for match in matches}


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """The settings of TLS on the ports."""

    certs: tuple[str, ...] = setting(
        "tls_cert",
        (),
        "A certificate of the proxy, with its intermediates (PEM). `FILE`: clients speak TLS 1.2 or 1.3, and so do the ports "
        "in `tls_port`. `NAME=FILE`: for the ports that name it there. The file is read again when it changes; open streams go "
        "on.",
        _FILES,
        path=NAMED_FILE,
    )
    keys: tuple[str, ...] = setting(
        "tls_key",
        (),
        "`FILE` or `NAME=FILE`: the private key of `tls_cert` (PEM), if that file does not hold it too.",
        _FILES,
        path=NAMED_FILE,
    )
    entries: tuple[str, ...] = setting(
        "tls_port",
        (),
        "A further port that speaks TLS: `admin`, `adapters`, `adapters_grpc` or `ext_proc`, with the certificate of the port "
        "for clients. `PORT=NAME`: with the certificate of this name, also for `clients`.",
        _PORTS,
    )

    @property
    def ports(self) -> Mapping[str, str]:
        """Returns the ports that speak TLS, with the names of their certificates; empty is the name of the one without."""
        matches = filter(None, map(TLS_PORT.fullmatch, self.entries))
        first = {CLIENTS: ""} if "" in files_by_name(self.certs) else {}
        return {**first, **{match["port"]: match["name"] or "" for match in matches}}

    def speaks(self, port: str) -> bool:
        """Whether a port, one of `PORTS`, speaks TLS."""
        return port in self.ports

    def files_of(self, name: str) -> tuple[Path, Path | None]:
        """Returns the files of a certificate and its key; `None` if the first holds both. Raises `KeyError`."""
        return files_by_name(self.certs)[name], files_by_name(self.keys).get(name)
