"""Names and seals what exchanges leave in a store, so that what the store holds says nothing without the key of the proxy.

In: the holder of an entry, its name, its bytes. Out: a name that nobody without the key can compute or read, and a text that
only this name and the key open.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from base64 import b64decode, b64encode
from typing import Protocol

import msgspec

from guardproxy.audit import Owner
from guardproxy.errors import SealError

_NONCE_BYTES = 12


class StoreCipher:
    """The names and seals of entries of one kind. `key`: of the proxy; `kind`: begins their names."""

    def __init__(self, key: bytes, kind: str) -> None:
        self._key = key
        self._kind = kind

    def name(self, holder: str, own: str) -> str:
        """Returns the name of an entry. All entries of a holder share what stands before the last colon."""
        # The length keeps holder and name apart, whatever characters they have.
        return f"{self.holder(holder)}:{self.digest(f'{len(holder)}:{holder}', own)[:40]}"

    def holder(self, holder: str) -> str:
        """Returns what the names of all entries of a holder begin with."""
        return f"{self._kind}:{self.digest('holder', holder)[:16]}"

    def digest(self, about: str, text: str) -> str:
        """Returns a keyed digest, in hexadecimal digits."""
        plain = f"name of a {self._kind} {about} {text}".encode(errors="surrogatepass")
        return hmac.digest(self._key, plain, hashlib.sha256).hex()

    def sealed(self, name: str, data: bytes, secret: bytes = b"") -> str:
        """Returns the text of an entry. `secret`: a further key that opening needs."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - most exchanges need none

        nonce = os.urandom(_NONCE_BYTES)
        return b64encode(nonce + AESGCM(self._cipher_key(name, secret)).encrypt(nonce, data, name.encode())).decode()

    def opened(self, name: str, text: str, secret: bytes = b"") -> bytes:
        """Returns the bytes of an entry. Raises `ValueError` if it was changed."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        sealed = b64decode(text, validate=True)
        try:
            return AESGCM(self._cipher_key(name, secret)).decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode()
            )
        except InvalidTag:
            raise ValueError("the entry was changed") from None

    def _cipher_key(self, name: str, secret: bytes) -> bytes:
        about = f"guardproxy key of a {self._kind}\0{name}".encode()
        return hmac.digest(self._key, about + b"\0" + secret if secret else about, hashlib.sha256)


class EntryOwner(msgspec.Struct, frozen=True):
    """Whose erasure ends an entry. `name`: the owner, sealed; `secret`: the data key of the owner; `proof`: shows later that
    this was the key. All are empty if policies seal no texts."""

    name: str = ""
    secret: bytes = b""
    proof: str = ""


NOBODY = EntryOwner()


class OwnerKeys(Protocol):
    """The data keys of owners."""

    def secret_of(self, owner: Owner) -> bytes:
        """Returns the data key of an owner, which an erasure destroys. Raises `SealError`."""
        ...

    def known_secret_of(self, owner: Owner) -> bytes | None:
        """Returns the data key of an owner; `None` if there is none, or not any more. Raises `SealError`."""
        ...


class Owners:
    """The owners of entries. `cipher`: seals their names; `keys`: the data keys, `None` if no text is sealed. The methods read
    and write a disk: they run in threads."""

    def __init__(self, cipher: StoreCipher, keys: OwnerKeys | None) -> None:
        self._cipher = cipher
        self._keys = keys

    def of(self, owner: Owner | None) -> EntryOwner:
        """Returns what ties an entry to an owner. Raises `SealError`."""
        if owner is None or self._keys is None:
            return NOBODY
        secret = self._keys.secret_of(owner)
        return EntryOwner(self._cipher.sealed("owner", msgspec.json.encode(owner)), secret, self._proof(secret))

    def secret(self, name: str) -> bytes | None:
        """Returns the data key of the owner of an entry, empty if it has none; `None` if the owner was erased, or if the key
        store cannot say."""
        if not name:
            return b""
        try:
            owner = msgspec.json.decode(self._cipher.opened("owner", name), type=Owner)
            return self._keys.known_secret_of(owner) if self._keys else None
        except (SealError, ValueError):
            return None

    def has(self, name: str, proof: str) -> bool:
        """Whether the owner of an entry was not erased since. `proof`: of the entry."""
        secret = self.secret(name)
        return secret is not None and (not name or hmac.compare_digest(self._proof(secret), proof))

    def _proof(self, secret: bytes) -> str:
        return self._cipher.digest("owner", secret.hex())[:32]
