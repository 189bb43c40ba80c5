"""Finds keys: in a file, in a text, or behind a command that signs, such as the client of a key service.

In: what the settings or the command line name. Out: keys. Kept: nothing, but for a command its words. A private key
must lie outside the folder of the log: whoever can write the log must not be able to sign it.
"""

from __future__ import annotations

import base64
import binascii
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from guardproxy.audit.proof.note import PRIVATE, PrivateKey, PublicKey, Signer
from guardproxy.audit.storage.disk import is_inside, reason
from guardproxy.errors import AuditError

COMMAND_TIMEOUT_S = 30.0
_LIMIT_KEY_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class CommandSigner:
    """Signs with a command: the message on its standard input, the signature as base64 on its standard output.
    `public`: the key that its signatures fit."""

    command: str
    public: PublicKey
    timeout_s: float = COMMAND_TIMEOUT_S

    def sign(self, message: bytes) -> bytes:
        """Returns a signature. Raises `AuditError` if the command fails, or takes longer than `timeout_s`."""
        import subprocess  # noqa: PLC0415 - a slow import that most commands do not need

        try:
            ran = subprocess.run(  # noqa: S603 - the operator's command, without a shell
                shlex.split(self.command), input=message, capture_output=True, timeout=self.timeout_s, check=False
            )
            if ran.returncode:
                raise AuditError(f"the command that signs ended with exit code {ran.returncode}")
            return base64.b64decode(ran.stdout.strip(), validate=True)
        except subprocess.TimeoutExpired:
            raise AuditError(f"the command that signs took longer than {self.timeout_s:g} s") from None
        except binascii.Error:
            fault = "it printed no base64"
        except (IndexError, ValueError):
            fault = "it is not a command line"
        except OSError as error:
            fault = reason(error)
        raise AuditError(f"the command that signs cannot be used: {fault}")


def private_key(setting: str, audit: Path | None = None) -> PrivateKey:
    """Returns the private key that a setting holds or whose file it names. `audit`: the folder of the log. Raises
    `AuditError`."""
    if setting.startswith(PRIVATE):
        return PrivateKey.read(setting)
    path = Path(setting)
    if audit is not None and is_inside(path, audit):
        raise AuditError(
            f"{path}: the key that signs the log lies in the folder of the log. Move it to a place where those who can "
            "write the log cannot read it"
        )
    try:
        return PrivateKey.read(_read(path))
    except AuditError as error:
        remedy = "" if path.exists() else "; `guardproxy audit keygen` makes the file"
        raise AuditError(f"{path}: {error}{remedy}") from None


def public_key(setting: str) -> PublicKey:
    """Returns the public key that a setting holds or whose file it names. Raises `AuditError`."""
    try:
        return PublicKey.read(setting)
    except AuditError:
        path = Path(setting)
        # It was meant as a key, so the message is about that, and not about a missing file.
        if "+" in setting and not path.exists():
            raise
    try:
        return PublicKey.read(_read(path))
    except AuditError as error:
        raise AuditError(f"{path}: {error}") from None


def signer_of(key: str, command: str, public: str, audit: Path) -> Signer | None:
    """Returns the signer that the settings describe; `None` if they name no key. Raises `AuditError`."""
    if command:
        if key or not public:
            raise AuditError(
                "a command that signs needs the public key (--audit-public-key) and no private key (--audit-key)"
            )
        return CommandSigner(command, public_key(public))
    if not key:
        return None
    signer = private_key(key, audit)
    if public and public_key(public) != signer.public:
        raise AuditError(f"--audit-public-key is not the public key of --audit-key, which is {signer.public}")
    return signer


def write_key(path: Path, key: PrivateKey) -> Path:
    """Writes a new private key with mode 0600, and its public key to a file whose name ends in `.pub`. Returns the
    path of the public key. Raises `AuditError`; existing files are not replaced."""
    public = path.with_name(path.name + ".pub")
    try:
        for file, text, mode in ((path, key.text, 0o600), (public, str(key.public), 0o644)):
            # The mode is set when the file is made: at no moment can others read it.
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as stream:
                stream.write(text + "\n")
    except FileExistsError as error:
        raise AuditError(f"{error.filename}: the file exists, and a key is not replaced") from None
    except OSError as error:
        raise AuditError(f"{path}: {reason(error)}") from None
    return public


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LIMIT_KEY_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise AuditError(reason(error)) from None
