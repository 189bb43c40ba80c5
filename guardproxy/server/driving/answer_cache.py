"""The answers that may be given again: in this process, or in a store that replicas share.

In: queries, and answers to store. Out: the answer for a query. Kept: answers, up to a number of bytes and each for its time.
The least recently used answer is evicted first. A shared store bounds its memory itself. Runs on the event loop.

A purge begins a new generation. An exchange that looked before it does not store its answer after it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec import structs

from guardproxy.errors import StoreError
from guardproxy.exchange import caching
from guardproxy.gateway.store import Drop, Get, Put, Store
from guardproxy.server.driving.store_cipher import Owners, StoreCipher

ENTRY_BYTES = 1024  # what an entry takes beside its body
LARGEST_SHARE = 16  # of the memory, for one answer
# Longer than an answer may live, so no answer of an earlier generation is left when it expires.
_GENERATION_S = 365 * 86_400.0
_GENERATION = "cache:generation"

_log = logging.getLogger(__name__)


class FoundAnswer(msgspec.Struct, frozen=True):
    """What a look found. `generation`: that of the time of the look. `key`: the place of the answer, to drop it."""

    generation: str
    answer: caching.StoredAnswer | None = None
    key: str = ""


class AnswerCache(Protocol):
    """Keeps answers."""

    @property
    def largest_bytes(self) -> int:
        """The size of the largest body that is kept."""
        ...

    async def find(self, query: caching.CacheQuery) -> FoundAnswer:
        """Looks for an answer. Raises `StoreError` if the store cannot be reached."""
        ...

    def put(
        self, query: caching.CacheQuery, generation: str, answer: caching.StoredAnswer, secret: bytes = b""
    ) -> None:
        """Keeps an answer for the time that the query allows. `generation`: that of the look; `secret`: the data key of
        the owner of its texts, if it has one. A shared store may get it a little later."""
        ...

    def drop(self, key: str) -> None:
        """Drops the answer at a place."""
        ...

    async def purge(self) -> None:
        """Drops all answers. Raises `StoreError`."""
        ...


class MemoryAnswers:
    """Keeps answers in this process. `limit_bytes`: for all of them; `clock`: seconds that only grow. `used_bytes`, `evicted`:
    for metrics."""

    def __init__(self, limit_bytes: int, clock: Callable[[], float]) -> None:
        self.limit_bytes = limit_bytes
        self._clock = clock
        self._entries: OrderedDict[str, tuple[caching.StoredAnswer, float]] = OrderedDict()
        self._generation = 0
        self.used_bytes = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def largest_bytes(self) -> int:
        return self.limit_bytes // LARGEST_SHARE

    async def find(self, query: caching.CacheQuery) -> FoundAnswer:
        generation = str(self._generation)
        entry = self._entries.get(query.key)
        if entry is not None and entry[1] <= self._clock():
            self.drop(query.key)
            entry = None
        if entry is None:
            return FoundAnswer(generation)
        self._entries.move_to_end(query.key)
        return FoundAnswer(generation, entry[0], query.key)

    def put(
        self, query: caching.CacheQuery, generation: str, answer: caching.StoredAnswer, secret: bytes = b""
    ) -> None:
        if generation != str(self._generation) or len(answer.body) > self.largest_bytes:
            return
        self.drop(query.key)
        self._entries[query.key] = answer, self._clock() + query.section.ttl_s
        self.used_bytes += _size_bytes(answer)
        while self.used_bytes > self.limit_bytes:
            self.drop(next(iter(self._entries)))
            self.evicted += 1

    def drop(self, key: str) -> None:
        if (entry := self._entries.pop(key, None)) is not None:
            self.used_bytes -= _size_bytes(entry[0])

    async def purge(self) -> None:
        self._generation += 1
        self._entries.clear()
        self.used_bytes = 0


def _size_bytes(answer: caching.StoredAnswer) -> int:
    return len(answer.body) + ENTRY_BYTES


class SharedAnswers:
    """Keeps answers in a store that replicas share. Every entry names its generation, so a purge is one call. `largest_bytes`:
    the size of the largest body that is kept. `cipher` and `owners`: seal the body of an answer with the data key of its owner,
    so that an erasure ends what the store holds, too."""

    def __init__(self, store: Store, largest_bytes: int, cipher: StoreCipher, owners: Owners) -> None:
        self._store = store
        self._cipher = cipher
        self._owners = owners
        self.largest_bytes = largest_bytes
        self._tasks: set[asyncio.Task[None]] = set()

    async def find(self, query: caching.CacheQuery) -> FoundAnswer:
        key = f"cache:{query.key}"
        named, value = await self._store.perform((Get(_GENERATION), Get(key)))
        generation = named if isinstance(named, str) else ""
        if not isinstance(value, str):
            return FoundAnswer(generation)
        try:
            own, answer = msgspec.json.decode(value, type=tuple[str, caching.StoredAnswer])
            if own == generation and answer.owner:
                answer = await asyncio.to_thread(self._opened, key, answer)
        except (msgspec.DecodeError, ValueError):  # another version wrote it, or its owner was erased
            return FoundAnswer(generation)
        return FoundAnswer(generation, answer, key) if own == generation else FoundAnswer(generation)

    def _opened(self, key: str, answer: caching.StoredAnswer) -> caching.StoredAnswer:
        """Opens the body of an answer. Raises `ValueError`."""
        secret = self._owners.secret(answer.owner)
        if not secret:
            raise ValueError("the owner of the answer was erased")
        return structs.replace(answer, body=self._cipher.opened(key, answer.body.decode(), secret))

    def put(
        self, query: caching.CacheQuery, generation: str, answer: caching.StoredAnswer, secret: bytes = b""
    ) -> None:
        if len(answer.body) <= self.largest_bytes:
            key = f"cache:{query.key}"
            if secret:
                answer = structs.replace(answer, body=self._cipher.sealed(key, answer.body, secret).encode())
            value = msgspec.json.encode((generation, answer)).decode()
            self._begin(Put(key, value, query.section.ttl_s))

    def drop(self, key: str) -> None:
        self._begin(Drop(key))

    async def purge(self) -> None:
        await self._store.perform((Put(_GENERATION, os.urandom(8).hex(), _GENERATION_S),))

    def _begin(self, call: Put | Drop) -> None:
        """Performs a call for which no client waits."""
        task = asyncio.get_running_loop().create_task(self._perform(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _perform(self, call: Put | Drop) -> None:
        try:
            await self._store.perform((call,))
        except StoreError as error:
            _log.warning("cache not reached", extra={"error": str(error)})

    async def close(self, timeout_s: float) -> None:
        """Waits for the calls under way."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
