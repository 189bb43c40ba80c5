"""A model that reads pieces: texts are judged once, in slices, and a first stage clears pieces. The network is made up."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from guardproxy.checks._shared.declared.contract import Query
from guardproxy.errors import ConfigError
from guardproxy.inference.folders.model import Calibration
from guardproxy.inference.models import load, read
from guardproxy.inference.running.batching import QueueFull, Row
from guardproxy.inference.running.cache import Cache, Verdicts
from guardproxy.inference.running.meters import Registry
from guardproxy.inference.scoring.first_stage import FirstStage
from guardproxy.inference.scoring.reader import ModelReader
from guardproxy.inference.scoring.scorer import ModelScorer, _Job
from models.encoder import write_sums
from tests.kit.piece_models import CONFIG, OUTPUTS, piece_folder, piece_model, with_first_stage
from tests.kit.plain_texts import ATTACKS, ORDINARY, PASSAGE


@cache
def reader(max_tokens: int, overlap: int) -> ModelReader:
    return ModelReader(replace(piece_model(), max_tokens=max_tokens, overlap_tokens=overlap), 6)


@given(st.integers(0, 30_000), st.sampled_from([(256, 64), (16, 0), (16, 7), (128, 63), (512, 255)]))
@example(253, (256, 64))
@example(254, (256, 64))
@example(443, (256, 64))
def test_pieces_cover_every_token_and_overlap(count: int, sizes: tuple[int, int]) -> None:
    """They are as few as possible, of one length, and no longer than they need be: the cost is linear."""
    overlap, room = sizes[1], sizes[0] - 3  # the first, the channel's and the last token
    pieces = reader(*sizes).borders(count)
    assert (pieces[0][0], pieces[-1][1]) == (0, count)
    assert all(before[1] - after[0] >= overlap for before, after in pairwise(pieces))
    assert all(before[0] < after[0] for before, after in pairwise(pieces))
    (length,) = {after - first for first, after in pieces}
    assert length <= room
    most = len(pieces) - 1
    assert most == 0 or count > room + (most - 1) * (room - overlap), "fewer would not do"
    assert len(pieces) * length < count + most * overlap + len(pieces)


def test_a_network_with_other_outputs_than_its_config_is_refused(tmp_path: Path) -> None:
    points = {"a": {"1%": 0.5}, "b": {"1%": 0.5}}
    own = {"outputs": ["a", "b"], "labels": {}, "operating_points": points, "channel_points": {}, "calibration": {}}
    with pytest.raises(ConfigError, match="number of the network's outputs differs"):
        load(piece_folder(tmp_path, CONFIG | own))


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be run"):
        load(piece_folder(tmp_path, model_onnx=b"not a network"))


def test_a_tokenizer_without_the_special_tokens_is_refused(tmp_path: Path) -> None:
    model = {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}
    tokenizer = json.dumps({"version": "1.0", "added_tokens": [], "model": model}).encode()
    with pytest.raises(ConfigError, match="lacks"):
        load(piece_folder(tmp_path, tokenizer_json=tokenizer))


def across(first: float) -> list[float]:
    """Logits of a row: this one for the first output, which is `jailbreak`, and another for each of the others."""
    return [first - column for column in range(len(OUTPUTS))]


class Counting:
    """A network that keeps the rows it ran. A row's first logit is the number of its tokens, less 10."""

    provider = "test"
    budget = 1
    workers = 1

    def __init__(self) -> None:
        self.ran: list[Row] = []
        self.hold = Event()
        self.begun = Event()
        self.hold.set()

    def close(self) -> None:
        self.closed = True

    def run(self, rows: Sequence[Row]) -> list[list[float]]:
        self.begun.set()
        assert self.hold.wait(10)
        self.ran += rows
        return [across(len(row) - 10.0) for row in rows]


def made(
    network: Counting, remembered: int = 1000, queue: int = 10, folder: Path | None = None
) -> tuple[ModelScorer, CollectorRegistry]:
    """A scorer on the network, and what it counts in. The model, where no `folder` is given, has no first stage: every row is
    run."""
    registry = CollectorRegistry()
    meters = Registry(registry).meters("m")
    model = read(folder) if folder else piece_model()
    it = ModelScorer(model, lambda pad, rows: network, meters, queue, remembered)
    network.ran.clear()
    network.begun.clear()
    return it, registry


def ask(text: str, first_stage: bool = True) -> Query:
    return Query(text, ("jailbreak",), first_stage)


