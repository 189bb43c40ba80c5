"""A store in the memory of one process.

In: calls. Out: answers. Kept: values with their expiry times. An expired value is removed when a call meets it, and a
few others are removed with every list of calls, so that memory follows the values in use. Several workers have
separate stores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from guardproxy.gateway.store.calls import (
    Add,
    Answer,
    Call,
    Drop,
    Get,
    Put,
    Renew,
    Settle,
    Take,
    lease_of,
)
from guardproxy.gateway.store.map_calls import ChangeMap, ClaimMember, GetMap
from guardproxy.gateway.store.maps import StoredMaps, shown

_SWEPT = 3  # keys visited with every call: more than a call can add
_SETTLED_S = 60.0  # how long it is known that an exchange was settled


class _Reservation(NamedTuple):
    """What an exchange reserved. `lease`, `turn`: of its process."""

    amount: int
    end_s: float
    lease: str = ""
    turn: int = 0


_NOTHING = _Reservation(0, 0.0)


@dataclass(slots=True)
class _Sum:
    """What was settled, and what is reserved. `reserved`: by exchange, the oldest first."""

    settled: int = 0
    held: int = 0
    reserved: dict[str, _Reservation] = field(default_factory=dict)

    def level(self, now_s: float) -> int:
        """Returns the level, without reservations that have ended."""
        while self.reserved:
            exchange, reservation = next(iter(self.reserved.items()))
            # All reservations of a sum last equally long, so none behind this one has ended.
            if reservation.end_s > now_s:
                break
            self.release(exchange)
        return self.settled + self.held

    def release(self, exchange: str) -> None:
        """Ends the reservation of an exchange, if it has not ended before."""
        self.held -= self.reserved.pop(exchange, _NOTHING).amount


_Value = int | str | _Sum


class MemoryStore:
    """A store in memory. `clock`: returns seconds and never goes back. `map_bytes`: what all maps may take."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, map_bytes: int = 64 * 1024 * 1024) -> None:
        self._clock = clock
        self._values: dict[str, tuple[_Value, float]] = {}  # in the order of their last write
        self.maps = StoredMaps(map_bytes)

    def __len__(self) -> int:
        """Returns the number of stored values, with expired values that were not removed yet."""
        return len(self._values)

    async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        """See `Store.perform`. It never awaits, so no other call runs between these."""
        now_s = self._clock()
        self._sweep(now_s, _SWEPT * len(calls))
        # Every level is read before anything is taken, so that a request takes from all of its limits or from none.
        levels = {call.key: self._level(call, now_s) for call in calls if isinstance(call, Take)}
        all_fit = all(call.fits(levels[call.key]) for call in calls if isinstance(call, Take) and call.binding)
        return tuple(self._perform(call, now_s, levels, all_fit) for call in calls)

    def _perform(self, call: Call, now_s: float, levels: dict[str, int], all_fit: bool) -> Answer:
        match call:
            case Take():
                if all_fit and call.fits(levels[call.key]):
                    self._take(call, now_s, levels[call.key])
                return levels[call.key]
            case Settle():
                return self._settle(call, now_s)
            case Renew():
                return self._renew(call)
            case GetMap():
                return shown(self.maps.members(call.key, now_s))
            case ChangeMap():
                return self.maps.change(call, now_s)
            case ClaimMember():
                return self.maps.claim(call.key, call.member, now_s)
        stored = self._stored(call.key, now_s)
        match call:
            case Add():
                value, expires_s = stored or (0, now_s + call.ttl_s)
                if not isinstance(value, int):
                    raise TypeError(f"the key `{call.key}` holds a text, to which nothing can be added")
                self._values[call.key] = (value + call.amount, expires_s)
                return value + call.amount
            case Get():
                return stored[0] if stored and not isinstance(stored[0], _Sum) else None
            case Put():
                if stored and call.if_absent:
                    return False
                self._values[call.key] = (call.value, now_s + call.ttl_s)
                return True
            case Drop():  # pragma: no branch - a call is one of these ten
                had_members = self.maps.drop(call.key, now_s)
                self._values.pop(call.key, None)
                return stored is not None or had_members

    def _stored(self, key: str, now_s: float) -> tuple[_Value, float] | None:
        stored = self._values.get(key)
        if stored is not None and stored[1] <= now_s:
            del self._values[key]
            stored = None
        return stored

    def _level(self, call: Take, now_s: float) -> int:
        stored = self._stored(call.key, now_s)
        if stored is None:
            return 0
        if isinstance(stored[0], _Sum):
            return stored[0].level(now_s)
        return round((stored[1] - now_s) * 1e6)

    def _take(self, call: Take, now_s: float, level: int) -> None:
        if not call.holds_s:
            self._put_rate(call.key, level + call.amount, now_s)
            return
        total = self._sum(call.key, now_s)
        total.release(call.id)
        lease = lease_of(call.owner) if call.owner else ""
        total.reserved[call.id] = _Reservation(call.amount, now_s + call.holds_s, lease, call.turn)
        total.held += call.amount
        self._values[call.key] = (total, now_s + max(call.ttl_s, call.holds_s))

    def _settle(self, call: Settle, now_s: float) -> bool:
        mark = f"{call.key}:settled:{call.id}"
        if self._stored(mark, now_s):
            return False
        self._values[mark] = (1, now_s + _SETTLED_S)
        if not call.is_sum:
            stored = self._stored(call.key, now_s)
            level = round((stored[1] - now_s) * 1e6) if stored else 0
            self._put_rate(call.key, level + call.used - call.reserved, now_s)
            return True
        total = self._sum(call.key, now_s)
        total.release(call.id)
        total.settled += call.used
        self._values[call.key] = (total, now_s + call.ttl_s)
        if not total.settled and not total.reserved:  # a client may make up names of models, each with a sum of its own
            del self._values[call.key]
        return True

    def _renew(self, call: Renew) -> int:
        """Gives back what a process does not name. The end of a lease means nothing here: the store ends with its process."""
        # Collected first, as `release` changes what is walked here.
        unnamed = [
            (value, exchange)
            for key, (value, _) in self._values.items()
            if isinstance(value, _Sum)
            for exchange, reservation in value.reserved.items()
            if reservation.lease == call.key and reservation.turn < call.turn and (key, exchange) not in call.named
        ]
        for total, exchange in unnamed:
            total.release(exchange)
        return len(unnamed)

    def _put_rate(self, key: str, level: int, now_s: float) -> None:
        """Stores the level of a rate as the time at which it is 0."""
        self._values.pop(key, None)
        if level > 0:
            self._values[key] = (0, now_s + level / 1e6)

    def _sum(self, key: str, now_s: float) -> _Sum:
        stored = self._stored(key, now_s)
        return stored[0] if stored and isinstance(stored[0], _Sum) else _Sum()

    def _sweep(self, now_s: float, amount: int) -> None:
        """Visits the `amount` least recently visited keys: removes expired keys and moves the others to the end."""
        self.maps.sweep(now_s, amount)
        values = self._values
        for key in list(islice(values, amount)):
            value = values.pop(key)
            if value[1] > now_s:
                values[key] = value
