"""The network for pairs: what is exported gives what torch gives, and the training keeps what it says."""

from __future__ import annotations

import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

# Both packages are large, so only `make test-export` installs them, and CI calls it.
torch: Any = pytest.importorskip("torch", reason="needs torch: make test-export")
pytest.importorskip("transformers", reason="needs transformers: make test-export")
pytest.importorskip("tqdm", reason="needs tqdm: make test-export")
pytestmark = pytest.mark.export

from tokenizers import Tokenizer  # noqa: E402

from guardproxy.checks import TextPair  # noqa: E402
from guardproxy.inference.models import Settings, find, load_pairs  # noqa: E402
from models.encoder import PACKAGE  # noqa: E402
from models.pairs.recipe.points import MAX_TOKENS, write_config  # noqa: E402
from models.pairs.recipe.relations import CONTRADICTS, ENTAILS, NEUTRAL, NOT_ENTAILED, Pair  # noqa: E402
from models.pairs.recipe.train import Encoder, batches, loss_of, tensors  # noqa: E402

PAIRS = [
    Pair("The warranty lasts 24 months.", "There is a warranty.", ENTAILS, "made"),
    Pair("The warranty lasts 24 months. " * 30, "There is no warranty.", CONTRADICTS, "made"),
    Pair("A dog sleeps.", "A cat is black.", NEUTRAL, "made"),
    Pair("A dog sleeps.", "A cat sleeps.", NOT_ENTAILED, "made"),
]


def encoder() -> Encoder:
    return Encoder(Tokenizer.from_file(str(find("supervisor") / "tokenizer.json")))


def test_rows_hold_both_texts() -> None:
    rows = encoder().samples(PAIRS)
    assert [row[2] for row in rows] == [pair.label for pair in PAIRS]
    assert [len(row[0]) for row in rows] == [len(row[1]) for row in rows]
    assert len(rows[1][0]) == MAX_TOKENS
    assert len(encoder().samples(PAIRS, uncut=True)) == 3, "what is cut may hold the answer"
    ids, mask, kinds, labels = tensors(rows)
    assert ids.shape == mask.shape == kinds.shape == (4, MAX_TOKENS)
    assert labels.tolist() == [ENTAILS, CONTRADICTS, NEUTRAL, NOT_ENTAILED]


def test_a_row_is_read_as_in_production() -> None:
    from guardproxy.inference.pairs.reader import PairReader
    from tests.kit.pair_models import pair_model

    reader = PairReader(pair_model())
    for pair, (ids, _, _) in zip(PAIRS, encoder().samples(PAIRS, 32), strict=True):
        assert reader.row(TextPair(pair.a, pair.b)).ids == tuple(ids)


def test_batches_hold_every_row_once() -> None:
    rows = [([number] * length, [0] * length, 0) for number, length in enumerate([5, 90, 7, 33, 12] * 40)]
    found = batches(list(rows), 200, random.Random(1))
    assert sorted(row[0][0] for batch in found for row in batch) == list(range(200))
    assert all(len(batch) * max(len(row[0]) for row in batch) <= 200 for batch in found)


def test_what_does_not_follow_may_be_either_of_two() -> None:
    logits = torch.tensor([[0.0, 9.0, 0.0]])
    labels = {label: torch.tensor([label]) for label in (ENTAILS, CONTRADICTS, NEUTRAL, NOT_ENTAILED)}
    losses = {label: float(loss_of(logits, gold)) for label, gold in labels.items()}
    assert losses[NOT_ENTAILED] < losses[CONTRADICTS] < 0.01 < losses[NEUTRAL]
    assert losses[ENTAILS] == pytest.approx(losses[NEUTRAL])


@pytest.mark.skipif(find_spec(PACKAGE) is None, reason="needs the published encoder")
def test_an_export_gives_what_torch_gives(tmp_path: Path) -> None:
    from models.pairs.recipe.export import export
    from models.pairs.recipe.network import Pairs

    torch.manual_seed(1)
    network = Pairs([1]).eval()
    found = export(network, tmp_path / "pairs", tmp_path / "scratch", 12)
    assert found["fp32"]["logit_most"] < 1e-3
    assert found["int8"]["score_most"] < 0.1
    write_config(tmp_path / "pairs", {"same": 0.5})
    pair = PAIRS[0]
    (scores,) = load_pairs(tmp_path / "pairs", Settings(workers=1)).judge([TextPair(pair.a, pair.b)])
    with torch.inference_mode():
        ids, mask, kinds, _ = tensors(encoder().samples([pair]))
        wanted = torch.softmax(network(ids, mask, kinds)[-1], -1)[0].tolist()
    assert scores == pytest.approx(wanted, abs=0.05)
