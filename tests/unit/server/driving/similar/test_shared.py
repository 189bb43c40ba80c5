"""Questions in a server: with vector search, which is made up (`tests/kit/vector_server.py`), without it, and away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from guardproxy.errors import RefusedError, StoreError
from guardproxy.exchange import caching
from guardproxy.gateway.store import RedisStore
from guardproxy.server.driving.similar.questions import StoredQuestion
from guardproxy.server.driving.similar.shared import LACKS, AskedServer, SharedQuestions
from tests.kit.questions import DIMENSIONS, vector
from tests.kit.valkey import relayed, valkey, wait
from tests.kit.vector_server import searching

REFUND = "how do i get a refund"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey(tmp_path_factory.mktemp("valkey")) as url:
        yield url


async def at_once(work: Callable[..., Any], *arguments: Any) -> Any:
    return work(*arguments)


def shared(store: AskedServer, model: str = "model") -> SharedQuestions:
    return SharedQuestions(store, model, DIMENSIONS, lambda partition: f"secret of {partition}".encode(), at_once)


def question(partition: str) -> caching.CachedQuestion:
    return caching.CachedQuestion(partition=partition, holder="h", text="")


def stored(key: str, text: str = REFUND) -> StoredQuestion:
    return StoredQuestion(key, f"exchange of {key}", vector(text), f"sealed {key}")


async def keys(questions: SharedQuestions, text: str, partition: str, generation: str = "", most: int = 8) -> list[str]:
    return [near.stored.key for near in await questions.nearest(question(partition), generation, vector(text), most)]


@pytest.mark.parametrize("is_map", [False, True])
async def test_replicas_share_questions(server: str, tmp_path: Path, is_map: bool) -> None:
    place = f"map{is_map}"
    with searching(tmp_path / "s", server, is_map=is_map) as relay:
        stores = [RedisStore(f"unix://{tmp_path / 's'}") for _ in range(2)]
        first, second = (shared(store, place) for store in stores)
        assert [await first.is_usable(), await first.is_usable(), await second.is_usable()] == [True] * 3
        assert [words[0] for words in relay.commands] == [b"FT.CREATE"] * 2
        for key, text in (("a", f"{REFUND} now"), ("b", REFUND), ("c", "where is the zoo")):
            first.put(question(place), "1", stored(key, text), 100.0)
        first.put(question(f"{place}x"), "1", stored("d"), 100.0)
        await first.close(60.0)
        assert await keys(second, REFUND, place, "1") == ["b", "a"]
        assert await keys(second, REFUND, place, "1", most=1) == ["b"]
        assert await keys(second, REFUND, place, "2") == [], "a purge began a new generation"
        (near, *_) = await second.nearest(question(place), "1", vector(REFUND), 8)
        assert (near.stored.source, near.stored.sealed) == ("exchange of b", "sealed b")
        assert near.similarity == pytest.approx(1.0, abs=0.001)
        second.drop(question(place), near.stored)
        await second.close(60.0)
        assert await keys(first, REFUND, place, "1") == ["a"]
        for store in stores:
            await store.close()


async def test_what_the_server_holds_says_nothing_and_expires(server: str, tmp_path: Path) -> None:
    with searching(tmp_path / "s", server), redis.Redis(unix_socket_path=server.removeprefix("unix://")) as client:
        store = RedisStore(f"unix://{tmp_path / 's'}")
        questions = shared(store, "hidden")
        assert await questions.is_usable()
        questions.put(question("p"), "", stored("k"), 0.4)
        await questions.close(60.0)
        (name,) = client.keys("guardproxy:question:hidden:*")
        fields: Any = client.hgetall(name)
        assert set(fields) == {b"partition", b"vector", b"stored"}
        plain = [float(number) for number in memoryview(vector(REFUND)).cast("b")]
        assert sorted(map(abs, plain)) == sorted(map(abs, memoryview(fields[b"vector"]).cast("f")))
        assert plain != list(memoryview(fields[b"vector"]).cast("f"))
        wait(server, 0.5)
        assert client.keys("guardproxy:question:hidden:*") == []
        assert await keys(questions, REFUND, "p") == []
        await store.close()


async def test_an_entry_of_another_version_is_left_out(server: str, tmp_path: Path) -> None:
    with searching(tmp_path / "s", server), redis.Redis(unix_socket_path=server.removeprefix("unix://")) as client:
        store = RedisStore(f"unix://{tmp_path / 's'}")
        questions = shared(store, "old")
        assert await questions.is_usable()
        questions.put(question("o"), "", stored("k"), 100.0)
        await questions.close(60.0)
        (name,) = client.keys("guardproxy:question:old:*")
        client.hset(name, "stored", "nonsense")
        assert await keys(questions, REFUND, "o") == []
        await store.close()


async def test_a_server_without_vector_search_is_told(server: str) -> None:
    store = RedisStore(server)
    questions = shared(store)
    assert [await questions.is_usable(), await questions.is_usable()] == [False, False]
    assert questions.fault == LACKS
    with pytest.raises(RefusedError):
        await store.ask("FT.CREATE", "x")
    assert await store.ask("ECHO", "x") == b"x"
    await store.close()


async def test_a_server_that_is_away_is_asked_again(server: str, tmp_path: Path) -> None:
    with searching(tmp_path / "s", server), relayed(tmp_path / "r", f"unix://{tmp_path / 's'}") as set_fault:
        store = RedisStore(f"unix://{tmp_path / 'r'}", timeout_s=5.0)
        questions = shared(store, "away")
        set_fault("cut")
        with pytest.raises(StoreError):
            await questions.is_usable()
        questions.put(question("w"), "", stored("lost"), 100.0)
        await questions.close(60.0)
        assert questions.fault == ""
        set_fault("none")
        assert await questions.is_usable()
        questions.put(question("w"), "", stored("k"), 100.0)
        await questions.close(60.0)
        assert await keys(questions, REFUND, "w") == ["k"]
        await store.close()


class Answers:
    """A server whose answers a test gives."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    async def ask(self, *words: str | bytes | int) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_refusal_that_passes_and_an_index_that_is_gone_are_asked_for_again() -> None:
    refused = RefusedError("READONLY You can't write against a read only replica.")
    gone = RefusedError("guardproxy:questions:model: no such index")
    server = Answers(refused, b"OK", gone, b"OK", [0])
    questions = shared(server)
    assert [await questions.is_usable(), await questions.is_usable()] == [False, True]
    with pytest.raises(RefusedError):
        await keys(questions, REFUND, "p")
    assert await questions.is_usable(), "the index is made again"
    assert await keys(questions, REFUND, "p") == []
    assert (questions.fault, server.answers) == ("", [])


@pytest.mark.parametrize("answer", [None, [], [0], {}, [1, b"k", []], [1, b"k", [b"distance", b"x", b"stored", b"[]"]]])
async def test_an_odd_answer_finds_nothing(answer: Any) -> None:
    assert await keys(shared(Answers(answer)), REFUND, "p") == []


async def test_what_is_far_away_is_left_out() -> None:
    fields = [b"distance", b"0.9", b"stored", b'["k", "s", "t"]']
    assert await keys(shared(Answers([1, b"k", fields])), REFUND, "p") == []
    fields[1] = b"0.25"
    assert await keys(shared(Answers([1, b"k", fields])), REFUND, "p") == ["k"]
