"""The file of client keys: its form, and the changes that `guardproxy keys` makes to it.

In: the text of a file, or a file and a change. Out: a `ClientFile`, or the text of the changed file. The file holds the digests
of keys, never a key. Kept: nothing; the commands and the server read and replace the file (`keys.json` in a folder of its
own, so that it can be replaced in one step also where the folder is a mounted volume).
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
from msgspec import structs

from guardproxy.errors import ConfigError
from guardproxy.gateway.clients.credentials import digest

FILE_NAME = "keys.json"
LIMIT_BYTES = 16 * 1024 * 1024
ACTIVE_KEYS = 2  # of a client: the new one and the old one, while its programs change over
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_KEY = re.compile(r"(gp-[0-9a-f]{12})-[A-Za-z0-9_-]{43}", re.ASCII)


class StoredKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key of a client. `prefix`: its public beginning, `gp-` and 12 digits. `digest`: `sha256:` and the digest of the whole
    key. `expires`: the time from which it is refused, if any."""

    # A slow hash such as Argon2 protects words that people choose. A key has 256 random bits, which no machine can guess, so
    # a plain SHA-256 is as safe and takes a microsecond instead of milliseconds of every request.
    prefix: str
    digest: str
    created: datetime
    expires: datetime | None = None

    def is_active(self, now: datetime) -> bool:
        """Whether the key is accepted at this time."""
        return self.expires is None or now < self.expires


