"""Lets a gRPC server listen, with the certificate of the moment for each connection if its port speaks TLS.

gRPC asks for the certificate in a thread of its own, during a handshake, and keeps to the last one if it cannot use what it
gets.

Decision: docs/decisions/0089-a-certificate-is-declared-once-and-ports-name-it.md
"""

from __future__ import annotations

from typing import Any, Protocol


class PortCertificates(Protocol):
    """The certificates of ports (`trust/certificates.py`)."""

    def encrypts(self, port: str) -> bool:
        """Whether a port speaks TLS."""

    def pair_for(self, port: str) -> tuple[bytes, bytes]:
        """Returns the certificate that a port shows, and its key (PEM). Any thread may call it."""


def handshake_option(limit_s: float) -> tuple[str, int]:
    """Returns the option of a server for the longest time that a connection may take to begin."""
    return "grpc.server_handshake_timeout_ms", max(1, int(limit_s * 1000))


def add_port(server: Any, address: str, port: str, certificates: PortCertificates) -> int:
    """Takes an address for a server. `port`: what the settings call it. Returns the number of the port. Raises
    `RuntimeError`."""
    if not certificates.encrypts(port):
        return int(server.add_insecure_port(address))
    import grpc  # noqa: PLC0415 - an extra, for few servers

    def configuration(pair: tuple[bytes, bytes]) -> Any:
        cert, key = pair
        return grpc.ssl_server_certificate_configuration([(key, cert)])

    shown = certificates.pair_for(port)

    def renewed() -> Any:
        nonlocal shown
        pair = certificates.pair_for(port)
        if pair == shown:
            return None
        shown = pair
        return configuration(pair)

    return int(server.add_secure_port(address, grpc.dynamic_ssl_server_credentials(configuration(shown), renewed)))
