"""The memory of earlier exchanges: in this process, or in a store that replicas share.

In: the keys of entries, claims, changes. Out: what earlier exchanges left. Kept: encrypted entries, each member for its time,
and changes that the store did not take yet.

If policies seal the texts of an exchange, its entries are named and encrypted with the data key of their owner, too. So the
erasure of the owner ends them: nobody finds them again, and nobody can read them. Entries that all share hold no texts.

While the store is away, the setting `state_down` decides, as for limits: no exchange that needs the memory begins (`closed`),
it begins with an empty memory (`open`), or with that of this process (`local`). What an exchange leaves is not lost: the end of
its answer waits for the store for a few seconds. After that the change is kept here and sent again, before this process reads
the memory the next time. What is given up in the end is counted and told. A change that must not happen twice (`is_once`) is
sent once.

Decision: docs/decisions/0067-one-memory-for-what-exchanges-leave.md
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from guardproxy.audit import Owner
from guardproxy.errors import ErrorCode, SealError, StoreError
from guardproxy.exchange import Aborted, Setting, recollection
from guardproxy.gateway import holder_of
from guardproxy.gateway.store import Answer, Call, ChangeMap, ClaimMember, Down, GetMap, MemoryStore, PutMember, Store
from guardproxy.server.driving.store_cipher import StoreCipher
from guardproxy.server.observing.metrics import Metrics

WAIT_S = 6.0  # for a store that is away, before the client gets the end of its answer
PAUSE_S = 0.25
MOST_UNWRITTEN = 10_000
_LARGE_CHARS = 32 * 1024  # entries of this size are opened in a thread

_log = logging.getLogger(__name__)


class MemoryHolder(msgspec.Struct, frozen=True):
    """Whose entries an exchange reads and changes. `secret`: the data key of the owner of its texts; empty if policies seal
    none."""

    tenant: str
    tenant_name: str
    secret: bytes = b""

    @property
    def generation(self) -> str:
        """See `MemoryRecalled`."""
        return hmac.digest(self.secret, b"generation", hashlib.sha256).hex()[:16] if self.secret else ""


ALL = MemoryHolder("", "")


class _EntryPlace(NamedTuple):
    """The name of an entry in the store, and the further key of its members."""

    name: str
    secret: bytes


class Memories:
    """The memory of earlier exchanges in this server. `key`: of the proxy; `store`: raises `StoreError` while it is away;
    `down`: what happens then; `sleep`: waits for some seconds; `secret_of`: returns the data key of an owner of texts, and
    raises `SealError`."""

    def __init__(
        self,
        key: bytes,
        store: Store,
        down: Down,
        metrics: Metrics,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        secret_of: Callable[[Owner], bytes] | None = None,
    ) -> None:
        self._cipher = StoreCipher(key, "memory")
        self._store = store
        self._down = down
        self._metrics = metrics
        self._sleep = sleep
        self._secret_of = secret_of
        self._local = MemoryStore()
        self._unwritten: deque[ChangeMap] = deque()
        self._is_writing = asyncio.Lock()
        metrics.memory_unwritten.set_function(lambda: len(self._unwritten))

    async def holder(self, setting: Setting, owner: Owner | None) -> MemoryHolder:
        """Returns whose entries an exchange uses. Raises `StoreError` if the key of the owner cannot be had."""
        secret = b""
        if owner is not None and self._secret_of is not None:
            try:
                secret = await asyncio.to_thread(self._secret_of, owner)
            except SealError as error:
                raise StoreError(str(error)) from None
        return MemoryHolder(setting.tenant, setting.tenant_name or "", secret)

    async def recall(
        self, holder: MemoryHolder, command: recollection.RecallMemory, at_s: Callable[[], float]
    ) -> recollection.MemoryRecalled:
        """Returns the entries that an exchange asks for. Raises `StoreError` if the store is away and nothing else may answer.
        `at_s`: returns the time."""
        places = [self._place(key, holder) for key in command.keys]
        answers, is_reached = await self._answers([GetMap(place.name) for place in places])
        self._metrics.memory_lookups.labels("read" if is_reached else "away").inc()
        texts = [answer if isinstance(answer, str) else "" for answer in answers]
        if sum(map(len, texts)) > _LARGE_CHARS:
            entries = await asyncio.to_thread(self._opened, places, texts)
        else:
            entries = self._opened(places, texts)
        return recollection.MemoryRecalled(entries, at_s(), is_reached, holder.generation)

    async def claim(
        self, holder: MemoryHolder, command: recollection.ClaimMemory, at_s: Callable[[], float]
    ) -> recollection.MemoryClaimed:
        """Takes members out of their entries for this exchange. Raises `StoreError` as `recall` does."""
        named = [(self._place(claim.key, holder), claim.member) for claim in command.claims]
        return recollection.MemoryClaimed(await self._claimed(named, self._perform), at_s())

    async def _claimed(
        self,
        named: Sequence[tuple[_EntryPlace, str]],
        perform: Callable[[Sequence[Call]], Awaitable[tuple[Answer, ...]]],
    ) -> tuple[str | None, ...]:
        """Takes members out of their entries. `named`: the place of the entry, and the member."""
        calls = [ClaimMember(place.name, self._member(place, member)) for place, member in named]
        values: list[str | None] = []
        for (place, _), answer in zip(named, await perform(calls), strict=True):
            found = self._member_of(place, answer) if isinstance(answer, str) else None
            values.append(found[1] if found else None)
        return tuple(values)

    async def _perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        return (await self._answers(calls))[0]

    async def keep(self, holder: MemoryHolder, changes: Sequence[recollection.MemoryChange]) -> None:
        """Writes what an exchange leaves. Returns when later exchanges can read it, or when the store is away for too
        long: it is written later then."""
        if not changes:
            return
        once: list[ChangeMap] = []
        own: list[ChangeMap] = []
        for change in changes:
            (once if change.is_once else own).append(self._change(self._place(change.key, holder), change))
        self._unwritten += own  # before the first wait, so that an exchange that is cancelled there loses none of them
        while len(self._unwritten) > MOST_UNWRITTEN:
            self._lose(1)
        try:
            for call in once:
                await self._write_once(call)
            await self._wait()
        finally:
            # This process answers from its own memory until the store is back, so that must know them too.
            if self._unwritten and self._down == "local":
                await self._local.perform(own)

    async def _wait(self) -> None:
        """Returns when the store has taken all changes, or is away for too long."""
        waited_s = 0.0
        while not await self._is_written():
            if waited_s >= WAIT_S:
                _log.error("changes for later exchanges wait for the store", extra={"count": len(self._unwritten)})
                return
            await self._sleep(PAUSE_S)
            waited_s += PAUSE_S

    async def _write_once(self, call: ChangeMap) -> None:
        """Sends a change to the store, and loses it if the store does not answer, or nobody waits for that any more: the store
        may have taken the change."""
        is_answered = False
        try:
            await self._store.perform((call,))
            is_answered = True
        except StoreError as error:
            _log.warning("a change for later exchanges is lost", extra={"error": str(error)})
        finally:
            self._metrics.memory_lost.inc(0 if is_answered else 1)

    # For reviewers: entries that all share.

    async def read(self, keys: Sequence[recollection.MemoryKey]) -> tuple[dict[str, str], ...]:
        """Returns entries with the scope `all`. Raises `StoreError`."""
        places = [self._place(key) for key in keys]
        calls = [GetMap(place.name) for place in places]
        answers = await self._store.perform(calls) if calls else ()
        return self._opened(places, [answer if isinstance(answer, str) else "" for answer in answers])

    async def take(self, claims: Sequence[recollection.MemoryClaim]) -> tuple[str | None, ...]:
        """Takes members out of entries with the scope `all`. Raises `StoreError`."""
        return await self._claimed([(self._place(claim.key), claim.member) for claim in claims], self._store.perform)

    async def write(self, changes: Sequence[recollection.MemoryChange]) -> None:
        """Changes entries with the scope `all`. Raises `StoreError`."""
        await self._store.perform([self._change(self._place(change.key), change) for change in changes])

    async def close(self) -> None:
        """Writes what is not written yet."""
        if not await self._is_written():
            self._lose(len(self._unwritten))

    def _lose(self, count: int) -> None:
        for _ in range(count):
            self._unwritten.popleft()
        self._metrics.memory_lost.inc(count)
        _log.error("changes for later exchanges are lost", extra={"count": count})

    async def _is_written(self) -> bool:
        """Whether the store has taken all changes. It takes them in order. A change that is repeated after its answer was lost
        leaves the same members."""
        async with self._is_writing:
            with suppress(StoreError):
                while self._unwritten:
                    call = self._unwritten[0]
                    await self._store.perform((call,))
                    # Meanwhile `keep` may have given up the oldest change. Then the first one now is not written yet.
                    if self._unwritten and self._unwritten[0] is call:
                        self._unwritten.popleft()
        return not self._unwritten

    async def _answers(self, calls: Sequence[Call]) -> tuple[tuple[Answer, ...], bool]:
        """Returns the answers of the store, or what the settings put in their place, and whether the store has answered."""
        if not calls:
            return (), True
        try:
            if self._unwritten and not await self._is_written():
                raise StoreError("the store did not take what exchanges left")
            return await self._store.perform(calls), True
        except StoreError:
            if self._down == "closed":
                raise
        if self._down == "local":
            return await self._local.perform(calls), False
        return (None,) * len(calls), False

    # Names and seals.

    def _place(self, key: recollection.MemoryKey, holder: MemoryHolder = ALL) -> _EntryPlace:
        """Returns the place of an entry. Those that all share have no owner."""
        secret = holder.secret if key.scope != "all" else b""
        own = f"{key.use}:{key.name}{':' + holder.generation if secret else ''}"
        return _EntryPlace(self._cipher.name(holder_of(key.scope, holder.tenant, holder.tenant_name), own), secret)

    def _member(self, place: _EntryPlace, member: str) -> str:
        return self._cipher.digest(place.name, member)[:32]

    def _change(self, place: _EntryPlace, change: recollection.MemoryChange) -> ChangeMap:
        puts = [
            PutMember(self._member(place, put.member), self._sealed(place, put.member, put.value), put.ttl_s, put.only)
            for put in change.puts
        ]
        drops = [self._member(place, member) for member in change.drops]
        return ChangeMap(place.name, tuple(puts), tuple(drops), change.most)

    def _sealed(self, place: _EntryPlace, member: str, value: str) -> str:
        return self._cipher.sealed(place.name, msgspec.json.encode((member, value)), place.secret)

    def _opened(self, places: Sequence[_EntryPlace], texts: Sequence[str]) -> tuple[dict[str, str], ...]:
        """Returns the members of entries. What was changed in the store is left out."""
        entries = []
        for place, text in zip(places, texts, strict=True):
            pairs: Any = json.loads(text) if text else ()
            found = (self._member_of(place, value) for _, value in pairs)
            entries.append(dict(pair for pair in found if pair))
        return tuple(entries)

    def _member_of(self, place: _EntryPlace, value: str) -> tuple[str, str] | None:
        try:
            return msgspec.json.decode(self._cipher.opened(place.name, value, place.secret), type=tuple[str, str])
        except ValueError:
            return None


class UsedMemory:
    """The memory, as one exchange uses it. `is_open`: whether the exchange may leave something that is not kept yet."""

    def __init__(self, memories: Memories | None) -> None:
        self._memories = memories
        self._holder = ALL
        self.is_open = False

    async def answer(
        self, setting: Setting, command: recollection.MemoryCommand, clock: Callable[[], float]
    ) -> recollection.MemoryRecalled | recollection.MemoryClaimed | Aborted:
        """Carries out a command. A store that is away ends the exchange, unless settings say otherwise."""
        self.is_open = True
        if self._memories is None:
            return recollection.nothing_remembered(command)
        try:
            if isinstance(command, recollection.ClaimMemory):
                return await self._memories.claim(self._holder, command, clock)
            self._holder = await self._memories.holder(setting, command.owner)
            return await self._memories.recall(self._holder, command, clock)
        except StoreError as error:
            _log.warning("entries of earlier exchanges not reached", extra={"id": setting.id, "error": str(error)})
            code = ErrorCode.STORE_UNAVAILABLE
            return Aborted(code, code.message(), code.status, clock())

    async def keep(self, changes: Sequence[recollection.MemoryChange]) -> None:
        """Keeps what the exchange leaves for later ones, once."""
        self.is_open = False
        if self._memories is not None:
            await self._memories.keep(self._holder, changes)
