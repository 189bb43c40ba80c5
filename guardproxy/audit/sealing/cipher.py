"""Encrypts the members of a record with AES-256-GCM, and decrypts them. Pure: bytes in, text out.

In: a data key, a salt, the members in JSON. Out: pieces in base64.

No nonce is used twice with a key. Every record has a key of its own, HMAC-SHA256(data key, salt), and numbers its pieces:
the nonce of a piece is its number, a 96-bit counter that starts at 0. Two records could share a key and nonces only if
their salts were equal. A salt has 128 random bits, so this stays improbable (2^-64) up to 2^32 records for a data key. A
random 96-bit nonce for each piece would reach that probability after 2^16 pieces. Processes that share a data key need not
agree on a counter, and a record that is sealed again, in another file, gets another salt.

The associated data of a piece names the record, the data key, the member, the number of the piece and whether the member
ends with it. A piece that is moved, repeated, left out or put into another record does not decrypt.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from guardproxy.audit.record.canonical import canonical
from guardproxy.errors import SealError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
SALT_BYTES = 16
PIECE_BYTES = 1 << 18
"""The size of a piece. To encrypt it and to write it in base64 takes less than half a millisecond (measured); other threads
run between two pieces."""

_NAME = "guardproxy sealed text 1"
_NONCE_BYTES = 12


def aead(key: bytes) -> AESGCM:
    """Returns AES-GCM with a key. The library is imported here, as most commands do not need it."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    return AESGCM(key)


def seal_members(
    key: bytes, salt: bytes, names: tuple[str, str], members: Mapping[str, Sequence[bytes]]
) -> dict[str, tuple[str, ...]]:
    """Encrypts members. `salt`: `SALT_BYTES` random bytes that were never used before. `names`: the ids of the record and of
    the data key. `members`: the JSON of each member, in pieces."""
    cipher = aead(_record_key(key, salt))
    sealed: dict[str, tuple[str, ...]] = {}
    number = 0
    for name, parts in sorted(members.items()):
        pieces = list(_of_even_size(parts))
        first = number
        for piece in pieces:
            about = _about(names, name, number, is_last=number - first == len(pieces) - 1)
            data = cipher.encrypt(number.to_bytes(_NONCE_BYTES, "big"), piece, about)
            sealed[name] = (*sealed.get(name, ()), b64encode(data).decode())
            number += 1
    return sealed


def open_members(
    key: bytes, salt: bytes, names: tuple[str, str], sealed: Mapping[str, Sequence[str]]
) -> dict[str, bytes]:
    """Decrypts what `seal_members` returned. Raises `SealError` if the key is wrong or anything was changed."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415

    cipher = aead(_record_key(key, salt))
    members: dict[str, bytes] = {}
    number = 0
    for name, pieces in sorted(sealed.items()):
        parts = []
        for place, piece in enumerate(pieces):
            about = _about(names, name, number, is_last=place == len(pieces) - 1)
            try:
                data = b64decode(piece, validate=True)
                parts.append(cipher.decrypt(number.to_bytes(_NONCE_BYTES, "big"), data, about))
            except (InvalidTag, Base64Error, ValueError):
                raise SealError(
                    f"`{name}` of the record does not open: it was changed, or its key is not the key that sealed it"
                ) from None
            number += 1
        members[name] = b"".join(parts)
    return members


def _record_key(key: bytes, salt: bytes) -> bytes:
    return hmac.digest(key, b"guardproxy key of a record\0" + salt, hashlib.sha256)


def _about(names: tuple[str, str], member: str, number: int, *, is_last: bool) -> bytes:
    return canonical([_NAME, *names, member, number, is_last])


def _of_even_size(parts: Sequence[bytes]) -> Iterator[bytes]:
    """Yields the same bytes in pieces of at most `PIECE_BYTES`, at least one piece."""
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    yield data[:PIECE_BYTES]
    for start in range(PIECE_BYTES, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]
