"""Clients with their keys, as the page shows them. Pure.

In: the file of keys, the time, and what the index says of clients. Out: lines of a list. A key itself is never here: the file
holds digests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from guardproxy.gateway.clients import ClientFile, StoredClient, StoredKey

LIMIT_PAGE = 50
SOON_DAYS = 14

KeyState = Literal["active", "ends soon", "expired"]


@dataclass(frozen=True, slots=True)
class KeyLine:
    """A key of a client. `prefix`: its public beginning. Times are Unix times; `expires`: `None` for a key without an end."""

    prefix: str
    state: KeyState
    created: float
    expires: float | None

    @classmethod
    def of(cls, key: StoredKey, now: datetime) -> KeyLine:
        """Returns the line of a stored key."""
        state: KeyState = "active" if key.is_active(now) else "expired"
        if state == "active" and key.expires and (key.expires - now).total_seconds() < SOON_DAYS * 86_400:
            state = "ends soon"
        return cls(key.prefix, state, key.created.timestamp(), key.expires.timestamp() if key.expires else None)


@dataclass(frozen=True, slots=True)
class ClientLine:
    """A client. `state`: of its keys together. `requests`: of the last day; `models`: globs, empty for every model."""

    name: str
    tenant: str
    state: str
    kind: Literal["good", "warn", "quiet"]
    keys: tuple[KeyLine, ...]
    models: tuple[str, ...]
    policies: tuple[str, ...]
    requests: int

    @property
    def newest(self) -> KeyLine | None:
        """Returns its newest key."""
        return max(self.keys, key=lambda key: key.created, default=None)


@dataclass(frozen=True, slots=True)
class ClientPage:
    """A part of the list. `number`: of the page, from 0; `total`: the clients that were looked for."""

    lines: tuple[ClientLine, ...]
    number: int
    total: int

    @property
    def has_more(self) -> bool:
        """Whether another page follows."""
        return (self.number + 1) * LIMIT_PAGE < self.total


def client_line(client: StoredClient, now: datetime, requests: Mapping[str, int]) -> ClientLine:
    """Returns the line of a client."""
    keys = tuple(KeyLine.of(key, now) for key in client.keys)
    active = [key for key in keys if key.state != "expired"]
    kind: Literal["good", "warn", "quiet"] = "good"
    if not keys:
        state, kind = "revoked", "quiet"
    elif not active:
        state, kind = "expired", "warn"
    elif len(active) > 1:
        state, kind = "changes over", "warn"
    else:
        state, kind = active[0].state, "good" if active[0].state == "active" else "warn"
    return ClientLine(
        client.name,
        client.tenant,
        state,
        kind,
        keys,
        client.models or (),
        client.policies,
        requests.get(client.name, 0),
    )


def client_page(file: ClientFile, now: datetime, requests: Mapping[str, int], words: str, number: int) -> ClientPage:
    """Returns a page of the clients whose name or tenant has these words, in the order of their names."""
    wanted = words.strip().lower()
    found = sorted(
        (client for client in file.clients if wanted in client.name.lower() or wanted in client.tenant.lower()),
        key=lambda client: client.name.lower(),
    )
    number = max(0, min(number, (len(found) - 1) // LIMIT_PAGE if found else 0))
    part = found[number * LIMIT_PAGE : (number + 1) * LIMIT_PAGE]
    return ClientPage(tuple(client_line(client, now, requests) for client in part), number, len(found))
