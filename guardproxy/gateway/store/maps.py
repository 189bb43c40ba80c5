"""Maps of a store in memory: a few members under a key, each a text that expires by itself.

In: the members that a map has, a change, the time. Out: the members after it. `store/redis.py` does the same in its script.
Kept: maps up to a number of bytes, of which one holder has at most a share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import msgspec

from guardproxy.gateway.store.map_calls import ChangeMap

ENTRY_BYTES = 512  # what a map takes beside its members
SHARE = 4  # of the memory, for one holder


class Member(NamedTuple):
    """The value of a member, and the time at which it expires, in seconds of the store's clock."""

    value: str
    expires_s: float


Members = Mapping[str, Member]
"""The members of a map, the oldest first."""


def living(members: Members, now_s: float) -> dict[str, Member]:
    """Returns the members that have not expired."""
    return {name: member for name, member in members.items() if member.expires_s > now_s}


def changed(members: Members, change: ChangeMap, now_s: float) -> dict[str, Member]:
    """Returns the members after a change."""
    kept = living(members, now_s)
    for name in change.drops:
        kept.pop(name, None)
    for put in change.puts:
        expires_s, known = now_s + put.ttl_s, kept.get(put.member)
        if known is not None and put.only == "absent":
            kept[put.member] = Member(known.value, max(known.expires_s, expires_s))
        elif known is not None or put.only != "present":
            kept.pop(put.member, None)
            kept[put.member] = Member(put.value, expires_s)
    size_bytes = sum(size_of(name, member.value) for name, member in kept.items())
    for name in list(kept):
        if len(kept) <= change.most and size_bytes <= change.most_bytes:
            break
        size_bytes -= size_of(name, kept.pop(name).value)
    return kept


def size_of(name: str, value: str) -> int:
    """Returns the bytes of a member."""
    return len(name.encode()) + len(value.encode())


def shown(members: Members) -> str | None:
    """Returns the answer to `GetMap`."""
    pairs = [(name, member.value) for name, member in members.items()]
    return msgspec.json.encode(pairs).decode() if pairs else None


@dataclass(slots=True)
class _Holder:
    """The maps of a holder, the one that was changed longest ago first, and their bytes."""

    keys: dict[str, None] = field(default_factory=dict)
    used_bytes: int = 0


class StoredMaps:
    """The maps of a store. `limit_bytes`: what all may take; the one that was changed longest ago goes first. The holder of a
    map is what stands before the last colon of its key. `evicted`: how many went."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._maps: dict[str, tuple[Members, int]] = {}  # with its bytes; in the order of their last change
        self._holders: dict[str, _Holder] = {}
        self.used_bytes = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._maps)

    def members(self, key: str, now_s: float) -> dict[str, Member]:
        """Returns the members of a map."""
        return living(self._maps[key][0], now_s) if key in self._maps else {}

    def change(self, call: ChangeMap, now_s: float) -> int:
        """Changes a map; returns how many members it has then."""
        members = changed(self.members(call.key, now_s), call, now_s)
        self._keep(call.key, members)
        return len(members)

    def claim(self, key: str, name: str, now_s: float) -> str | None:
        """Removes a member; returns its value, `None` if the map does not have it."""
        members = self.members(key, now_s)
        claimed = members.pop(name, None)
        if claimed is None:
            return None
        self._keep(key, members)
        return claimed.value

    def drop(self, key: str, now_s: float) -> bool:
        """Removes a map; returns whether it had members."""
        had_members = bool(self.members(key, now_s))
        self._keep(key, {})
        return had_members

    def sweep(self, now_s: float, amount: int) -> None:
        """Removes those of the `amount` maps that were changed longest ago which have expired."""
        for key in list(islice(self._maps, amount)):
            if not living(self._maps[key][0], now_s):
                self._keep(key, {})
            else:
                self._maps[key] = self._maps.pop(key)  # the next sweep visits others

    def _keep(self, key: str, members: Members) -> None:
        """Keeps a map as the newest; forgets one without members."""
        name = key.rpartition(":")[0]
        holder = self._holders.setdefault(name, _Holder())
        if key in self._maps:
            size_bytes = self._maps.pop(key)[1]
            del holder.keys[key]
            holder.used_bytes -= size_bytes
            self.used_bytes -= size_bytes
        if members:
            size_bytes = ENTRY_BYTES + sum(size_of(name, member.value) for name, member in members.items())
            self._maps[key] = members, size_bytes
            holder.keys[key] = None
            holder.used_bytes += size_bytes
            self.used_bytes += size_bytes
        if not holder.keys:
            del self._holders[name]
        # The holder's own maps go first, so that a client that fills the memory forgets its own entries and nobody
        # else's.
        while holder.used_bytes > self._limit_bytes // SHARE:
            self._evict(next(iter(holder.keys)))
        while self.used_bytes > self._limit_bytes:
            self._evict(next(iter(self._maps)))

    def _evict(self, key: str) -> None:
        self.evicted += 1
        self._keep(key, {})
