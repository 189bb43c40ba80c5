"""Signed notes of C2SP: a text with Ed25519 signatures, and the keys that sign and verify it. Pure.

In: texts, keys, bytes of notes. Out: bytes of notes, and whether a key signed them.

A note is a text that ends with a newline, an empty line, and a line for each signature: `— NAME BASE64`. The decoded
base64 is the id of the key (4 bytes) and the signature. A note is read only in the form in which it is written, so
that no byte of it can change unnoticed.

Keys are written as in Go's `sumdb/note`: `NAME+ID+BASE64` for a public key, `PRIVATE+KEY+NAME+ID+BASE64` for a private
key. The first byte of the decoded base64 is the kind of the key: 1 signs notes, 4 cosigns them. A cosignature covers
the time of signing as well.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Protocol

from guardproxy.errors import AuditError

SIGNS = 1
COSIGNS = 4
PRIVATE = "PRIVATE+KEY+"
LIMIT_NOTE_BYTES = 1 << 20

_ID_BYTES = 4
_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_TIME_BYTES = 8
_DASH = "\N{EM DASH}"
_NAME = re.compile(r"[!-*,-~]+")  # printable ASCII without spaces and `+`


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies. `data`: the 32 bytes of the Ed25519 key."""

    name: str
    data: bytes
    kind: int = SIGNS

    @classmethod
    def read(cls, text: str) -> PublicKey:
        """Reads a key that `str` wrote. Raises `AuditError`."""
        try:
            name, _, encoded = text.strip().split("+", 2)
            data = _decoded(encoded)
            key = cls(name, data[1:], data[0])
            if str(key) != text.strip() or key.kind not in (SIGNS, COSIGNS) or len(key.data) != _KEY_BYTES:
                raise ValueError
        except (ValueError, IndexError):
            raise AuditError(
                "not a public key: expected NAME+ID+BASE64, as `guardproxy audit keygen` prints it"
            ) from None
        _check_name(name)
        return key

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{_encoded(bytes([self.kind]) + self.data)}"

    @property
    def key_id(self) -> bytes:
        """Returns the 4 bytes that name the key in a note."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.data).digest()[:_ID_BYTES]

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature is this key's signature of the message."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - only where notes are used
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

        try:
            Ed25519PublicKey.from_public_bytes(self.data).verify(signature, message)
        except InvalidSignature:
            return False
        return True


class Signer(Protocol):
    """Signs messages with a key that it need not hold itself."""

    @property
    def public(self) -> PublicKey:
        """The key that verifies the signatures."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Returns the 64 bytes of a signature. May block. Raises `AuditError`."""
        ...


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs. `seed`: its 32 bytes, which `repr` does not show."""

    public: PublicKey
    seed: bytes

    @classmethod
    def new(cls, name: str, *, is_witness: bool = False) -> PrivateKey:
        """Makes a key, which signs or (`is_witness`) cosigns. Raises `AuditError` for a name that a note cannot hold."""
        return cls._of(name, secrets.token_bytes(_KEY_BYTES), COSIGNS if is_witness else SIGNS)

    @classmethod
    def read(cls, text: str) -> PrivateKey:
        """Reads a key that `text` wrote. Raises `AuditError`."""
        try:
            name, _, encoded = text.strip().removeprefix(PRIVATE).split("+", 2)
            data = _decoded(encoded)
            kind, seed = data[0], data[1:]
            if kind not in (SIGNS, COSIGNS) or len(seed) != _KEY_BYTES:
                raise ValueError
            key = cls._of(name, seed, kind)
            if key.text != text.strip():
                raise ValueError
        except (ValueError, IndexError):
            raise AuditError("not a private key: `guardproxy audit keygen FILE` makes one") from None
        return key

    @classmethod
    def _of(cls, name: str, seed: bytes, kind: int) -> PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

        _check_name(name)
        data = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        return cls(PublicKey(name, data, kind), seed)

    @property
    def text(self) -> str:
        """Returns the key as a text, which is a secret."""
        public = self.public
        encoded = _encoded(bytes([public.kind]) + self.seed)
        return f"{PRIVATE}{public.name}+{public.key_id.hex()}+{encoded}"

    def sign(self, message: bytes) -> bytes:
        """Returns the signature of a message."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(message)

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.name})"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """A line of a note. `blob`: the signature; in a cosignature the time of 8 bytes comes first."""

    name: str
    key_id: bytes
    blob: bytes


@dataclass(frozen=True, slots=True)
class SignedNote:
    """A text and its signatures, which may be wrong or by unknown keys."""

    text: str
    signatures: tuple[NoteSignature, ...]

    @classmethod
    def read(cls, data: bytes) -> SignedNote:
        """Reads a note. Raises `AuditError` if it is not a note, or not in the form in which notes are written."""
        try:
            if len(data) > LIMIT_NOTE_BYTES:
                raise ValueError
            text, _, lines = data.decode().rpartition("\n\n")
            note = cls(text + "\n", tuple(map(_read_signature, lines.removesuffix("\n").split("\n"))))
            if note.data != data or len(set(note.signatures)) != len(note.signatures):
                raise ValueError
        except ValueError:
            raise AuditError("not a signed note") from None
        return note

    @property
    def data(self) -> bytes:
        """Returns the note as it is stored."""
        lines = (
            f"{_DASH} {signature.name} {_encoded(signature.key_id + signature.blob)}\n" for signature in self.signatures
        )
        return f"{self.text}\n{''.join(lines)}".encode()

    def is_signed_by(self, key: PublicKey) -> bool:
        """Whether the key has signed the text."""
        return key.kind == SIGNS and any(key.verifies(blob, self.text.encode()) for blob in self._blobs(key))

    def cosigned_at(self, key: PublicKey) -> int | None:
        """Returns the Unix time in seconds at which the key of a witness has cosigned the text, if it has."""
        for blob in self._blobs(key) if key.kind == COSIGNS else ():
            time, signature = blob[:_TIME_BYTES], blob[_TIME_BYTES:]
            at = int.from_bytes(time, "big")
            if len(signature) == _SIGNATURE_BYTES and key.verifies(signature, _cosigned_message(self.text, at)):
                return at
        return None

    def _blobs(self, key: PublicKey) -> list[bytes]:
        return [
            signature.blob
            for signature in self.signatures
            if (signature.name, signature.key_id) == (key.name, key.key_id)
        ]


def sign(text: str, signer: Signer) -> SignedNote:
    """Returns a text, which ends with a newline, as a note with one signature. Raises `AuditError` if the signer
    fails or its signature is wrong."""
    public = signer.public
    if public.kind != SIGNS:
        raise AuditError(f"the key `{public.name}` is the key of a witness: it only cosigns")
    signature = signer.sign(text.encode())
    # A command may sign with another key than the settings name. That must not be left for the auditor to find.
    if not public.verifies(signature, text.encode()):
        raise AuditError(f"the signature does not fit the public key of `{public.name}`")
    return SignedNote(text, (NoteSignature(public.name, public.key_id, signature),))


def cosign(note: SignedNote, key: PrivateKey, at: int) -> SignedNote:
    """Returns the note with the cosignature of a witness. `at`: Unix time in seconds. Raises `AuditError` if the key
    is not the key of a witness."""
    public = key.public
    if public.kind != COSIGNS:
        raise AuditError("not the key of a witness: `guardproxy audit keygen --witness FILE` makes one")
    blob = at.to_bytes(_TIME_BYTES, "big") + key.sign(_cosigned_message(note.text, at))
    return SignedNote(note.text, (*note.signatures, NoteSignature(public.name, public.key_id, blob)))


def _cosigned_message(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def _read_signature(line: str) -> NoteSignature:
    dash, name, encoded = line.split(" ")
    blob = _decoded(encoded)
    if dash != _DASH or not _NAME.fullmatch(name) or len(blob) <= _ID_BYTES:
        raise ValueError(line)
    return NoteSignature(name, blob[:_ID_BYTES], blob[_ID_BYTES:])


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise AuditError("the name of a key has only printable ASCII characters, without spaces and `+`")


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> bytes:
    """Raises `ValueError`."""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
