"""Keeps the values of stored turns for the client that gave them: in this process, or in a store that replicas share.

In: a `StoredTurn` of an exchange, the credential, the ids to which a later request refers. Out: the values of these turns.
Kept: encrypted values, up to a number of bytes and each turn for its time.

Only the same credential gets values back: the name of an entry and its key are made from the key of the proxy, the pseudonym of
the credential and the id, so neither another credential nor a made-up id leads to an entry, and what a store holds says nothing
without the key. Where anything fails, the client gets placeholders.

Decision: docs/decisions/0062-values-of-stored-turns-are-kept-for-their-client.md
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec

from guardproxy.errors import StoreError
from guardproxy.exchange.gate import GivenValues, StoredTurn, merged
from guardproxy.gateway.store import Answer, Drop, Get, Put
from guardproxy.server.driving.store_cipher import StoreCipher
from guardproxy.server.observing.metrics import Metrics

ENTRY_BYTES = 1024  # what an entry takes beside its values, also if its credential has no other
SHARE = 4  # of the memory, for one credential
_Call = Get | Put | Drop

_log = logging.getLogger(__name__)


class TurnStore(Protocol):
    """Where turns are kept: a `Store` of the gateway, or `MemoryTurns`."""

    async def perform(self, calls: Sequence[_Call]) -> tuple[Answer, ...]:
        """See `Store.perform`."""
        ...


class EarlierValues:
    """The values of stored turns in this server. `key`: of the proxy; `keep_s`: for how long, 0 for not at all; `store`:
    where."""

    def __init__(self, key: bytes, keep_s: float, store: TurnStore, metrics: Metrics) -> None:
        self._cipher = StoreCipher(key, "turn")
        self._keep_s = keep_s
        self._store = store
        self._metrics = metrics

    async def find(self, tenant: str, ids: Sequence[str]) -> tuple[GivenValues, ...]:
        """Returns the values of the turns with these ids. `tenant`: the pseudonym of the credential."""
        names = [self._name(tenant, name) for name in ids] if self._keep_s else []
        if not names:
            return ()
        answers = await self._perform([Get(name) for name in names])
        if answers is None:
            self._count("failed")
            return ()
        groups: list[GivenValues] = []
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, str):
                groups += self._opened(name, answer)
        self._count("found" if groups else "none")
        return tuple(groups)

    async def keep(self, tenant: str, turn: StoredTurn) -> None:
        """Keeps the values of a turn under its ids, beside those of other turns of its conversations. Returns when the next
        turn can find them."""
        if not self._keep_s:
            return
        names = [self._name(tenant, name) for name in turn.conversations]
        answers = await self._perform([Get(name) for name in names]) if names else ()
        puts = [self._put(self._name(tenant, turn.id), turn.groups)] if turn.id else []
        for name, answer in zip(names, answers or (), strict=bool(answers)):
            older = self._opened(name, answer) if isinstance(answer, str) else ()
            puts.append(self._put(name, merged(turn.groups, older)))
        await self._perform(puts)

    async def forget(self, tenant: str, stored_id: str) -> None:
        """Forgets the values of the turn, or of the conversation, with this id."""
        if self._keep_s:
            await self._perform([Drop(self._name(tenant, stored_id))])

    async def _perform(self, calls: Sequence[_Call]) -> tuple[Answer, ...] | None:
        """Returns the answers of the store; `None` if it cannot be reached."""
        try:
            return await self._store.perform(calls)
        except StoreError as error:
            _log.warning("values of earlier turns not reached", extra={"error": str(error)})
            return None

    def _count(self, result: Literal["found", "none", "failed"]) -> None:
        self._metrics.turn_lookups.labels(result).inc()

    def _name(self, tenant: str, stored_id: str) -> str:
        """The name of an entry: nobody without the key can compute it, or tell what it names."""
        return self._cipher.name(tenant, stored_id)

    def _put(self, name: str, groups: Sequence[GivenValues]) -> Put:
        return Put(name, self._cipher.sealed(name, msgspec.json.encode(groups)), self._keep_s)

    def _opened(self, name: str, text: str) -> tuple[GivenValues, ...]:
        """The values of an entry; none if it was changed, or if another release wrote it."""
        try:
            return msgspec.json.decode(self._cipher.opened(name, text), type=tuple[GivenValues, ...])
        except ValueError:  # `DecodeError` is one too
            return ()


@dataclass(slots=True)
class _Entries:
    """The sizes of the entries of a credential, the oldest first, and their sum."""

    sizes: OrderedDict[str, int] = field(default_factory=OrderedDict)
    used_bytes: int = 0


class MemoryTurns:
    """A store of turns in this process. `limit_bytes`: for all of them; `clock`: seconds that only grow. `used_bytes`,
    `evicted`: for metrics. All turns live equally long, so the oldest expires first. One credential has at most a share of the
    memory."""

    def __init__(self, limit_bytes: int, clock: Callable[[], float]) -> None:
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._entries: OrderedDict[str, tuple[str, float]] = OrderedDict()  # the oldest first
        self._by_holder: dict[str, _Entries] = {}
        self.used_bytes = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._entries)

    async def perform(self, calls: Sequence[_Call]) -> tuple[Answer, ...]:
        """See `Store.perform`. It never awaits."""
        now_s = self._clock()
        while self._entries and next(iter(self._entries.values()))[1] <= now_s:
            self._drop(next(iter(self._entries)))
        return tuple([self._perform(call, now_s) for call in calls])

    def _perform(self, call: _Call, now_s: float) -> Answer:
        match call:
            case Get():
                entry = self._entries.get(call.key)
                return entry[0] if entry else None
            case Put():
                self._drop(call.key)
                self._add(call.key, str(call.value), now_s + call.ttl_s)
                return True
            case Drop():  # pragma: no branch - a call is one of these three
                return self._drop(call.key)

    def _add(self, key: str, value: str, expires_s: float) -> None:
        """Adds an entry. If there is no room, the oldest goes: of the same credential if it has its share, or else of all."""
        size_bytes, holder = len(value) + ENTRY_BYTES, _holder_of(key)
        # It would push out everything else of its credential and then not fit either.
        if size_bytes > self._limit_bytes // SHARE:
            return
        self._entries[key] = value, expires_s
        own = self._by_holder.setdefault(holder, _Entries())
        own.sizes[key] = size_bytes
        own.used_bytes += size_bytes
        self.used_bytes += size_bytes
        while own.used_bytes > self._limit_bytes // SHARE:
            self._evict(next(iter(own.sizes)))
        while self.used_bytes > self._limit_bytes:
            self._evict(next(iter(self._entries)))

    def _evict(self, key: str) -> None:
        self._drop(key)
        self.evicted += 1

    def _drop(self, key: str) -> bool:
        if self._entries.pop(key, None) is None:
            return False
        holder = _holder_of(key)
        own = self._by_holder[holder]
        size_bytes = own.sizes.pop(key)
        own.used_bytes -= size_bytes
        self.used_bytes -= size_bytes
        if not own.sizes:
            del self._by_holder[holder]
        return True


def _holder_of(key: str) -> str:
    """The part of a name that all entries of a credential share."""
    return key.split(":")[1]
