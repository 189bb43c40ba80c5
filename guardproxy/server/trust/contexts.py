"""Builds what TLS needs of files: contexts with a certificate and its key, with authorities, or with both.

In: the files, and the time. Out: a context, and until when its certificates are valid; or a `ConfigError` that says what is
wrong with which file.
"""

from __future__ import annotations

import ssl
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from guardproxy.errors import ConfigError

LIMIT_BYTES = 4 * 1024 * 1024
PROTOCOLS = ("http/1.1",)
_LIST = b"-----BEGIN X509 CRL-----"
_LIST_END = b"-----END X509 CRL-----"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of a context. `cert`, `key`: what this side shows; `None`: nothing, or the certificate's file holds the key.
    `authorities`: whom it trusts. `is_server`: whether clients connect to it. `has_others`: whether the authorities of the
    system are trusted too. `is_needed`: whether the other side must show a certificate (only asked of clients)."""

    cert: Path | None = None
    key: Path | None = None
    authorities: Path | None = None
    is_server: bool = False
    has_others: bool = False
    is_needed: bool = True

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, each once."""
        return tuple(dict.fromkeys(path for path in (self.cert, self.key, self.authorities) if path))

    def read(self) -> dict[Path, bytes]:
        """Returns what the files hold. Raises `ConfigError`."""
        return {path: _read(path) for path in self.paths}


@dataclass(frozen=True, slots=True)
class BuiltContext:
    """A context. `until_s`: the Unix time at which the first certificate of `cert` ends, or the last of the authorities; by
    file. `warnings`: what does not keep it from being used."""

    context: ssl.SSLContext
    until_s: dict[Path, float]
    warnings: tuple[str, ...] = ()


def build(files: TlsFiles, content: dict[Path, bytes], unix_s: float) -> BuiltContext:
    """Returns the context of files. `content`: what they hold. Raises `ConfigError`, also where a certificate of this side is
    not valid at this time."""
    until_s: dict[Path, float] = {}
    if files.is_server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    elif files.has_others or not files.authorities:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(PROTOCOLS)
    if files.cert:
        until_s[files.cert] = _check_pair(files.cert, content[files.cert], unix_s)
        _load_pair(context, files.cert, files.key)
    if files.authorities:
        until_s[files.authorities] = _load_authorities(context, files.authorities, content[files.authorities])
        # Private authorities often lack what RFC 5280 wants of them, and Python 3.13 insists on it where 3.12 did not.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if files.is_server:
            context.verify_mode = ssl.CERT_REQUIRED if files.is_needed else ssl.CERT_OPTIONAL
            # A session that is taken up again shows no certificate: one that was revoked meanwhile would still be accepted.
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
    return BuiltContext(context, until_s, tuple(_open_keys(files)))


def read_again(files: TlsFiles, content: dict[Path, bytes], unix_s: float) -> BuiltContext:
    """Returns the context of files that hold the same before and after it is built: OpenSSL reads them itself. Raises
    `ConfigError`."""
    built = build(files, content, unix_s)
    if files.read() != content:
        raise ConfigError(f"{', '.join(map(str, files.paths))}: changed while it was read")
    return built


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as opened:
            content = opened.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {(error.strerror or type(error).__name__).lower()}") from None
    if len(content) > LIMIT_BYTES:
        raise ConfigError(f"{path}: the file is larger than {LIMIT_BYTES} bytes")
    return content


def _certificates(path: Path, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise ConfigError(f"{path}: holds no certificate that can be read (PEM)") from None


def _check_pair(path: Path, content: bytes, unix_s: float) -> float:
    """Returns when the first certificate of a chain ends. Raises `ConfigError` if the certificate is not valid now."""
    chain = _certificates(path, content)
    begin, end = chain[0].not_valid_before_utc, chain[0].not_valid_after_utc
    if unix_s < begin.timestamp():
        raise ConfigError(f"{path}: the certificate is valid only from {said(begin.timestamp())} on")
    if unix_s >= end.timestamp():
        raise ConfigError(f"{path}: the certificate has expired at {said(end.timestamp())}")
    return min(certificate.not_valid_after_utc.timestamp() for certificate in chain)


def _load_pair(context: ssl.SSLContext, cert: Path, key: Path | None) -> None:
    try:
        context.load_cert_chain(cert, key, password=_refuse(key or cert))
    except ssl.SSLError as error:
        if error.reason and "MISMATCH" in error.reason:
            raise ConfigError(f"{key or cert}: the key does not belong to the certificate in {cert}") from None
        where = (
            f"{cert}: holds no certificate and key" if key is None else f"{cert} and {key}: are no certificate and key"
        )
        raise ConfigError(f"{where} that can be used together (PEM; {error.reason or 'unreadable'})") from None
    except OSError as error:
        raise ConfigError(f"cannot read {key or cert}: {(error.strerror or 'error').lower()}") from None


def _refuse(path: Path) -> Callable[[], str]:
    """Returns what OpenSSL asks for a password. It would ask on the terminal otherwise."""

    def refuse() -> str:
        raise ConfigError(
            f"{path}: the key is encrypted: give one without a password, in a file that only the proxy can read"
        )

    return refuse


def _load_authorities(context: ssl.SSLContext, path: Path, content: bytes) -> float:
    """Trusts the authorities of a file, with its lists of revoked certificates. Returns when the last authority, or the first
    list, ends."""
    authorities = _certificates(path, content)
    until_s = max(certificate.not_valid_after_utc.timestamp() for certificate in authorities)
    try:
        context.load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError):
        raise ConfigError(f"{path}: holds no authority that can be used (PEM)") from None
    if not context.cert_store_stats()["x509_ca"]:
        raise ConfigError(f"{path}: holds no certificate of an authority")
    for text in content.split(_LIST)[1:]:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        try:
            update = x509.load_pem_x509_crl(_LIST + text.partition(_LIST_END)[0] + _LIST_END).next_update_utc
        except ValueError:
            raise ConfigError(f"{path}: holds a list of revoked certificates that cannot be read") from None
        until_s = min(until_s, update.timestamp()) if update else until_s
    return until_s


def _open_keys(files: TlsFiles) -> list[str]:
    """Returns a warning for a file with a key that every user of the machine can read."""
    path = files.key or files.cert
    if path is None:
        return []
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return []
    return [f"{path}: every user of this machine can read the key (mode {mode:04o})"] if mode & stat.S_IROTH else []


def said(unix_s: float) -> str:
    """Returns a time in words."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
