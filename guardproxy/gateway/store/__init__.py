"""Stores: what duties keep between requests. A port (`Store`), and one file for each kind of store.

A duty asks for a list of calls and gets the list of their answers, so that a remote store needs one round trip for a list. The
calls of a list run in their order and atomically: no call of another request comes between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Add", "Answer", "Call", "Drop", "Get", "Put", "Store"]

Answer = int | str | bool | None
"""What a store answers to a call: a value of JSON, so that it can be recorded."""


@dataclass(frozen=True, slots=True)
class Add:
    """Adds `amount` to a counter and answers its new value. A new counter begins at 0 and lives for `ttl_s` seconds, whatever
    is added later."""

    key: str
    amount: int
    ttl_s: float


@dataclass(frozen=True, slots=True)
class Get:
    """Answers the value of a key, `None` where there is none."""

    key: str


@dataclass(frozen=True, slots=True)
class Put:
    """Stores a value for `ttl_s` seconds and answers whether it was stored. `if_absent`: only where the key has no value."""

    key: str
    value: int | str
    ttl_s: float
    if_absent: bool = False


@dataclass(frozen=True, slots=True)
class Drop:
    """Removes a key and answers whether it had a value."""

    key: str


Call = Add | Get | Put | Drop


class Store(Protocol):
    """Keeps values for duties."""

    async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        """The answers to `calls`, in their order. Raises `StoreError` where the store cannot be reached."""
        ...
