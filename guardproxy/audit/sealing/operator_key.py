"""The operator's key: where it comes from, and how it wraps the ring key of a key store.

In: `file:PATH`, `env:NAME` or `command:COMMAND`. Out: wrapped bytes. Kept: the key, in memory.

`command:` stands for a key management service that never gives its key away. The command is started without a shell, with
`wrap` or `unwrap` as its last argument. It reads one line of base64 and prints one line of base64. It is started only when a
key store is opened or rotated, never for an exchange.
"""

from __future__ import annotations

import os
import secrets
import shlex
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from guardproxy.audit.sealing.cipher import KEY_BYTES, aead
from guardproxy.audit.storage.disk import is_inside
from guardproxy.errors import SealError

FORMS = "`file:PATH`, `env:NAME` or `command:COMMAND`"
COMMAND_TIMEOUT_S = 30.0

_BEGINNING = "guardproxy-seal-key-1:"
_NONCE_BYTES = 12
_STATIC, _COMMAND = b"k", b"c"  # the first byte of wrapped bytes: what wrapped them


class OperatorKey(Protocol):
    """Wraps and unwraps ring keys. `about`: bytes that must be the same for both."""

    def wrap(self, plain: bytes, about: bytes) -> bytes:
        """Wraps a ring key. Raises `SealError`."""
        ...

    def unwrap(self, wrapped: bytes, about: bytes) -> bytes:
        """Unwraps a ring key. Raises `SealError` if another key wrapped it."""
        ...


@dataclass(frozen=True, slots=True)
class StaticKey:
    """A key of 32 bytes. `source`: where it comes from, for messages."""

    key: bytes = field(repr=False)
    source: str

    def wrap(self, plain: bytes, about: bytes) -> bytes:
        # The key wraps one ring key for each rotation, so random nonces do not repeat.
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _STATIC + nonce + aead(self.key).encrypt(nonce, plain, about)

    def unwrap(self, wrapped: bytes, about: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        try:
            if not wrapped.startswith(_STATIC):
                raise InvalidTag
            return aead(self.key).decrypt(wrapped[1 : 1 + _NONCE_BYTES], wrapped[1 + _NONCE_BYTES :], about)
        except (InvalidTag, ValueError):
            raise SealError(f"the key from {self.source} is not the key of this key store") from None


@dataclass(frozen=True, slots=True)
class CommandKey:
    """A command that wraps and unwraps."""

    command: tuple[str, ...]

    def wrap(self, plain: bytes, about: bytes) -> bytes:
        # The command does not take `about`: the bytes say it themselves.
        return _COMMAND + self._answer("wrap", len(about).to_bytes(2, "big") + about + plain)

    def unwrap(self, wrapped: bytes, about: bytes) -> bytes:
        if not wrapped.startswith(_COMMAND):
            raise SealError(f"no command wrapped the key of this key store, so `{self.command[0]}` cannot open it")
        head = len(about).to_bytes(2, "big") + about
        plain = self._answer("unwrap", wrapped[1:])
        if not plain.startswith(head) or len(plain) != len(head) + KEY_BYTES:
            raise SealError(f"`{self.command[0]} unwrap` did not print what `wrap` was given")
        return plain[len(head) :]

    def _answer(self, what: str, data: bytes) -> bytes:
        line = _run((*self.command, what), b64encode(data) + b"\n")
        try:
            answer = b64decode(line.strip(), validate=True)
        except (Base64Error, ValueError):
            answer = b""
        if not answer:
            raise SealError(f"`{self.command[0]} {what}` did not print a line of base64")
        return answer


def _run(command: tuple[str, ...], line: bytes) -> bytes:
    import subprocess  # noqa: PLC0415

    name = f"`{command[0]} {command[-1]}`"
    try:
        # What the command prints on standard error could hold the key, so it is not shown.
        done = subprocess.run(command, input=line, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False)  # noqa: S603 - the operator's own command
    except subprocess.TimeoutExpired:
        raise SealError(f"{name} did not end within {COMMAND_TIMEOUT_S:g} s") from None
    except OSError as error:
        raise SealError(f"{name} cannot be started: {error.strerror}") from None
    if done.returncode:
        raise SealError(f"{name} ended with exit code {done.returncode}")
    return done.stdout


def new_key() -> str:
    """Returns a new key as text, as a file or a variable holds it."""
    return _BEGINNING + b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def read_key(source: str, folder: Path, environ: Mapping[str, str] = os.environ) -> OperatorKey:
    """Returns the key from a source. `folder`: the folder of the log, in which a key must not be. Raises `SealError`."""
    kind, _, rest = source.partition(":")
    if not rest or kind not in ("file", "env", "command"):
        raise SealError(f"the key must be given as {FORMS}")
    if kind == "command":
        try:
            command = tuple(shlex.split(rest))
        except ValueError as error:
            raise SealError(f"the command of `command:` cannot be read: {error}") from None
        if not command:
            raise SealError(f"the key must be given as {FORMS}")
        return CommandKey(command)
    return StaticKey(_key_in(_text_of(kind, rest, folder, environ), source), source)


def key_of_text(text: str) -> OperatorKey:
    """Returns the key that a text is, as a person gives it who holds it. Raises `SealError`."""
    return StaticKey(_key_in(text, "what was given"), "what was given")


def _text_of(kind: str, rest: str, folder: Path, environ: Mapping[str, str]) -> str:
    if kind == "env":
        if rest not in environ:
            raise SealError(f"the variable `{rest}` with the key is not set")
        return environ[rest]
    path = Path(rest)
    if is_inside(path, folder):
        raise SealError(f"{path}: the key must not lie in the folder of the log, which it protects")
    try:
        return path.read_text("ascii")
    except OSError as error:
        raise SealError(f"{path}: {error.strerror}") from None
    except ValueError:
        return ""


def _key_in(text: str, source: str) -> bytes:
    text = text.strip()
    try:
        key = b64decode(text.removeprefix(_BEGINNING), validate=True) if text.startswith(_BEGINNING) else b""
    except (Base64Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SealError(f"{source} holds no key: `guardproxy audit seal-key FILE` makes one")
    return key
