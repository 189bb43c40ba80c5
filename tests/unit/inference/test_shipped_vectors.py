"""The model of vectors that ships: what is alike is near, and it stays small."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from guardproxy.inference.embedding import LENGTH, TableEmbedder
from guardproxy.inference.folders.folder import VECTOR_FILES
from guardproxy.inference.models import find

MOST_BYTES = 10_000_000


@cache
def embedder() -> TableEmbedder:
    return TableEmbedder(find("embedding"))


def cosine(first: str, second: str) -> float:
    one, other = (np.frombuffer(vector, np.int8).astype(int) for vector in embedder().embed([first, second]))
    return float(one @ other) / LENGTH**2


@pytest.mark.parametrize(
    ("text", "alike", "other"),
    [
        ("How do I reset my password?", "I forgot my login, how can I change the password?", "How do I bake bread?"),
        ("My parcel has not arrived.", "Where is the package that I ordered?", "Please write a poem about the sea."),
        ("The doctor prescribed antibiotics.", "She takes medicine for an infection.", "The team won the match."),
    ],
)
def test_what_is_alike_is_nearer_than_what_is_not(text: str, alike: str, other: str) -> None:
    assert cosine(text, alike) > 0.4 > cosine(text, other) + 0.1


def test_vectors_have_the_length_of_the_contract() -> None:
    for vector in embedder().background[:200]:
        assert np.linalg.norm(np.frombuffer(vector, np.int8).astype(float)) == pytest.approx(LENGTH, abs=4)


def test_the_folder_is_small_and_has_ordinary_texts() -> None:
    assert sum((find("embedding") / name).stat().st_size for name in VECTOR_FILES) < MOST_BYTES
    assert len(embedder().background) > 1000


def test_full_width_letters_and_long_runs_are_read() -> None:
    wide = "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in "reset my password")
    assert embedder().embed([wide]) == embedder().embed(["reset my password"])
    assert any(embedder().embed(["password" * 30])[0])
