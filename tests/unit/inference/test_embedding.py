"""The table of vectors: what a vector is, and that it depends on its text alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.errors import ConfigError
from guardproxy.inference.embedding import AT_ONCE, LENGTH, TableEmbedder
from guardproxy.inference.folders.folder import VECTOR_FILES
from guardproxy.inference.models import Models
from models.encoder import write_arrays, write_sums
from tests.kit.checks import promise
from tests.kit.vectors import BACKGROUND, WIDTH, WORDS, write_vectors

TEXTS = st.lists(st.sampled_from([*WORDS, "unknown", "\ud800", "Red", "[UNK]"]), max_size=40).map(" ".join)


@cache
def embedder() -> TableEmbedder:
    return TableEmbedder(write_vectors(Path(mkdtemp())))


def vector(text: str) -> list[int]:
    (found,) = embedder().embed([text])
    return list(map(int, np.frombuffer(found, np.int8)))


def test_a_vector_has_a_fixed_length_whatever_the_text() -> None:
    assert vector("red") == [0, 0, 0, 0, LENGTH, *[0] * 7]
    assert vector("red red RED") == vector("red")
    assert vector("red green")[4:6] == [round(LENGTH / 5**0.5), round(2 * LENGTH / 5**0.5)]
    assert vector("red") != vector("green")


@pytest.mark.parametrize("text", ["", " \n", "unknown words alone"])
def test_a_text_without_a_known_word_has_no_direction(text: str) -> None:
    assert vector(text) == [0] * WIDTH


def test_a_special_token_that_a_text_spells_is_text() -> None:
    assert vector("[UNK] red") == vector("red")


@promise
@given(st.lists(TEXTS, max_size=5), st.randoms(use_true_random=False))
def test_a_vector_depends_on_its_text_alone(texts: list[str], random: Any) -> None:
    alone = [embedder().embed([text])[0] for text in texts]
    assert embedder().embed(texts) == alone
    order = list(range(len(texts)))
    random.shuffle(order)
    assert embedder().embed([texts[at] for at in order]) == [alone[at] for at in order]


def test_threads_get_the_same_vectors_and_long_texts_are_read_in_parts() -> None:
    texts = [" ".join(WORDS[at % 7] for at in range(count)) for count in (AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 5000)]
    alone = [embedder().embed([text])[0] for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda text: embedder().embed([text])[0], texts * 8)) == alone * 8


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"table": np.zeros((11, WIDTH), np.int16)}, "must be 8-bit numbers"),
        ({"table": np.zeros(11, np.int8)}, "must be 8-bit numbers"),
        ({"table": np.zeros((11, 2000), np.int8)}, "must be 8-bit numbers"),
        ({"weights": np.zeros(7, np.uint16)}, "a 16-bit number for each row"),
        ({"weights": np.zeros(11, np.int8)}, "a 16-bit number for each row"),
        ({"table": np.zeros((3, WIDTH), np.int8), "weights": np.zeros(3, np.uint16)}, "fewer rows than the tokenizer"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TableEmbedder(write_vectors(tmp_path, **changed))


def test_a_folder_that_holds_no_table_is_refused(tmp_path: Path) -> None:
    write_vectors(tmp_path)
    write_arrays(tmp_path / "weights.npz", {"other": np.zeros(3)})
    write_sums(tmp_path, VECTOR_FILES)
    with pytest.raises(ConfigError, match="does not hold a table of vectors"):
        TableEmbedder(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "must hold `texts`"),
        ("[]", "must hold `texts`"),
        ("{", "must hold"),
        ('{"texts": [1]}', "a list of texts"),
    ],
)
def test_a_background_that_cannot_be_read_is_refused(tmp_path: Path, content: str, message: str) -> None:
    write_vectors(tmp_path)
    (tmp_path / "background.json").write_text(content)
    write_sums(tmp_path, VECTOR_FILES)
    with pytest.raises(ConfigError, match=message):
        TableEmbedder(tmp_path)


def test_a_model_is_loaded_once(tmp_path: Path) -> None:
    write_vectors(tmp_path / "mine")
    models = Models((tmp_path,))
    first = models.embedder("mine")
    assert models.embedder("mine") is first
    assert models.background("mine") == tuple(first.embed(BACKGROUND))
    assert isinstance(first, TableEmbedder)
    assert (first.token("red"), first.tokens("red apple")) == (4, [4, 7])
    with pytest.raises(ConfigError, match="lacks other"):
        first.token("other")
    assert (first.dimensions, first.digest[:7]) == (WIDTH, "sha256:")
    with pytest.raises(ConfigError, match="no model `other`"):
        models.embedder("other")