def counted(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(f"guardproxy_supervisor_{name}_total", {"model": "m", **labels}) or 0.0


def test_pieces_say_where_they_stand_in_the_text() -> None:
    it, _ = made(Counting())
    text = "\ud800 one two  " + "three four " * 300 + " "
    (pieces,) = it.judge([ask(text)])
    assert pieces[0].start == 0
    assert pieces[-1].end == len(text)
    assert len(pieces) == 3
    for before, after in pairwise(pieces):
        assert text[before.end - 1] != " "
        assert text[after.start - 1] == " "
        assert len(text[after.start : before.end].split()) >= it.model.overlap_tokens == 64, "each word is a token"


def test_a_text_is_judged_once_whoever_asks() -> None:
    network = Counting()
    it, registry = made(network)
    first = it.judge([ask("one"), ask("two"), ask("one")])
    assert len(network.ran) == 2
    assert it.judge([ask("two"), ask("one")]) == [first[1], first[0]]
    assert len(network.ran) == 2
    assert counted(registry, "texts", cache="miss") == 3
    assert counted(registry, "texts", cache="hit") == 2
    assert counted(registry, "pieces", by="encoder") == 2


def test_what_is_asked_twice_at_the_same_time_is_run_once() -> None:
    network = Counting()
    it, _ = made(network)
    network.hold.clear()
    answers = [it.submit([ask("one two")]), it.submit([ask("three"), ask("one two")])]
    network.hold.set()
    assert [answer.result(10) for answer in answers][1][1] == answers[0].result()[0]
    assert len(network.ran) == 2


def test_what_was_judged_meanwhile_is_not_read_again() -> None:
    network = Counting()
    it, _ = made(network)
    network.hold.clear()
    answers = [it.submit([ask("busy")])]
    assert network.begun.wait(10)
    answers += [it.submit([ask("same words")]) for _ in range(2)]
    network.hold.set()
    assert [answer.result(10) for answer in answers][1] == answers[2].result()
    assert len(network.ran) == 2


def test_equal_pieces_of_a_text_are_run_once() -> None:
    network = Counting()
    it, _ = made(network, remembered=0)
    (pieces,) = it.judge([ask("word " * 253 + "word " * (253 - it.model.overlap_tokens) * 3)])
    assert (len(pieces), len(network.ran)) == (4, 1)


def test_what_is_cancelled_is_not_run() -> None:
    network = Counting()
    it, registry = made(network)
    network.hold.clear()
    busy = it.submit([ask("busy")])
    assert network.begun.wait(10)
    gone, here = it.submit([ask("gone")]), it.submit([ask("here")])
    assert gone.cancel()
    network.hold.set()
    assert busy.result(10)
    assert here.result(10)
    assert [it.reader.row(it.reader.pieces(text)[0].ids) for text in ("busy", "here")] == network.ran
    assert counted(registry, "dropped") == 1


def test_a_full_queue_refuses_and_what_is_known_needs_no_queue() -> None:
    network = Counting()
    it, registry = made(network, queue=1)
    it.judge([ask("known")])
    network.hold.clear()
    network.begun.clear()
    waiting = [it.submit([ask("busy")])]
    assert network.begun.wait(10)
    waiting.append(it.submit([ask("one")]))
    with pytest.raises(QueueFull):
        it.submit([ask("two")])
    assert it.submit([ask("known")]).done()
    assert counted(registry, "refused") == 1
    network.hold.set()
    assert all(one.result(10) for one in waiting)


def test_a_text_of_any_length_is_judged_in_slices_that_others_come_between() -> None:
    """50,000 words take a place in the queue like three words, which wait for two rows of the long text."""
    network = Counting()
    it, _ = made(network, queue=3)
    network.hold.clear()
    text = " ".join(str(number % 997) for number in range(50_000))
    long = it.submit([ask(text)])
    assert network.begun.wait(10)
    short = it.submit([ask("one two three")])
    network.hold.set()
    assert short.result(10)
    (pieces,) = long.result(60)
    own = it.reader.row(it.reader.pieces("one two three")[0].ids)
    assert network.ran.index(own) <= 2
    assert pieces[-1].end == len(text)
    assert len(network.ran) == len(pieces) + 1 > 250


def test_a_network_that_gives_too_few_numbers_is_an_error_of_those_who_asked() -> None:
    network = Counting()
    it, _ = made(network)
    network.run = lambda rows: [[] for _ in rows]  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="gave 0 numbers for a row"):
        it.judge([ask("one")])


def test_the_first_stage_clears_what_is_below_its_threshold(tmp_path: Path) -> None:
    network = Counting()
    it, registry = made(network, folder=with_first_stage(tmp_path))
    fine, attack = "one two three four five six seven eight nine", "one attack three four five six seven eight nine"
    scores = [pieces[0].scores["jailbreak"] for pieces in it.judge([ask(fine), ask(attack)])]
    assert scores == [0.0, it.reader.scores(across(1.0))[0]]
    assert len(network.ran) == 1
    assert counted(registry, "pieces", by="first_stage") == 1
    assert it.judge([ask(fine)])[0][0].scores == {"jailbreak": 0.0}
    assert len(network.ran) == 1


