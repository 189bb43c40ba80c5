"""The file of logins: who may come in, in which role, and the slow hash of each token.

    {"logins": [{"name": "ann", "role": "reviewer", "salt": "…", "hash": "…", "created": "2030-01-31T00:00:00Z"}]}

In: a file. Out: logins, and whether a token is right. A token is random and printed once; the file has `scrypt` of it, so who
reads the file cannot come in. A token that is checked takes the same time for a name that the file does not have.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from guardproxy.console.access.people import Login, role_of
from guardproxy.errors import ConfigError

TOKEN_BEGIN = "gpc_"  # noqa: S105 - what all tokens begin with
LIMIT_BYTES = 1024 * 1024
LIMIT_LOGINS = 1000
LIMIT_TOKEN_CHARS = 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
_SCRYPT: Mapping[str, int] = {"n": 2**14, "r": 8, "p": 1, "maxmem": 64 * 1024 * 1024, "dklen": 32}  # about 40 ms


@dataclass(frozen=True, slots=True)
class StoredLogin:
    """A login as the file has it."""

    login: Login
    salt: bytes = field(repr=False)
    hash: bytes = field(repr=False)
    created: str = ""

    @property
    def fingerprint(self) -> str:
        """Returns what changes with the token and the role, so that sessions of an earlier one end."""
        return f"{self.login.role}:{self.hash.hex()}"


@dataclass(frozen=True, slots=True)
class LoginFile:
    """The content of the file."""

    logins: tuple[StoredLogin, ...] = ()

    def find(self, name: str) -> StoredLogin | None:
        """Returns the login of a name."""
        return next((stored for stored in self.logins if stored.login.name == name), None)

    def checked(self, name: str, token: str) -> StoredLogin | None:
        """Returns the login if the token is right. Takes about 40 ms, whether the name is known or not."""
        stored = self.find(name)
        # An unknown name costs the same slow hash: otherwise the time of a refusal would tell which names exist.
        salt, expected = (stored.salt, stored.hash) if stored else (bytes(16), bytes(32))
        # Cut, because scrypt first digests all of its input, and a stranger may send 16 KB of it.
        is_right = hmac.compare_digest(token_hash(token[:LIMIT_TOKEN_CHARS], salt), expected)
        return stored if is_right else None

    def having(self, login: Login, token: str, created: str) -> LoginFile:
        """Returns the file with a further login. Raises `ConfigError` if its name is taken or cannot be one."""
        if self.find(login.name):
            raise ConfigError(f"there is a login `{login.name}` already: remove it first to give it another token")
        if not _NAME.fullmatch(login.name):
            raise ConfigError(f"`{login.name}` cannot be a name: 1 to 64 of A-Z, a-z, 0-9 and `._@-`")
        salt = secrets.token_bytes(16)
        return replace(self, logins=(*self.logins, StoredLogin(login, salt, token_hash(token, salt), created)))

    def without(self, name: str) -> LoginFile:
        """Returns the file without a login. Raises `ConfigError` if it has none of this name."""
        if not self.find(name):
            raise ConfigError(f"there is no login `{name}`")
        return replace(self, logins=tuple(stored for stored in self.logins if stored.login.name != name))


def new_token() -> str:
    """Returns a new token."""
    return f"{TOKEN_BEGIN}{secrets.token_urlsafe(32)}"


def token_hash(token: str, salt: bytes) -> bytes:
    """Returns the slow hash of a token."""
    return hashlib.scrypt(token.encode("utf-8", "surrogatepass"), salt=salt, **_SCRYPT)


def write_logins(file: LoginFile) -> bytes:
    """Returns the text of a file."""
    rows = [
        {
            "name": stored.login.name,
            "role": stored.login.role,
            "salt": stored.salt.hex(),
            "hash": stored.hash.hex(),
            "created": stored.created,
        }
        for stored in file.logins
    ]
    return (json.dumps({"logins": rows}, indent=1) + "\n").encode()


def read_logins(text: bytes, where: str) -> LoginFile:
    """Reads the text of a file. `where`: its path, for messages. Raises `ConfigError`."""
    try:
        tree = json.loads(text) if len(text) <= LIMIT_BYTES else None
        rows = tree["logins"] if isinstance(tree, dict) and set(tree) == {"logins"} else None
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list) or len(rows) > LIMIT_LOGINS:
        raise ConfigError(f"{where}: not a file of logins: `guardproxy console login add` writes one")
    logins = tuple(_stored(row, where) for row in rows)
    names = [stored.login.name for stored in logins]
    if len(set(names)) < len(names):
        raise ConfigError(f"{where}: a name has two logins")
    return LoginFile(logins)


def load_logins(path: Path) -> LoginFile:
    """Reads a file. Raises `ConfigError`, also if other users can read it: hashes can be guessed at."""
    try:
        with path.open("rb") as file:
            # Asked of the open file: between a look at the path and its opening, another file could take its place.
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigError(f"{path}: other users can read it: chmod 600 {path}")
            text = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        why = (error.strerror or "no reason given").lower()
        raise ConfigError(f"cannot read {path}: {why}: `guardproxy console login add` makes a file of logins") from None
    return read_logins(text, str(path))


def _stored(row: Any, where: str) -> StoredLogin:
    try:
        if set(row) != {"name", "role", "salt", "hash", "created"} or not all(isinstance(row[key], str) for key in row):
            raise ValueError
        salt, hashed = bytes.fromhex(row["salt"]), bytes.fromhex(row["hash"])
        if not _NAME.fullmatch(row["name"]) or len(salt) != 16 or len(hashed) != 32:
            raise ValueError
    except (TypeError, ValueError):
        raise ConfigError(f"{where}: a login cannot be read: remove it and add it again") from None
    return StoredLogin(Login(row["name"], role_of(row["role"])), salt, hashed, row["created"])
