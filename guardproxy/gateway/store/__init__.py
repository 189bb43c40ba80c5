"""Stores: where duties keep values between requests. A port (`Store`), and one file for each kind of store.

A duty sends a list of calls and gets the list of their answers, so that a remote store needs one round trip for a
list. The calls of a list run in order and atomically: no call of another request runs between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Add", "Answer", "Call", "Drop", "Get", "Put", "Store"]

Answer = int | str | bool | None
"""A store's answer to a call: a JSON value, so that it can be recorded."""


@dataclass(frozen=True, slots=True)
class Add:
    """Adds `amount` to a counter and returns its new value. A new counter begins at 0 and lives for `ttl_s` seconds;
    later calls do not extend it."""

    key: str
    amount: int
    ttl_s: float


@dataclass(frozen=True, slots=True)
class Get:
    """Returns the value of a key, or `None` if it has no value."""

    key: str


@dataclass(frozen=True, slots=True)
class Put:
    """Stores a value for `ttl_s` seconds and returns whether it was stored. `if_absent`: only if the key has no
    value."""

    key: str
    value: int | str
    ttl_s: float
    if_absent: bool = False


@dataclass(frozen=True, slots=True)
class Drop:
    """Removes a key and returns whether it had a value."""

    key: str


Call = Add | Get | Put | Drop


class Store(Protocol):
    """Keeps values for duties."""

    async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        """Returns the answers to `calls`, in their order. Raises `StoreError` if the store cannot be reached."""
        ...