class StoredClient(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A client. `tenant`: its tenant's name in policies. `models`: globs of the models that it may name; without it, every
    model. `policies`: names of policies that apply to all its requests, whatever their `match`. `keys`: empty after all keys
    were revoked."""

    name: str
    tenant: str
    keys: tuple[StoredKey, ...] = ()
    models: tuple[str, ...] | None = None
    policies: tuple[str, ...] = ()

    def active_keys(self, now: datetime) -> tuple[StoredKey, ...]:
        """Returns the keys that are accepted at this time."""
        return tuple(key for key in self.keys if key.is_active(now))


class ClientFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All clients with their keys."""

    version: Literal[1] = 1
    clients: tuple[StoredClient, ...] = ()

    def client(self, name: str) -> StoredClient:
        """Returns the client of this name. Raises `ConfigError`."""
        for client in self.clients:
            if client.name == name:
                return client
        known = ", ".join(sorted(client.name for client in self.clients)) or "there is none yet"
        raise ConfigError(f"no client is called `{name}` (clients: {known})")

    def with_client(self, changed: StoredClient) -> ClientFile:
        """Returns the file with a client added, or put in the place of the one with its name."""
        if any(client.name == changed.name for client in self.clients):
            clients = tuple(changed if client.name == changed.name else client for client in self.clients)
        else:
            clients = (*self.clients, changed)
        return structs.replace(self, clients=clients)


def is_client_name(text: str) -> bool:
    """Whether a text has the form of the names of clients and tenants."""
    return _NAME.fullmatch(text) is not None


def read_client_file(text: bytes, where: str) -> ClientFile:
    """Reads a file of client keys. `where`: its path, for messages. Raises `ConfigError`."""
    if len(text) > LIMIT_BYTES:
        raise ConfigError(f"{where}: the file is larger than {LIMIT_BYTES} bytes")
    try:
        file = msgspec.json.decode(text, type=ClientFile)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{where}: {error}") from None
    check(file, where)
    return file


def write_client_file(file: ClientFile) -> bytes:
    """Returns the text of a file of client keys, as it can be read and compared by people."""
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def check(file: ClientFile, where: str) -> None:
    """Raises `ConfigError` if the file contradicts itself or holds a value of a wrong form."""
    for client in file.clients:
        place = f"{where}: the client `{client.name}`"
        for name in (client.name, client.tenant):
            if not is_client_name(name):
                message = "has 1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`, and begins with a letter or a digit"
                raise ConfigError(f"{place}: `{name}` is not a name: a name {message}")
        if client.models is not None and not all((client.models, *client.models)):
            raise ConfigError(f"{place}: an empty `models` allows nothing; leave `models` out to allow every model")
        if not all(client.policies):
            raise ConfigError(f"{place}: `policies` has an empty name")
        for key in client.keys:
            if not _KEY.fullmatch(f"{key.prefix}-{'0' * 43}"):
                raise ConfigError(f"{place}: `{key.prefix}` is not the prefix of a key, like gp-0123456789ab")
            if not _DIGEST.fullmatch(key.digest):
                raise ConfigError(
                    f"{place}: the digest of the key {key.prefix} must be `sha256:` and 64 digits (0-9, a-f)"
                )
            if any(time is not None and time.tzinfo is None for time in (key.created, key.expires)):
                raise ConfigError(f"{place}: a time of the key {key.prefix} has no zone; write 2030-01-31T00:00:00Z")
    names = Counter(client.name.lower() for client in file.clients)
    prefixes = Counter(key.prefix for client in file.clients for key in client.keys)
    for what, counted in (("client", names), ("prefix", prefixes)):
        if twice := sorted(name for name, count in counted.items() if count > 1):
            raise ConfigError(f"{where}: the {what} `{twice[0]}` is listed twice")


def prefix_of(key: str) -> str:
    """Returns the public prefix of a key; empty for a text that has not the form of a key."""
    match = _KEY.fullmatch(key)
    return match[1] if match else ""


def new_key(number: str, secret: str) -> str:
    """Returns a key. `number`: 12 random hexadecimal digits; `secret`: 256 random bits as 43 characters of base64url."""
    key = f"gp-{number}-{secret}"
    if not prefix_of(key):
        raise ValueError("a key has 12 hexadecimal digits and 43 characters of base64url")
    return key


def _stored(key: str, now: datetime, expires: datetime | None) -> StoredKey:
    return StoredKey(prefix_of(key), digest(key), now.replace(microsecond=0), expires)


def with_new_client(
    file: ClientFile, client: StoredClient, key: str, now: datetime, expires: datetime | None
) -> ClientFile:
    """Returns the file with a new client and its first key. Raises `ConfigError` if the name is taken."""
    if any(client.name.lower() == known.name.lower() for known in file.clients):
        raise ConfigError(f"the client `{client.name}` exists already: `keys rotate` makes a further key for it")
    return file.with_client(structs.replace(client, keys=(_stored(key, now, expires),)))


def with_rotated_key(
    file: ClientFile, name: str, key: str, now: datetime, grace: timedelta, expires: datetime | None
) -> ClientFile:
    """Returns the file with a new key for a client. Its present key is accepted for `grace` more. Keys that have expired are
    removed. Raises `ConfigError` if the client has two active keys."""
    client = file.client(name)
    active = client.active_keys(now)
    if len(active) >= ACTIVE_KEYS:
        known = " and ".join(key.prefix for key in active)
        raise ConfigError(f"`{name}` has {ACTIVE_KEYS} active keys, {known}: revoke one of them first")
    end = (now + grace).replace(microsecond=0)
    # A rotation never prolongs a key: one that ends sooner than the grace keeps its end.
    old = tuple(structs.replace(key, expires=min(end, key.expires or end)) for key in active)
    return file.with_client(structs.replace(client, keys=(*old, _stored(key, now, expires))))


def with_revoked_keys(file: ClientFile, name: str, prefix: str = "") -> ClientFile:
    """Returns the file without the key of a client that has this prefix, or without all its keys. The client stays, because
    policies may name its tenant. Raises `ConfigError` if there is no such key."""
    client = file.client(name)
    remaining = tuple(key for key in client.keys if prefix and key.prefix != prefix)
    if len(remaining) == len(client.keys):
        known = ", ".join(key.prefix for key in client.keys) or "none"
        raise ConfigError(f"`{name}` has no key {prefix}".rstrip() + f" (keys: {known})")
    return file.with_client(structs.replace(client, keys=remaining))


def utc(seconds: float) -> datetime:
    """Returns a Unix time as a time with a zone."""
    return datetime.fromtimestamp(seconds, UTC)
