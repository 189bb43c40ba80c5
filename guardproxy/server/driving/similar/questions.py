"""The questions whose answers are stored, in this process.

In: questions with their vectors. Out: those that are nearest to another one. Kept: up to `LIMIT` questions, each for its time.
A holder has at most a share of them, so a flood of one does not push out the others. The least recently used goes first.

A question is kept sealed, so that no memory image or log shows it. Its vector is not: it never leaves the process. The methods
run on the event loop and take microseconds; `nearest` runs in a thread.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from guardproxy.exchange import caching

LIMIT = 20_000
SHARE = 4  # of all questions, for one holder
LEAST_COSINE = 0.5
"""Questions that are farther apart are not compared."""
_SCALE = 127.0 * 127.0  # of the product of two vectors
_BLOCK = 1024  # rows that become numbers of four bytes at a time; more are multiplied by several threads, which wait for cores


class StoredQuestion(msgspec.Struct, frozen=True):
    """A question whose answer is stored. `key`: the place of the answer; `source`: its exchange; `vector`: of int8; `sealed`:
    the text; `owner`: whose erasure ends it, sealed, or empty."""

    key: str
    source: str
    vector: bytes
    sealed: str
    owner: str = ""


class NearQuestion(NamedTuple):
    """A question that is near another one. `similarity`: the cosine of their vectors."""

    stored: StoredQuestion
    similarity: float


class QuestionStore(Protocol):
    """Keeps questions."""

    async def nearest(
        self, question: caching.CachedQuestion, generation: str, vector: bytes, most: int
    ) -> list[NearQuestion]:
        """Returns the nearest stored questions of the partition, the nearest first. `generation`: that of the look for the
        answer. Raises `StoreError`."""
        ...

    def put(self, question: caching.CachedQuestion, generation: str, stored: StoredQuestion, ttl_s: float) -> None:
        """Keeps a question. A shared store may get it a little later."""
        ...

    def drop(self, question: caching.CachedQuestion, stored: StoredQuestion) -> None:
        """Drops a question of the partition, as its answer is gone."""
        ...


class _Entry(NamedTuple):
    stored: StoredQuestion
    holder: str
    generation: str
    until_s: float


_Place = tuple[str, str]  # the partition, and the key of the answer


class MemoryQuestions:
    """Keeps questions in this process. `run`: awaits a function in a thread; `clock`: seconds that only grow. `evicted`: for
    metrics."""

    def __init__(self, run: Callable[..., Any], clock: Callable[[], float], limit: int = LIMIT) -> None:
        self._run = run
        self._clock = clock
        self._limit = limit
        self._entries: OrderedDict[_Place, _Entry] = OrderedDict()
        self._by_partition: dict[str, dict[str, _Entry]] = {}
        self._by_holder: dict[str, OrderedDict[_Place, None]] = {}
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._entries)

    async def nearest(
        self, question: caching.CachedQuestion, generation: str, vector: bytes, most: int
    ) -> list[NearQuestion]:
        entries = tuple(self._by_partition.get(question.partition, {}).values())
        if not entries:
            return []
        near: list[tuple[_Entry, float]] = await self._run(nearest, entries, generation, self._clock(), vector, most)
        found = []
        for entry, similarity in near:
            place = question.partition, entry.stored.key
            if self._entries.get(place) is entry:  # it may have gone meanwhile
                self._use(place, entry.holder)
                found.append(NearQuestion(entry.stored, similarity))
        return found

    def put(self, question: caching.CachedQuestion, generation: str, stored: StoredQuestion, ttl_s: float) -> None:
        place = question.partition, stored.key
        self._drop(place)
        self._drop_expired(question.partition)
        entry = _Entry(stored, question.holder, generation, self._clock() + ttl_s)
        self._entries[place] = entry
        self._by_partition.setdefault(question.partition, {})[stored.key] = entry
        own = self._by_holder.setdefault(question.holder, OrderedDict())
        own[place] = None
        if len(own) > max(1, self._limit // SHARE):
            self._evict(next(iter(own)))
        if len(self._entries) > self._limit:
            self._evict(next(iter(self._entries)))

    def drop(self, question: caching.CachedQuestion, stored: StoredQuestion) -> None:
        self._drop((question.partition, stored.key))

    def purge(self) -> None:
        """Drops all questions."""
        self._entries.clear()
        self._by_partition.clear()
        self._by_holder.clear()

    def _use(self, place: _Place, holder: str) -> None:
        self._entries.move_to_end(place)
        self._by_holder[holder].move_to_end(place)

    def _drop_expired(self, partition: str) -> None:
        """Drops the questions of a partition whose time is over. All have the same time to live, so the oldest go first."""
        now_s = self._clock()
        while partition in self._by_partition:
            key, entry = next(iter(self._by_partition[partition].items()))
            if entry.until_s > now_s:
                return
            self._drop((partition, key))

    def _evict(self, place: _Place) -> None:
        self._drop(place)
        self.evicted += 1

    def _drop(self, place: _Place) -> None:
        if (entry := self._entries.pop(place, None)) is None:
            return
        partition, key = place
        _without(self._by_partition, partition, key)
        _without(self._by_holder, entry.holder, place)


def _without(groups: dict[str, Any], group: str, member: Any) -> None:
    """Removes a member of a group, and the group with its last member."""
    del groups[group][member]
    if not groups[group]:
        del groups[group]


def nearest(
    entries: Sequence[_Entry], generation: str, now_s: float, vector: bytes, most: int
) -> list[tuple[_Entry, float]]:
    """Returns the entries that are alive and nearest to a vector, with the cosines, the nearest first."""
    import numpy  # noqa: PLC0415 - only processes with such a cache need it

    alive = [entry for entry in entries if entry.until_s > now_s and entry.generation == generation]
    wanted = numpy.frombuffer(vector, numpy.int8).astype(numpy.float32)
    found: list[tuple[float, int]] = []
    for start in range(0, len(alive), _BLOCK):
        block = b"".join([entry.stored.vector for entry in alive[start : start + _BLOCK]])
        rows = numpy.frombuffer(block, numpy.int8).reshape(-1, len(vector))
        # The sums are whole numbers below 2^24, so they are exact in any order.
        products = (rows.astype(numpy.float32) @ wanted) / _SCALE
        best = numpy.argsort(-products, kind="stable")[:most]
        found += [(-float(products[row]), start + int(row)) for row in best if products[row] >= LEAST_COSINE]
    return [(alive[at], round(-product, 4)) for product, at in sorted(found)[:most]]


def cosine(first: bytes, second: bytes) -> float:
    """Returns the cosine of two vectors."""
    import numpy  # noqa: PLC0415 - see above

    one, other = (numpy.frombuffer(vector, numpy.int8).astype(numpy.float32) for vector in (first, second))
    return float(one @ other) / _SCALE


def hidden(vector: bytes, secret: bytes) -> bytes:
    """Returns a vector with its numbers in another order and with other signs, which `secret` decides. Products of two vectors
    with the same secret stay the same."""
    import numpy  # noqa: PLC0415 - see above

    numbers = numpy.frombuffer(vector, numpy.int8)
    stream = numpy.frombuffer(hashlib.shake_256(secret).digest(9 * len(vector)), numpy.uint8)
    order = stream[: 8 * len(vector)].copy().view(">u8").argsort(kind="stable")
    signs = numpy.where(stream[8 * len(vector) :] & 1, -1, 1).astype(numpy.int8)
    return bytes((numbers[order] * signs).astype(numpy.int8).tobytes())
