"""The recipe of the first stage: what the network computes, what it learns from, and how its limits are chosen."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# The packages are large, so only `make test-export` installs them. `.ci/run` calls it last, so all of this runs in CI.
torch: Any = pytest.importorskip("torch", reason="needs torch: make test-export")
pytest.importorskip("transformers", reason="needs transformers: make test-export")
pytest.importorskip("matplotlib", reason="needs matplotlib: make test-export")
pytestmark = pytest.mark.export

from guardproxy import inference  # noqa: E402
from guardproxy.checks import Query  # noqa: E402
from guardproxy.findings import KINDS  # noqa: E402
from guardproxy.inference.folders.clearing import Clearing  # noqa: E402
from guardproxy.inference.scoring.first_stage import FirstStage  # noqa: E402
from guardproxy.inference.scoring.reader import ModelReader  # noqa: E402
from models.supervisor.recipe.first import choose, data, encoder, train  # noqa: E402
from models.supervisor.recipe.first.network import COLUMNS, SPAN, WORD, FirstNetwork, write_graph  # noqa: E402
from models.supervisor.recipe.second.outputs import Row  # noqa: E402
from models.supervisor.recipe.second.start import encoder_weights  # noqa: E402
from tests.kit.piece_models import piece_folder, piece_model  # noqa: E402

SHIPPED = Path(__file__).parents[2] / "models" / "supervisor"
TOKENS = 900
REACH = 6
"""Tokens that both convolutions see to each side of a token."""


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(3)
    made = FirstNetwork(torch.randn(TOKENS, WORD + 6))
    torch.nn.init.normal_(made.own.weight)
    return made.eval()


def row(length: int, seed: int) -> Any:
    return torch.randint(0, TOKENS, (1, length), generator=torch.Generator().manual_seed(seed))


def logits(network: Any, ids: Any) -> Any:
    with torch.inference_mode():
        return network(ids, torch.ones_like(ids))[0]


@pytest.mark.parametrize("length", [1, 2, SPAN // 2, SPAN // 2 + 1, SPAN - 1, SPAN, SPAN + 1, 3 * SPAN, 256])
def test_padding_changes_nothing(network: Any, length: int) -> None:
    ids, filler = row(length, length), torch.full((1, 77), 5)
    mask = torch.cat([torch.ones_like(ids), torch.zeros_like(filler)], 1)
    with torch.inference_mode():
        padded = network(torch.cat([ids, filler], 1), mask)[0]
    assert torch.allclose(padded, logits(network, ids), atol=1e-5)


def test_text_around_a_span_does_not_hide_it(network: Any) -> None:
    """A span inside a text has the same logits whatever follows it, and the highest span counts."""
    ids = row(5 * SPAN, 1)
    with torch.inference_mode():
        words = network.words()[ids[:, : 3 * SPAN + REACH]]
        spans = network.layers.spans(words, torch.ones_like(words[:, :, :1]))[0]
    whole = [at for at in range(len(spans)) if at * (SPAN // 2) + SPAN <= 3 * SPAN]
    assert len(whole) == 5
    assert (logits(network, ids) >= spans[whole].amax(0) - 1e-5).all()


def test_the_graph_says_what_the_network_says(network: Any, tmp_path: Path) -> None:
    write_graph(network, tmp_path / "first_stage.onnx")
    clearing = {name: Clearing(at, 0.5, 0.5) for at, name in enumerate(COLUMNS)}
    stage = FirstStage(tmp_path / "first_stage.onnx", clearing, COLUMNS)
    for length in (1, 30, SPAN, 200, 256):
        wanted = torch.sigmoid(logits(network, row(length, length))).tolist()
        assert stage.estimates(row(length, length)[0].tolist()) == pytest.approx(wanted, abs=0.03)  # 8-bit vectors


FINE = {"jailbreak": 0, "order": 0, "harmful": 0}
POINTS = {"jailbreak": {"1%": 0.9}, "embedded_instruction": {"1%": 0.9}, "harmful": {"1%": 0.9}}


@pytest.mark.parametrize(
    ("told", "wanted", "weights"),
    [
        (FINE, [train.CLEAR, train.CLEAR], [1, 1]),
        (FINE | {"order": 1}, [train.FOUND, train.CLEAR], [0.5, 0]),
        ({"jailbreak": 1}, [train.FOUND, train.CLEAR], [0.5, 0]),
        ({"jailbreak": 0}, [train.CLEAR, train.CLEAR], [0, 0]),
        ({"hate": 1}, [train.CLEAR, train.FOUND], [0, 0.5]),
        ({"hate": 0}, [train.CLEAR, train.CLEAR], [0, 0]),
    ],
)
def test_a_label_stands_for_an_encoder_that_has_not_read(
    told: dict[str, int], wanted: list[float], weights: list[float]
) -> None:
    assert train.guessed({"targets": told}) == (wanted, weights)


def test_the_network_learns_what_the_encoder_finds() -> None:
    scores = {"jailbreak": 0.9, "embedded_instruction": 0.2, "harmful": 0.001}
    attack = train.sample((1, 2), {"targets": {"jailbreak": 1}}, scores, POINTS)
    even = 1 / (1 + np.exp(-train.LEVEL))
    assert attack.targets[0] == pytest.approx(even)
    assert attack.targets[1] < 0.001
    assert attack.weights == (train.WEIGHT, 1.0)
    harmless = train.sample((1, 2), {"targets": FINE}, scores, POINTS)
    assert harmless.targets[0] == pytest.approx(train.HARMLESS * even)
    assert harmless.weights == (1.0, 1.0)


def test_a_text_is_cut_as_the_proxy_cuts_it() -> None:
    model = piece_model()
    reader = ModelReader(model, encoder.DIGITS)
    rows: list[Row] = [{"text": "one two three " * 200, "targets": FINE, "channel": "tool_result"}]
    rows.append({"text": "short", "targets": {"jailbreak": 1}, "channel": "user"})
    pieces = reader.pieces(rows[0]["text"])
    read = {0: [dict.fromkeys(model.outputs, 0.5)] * len(pieces)}
    found = train.samples(rows, read, reader, model.points)
    assert [one.ids for one in found[:-1]] == [
        reader.row(piece.ids, (model.channels["tool_result"],)) for piece in pieces
    ]
    assert len(pieces) > 1
    assert found[-1].targets[0] == pytest.approx(1 / (1 + np.exp(-(train.FOUND + train.LEVEL))))


def test_batches_hold_every_piece_once_a_turn_and_no_more_tokens_than_allowed() -> None:
    given = [train.Sample((at,) * (1 + at % 90), (0.0, 0.0), (1.0, 1.0)) for at in range(300)]
    turn = train.batches(given, 200)
    found: list[int] = []
    while len(found) < len(given):
        batch = next(turn)
        ids, mask, wanted, weights = train.tensors(batch)
        assert ids.numel() <= 200
        assert ids.shape == mask.shape
        assert mask.sum() == sum(len(one.ids) for one in batch)
        assert wanted.shape == weights.shape == (len(batch), len(COLUMNS))
        found += [one.ids[0] for one in batch]
    assert sorted(found) == list(range(300))


def test_what_is_unknown_costs_nothing() -> None:
    unsure, wanted = torch.tensor([[0.0, 3.0]]), torch.tensor([[1.0, 0.0]])
    assert train.loss_of(unsure, wanted, torch.tensor([[1.0, 0.0]])) == pytest.approx(np.log(2), abs=1e-6)
    assert train.loss_of(unsure, wanted, torch.ones(1, 2)) > np.log(2) + 3


def test_the_word_vectors_of_the_shipped_encoder_are_found() -> None:
    assert encoder_weights(SHIPPED)["embeddings.word_embeddings.weight"].shape == (30_522, 384)


def test_a_part_of_a_text_is_in_it() -> None:
    text = " ".join(f"word{at}" for at in range(2000))
    for seed in range(50):
        cut = data.part(text, random.Random(seed))
        assert cut in text
        assert cut.startswith("word")
        assert data.LEAST_CHARS - 40 <= len(cut) <= data.MOST_CHARS


@pytest.mark.parametrize("start", [0, 700, 1990])
def test_a_cut_row_keeps_its_attack(start: int) -> None:
    text = "x" * start + "ATTACK" + "y" * (3000 - start)
    row = {"text": text, "targets": {"order": 1}, "channel": "user", "span": [start, start + 6]}
    for seed in range(20):
        cut = data.known(row, random.Random(seed))
        assert "ATTACK" in cut["text"]
        assert len(cut["text"]) <= data.ATTACK_CHARS


def test_an_order_is_planted_somewhere_in_a_harmless_text() -> None:
    train_rows = [{"text": "abc ORDER def", "targets": {"order": 1}, "span": [4, 9], "source": "own/x"}] * 40
    rows = list(data.planted(train_rows, [{"text": "fine " * size} for size in (1, 200, 400)], 30, random.Random(1)))
    assert len(rows) == 30
    assert all("ORDER" in row["text"] and row["targets"] == {"order": 1} for row in rows)
    assert max(len(row["text"]) for row in rows) <= data.ATTACK_CHARS
    assert {row["channel"] for row in rows} == {"user", "tool_result"}
    assert {row["source"] for row in rows} == {"planted/own/x"}


def test_a_larger_choice_begins_with_the_smaller_one() -> None:
    rows = [{"targets": {"order": at % 2}} for at in range(40)]
    small, large = encoder.chosen(rows, 5, 5), encoder.chosen(rows, 15, 15)
    assert sorted(at % 2 for at in small) == [0] * 5 + [1] * 5
    assert [at for at in large if at in set(small)] == small


def test_scores_of_another_encoder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "encoder-train.jsonl"
    assert encoder.read_scores(path, SHIPPED) == {}
    lines = [{"encoder": encoder.encoder_digest(SHIPPED)}, {"row": 3, "pieces": [{"hate": 0.5}]}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert encoder.read_scores(path, SHIPPED) == {3: [{"hate": 0.5}]}
    path.write_text(json.dumps({"encoder": "another"}) + "\n")
    with pytest.raises(SystemExit, match="another encoder"):
        encoder.read_scores(path, SHIPPED)


def test_a_margin_is_highest_over_pieces_and_outputs() -> None:
    points = {"jailbreak": {"1%": 0.5}, "embedded_instruction": {"1%": 0.9}, "hate": {"1%": 0.5}}
    pieces = [
        {"jailbreak": 0.5, "embedded_instruction": 0.5, "hate": 0.1},
        {"jailbreak": 0.1, "embedded_instruction": 0.99, "hate": 0.2},
    ]
    assert encoder.highest(pieces, points) == pytest.approx([np.log(11), -np.log(4)])


def choose_kind(at: int) -> str:
    return "user" if at % 5 else "tool_result"


def test_limits_lose_no_more_than_is_allowed() -> None:
    rng = np.random.default_rng(5)
    attacks = {label: rng.random(400).tolist() for label in choose.QUESTIONS}
    rows = [{"source": f"ordinary/{at % 2}", "targets": {}, "channel": choose_kind(at)} for at in range(300)]
    texts = choose.Texts(rows, [rng.random((1 + at % 3, 2)) for at in range(300)], attacks)
    for lost in (0.0, 0.01, 0.1):
        below = choose.limits(texts, lost)
        shares = choose.shares(texts, below)
        assert all(share["lost"] <= lost for share in shares.values())
        assert max(share["lost"] for share in shares.values()) == pytest.approx(lost, abs=0.004)
        fine = np.array([pieces[:, 1].max() < below[1] for pieces in texts.pieces])
        assert shares["any content"]["cleared"] == fine.mean()
        assert shares["any content"]["by_source"]["ordinary/1"] == fine[1::2].mean()
        tools = [pieces[:, 0] < below[0] for pieces in texts.pieces[::5]]
        assert shares["injection in tools' results"]["cleared"] == np.mean([own.all() for own in tools])
        assert shares["injection in tools' results"]["pieces"] == np.concatenate(tools).mean()
    assert len(choose.table(choose.curve(texts, texts))) == 2 + 3 * len(choose.LOST)


def test_too_few_attacks_set_no_limit() -> None:
    rising = {label: [at / 1000 for at in range(1000)] for label in choose.QUESTIONS}
    rows = [{"source": "own", "targets": {}}]
    texts = choose.Texts(rows, [np.zeros((1, 2))], rising | {"any content": [0.3] * 150})
    below = choose.sure_limits(texts, 0.01)
    assert below[1] == 0.0
    lost = sum(value < below[0] for value in rising["injection"])
    assert choose.is_sure(lost, 1000, 0.01)
    assert lost == 10 or not choose.is_sure(lost + 1, 1000, 0.01)
    assert choose.sure_limits(choose.Texts(rows, [np.zeros((1, 2))], rising | {"any content": []}), 0.01)[1] == 0.0


def test_a_folder_gets_the_network_and_its_limits(network: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    piece_folder(folder)
    torch.manual_seed(3)
    other = FirstNetwork(torch.randn(30_522, WORD + 6)).eval()
    write_graph(other, tmp_path / "first_stage.onnx")
    choose.install(tmp_path / "first_stage.onnx", folder, [1.0, 0.0])
    scorer = inference.load(folder)
    for kind in ("user", "tool_result", "assistant"):
        points = scorer.points_in(kind)
        assert scorer.clears_from(kind) == {
            output: points[output]["1%"] for output in ("jailbreak", "embedded_instruction")
        }
    lowest = min(scorer.points_in(kind)["jailbreak"]["1%"] for kind in KINDS)
    assert scorer.model.clearing["jailbreak"].below == lowest
    fine, content = scorer.judge([Query("A fine day", ("jailbreak",)), Query("A fine day", ("harmful",))])
    assert (fine[0].cleared, content[0].cleared) == (True, False)
