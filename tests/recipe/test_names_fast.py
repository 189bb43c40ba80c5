"""What ships says what was trained: whole numbers tag words as torch does, and a row becomes the tags of its words."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch", reason="needs torch: make test-export")
pytest.importorskip("faker", reason="needs Faker: make test-export")
pytestmark = pytest.mark.export
from guardproxy.inference.models import find  # noqa: E402
from guardproxy.inference.names import fast as runtime  # noqa: E402
from guardproxy.inference.names import forms  # noqa: E402
from guardproxy.inference.names.weights import SHIFT, UNIT, read  # noqa: E402
from models.encoder import write_arrays  # noqa: E402
from models.names.recipe.export_fast import arrays_of, write_config  # noqa: E402
from models.names.recipe.fast import IGNORED, LABELS, TAGS, Fast, Vocabulary, batch, encode, loss_of  # noqa: E402

TEXTS = ["Mara Lindqvist met Kwame\nin Gothenburg, on May 4th.", "x", "Dear all, 12 eggs (and Ada's O'Brien)!"]
LISTS = {forms.number("mara"): 3, forms.number("gothenburg"): 4}


def rows() -> list[Any]:
    return [encode({"text": text, "spans": []}, 0) for text in TEXTS]


def test_whole_numbers_tag_as_the_network_does(tmp_path: Path) -> None:
    torch.manual_seed(5)
    known = sorted(forms.number(word) for word in ("met", "in", "mara", "eggs"))
    network = Fast(len(known)).eval()
    torch.nn.init.normal_(network.own.weight[1:], std=0.2)
    vocabulary = Vocabulary(known, LISTS)
    with torch.no_grad():
        wanted = network(batch(rows(), vocabulary, None)).numpy()
    write_arrays(tmp_path / "weights.npz", arrays_of({"weights": network.state_dict(), "known": known, "lists": LISTS}))
    shutil.copy(find("fast") / "words.json", tmp_path / "words.json")
    write_config(tmp_path, dict.fromkeys(LABELS, 0.0), 0.0, 0.0, 1.0)
    tagger = runtime.FastTagger(read(tmp_path))
    words = [word for row in rows() for word in row.words]
    gaps = np.concatenate([runtime._gaps(text, forms.words(text)) for text in TEXTS])
    assert gaps.tolist() == [gap for row in rows() for gap in row.gaps]
    found = tagger._logits(tagger._words(words), gaps, runtime._starts([len(row.words) for row in rows()]))
    assert found.shape == (len(words), len(TAGS))
    assert np.abs(found / (UNIT * SHIFT) - wanted).max() < 0.2


def test_the_same_arrays_are_the_same_bytes(tmp_path: Path) -> None:
    arrays = {"b": np.arange(4), "a": np.zeros((2, 2), np.int8)}
    write_arrays(tmp_path / "one", arrays)
    write_arrays(tmp_path / "two", dict(reversed(arrays.items())))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_row_becomes_the_tags_of_its_words() -> None:
    text = "Mara Lindqvist of Oslo, 2020"
    spans = [
        {"start": 0, "end": 14, "label": "PERSON"},
        {"start": 18, "end": 22, "label": "LOCATION", "score": 0.4},
        {"start": 24, "end": 28, "label": "ID"},
    ]
    assert encode({"text": text, "spans": spans}, 0).tags == [1, 2, 0, IGNORED, 0, 0]


def test_what_a_set_does_not_mark_may_be_a_date() -> None:
    sure = torch.full((1, len(TAGS)), -9.0)
    sure[0, TAGS.index("B-DATE_TIME")] = 9.0
    outside = torch.tensor([0])
    assert loss_of(sure, outside, torch.tensor([1])) < 0.01
    assert loss_of(sure, outside, torch.tensor([0])) > 9
    assert loss_of(sure, outside, torch.tensor([2])) > 9


def test_hidden_words_are_read_by_their_parts() -> None:
    vocabulary = Vocabulary([forms.number("eggs")], {})
    seen = [batch(rows(), vocabulary, np.random.default_rng(seed)).own.sum().item() for seed in range(40)]
    assert set(seen) == {0, 1}
