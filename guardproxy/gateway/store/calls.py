"""The port to a store (`Store`), and the calls that a duty sends to it.

`Take` and `Settle` count what limits allow. A level is what is taken at the moment. A rate's level falls by 1 each
microsecond. A sum's level stays: it is what was settled, and what is reserved.

The calls of `map_calls.py` keep a few members under a key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from guardproxy.gateway.store.map_calls import ChangeMap, ClaimMember, GetMap

Answer = int | str | bool | None
"""A store's answer to a call: a JSON value, so that it can be recorded."""


class Add(msgspec.Struct, frozen=True):
    """Adds `amount` to a counter and returns its new value. A new counter begins at 0 and lives for `ttl_s` seconds;
    later calls do not extend it."""

    key: str
    amount: int
    ttl_s: float


class Get(msgspec.Struct, frozen=True):
    """Returns the value of a key, or `None` if it has no value."""

    key: str


class Put(msgspec.Struct, frozen=True):
    """Stores a value for `ttl_s` seconds and returns whether it was stored. `if_absent`: only if the key has no
    value."""

    key: str
    value: int | str
    ttl_s: float
    if_absent: bool = False


class Drop(msgspec.Struct, frozen=True):
    """Removes a key and returns whether it had a value."""

    key: str


class Take(msgspec.Struct, frozen=True):
    """Adds `amount` to a level if the level then is at most `most`. Returns the level before, so that the caller decides in the
    same way. If a `binding` take of a list does not fit, none of the list is taken.

    `holds_s`: 0 for a rate. Of a sum, `amount` is a reservation of the exchange `id`, which ends after this time unless the
    exchange is settled before. `ttl_s`: how long the sum is kept. `owner`: the process that reserves, and `turn` the turn of
    its lease. In a store that several processes share, its reservations end with its lease, which each `Take` begins if there
    is none.
    """

    key: str
    id: str
    amount: int
    most: int
    holds_s: float = 0.0
    ttl_s: float = 0.0
    binding: bool = True
    owner: str = ""
    turn: int = 0

    def fits(self, level: int) -> bool:
        """Whether the amount may be taken at this level."""
        return level + self.amount <= self.most


class Settle(msgspec.Struct, frozen=True):
    """Replaces what an exchange took (`reserved`) with what it used, also past the limit. Returns whether it was settled: the
    second call for an exchange changes nothing, so a call whose answer was lost may be repeated for `SETTLED_S`. A sum counts
    what was used whether the exchange has a reservation or not. `is_sum`, `ttl_s`: as the exchange took it."""

    key: str
    id: str
    reserved: int
    used: int
    is_sum: bool
    ttl_s: float


class Renew(msgspec.Struct, frozen=True):
    """Renews the lease of a process (`key`) for `LEASE_S`, and gives back what the process reserved in turns before `turn` and
    does not name. `named`: pairs of the key of a sum and an exchange. Returns how many reservations were given back."""

    key: str
    turn: int
    named: frozenset[tuple[str, str]] = frozenset()


Call = Add | Get | Put | Drop | Take | Settle | Renew | GetMap | ChangeMap | ClaimMember


LEASE_S = 30.0  # after which what a dead process reserved is given back
SETTLED_S = 600.0  # for which a shared store knows that an exchange was settled


def lease_of(owner: str) -> str:
    """Returns the key of the lease of a process."""
    return f"lease:{owner}"


@dataclass(slots=True)
class Lease:
    """The lease of a process in a shared store. `owner`: the name of the process there. `turn`: grows with each renewal, so
    that a renewal gives back nothing that was taken after its names were collected. `named`: returns the reservations of the
    open exchanges, as pairs of the key of a sum and an exchange."""

    owner: str = ""
    turn: int = 0
    named: Callable[[], Iterable[tuple[str, str]]] = tuple


class Store(Protocol):
    """Keeps values for duties."""

    async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        """Returns the answers to `calls`, in their order. Raises `StoreError` if the store cannot be reached."""
        ...