def test_a_policy_may_do_without_the_first_stage_and_changes_no_other_answer(tmp_path: Path) -> None:
    network = Counting()
    it, _ = made(network, folder=with_first_stage(tmp_path))
    text = "one two three four five six seven eight nine ten"
    assert it.judge([ask(text)])[0][0].scores == {"jailbreak": 0.0}
    without = it.judge([ask(text, first_stage=False)])[0][0].scores
    assert without["jailbreak"] > 0
    assert it.judge([ask(text)])[0][0].scores == {"jailbreak": 0.0}, "though the encoder's score is known by now"
    assert it.judge([ask(text, first_stage=False)])[0][0].scores == without
    assert len(network.ran) == 1


def test_each_piece_of_a_long_text_is_cleared_by_itself(tmp_path: Path) -> None:
    network = Counting()
    it, _ = made(network, folder=with_first_stage(tmp_path))
    (pieces,) = it.judge([ask("word " * 600 + "attack")])
    assert [piece.scores["jailbreak"] > 0 for piece in pieces] == [False, False, True]
    assert len(network.ran) == 1


def test_a_query_for_an_output_that_is_never_cleared_is_judged(tmp_path: Path) -> None:
    network = Counting()
    it, _ = made(network, folder=with_first_stage(tmp_path))
    other = it.outputs[1]
    (pieces,) = it.judge([Query("one two three", ("jailbreak", other))])
    assert not pieces[0].cleared
    assert len(network.ran) == 1


def test_the_first_stage_reads_a_text_only_for_queries_that_it_may_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it, _ = made(Counting(), folder=with_first_stage(tmp_path))
    read_rows: list[Row] = []
    estimates = FirstStage.estimates

    def watched(stage: FirstStage, row: Sequence[int]) -> tuple[float, ...]:
        read_rows.append(tuple(row))
        return estimates(stage, row)

    monkeypatch.setattr(FirstStage, "estimates", watched)
    without, other = ask("one two three", first_stage=False), Query("one two three", ("jailbreak", it.outputs[1]))
    encoded = it.judge([without])
    it.judge([other])
    assert read_rows == []
    (cleared,) = it.judge([ask("one two three")])
    assert (len(read_rows), cleared[0].cleared, cleared[0].scores) == (1, True, {"jailbreak": 0.0})
    assert it.judge([without, ask("one two three")]) == [encoded[0], cleared]
    assert len(read_rows) == 1


def test_a_text_that_the_first_stage_reads_delays_no_other_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Counting()
    network.workers = 2
    it, _ = made(network, folder=with_first_stage(tmp_path))
    begun, hold = Event(), Event()
    estimates = FirstStage.estimates

    def slow(stage: FirstStage, row: Sequence[int]) -> tuple[float, ...]:
        if len(row) > 20:
            begun.set()
            assert hold.wait(10)
        return estimates(stage, row)

    monkeypatch.setattr(FirstStage, "estimates", slow)
    long = it.submit([ask("word " * 100)])
    assert begun.wait(10)
    assert it.judge([ask("one attack three")])
    assert not long.done()
    hold.set()
    assert long.result(10)


def test_a_cleared_piece_says_so_and_has_its_estimate(tmp_path: Path) -> None:
    it, _ = made(Counting(), folder=with_first_stage(tmp_path))
    fine, attack = it.judge([ask("one two three"), ask("one attack three")])
    assert [(piece.cleared, piece.scores) for piece in fine] == [(True, {"jailbreak": 0.0})]
    assert [piece.cleared for piece in attack] == [False]


def test_a_broken_first_stage_is_refused(tmp_path: Path) -> None:
    with_first_stage(tmp_path)
    with (tmp_path / "first_stage.onnx").open("ab") as file:
        file.write(b" ")
    with pytest.raises(ConfigError, match=r"first_stage\.onnx does not match SHA256SUMS"):
        load(tmp_path)
    (tmp_path / "first_stage.onnx").write_bytes(b"not a network")
    write_sums(tmp_path, ("model.onnx", "tokenizer.json", "config.json", "first_stage.onnx"))
    with pytest.raises(ConfigError, match=r"first_stage\.onnx cannot be run"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("activation", "logits", "scores"),
    [
        ("sigmoid", [2.0, 0.0], (0.880797, 0.119203)),
        ("softmax", [2.0, 0.5], (0.952574, 0.047426)),
        ("sigmoid", [1e9, -1e9], (1.0, 0.0)),
        ("softmax", [1e9, -1e9], (1.0, 0.0)),
    ],
)
def test_scores_are_the_activation_of_scaled_logits(
    activation: Any, logits: list[float], scores: tuple[float, ...]
) -> None:
    model = replace(
        piece_model(),
        outputs=("a", "b"),
        activation=activation,
        calibration={"a": Calibration(), "b": Calibration(1.0, 0.5)},
    )
    found = ModelReader(model, 6).scores(logits)
    assert found == pytest.approx(scores, abs=1e-6)
    assert all(round(score, 6) == score for score in found)


