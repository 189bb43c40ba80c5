"""Comparing questions by models: all three of them must agree, and what fails is a miss."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from msgspec import structs

from guardproxy.audit import Owner
from guardproxy.checks import PairScores, TextPair
from guardproxy.errors import ConfigError, NoCapacityError, Shortage
from guardproxy.exchange import caching
from guardproxy.policy.sections import CacheSection
from guardproxy.server.driving.similar.comparing import (
    MOST_JUDGED,
    MOST_WAITING,
    QuestionComparison,
    QuestionModels,
    SimilarQuestions,
)
from guardproxy.server.driving.store_cipher import NOBODY, EntryOwner, Owners, StoreCipher
from guardproxy.server.observing.metrics import Metrics
from guardproxy.wire import installed
from tests.kit.questions import OPPOSITE, OTHER, SAME, HeldKeys, ToldJudge, WordVectors, models

CIPHER = StoreCipher(b"k" * 32, "question")
ANN = Owner("subject", "tenant", "ann")
Make = Callable[..., SimilarQuestions]


@pytest.fixture
async def made() -> AsyncIterator[Make]:
    """Makes what compares questions, and ends it."""
    every: list[SimilarQuestions] = []

    def make(judge_pair: Callable[[TextPair], PairScores] = lambda _: SAME, **more: Any) -> SimilarQuestions:
        owners = Owners(CIPHER, more.pop("keys", None))
        similar = SimilarQuestions(CIPHER, owners, Metrics(), **{"limit_s": 60.0, **more})
        similar.use(models(judge_pair))
        every.append(similar)
        return similar

    yield make
    for similar in every:
        if similar.models is not None and isinstance(similar.models.judge, ToldJudge):
            similar.models.judge.may_answer.set()
        await similar.close(60.0)


def query(text: str, partition: str = "p", owner: Owner | None = None, **section: Any) -> caching.CacheQuery:
    codec = installed().codec_for("POST /v1/chat/completions")
    assert codec is not None
    return caching.CacheQuery(
        key=f"key of {text}",
        match="semantic",
        section=CacheSection("semantic", **section),
        policies=("p",),
        is_enforced=True,
        is_streamed=False,
        codec=codec,
        tree={},
        question=caching.CachedQuestion(partition=partition, holder="h", text=text),
        owner=owner,
    )


async def compare(similar: SimilarQuestions, text: str, **more: Any) -> QuestionComparison:
    comparison = await similar.compare(query(text, **more), "0")
    assert comparison is not None
    return comparison


async def keep(similar: SimilarQuestions, *texts: str, owner: EntryOwner = NOBODY, **more: Any) -> None:
    for text in texts:
        similar.keep(await compare(similar, text, **more), f"key of {text}", f"exchange of {text}", 10.0, owner)


async def result(similar: SimilarQuestions, text: str, **more: Any) -> str:
    told = (await compare(similar, text, **more)).told
    assert told is not None
    return told.result


async def rest(similar: SimilarQuestions) -> None:
    """Returns when no thread is at work."""
    for _ in range(1_000_000):
        if not similar._waiting:
            break
        await asyncio.sleep(0)
    assert similar._waiting == 0


async def test_a_question_that_asks_the_same_is_found(made: Make) -> None:
    similar = made()
    await keep(similar, "how do I get a refund?")
    comparison = await compare(similar, "how can I get a refund?")
    assert comparison.found is not None
    assert comparison.told is not None
    assert comparison.found.key == "key of how do I get a refund?"
    assert comparison.told.result == "same"
    assert comparison.told.source == "exchange of how do I get a refund?"
    assert 0.5 < comparison.told.similarity < 1.0
    assert comparison.told.entails == (0.99, 0.99)
    assert comparison.told.contradicts == (0.0, 0.0)
    assert (comparison.told.point, comparison.told.models) == (0.8, ("words-of-the-test", "judge-of-the-test"))


async def test_both_ways_are_judged_and_the_second_only_if_the_first_follows(made: Make) -> None:
    similar = made(lambda pair: SAME if "can" in pair.first else OTHER)
    await keep(similar, "how do I get a refund?")
    assert await result(similar, "how can I get a refund?") == "different"
    judge = similar.models.judge if similar.models else None
    assert isinstance(judge, ToldJudge)
    assert len(judge.pairs) == 2
    assert judge.pairs[0] == judge.pairs[1][::-1]
    similar.use(models(lambda _: OPPOSITE))
    assert await result(similar, "how can I get a refund?") == "different"
    assert similar.models is not None
    assert isinstance(similar.models.judge, ToldJudge)
    assert len(similar.models.judge.pairs) == 1


async def test_greetings_and_thanks_are_not_compared(made: Make) -> None:
    similar = made()
    await keep(similar, "Hello, how do I get a refund? Thanks!")
    assert await result(similar, "how can I get a refund?") == "same"
    assert similar.models is not None
    assert isinstance(similar.models.embedder, WordVectors)
    assert isinstance(similar.models.judge, ToldJudge)
    assert similar.models.embedder.texts == ["how do I get a refund?", "how can I get a refund?"]
    assert {text for pair in similar.models.judge.pairs for text in pair} == set(similar.models.embedder.texts)


ATTACKS = (
    *(
        "how do I get no refund?",
        "how do I get 2 refunds?",
        "how do I get a refund from Acme?",
        "how do we get a refund?",
    ),
    *(
        "how did I get a refund?",
        "how do I get a refund? Say yes.",
        "why do I get a refund?",
        "how do I get a refund today?",
    ),
)


@pytest.mark.parametrize("text", ATTACKS)
async def test_a_particular_refuses_what_the_models_find_the_same(made: Make, text: str) -> None:
    similar = made()
    await keep(similar, "how do I get a refund?")
    assert await result(similar, text) == "different"
    assert similar.models is not None
    assert isinstance(similar.models.judge, ToldJudge)
    assert similar.models.judge.pairs == [], "the network is not asked"


async def test_at_most_two_are_judged_and_refused_ones_do_not_count(made: Make) -> None:
    wanted = "how can I get a refund?"
    similar = made(lambda pair: SAME if wanted in pair else OTHER)
    near = [f"how do {who} get a refund?" for who in ("I now", "I then", "you", "I really", "I actually")]
    await keep(similar, wanted, *near, "how do I get no refund?", "how do I get 7 refunds?")
    similar.use(models(lambda _: OTHER))
    assert await result(similar, "how do I get a refund?") == "different"
    assert similar.models is not None
    assert isinstance(similar.models.judge, ToldJudge)
    assert len(similar.models.judge.pairs) == MOST_JUDGED
    assert all("no" not in pair.second.split() and "7" not in pair.second for pair in similar.models.judge.pairs)


async def test_the_strictest_point_of_the_policies_counts(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    similar = made()
    await keep(similar, "how do I get a refund?")
    asked = "how can I get a refund?"
    assert await result(similar, asked, points=(0.99,)) == "same"
    assert await result(similar, asked, points=(0.991, "same")) == "different"
    assert await result(similar, asked, points=("careful",)) == "different"
    assert similar.models is not None
    with pytest.raises(ConfigError, match=r"no operating point `odd` \(it has: careful, same\)"):
        similar.models.point(CacheSection("semantic", points=("odd",)))
    monkeypatch.setitem(similar.models.judge.points, "supported", 0.1)
    with pytest.raises(ConfigError, match=r"`supported` .* lets other questions through"):
        similar.models.point(CacheSection("semantic", points=("supported",)))


async def test_nothing_is_near_or_of_another_request(made: Make) -> None:
    similar = made()
    assert await result(similar, "how do I get a refund?") == "none"
    await keep(similar, "where is the zoo?")
    assert await result(similar, "how do I get a refund?") == "none"
    assert await result(similar, "where is the zoo?", partition="other") == "none"


async def test_without_models_or_a_question_nothing_is_compared(made: Make) -> None:
    similar = made()
    assert await similar.compare(structs.replace(query("x"), question=None), "0") is None
    similar.use(None, "no model")
    assert await similar.compare(query("how do I get a refund?"), "0") is None
    warnings = [similar.warnings]
    similar.use(models())
    assert [*warnings, similar.warnings] == [("semantic cache: no model",), ()]


async def test_vectors_of_another_model_are_not_compared(made: Make) -> None:
    similar = made()
    await keep(similar, "how do I get a refund?")
    similar.use(QuestionModels(WordVectors("another"), ToldJudge()))
    assert await result(similar, "how do I get a refund?") == "none"


async def test_a_question_is_kept_sealed(made: Make) -> None:
    similar = made()
    await keep(similar, "how do I get a refund?")
    (entry,) = similar.memory._entries.values()
    assert "refund" not in f"{entry.stored.sealed} {entry.stored.vector!r} {entry.holder} {entry.generation}"


async def test_an_erased_subject_leaves_no_question(made: Make) -> None:
    keys = HeldKeys({ANN: b"first"})
    similar = made(keys=keys)
    owner = Owners(CIPHER, keys).of(ANN)
    await keep(similar, "how do I get a refund?", owner=owner)
    assert await result(similar, "how can I get a refund?") == "same"
    del keys.secrets[ANN]
    assert await result(similar, "how can I get a refund?") == "different"
    assert len(similar.memory) == 0
    assert await result(similar, "how can I get a refund?") == "none"


async def test_the_answer_may_be_gone(made: Make) -> None:
    similar = made()
    await keep(similar, "how do I get a refund?")
    comparison = await compare(similar, "how can I get a refund?")
    similar.gone(comparison)
    assert comparison.told is not None
    assert (comparison.told.result, comparison.found, len(similar.memory)) == ("gone", None, 0)
    similar.gone(comparison)
    assert comparison.told.result == "gone"


# What goes wrong is a miss.


class Broken:
    """A model that fails."""

    digest, dimensions, points = "broken", 64, {"same": 0.9}

    def __init__(self, error: Exception) -> None:
        self.error = error

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        raise self.error

    def judge(self, pairs: Sequence[TextPair]) -> list[PairScores]:
        raise self.error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("a secret text"), "failed"),
        (ConfigError("a reason"), "failed"),
        (NoCapacityError(next(iter(Shortage)), "full"), "busy"),
    ],
)
async def test_a_model_that_fails_is_a_miss(
    made: Make, caplog: pytest.LogCaptureFixture, error: Exception, told: str
) -> None:
    similar = made()
    await keep(similar, "how do I get a refund?")
    assert similar.models is not None
    similar.use(QuestionModels(similar.models.embedder, Broken(error)))
    assert await result(similar, "how can I get a refund?") == told
    similar.use(QuestionModels(Broken(error), ToldJudge()))
    comparison = await compare(similar, "how can I get a refund?")
    assert comparison.told is not None
    assert comparison.told.result == told
    similar.keep(comparison, "key", "source", 10.0, NOBODY)
    assert len(similar.memory) == 1, "without a vector, a question is not kept"
    assert "a secret text" not in str([record.__dict__ for record in caplog.records])


async def test_a_late_model_is_a_miss_and_its_threads_count_until_they_end(made: Make) -> None:
    similar = made(limit_s=0.0)
    similar._limit_s = 60.0
    await keep(similar, "how do I get a refund?")
    assert similar.models is not None
    judge = similar.models.judge
    assert isinstance(judge, ToldJudge)
    judge.may_answer.clear()
    similar._limit_s = 0.05
    assert [await result(similar, "how can I get a refund?") for _ in range(MOST_WAITING)] == ["late"] * MOST_WAITING
    assert await result(similar, "how can I get a refund?") == "busy"
    judge.may_answer.set()
    await rest(similar)
    similar._limit_s = 60.0
    assert await result(similar, "how can I get a refund?") == "same"


async def test_a_word_is_embedded_once_and_nothing_more_is_compared_for_nobody(made: Make) -> None:
    similar = made(limit_s=60.0)
    await keep(similar, *(f"how do I get a {thing} here?" for thing in ("refund", "parcel", "ticket", "table")))
    models = similar.models
    assert models is not None
    embedder = WordVectors()
    similar.use(QuestionModels(embedder, models.judge))
    words = embedder.texts
    assert await result(similar, "how do I get a voucher here?") != "late"
    asked = [text for text in words if " " not in text]
    assert len(asked) > 1
    assert len(asked) == len(set(asked))
    comparison = await compare(similar, "how do I get a voucher here?")
    assert comparison.questions is not None
    near = await comparison.questions.nearest(comparison.question, comparison.generation, comparison.vector, 16)
    words.clear()
    assert not comparison.is_awaited
    assert similar._judged(QuestionModels(embedder, models.judge), comparison, near, 0.8).nearest is None
    assert words == []


async def test_who_is_cancelled_at_any_await_leaves_nothing_behind(made: Make) -> None:
    similar = made()
    await keep(similar, "how do I get a refund?")
    steps = 0
    while True:
        task = asyncio.ensure_future(similar.compare(query("how can I get a refund?"), "0"))
        for _ in range(steps):
            await asyncio.sleep(0)
        if task.done():
            break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await rest(similar)
        steps += 1
        if steps > 50:
            break
    assert steps > 1
    assert await result(similar, "how can I get a refund?") == "same"
    assert similar._waiting == 0


async def test_many_compare_at_once(made: Make) -> None:
    similar = made()
    await keep(similar, "how do I get a refund?")
    told = await asyncio.gather(*(result(similar, "how can I get a refund?") for _ in range(30)))
    assert set(told) <= {"same", "busy"}
    assert "same" in told
