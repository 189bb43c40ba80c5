"""A head on vectors: it learns what is in the vector and in the words, and the same texts give the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from guardproxy.lab.learning.head import FEWEST_TEXTS, VectorSpace, train

GENERATOR = np.random.default_rng(7)
TOKENS, WIDTH = 60, 16
SPACE = VectorSpace(
    GENERATOR.integers(-127, 128, (TOKENS, WIDTH)).astype(np.int8), GENERATOR.random(TOKENS).astype(np.float32)
)
WORD = 5


def texts(count: int) -> list[Any]:
    return [GENERATOR.integers(6, TOKENS, GENERATOR.integers(3, 20)) for _ in range(count)]


def accuracy(head: Any, rows: list[Any], wanted: list[bool]) -> float:
    return float(((head.logits(SPACE, rows) > 0) == np.array(wanted)).mean())


def test_a_word_of_its_own_is_learned() -> None:
    rows = texts(300)
    wanted = [at % 3 == 0 for at in range(300)]
    rows = [np.append(row, WORD) if is_found else row for row, is_found in zip(rows, wanted, strict=True)]
    head = train(SPACE, rows[:200], wanted[:200], 0.003)
    assert accuracy(head, rows[200:], wanted[200:]) > 0.9
    assert head.tokens[WORD] == head.tokens.max()


def test_a_direction_of_the_vectors_is_learned() -> None:
    rows = texts(400)
    direction = GENERATOR.normal(size=WIDTH)
    sides = SPACE.vectors(rows) @ direction
    wanted = [bool(side > 0) for side in sides]
    head = train(SPACE, rows[:300], wanted[:300], 0.003)
    assert accuracy(head, rows[300:], wanted[300:]) > 0.85


def test_rare_tokens_have_no_weight_and_the_share_of_labels_is_kept() -> None:
    rows = [np.array([7, 8, 9]) for _ in range(40)]
    rows[0] = np.array([7, 8, WORD])
    head = train(SPACE, rows, [at % 4 == 0 for at in range(40)], 0.01)
    assert FEWEST_TEXTS > 1
    assert head.tokens[WORD] == 0
    shares = 1 / (1 + np.exp(-head.logits(SPACE, rows)))
    assert shares.mean() == pytest.approx(0.25, abs=0.02)


def test_the_same_texts_give_the_same_weights() -> None:
    rows, wanted = texts(60), [at % 2 == 0 for at in range(60)]
    one, other = (train(SPACE, rows, wanted, 0.01) for _ in range(2))
    assert one.vector.tolist() == other.vector.tolist()
    assert (one.tokens.tolist(), one.bias) == (other.tokens.tolist(), other.bias)


def test_a_text_without_a_token_has_the_logit_of_the_rest() -> None:
    head = train(SPACE, texts(30), [at % 2 == 0 for at in range(30)], 0.01)
    assert head.logits(SPACE, [np.array([], np.int64)])[0] == pytest.approx(head.bias)