@given(st.floats(0, 3), st.integers(1, 1000), st.floats(-5, 5), st.integers(0, 40))
def test_a_piece_of_a_long_text_needs_a_higher_logit(correction: float, pieces: int, logit: float, most: int) -> None:
    model = replace(
        piece_model(),
        outputs=("a",),
        calibration={"a": Calibration(1.0, 2.0)},
        length_correction=correction,
        length_pieces=most,
    )
    it = ModelReader(model, 6)
    assert it.scores([logit], pieces) == it.scores(
        [logit - correction * math.log(min(pieces, most) if most else pieces)]
    )
    assert it.scores([logit], 1) == it.scores([logit])


class Even(Counting):
    """All its logits are 0."""

    def run(self, rows: Sequence[Row]) -> list[list[float]]:
        return [[0.0] * len(OUTPUTS) for _ in super().run(rows)]


def test_a_row_that_two_texts_share_is_scored_by_the_length_of_each() -> None:
    """It is all of a short text, and each of the three pieces of a long one."""
    network = Even()
    it, _ = made(network, remembered=0)
    long = "word " * 253 + "word " * (253 - it.model.overlap_tokens) * 2
    (alone,), parts = it.judge([ask("word " * 253), ask(long)])
    assert (len(parts), len(set(network.ran))) == (3, 1)
    one, three = it.reader.scores([0.0] * len(OUTPUTS))[0], it.reader.scores([0.0] * len(OUTPUTS), 3)[0]
    assert alone.scores["jailbreak"] == one > three
    assert {part.scores["jailbreak"] for part in parts} == {three}


def test_what_was_not_judged_is_never_taken_for_harmless(tmp_path: Path) -> None:
    reader = ModelReader(read(with_first_stage(tmp_path)), 6)
    for first in ([], [(1.0,) * len(OUTPUTS)], [(0.0,) * len(OUTPUTS)]):
        with pytest.raises(ValueError, match="not judged"):
            reader.answer(Verdicts([(0, 1)], first, [None]), ask("x", first_stage=False))
    unread = (Verdicts(), Verdicts([(0, 1)], [], [None]), Verdicts([(0, 1)], [(1.0,) * len(OUTPUTS)], [None]))
    for verdicts in unread:
        with pytest.raises(ValueError, match="not judged"):
            reader.answer(verdicts, ask("x"))


def test_an_answer_that_cannot_be_given_is_an_error_of_those_who_wait() -> None:
    it, _ = made(Counting())
    job = _Job(it, [ask("one")])
    job.end()
    with pytest.raises(ValueError, match="not judged"):
        job.answer.result(0)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelScorer, ModelScorer]:
    """Two scorers of one model; the first remembers nothing, the second is given what it remembers."""
    folder = with_first_stage(tmp_path_factory.mktemp("model"))
    return made(Plain(), 0, 100, folder)[0], made(Plain(), 0, 100, folder)[0]


class Plain(Counting):
    """Two workers, and logits that are different for every row."""

    workers = 2

    def run(self, rows: Sequence[Row]) -> list[list[float]]:
        return [across(sum(row) % 17 - 8.0) for row in rows]


# The first stage clears some pieces of the last text and not the others.
MIXED = PASSAGE * 12 + "attack " + PASSAGE * 24
lines = st.sampled_from([*ATTACKS[:4], *ORDINARY[:4], PASSAGE * 12, "", " ", "attack attack", MIXED])


@settings(max_examples=60, deadline=None)
@given(asked=st.lists(st.tuples(lines, st.booleans()), max_size=12), remembered=st.integers(0, 6))
def test_answers_do_not_depend_on_what_was_asked_before(
    pair: tuple[ModelScorer, ModelScorer], asked: list[tuple[str, bool]], remembered: int
) -> None:
    fresh, shared = pair
    shared.cache = Cache(remembered)
    queries = [ask(text, first_stage) for text, first_stage in asked]
    alone = [fresh.judge([query])[0] for query in queries]
    assert shared.judge(queries) == alone
    answers = [shared.submit([query]) for query in queries]
    assert [answer.result(10)[0] for answer in answers] == alone
