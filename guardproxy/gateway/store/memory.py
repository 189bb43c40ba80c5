"""A store in the memory of one process.

In: calls. Out: answers. Kept: values with their expiry times. An expired value is removed when a call meets it, and a
few others are removed with every list of calls, so that memory follows the values in use. Several workers have
separate stores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from guardproxy.gateway.store import Add, Answer, Call, Drop, Get, Put

_SWEPT = 4  # keys visited with every call: more than a call can add


class MemoryStore:
    """A store in memory. `clock`: returns seconds and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._values: dict[str, tuple[int | str, float]] = {}  # in the order of their last write

    def __len__(self) -> int:
        """Returns the number of stored values, with expired values that were not removed yet."""
        return len(self._values)

    async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        """See `Store.perform`. It never awaits, so no other call runs between these."""
        now_s = self._clock()
        self._sweep(now_s, _SWEPT * len(calls))
        return tuple(self._perform(call, now_s) for call in calls)

    def _perform(self, call: Call, now_s: float) -> Answer:
        stored = self._values.get(call.key)
        if stored is not None and stored[1] <= now_s:
            del self._values[call.key]
            stored = None
        match call:
            case Add():
                value, expires_s = stored or (0, now_s + call.ttl_s)
                if isinstance(value, str):
                    raise TypeError(f"the key `{call.key}` holds a text, to which nothing can be added")
                self._values[call.key] = (value + call.amount, expires_s)
                return value + call.amount
            case Get():
                return stored[0] if stored else None
            case Put():
                if stored and call.if_absent:
                    return False
                self._values[call.key] = (call.value, now_s + call.ttl_s)
                return True
            case Drop():  # pragma: no branch - a call is one of these four
                self._values.pop(call.key, None)
                return stored is not None

    def _sweep(self, now_s: float, amount: int) -> None:
        """Visits the `amount` least recently visited keys: removes expired keys and moves the others to the end."""
        for _ in range(min(amount, len(self._values))):
            key = next(iter(self._values))
            value = self._values.pop(key)
            if value[1] > now_s:
                self._values[key] = value
