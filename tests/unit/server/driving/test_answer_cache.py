"""What keeps answers: by size, by time, until a purge; in memory and in a shared store."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from msgspec import structs

from guardproxy.audit import Owner
from guardproxy.errors import StoreError
from guardproxy.exchange import caching
from guardproxy.gateway.store import Get, MemoryStore
from guardproxy.policy.sections import CacheSection
from guardproxy.server.driving.answer_cache import ENTRY_BYTES, MemoryAnswers, SharedAnswers
from guardproxy.server.driving.caching import Caches
from guardproxy.server.driving.similar.comparing import SimilarQuestions
from guardproxy.server.driving.store_cipher import Owners, StoreCipher
from guardproxy.server.observing.metrics import Metrics
from guardproxy.wire import installed
from tests.kit.questions import HeldKeys

CIPHER = StoreCipher(b"k" * 32, "answer")
NO_OWNERS = Owners(CIPHER, None)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def query(key: str, ttl_s: float = 10.0) -> caching.CacheQuery:
    codec = installed().codec_for("POST /v1/chat/completions")
    assert codec is not None
    return caching.CacheQuery(
        key=key,
        match="exact",
        section=CacheSection("exact", ttl_s),
        policies=("p",),
        is_enforced=True,
        is_streamed=False,
        codec=codec,
        tree={},
    )


def answer(size: int = 10, source: str = "id") -> caching.StoredAnswer:
    return caching.StoredAnswer(
        source=source, streamed=False, media_type="application/json", body=b"x" * size, at_s=1.0
    )


async def found(cache: Any, key: str) -> str | None:
    """The source of the answer for a key."""
    result = await cache.find(query(key))
    return None if result.answer is None else result.answer.source


@pytest.mark.parametrize("is_shared", [False, True])
async def test_an_answer_is_found_until_its_time_is_over(is_shared: bool) -> None:
    clock = Clock()
    cache: Any = (
        SharedAnswers(MemoryStore(clock), 100, CIPHER, NO_OWNERS) if is_shared else MemoryAnswers(10_000, clock)
    )
    look = await cache.find(query("k"))
    assert look.answer is None
    cache.put(query("k"), look.generation, answer())
    if is_shared:
        await cache.close(1.0)
    assert await found(cache, "k") == "id"
    assert await found(cache, "other") is None
    clock.now_s = 9.9
    assert await found(cache, "k") == "id"
    clock.now_s = 10.0
    assert await found(cache, "k") is None


@pytest.mark.parametrize("is_shared", [False, True])
async def test_an_exchange_that_looked_before_a_purge_stores_nothing_after_it(is_shared: bool) -> None:
    clock = Clock()
    cache: Any = (
        SharedAnswers(MemoryStore(clock), 100, CIPHER, NO_OWNERS) if is_shared else MemoryAnswers(10_000, clock)
    )
    before = await cache.find(query("a"))
    cache.put(query("a"), before.generation, answer())
    if is_shared:
        await cache.close(1.0)
    await cache.purge()
    assert await found(cache, "a") is None
    after = await cache.find(query("b"))
    cache.put(query("a"), before.generation, answer())
    cache.put(query("b"), after.generation, answer())
    if is_shared:
        await cache.close(1.0)
    assert (await found(cache, "a"), await found(cache, "b")) == (None, "id")
    cache.drop((await cache.find(query("b"))).key)
    if is_shared:
        await cache.close(1.0)
    assert await found(cache, "b") is None


async def test_the_answer_that_was_used_longest_ago_is_dropped_first() -> None:
    size = 1000
    cache = MemoryAnswers(16 * (size + ENTRY_BYTES), Clock())
    generation = (await cache.find(query(""))).generation
    for number in range(16):
        cache.put(query(str(number)), generation, answer(size, str(number)))
    assert (len(cache), cache.evicted) == (16, 0)
    assert await found(cache, "0") == "0"
    cache.put(query("16"), generation, answer(size, "16"))
    assert (await found(cache, "0"), await found(cache, "1")) == ("0", None)
    assert (len(cache), cache.evicted, cache.used_bytes) == (16, 1, 16 * (size + ENTRY_BYTES))
    cache.put(query("0"), generation, answer(10, "new"))
    assert (await found(cache, "0"), len(cache)) == ("new", 16)
    await cache.purge()
    assert (len(cache), cache.used_bytes) == (0, 0)


async def test_an_answer_larger_than_its_share_is_not_kept() -> None:
    memory, shared = MemoryAnswers(1600, Clock()), SharedAnswers(MemoryStore(Clock()), 100, CIPHER, NO_OWNERS)
    memory.put(query("k"), (await memory.find(query("k"))).generation, answer(101))
    shared.put(query("k"), "", answer(101))
    await shared.close(1.0)
    assert (await found(memory, "k"), await found(shared, "k")) == (None, None)
    assert MemoryAnswers(0, Clock()).largest_bytes == 0


async def test_what_a_store_holds_of_a_sealed_answer_ends_with_its_owner() -> None:
    ann = Owner("subject", "tenant", "ann")
    store, keys = MemoryStore(Clock()), HeldKeys({ann: b"old"})
    owners = Owners(CIPHER, keys)
    shared = SharedAnswers(store, 100, CIPHER, owners)
    owner = owners.of(ann)
    owned = structs.replace(answer(), owner=owner.name, proof=owner.proof)
    shared.put(query("k"), "", owned, owner.secret)
    await shared.close(1.0)
    (kept,) = await store.perform((Get("cache:k"),))
    assert b64encode(owned.body).decode().rstrip("=") not in str(kept)
    assert (await shared.find(query("k"))).answer == owned
    keys.secrets.clear()
    assert await found(shared, "k") is None
    owners.of(ann)
    assert await found(shared, "k") is None, "a new key opens nothing old"


async def test_an_entry_that_another_version_wrote_is_no_answer() -> None:
    from guardproxy.gateway.store import Put

    store = MemoryStore(Clock())
    await store.perform((Put("cache:k", '["", {"v": 9}]', 10.0), Put("cache:n", "nonsense", 10.0)))
    shared = SharedAnswers(store, 100, CIPHER, NO_OWNERS)
    assert (await found(shared, "k"), await found(shared, "n")) == (None, None)


class Away:
    """A store that cannot be reached."""

    async def perform(self, calls: object) -> Any:
        raise StoreError("away")


async def test_a_store_that_is_away_stops_nothing_but_the_look() -> None:
    shared = SharedAnswers(Away(), 100, CIPHER, NO_OWNERS)
    shared.put(query("k"), "", answer())
    shared.drop("k")
    await shared.close(1.0)
    with pytest.raises(StoreError):
        await shared.find(query("k"))
    cipher, metrics = StoreCipher(b"k" * 32, "question"), Metrics()
    owners = Owners(cipher, None)
    caches = Caches(MemoryAnswers(1000, Clock()), shared, metrics, SimilarQuestions(cipher, owners, metrics), owners)
    assert caches.answers is shared
    assert await caches.purge() == {"ok": False, "error": "away"}
    await caches.close(1.0)
