"""The recipe of the model of vectors: the table that is trained is the one that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch", reason="needs torch: make test-export")
pytestmark = pytest.mark.export
from guardproxy.inference.embedding import LENGTH, TableEmbedder  # noqa: E402
from models.embedding.recipe import texts as recipe_texts  # noqa: E402
from models.embedding.recipe.export import whole  # noqa: E402
from models.embedding.recipe.network import Table  # noqa: E402
from models.embedding.recipe.train import directions  # noqa: E402
from tests.kit.vectors import SPECIAL, WORDS, write_vectors  # noqa: E402

COUNT, WIDTH = len(SPECIAL) + len(WORDS), 12


def table() -> Any:
    generator = np.random.default_rng(5)
    tokens = generator.normal(size=(COUNT, 32)).astype(np.float32)
    counts = generator.integers(1, 900, COUNT).astype(np.float64)
    return Table(tokens, counts, directions(tokens, WIDTH))


def test_the_model_that_runs_gives_the_vectors_of_the_one_that_was_trained(tmp_path: Path) -> None:
    trained = table()
    rows = trained.rows(torch.arange(COUNT)).detach().numpy()
    embedder = TableEmbedder(write_vectors(tmp_path, **whole(rows)))
    for text in ("red apple", "car bus car", "pear green blue red"):
        ids = np.array(embedder.tokens(text))
        wanted = trained([ids]).detach().numpy()[0]
        (vector,) = embedder.embed([text])
        assert np.abs(np.frombuffer(vector, np.int8) / LENGTH - wanted).max() < 0.02


def test_frequent_tokens_weigh_less() -> None:
    weights = table().weight.detach().numpy()
    counts = np.random.default_rng(5)
    counts.normal(size=(COUNT, 32))
    order = np.argsort(counts.integers(1, 900, COUNT))
    assert np.diff(weights[order]).max() <= 1e-6


def test_nothing_that_is_measured_is_trained_on() -> None:
    assert not any("-nc" in name or "sick" in name or "msrp" in name for name in recipe_texts.FILES)
