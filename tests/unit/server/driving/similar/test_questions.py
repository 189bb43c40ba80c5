"""Questions whose answers are stored, in this process: which are near, which go first, and what they cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.exchange import caching
from guardproxy.server.driving.similar.questions import (
    LEAST_COSINE,
    MemoryQuestions,
    StoredQuestion,
    hidden,
    nearest,
)
from tests.kit.questions import DIMENSIONS, vector


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def at_once(work: Callable[..., Any], *arguments: Any) -> Any:
    return work(*arguments)


def question(partition: str = "p", holder: str = "h", text: str = "") -> caching.CachedQuestion:
    return caching.CachedQuestion(partition=partition, holder=holder, text=text)


def stored(key: str, text: str = "how do i pay") -> StoredQuestion:
    return StoredQuestion(key, f"exchange of {key}", vector(text), "sealed")


async def keys(
    questions: MemoryQuestions, text: str, partition: str = "p", generation: str = "0", most: int = 8
) -> list[str]:
    found = await questions.nearest(question(partition), generation, vector(text), most)
    return [near.stored.key for near in found]


async def test_the_nearest_questions_of_the_partition_come_first() -> None:
    questions = MemoryQuestions(at_once, Clock())
    for key, text in (("a", "how do i pay by card"), ("b", "how do i pay"), ("c", "where is the zoo")):
        questions.put(question(), "0", stored(key, text), 10.0)
    questions.put(question("other"), "0", stored("d"), 10.0)
    assert await keys(questions, "how do i pay") == ["b", "a"]
    assert await keys(questions, "how do i pay", most=1) == ["b"]
    assert await keys(questions, "how do i pay", "other") == ["d"]
    assert await keys(questions, "how do i pay", "none") == []
    assert await keys(questions, "how do i pay", generation="1") == [], "a purge began a new generation"
    found = await questions.nearest(question(), "0", vector("how do i pay"), 8)
    assert found[0].similarity == pytest.approx(1.0, abs=0.03)
    assert all(near.similarity >= LEAST_COSINE for near in found)


async def test_a_question_lives_as_long_as_its_answer() -> None:
    clock = Clock()
    questions = MemoryQuestions(at_once, clock)
    questions.put(question(), "0", stored("a"), 10.0)
    clock.now_s = 9.9
    assert await keys(questions, "how do i pay") == ["a"]
    clock.now_s = 10.0
    assert await keys(questions, "how do i pay") == []
    questions.put(question(), "0", stored("b"), 10.0)
    assert len(questions) == 1, "what is over makes room"
    questions.drop(question(), stored("b"))
    questions.drop(question(), stored("b"))
    assert len(questions) == 0


async def test_the_question_that_was_used_longest_ago_goes_first() -> None:
    questions = MemoryQuestions(at_once, Clock(), limit=4)
    for number in range(4):
        questions.put(question(holder=str(number)), "0", stored(str(number), f"word{number}"), 10.0)
    assert await keys(questions, "word0") == ["0"]
    questions.put(question(holder="9"), "0", stored("new", "word9"), 10.0)
    assert (len(questions), questions.evicted) == (4, 1)
    assert (await keys(questions, "word0"), await keys(questions, "word1")) == (["0"], [])
    questions.put(question(holder="9"), "0", stored("new", "word9"), 10.0)
    assert (len(questions), questions.evicted) == (4, 1)
    questions.purge()
    assert (len(questions), await keys(questions, "word0")) == (0, [])


async def test_one_holder_does_not_push_out_the_others() -> None:
    questions = MemoryQuestions(at_once, Clock(), limit=16)
    questions.put(question("quiet", "quiet"), "0", stored("q"), 10.0)
    for number in range(100):
        questions.put(question(f"p{number % 7}", "loud"), "0", stored(str(number)), 10.0)
    assert len(questions) == 1 + 4
    assert await keys(questions, "how do i pay", "quiet") == ["q"]


async def test_a_question_that_went_during_the_search_is_not_found() -> None:
    async def dropping(work: Callable[..., Any], *arguments: Any) -> Any:
        found = work(*arguments)
        questions.drop(question(), stored("a"))
        return found

    questions = MemoryQuestions(dropping, Clock())
    questions.put(question(), "0", stored("a"), 10.0)
    questions.put(question(), "0", stored("b"), 10.0)
    assert await keys(questions, "how do i pay") == ["b"]


async def test_all_questions_of_a_large_partition_are_searched() -> None:
    questions = MemoryQuestions(at_once, Clock(), limit=40_000)
    for number in range(9_000):
        questions.put(question(), "0", StoredQuestion(str(number), "", vector(f"a b c d{number % 500}"), ""), 10.0)
    wanted = StoredQuestion("wanted", "", vector("quite another question"), "")
    questions.put(question(), "0", wanted, 10.0)
    assert (await keys(questions, "quite another question"))[0] == "wanted"


VECTORS = st.lists(st.integers(-127, 127), min_size=DIMENSIONS, max_size=DIMENSIONS)


def as_bytes(numbers: list[int]) -> bytes:
    return bytes(numpy.array(numbers, numpy.int8).tobytes())


def product(one: bytes, other: bytes) -> int:
    first, second = (numpy.frombuffer(numbers, numpy.int8).astype(int) for numbers in (one, other))
    return int(first @ second)


@settings(max_examples=40)
@given(VECTORS, VECTORS, st.binary(min_size=1, max_size=40))
def test_hidden_vectors_have_the_same_products(one: list[int], other: list[int], secret: bytes) -> None:
    first, second = as_bytes(one), as_bytes(other)
    assert product(hidden(first, secret), hidden(second, secret)) == product(first, second)
    assert hidden(first, secret) == hidden(first, secret)


def test_a_hidden_vector_tells_nothing_to_who_compares_it() -> None:
    plain = vector("how do i get a refund for a broken lamp from your shop")
    assert abs(product(hidden(plain, b"secret"), plain)) < product(plain, plain) / 2
    assert hidden(plain, b"secret") != hidden(plain, b"another")


@settings(max_examples=30)
@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8), st.integers(1, 5))
def test_the_result_depends_on_the_vectors_alone(words: list[str], most: int) -> None:
    from guardproxy.server.driving.similar.questions import _Entry

    texts = [f"{word} {other}" for word in words for other in "abcdefgh"]
    entries = [_Entry(StoredQuestion(text, "", vector(text), ""), "h", "0", 10.0) for text in texts]
    near = nearest(entries, "0", 0.0, vector("a b"), most)
    cosines = sorted((product(vector(text), vector("a b")) for text in texts), reverse=True)[:most]
    assert [round(cosine / 127**2, 4) for cosine in cosines if cosine / 127**2 >= LEAST_COSINE] == pytest.approx(
        [similarity for _, similarity in near], abs=0.0002
    )
