"""The judge of pairs: scores are a function of two texts, whatever runs beside them, and waiting is bounded."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from guardproxy.checks import PairScores, TextPair
from guardproxy.errors import ConfigError
from guardproxy.inference.models import Models, Settings, load_pairs
from guardproxy.inference.pairs.judge import ModelPairJudge
from guardproxy.inference.running.batching import QueueFull, Row
from guardproxy.inference.running.meters import Registry
from tests.kit.pair_models import CONFIG, pair_folder, pair_model

WORDS = st.lists(st.sampled_from(["the", "cat", "dog", "sat", "not", "a", "24", "months", "word"]), max_size=40).map(
    " ".join
)
PAIRS = st.builds(TextPair, WORDS, WORDS)


class Held:
    """A network whose logits are what a row sums up to. It waits for `hold`."""

    provider = "test"
    budget = 1
    workers = 1

    def __init__(self) -> None:
        self.hold = Event()
        self.hold.set()
        self.begun = Event()
        self.ran: list[Row] = []
        self.wrong = False

    def run(self, rows: Sequence[Row]) -> list[list[float]]:
        self.begun.set()
        assert self.hold.wait(10)
        if self.wrong:
            raise RuntimeError("the provider failed")
        self.ran += rows
        return [[float(sum(row) % 7), float(len(row)), 1.0] for row in rows]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def network() -> Held:
    return Held()


@pytest.fixture
def judge(network: Held) -> Iterator[ModelPairJudge]:
    made = ModelPairJudge(pair_model(), lambda last: network, Registry().meters("pairs"), 2, 100)
    network.ran.clear()
    network.begun.clear()
    yield made
    network.hold.set()
    made.close()


@given(st.lists(PAIRS, max_size=6), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_scores_depend_on_the_two_texts_alone(pairs: list[TextPair], rng: object) -> None:
    """Alone, beside others, in another order, remembered and not, the scores are equal to the bit."""
    cold, warm = (_real(remembered) for remembered in (0, 1000))
    alone = [cold.judge([pair])[0] for pair in pairs]
    assert warm.judge(pairs) == alone
    assert warm.judge(pairs[::-1]) == alone[::-1]
    assert cold.judge([*pairs, *pairs[::-1]]) == [*alone, *alone[::-1]]
    assert all(abs(sum(scores) - 1) < 2e-6 for scores in alone)


_KEPT: dict[int, ModelPairJudge] = {}


def _real(remembered: int) -> ModelPairJudge:
    if remembered not in _KEPT:
        _KEPT[remembered] = load_pairs(pair_model().folder, Settings(workers=2, remembered=remembered))
    return _KEPT[remembered]


def test_what_a_judge_says_of_itself() -> None:
    judge = _real(0)
    assert (judge.digest, judge.points, judge.provider) == (
        pair_model().digest,
        CONFIG["operating_points"],
        "CPUExecutionProvider",
    )
    assert judge.own_s(1000) > 0
    assert judge.wait_s(1000) == 0
    assert judge.fill() == 0


def test_the_order_of_the_texts_matters() -> None:
    one, other = _real(0).judge([TextPair("a cat", "the dog"), TextPair("the dog", "a cat")])
    assert one != other


def test_a_pair_runs_once(judge: ModelPairJudge, network: Held) -> None:
    pair, other = TextPair("a cat", "sat"), TextPair("the dog", "sat")
    first = judge.judge([pair, pair, other, pair])
    assert len(network.ran) == 2
    assert judge.judge([pair, other]) == [first[0], first[2]]
    assert len(network.ran) == 2
    assert (judge.meters.hits._value.get(), judge.meters.misses._value.get()) == (2, 2)


def test_rows_that_are_equal_give_each_pair_its_scores(judge: ModelPairJudge) -> None:
    """Two texts that differ in what the tokenizer drops have the same row."""
    one, other = judge.judge([TextPair("A Cat", "sat"), TextPair("a cat", "sat")])
    assert one == other


def test_no_pairs_are_judged_at_once(judge: ModelPairJudge) -> None:
    assert judge.judge([]) == []


def test_two_that_ask_at_the_same_time_get_the_same(judge: ModelPairJudge, network: Held) -> None:
    network.hold.clear()
    pair, other = TextPair("a cat", "sat"), TextPair("the dog", "sat")
    first = judge.submit([other])
    assert network.begun.wait(10)
    answers = [judge.submit([pair]), judge.submit([pair])]
    network.hold.set()
    assert answers[0].result(10) == answers[1].result(10)
    assert first.result(10) == judge.judge([other])
    assert len(network.ran) == 2


def test_who_would_wait_too_long_is_refused(judge: ModelPairJudge, network: Held) -> None:
    network.hold.clear()
    waiting = [judge.submit([TextPair("first", "")])]
    assert network.begun.wait(10)
    waiting += [judge.submit([TextPair(text, "")]) for text in ("second", "third")]
    with pytest.raises(QueueFull):
        judge.judge([TextPair("fourth", "")])
    waiting[1].cancel()
    waiting.append(judge.submit([TextPair("fourth", "")]))
    network.hold.set()
    assert [len(answer.result(10)) for answer in waiting if not answer.cancelled()] == [1, 1, 1]
    assert len(network.ran) == 3


def test_an_error_of_the_network_reaches_the_caller(judge: ModelPairJudge, network: Held) -> None:
    network.wrong = True
    with pytest.raises(RuntimeError):
        judge.judge([TextPair("a", "b"), TextPair("c", "d")])
    network.wrong = False
    assert len(judge.judge([TextPair("a", "b")])) == 1


def test_a_network_with_other_outputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must have 3 outputs"):
        load_pairs(pair_folder(tmp_path, outputs=2))


def test_a_judge_is_loaded_once_and_freed_with_its_last_user(tmp_path: Path) -> None:
    pair_folder(tmp_path / "mine")
    models = Models((tmp_path,), Settings(workers=1), Registry(CollectorRegistry()))
    judge = models.pairs("mine")
    assert models.pairs("mine") is judge
    pair_folder(tmp_path / "mine", {**CONFIG, "version": "4"})
    assert models.pairs("mine").digest != judge.digest
    gone = weakref.ref(judge)
    del judge
    gc.collect()
    assert gone() is None
    with pytest.raises(ConfigError, match="no model `unknown`"):
        models.pairs("unknown")


def test_many_threads_may_ask() -> None:
    pairs = [TextPair(f"{number} cats", "sat") for number in range(8)]
    wanted = _real(0).judge(pairs)
    with ThreadPoolExecutor(4) as pool:
        found: list[list[PairScores]] = list(pool.map(lambda _: _real(0).judge(pairs), range(4)))
    assert found == [wanted] * 4
