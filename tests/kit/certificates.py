"""Certificates for servers on this machine."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

PARTS = {"CN": NameOID.COMMON_NAME, "O": NameOID.ORGANIZATION_NAME, "OU": NameOID.ORGANIZATIONAL_UNIT_NAME}
DAY = timedelta(days=1)


class Pair(NamedTuple):
    """A certificate and its key, in two files."""

    cert: Path
    key: Path

    def become(self, other: Pair) -> None:
        """Puts another pair in the place of this one, as tools that renew certificates do: first one file, then the other."""
        for own, new in zip(self, other, strict=True):
            made = own.with_suffix(".new")
            made.write_bytes(new.read_bytes())
            made.replace(own)


class Authority:
    """Issues certificates. `file`: its own certificate, which a client must trust."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._signed(self._name, self._key, None).public_bytes(Encoding.PEM))

    def pair(
        self,
        name: str,
        subject: Sequence[tuple[str, str]] = (),
        ends_in: timedelta = 90 * DAY,
        begins_in: timedelta = -DAY,
        host: str = "",
    ) -> Pair:
        """A certificate and its key. `name`: of the files, and of the host if there is none. `subject`: parts such as
        `("CN", "billing")`, in their order; the host if it is empty."""
        key = ec.generate_private_key(ec.SECP256R1())
        given = [
            x509.NameAttribute(PARTS[part], value, _validate=False) for part, value in subject or [("CN", host or name)]
        ]
        cert = self._signed(x509.Name(given), key, host or name, begins_in, ends_in)
        made = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        made.cert.write_bytes(cert.public_bytes(Encoding.PEM))
        made.key.touch(0o600)
        made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return made

    def revocations(self, *revoked: Path, ends_in: timedelta = DAY) -> bytes:
        """A list of revoked certificates (PEM)."""
        now = datetime.now(UTC)
        built = x509.CertificateRevocationListBuilder().issuer_name(self._name).last_update(now - DAY)
        built = built.next_update(now + ends_in)
        for path in revoked:
            number = x509.load_pem_x509_certificate(path.read_bytes()).serial_number
            built = built.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now - DAY).build()
            )
        return built.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def server(self, host: str) -> ssl.SSLContext:
        """What a server needs to speak TLS under a name."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        file = self._folder / f"{host}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(self._signed(subject, key, host).public_bytes(Encoding.PEM) + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        host: str | None,
        begins_in: timedelta = -DAY,
        ends_in: timedelta = 90 * DAY,
    ) -> x509.Certificate:
        """A certificate for a server or a client; without a host, that of the authority."""
        now = datetime.now(UTC)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        built = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins_in)
            .not_valid_after(now + ends_in)
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(issuer, critical=False)
        )
        if host is not None:
            names: list[x509.GeneralName] = [x509.DNSName(host)]
            built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return built.sign(self._key, hashes.SHA256())
