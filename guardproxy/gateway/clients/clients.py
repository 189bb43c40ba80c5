"""The clients that may use the proxy, found by their keys.

In: a file of client keys, then the credential of each request. Out: the client that the key belongs to, with its scope.
Kept: digests of keys, never a key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

import msgspec

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.gateway.clients.client_file import ClientFile, is_client_name, prefix_of

PARTS = {"O": "organizationName", "OU": "organizationalUnitName", "CN": "commonName"}
"""The parts of a certificate's subject, as the module `ssl` calls them."""
# In the name of a model; with it, a server may read another one, or a list of names.
_ESCAPE = re.compile(r"[%\\?,\s\x00-\x1f\x7f]|\.\.")


class KnownClient(msgspec.Struct, frozen=True):
    """A client with its scope. `name`: empty if the request has no client, or a token. `identity`: tells clients apart, and
    stays the same when keys change; the proxy derives pseudonyms from it. `tenant`: the name of its tenant. `models`: globs
    of the models that it may name; `None`: every model. `policies`: names of policies that apply to all its requests.
    `until_s`: the Unix time at which its certificate ends."""

    name: str = ""
    identity: str = ""
    tenant: str = ""
    models: tuple[str, ...] | None = None
    policies: tuple[str, ...] = ()
    until_s: float = float("inf")

    @staticmethod
    def of_certificate(subject: Iterable[Iterable[tuple[str, str]]], tenant: str, until_s: float) -> KnownClient:
        """Returns the client that the subject of a certificate names: by its one common name, with the tenant in its part
        `tenant` (a key of `PARTS`). It has no identity if the subject names none, several, or one of another form than names
        in a file of keys. `subject`: as the module `ssl` returns it. `until_s`: the end of the certificate."""
        found: dict[str, list[str]] = {}
        for names in subject:
            for part, value in names:
                found.setdefault(part, []).append(value)
        names_of_client, names_of_tenant = found.get(PARTS["CN"], []), found.get(PARTS[tenant], [])
        named = [*names_of_client, *names_of_tenant]
        if len(names_of_client) != 1 or len(names_of_tenant) != 1 or not all(map(is_client_name, named)):
            return KnownClient(until_s=until_s)
        (name,), (team,) = names_of_client, names_of_tenant
        return KnownClient(name, f"certificate:{team}/{name}", team, until_s=until_s)

    def pseudonym(self, seal: Callable[[bytes], str]) -> str:
        """Returns the pseudonym of the client, which follows from the client and not from the key: placeholders and limits stay
        the same when a key is rotated. `seal`: returns a keyed digest."""
        return seal(b"client:" + self.identity.encode())[:16]

    def may_name(self, model: str) -> bool:
        """Whether the client may name a model. Case counts, and a glob takes no name with an escape, a path or a comma in it:
        what a server may read differently is refused."""
        if self.models is None or model in self.models or "*" in self.models:
            return True
        return not _ESCAPE.search(model) and any(fnmatchcase(model, glob) for glob in self.models)


NO_CLIENT = KnownClient()


class _KnownKey(msgspec.Struct, frozen=True):
    """A key with its client. `digest`: SHA-256 of the key. `expires_s`: Unix time, infinite for a key without an end."""

    digest: bytes
    expires_s: float
    client: KnownClient


# What the key of an unknown prefix is compared with, so that it takes as long as a key of a known prefix.
_NOBODY = _KnownKey(bytes(32), float("inf"), NO_CLIENT)


NO_FILE = ClientFile()


class Clients:
    """The clients of a file of client keys."""

    def __init__(self, file: ClientFile = NO_FILE) -> None:
        self._keys: dict[str, _KnownKey] = {}
        self.by_name: dict[str, KnownClient] = {}
        """All clients, also those whose keys were revoked."""
        self._folded: dict[str, KnownClient] = {}
        for stored in file.clients:
            client = KnownClient(stored.name, f"key:{stored.name}", stored.tenant, stored.models, stored.policies)
            # In lower case for certificates: a name that differs in its letters' case must not become a client of its
            # own.
            self.by_name[stored.name] = self._folded[stored.name.lower()] = client
            for key in stored.keys:
                expires_s = key.expires.timestamp() if key.expires else float("inf")
                self._keys[key.prefix] = _KnownKey(bytes.fromhex(key.digest.partition(":")[2]), expires_s, client)
        self.tenants = tuple(dict.fromkeys(stored.tenant for stored in file.clients))
        """The names of their tenants."""

    def certified(self, client: KnownClient) -> KnownClient:
        """Returns the client of a certificate, as the file describes the client of its name and tenant. Another tenant than
        that of the file has no identity: two clients would have one name."""
        stored = self._folded.get(client.name.lower())
        if stored is None:
            return client
        return stored if stored.tenant == client.tenant and stored.name == client.name else NO_CLIENT

    def client(self, key: str, unix_s: float) -> KnownClient | None:
        """Returns the client with this key; `None` for an unknown key. Raises `DownstreamError` (401) for a key that has
        expired. It takes the same time whether and where a wrong key differs from a known one."""
        known = self._keys.get(prefix_of(key), _NOBODY)
        # The digests are compared first, whoever is known: with the other order, the time would tell which prefixes
        # exist.
        if not hmac.compare_digest(hashlib.sha256(key.encode()).digest(), known.digest) or known is _NOBODY:
            return None
        if known.expires_s <= unix_s:
            raise DownstreamError(ErrorCode.EXPIRED_CREDENTIAL, "the key has expired")
        return known.client


def first_forbidden(client: KnownClient, models: Iterable[str]) -> str | None:
    """Returns the first of these models that the client may not name; `None` if it may name them all."""
    return next((model for model in models if not client.may_name(model)), None)
