"""The direction of a topic: what a score means, and that it is the same in any order and on any machine."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from guardproxy.checks._shared.topics.directions import Background, Numbers, TopicDirection, line, numbers
from tests.kit.topics import BILLING, PARCELS, WIDTH, WordEmbedder, ordinary


@cache
def background() -> Background:
    return Background(WordEmbedder().embed(ordinary()), WIDTH)


def rows(texts: list[str]) -> Numbers:
    return numbers(WordEmbedder().embed(texts), WIDTH)


@cache
def direction(name: str = "billing") -> TopicDirection:
    topic = {"billing": BILLING, "parcels": PARCELS}[name]
    found = background().direction(rows(list(topic["examples"])))
    assert found is not None
    return found


def scores(texts: list[str]) -> list[float]:
    return [direction().score(vector) for vector in WordEmbedder().embed(texts)]


def test_ordinary_texts_have_a_mean_of_nothing_and_examples_one_of_one() -> None:
    assert np.mean(scores(ordinary())) == pytest.approx(0, abs=0.01)
    assert np.mean(scores(list(BILLING["examples"]))) == pytest.approx(1, abs=0.01)
    assert min(scores(["is the refund on the invoice", "invoice"])) > 0.3
    assert max(scores(list(PARCELS["examples"]))) < 0.3


def test_a_text_without_a_word_is_about_nothing() -> None:
    assert direction().score(bytes(WIDTH)) == 0.0


def test_the_order_of_examples_changes_nothing() -> None:
    examples = rows(list(BILLING["examples"]))
    turned = background().direction(examples[::-1])
    assert turned is not None
    assert turned.weights.tolist() == direction().weights.tolist()
    assert turned.offset == direction().offset


def test_rounding_of_the_solver_does_not_show() -> None:
    """A direction is made of whole numbers, so sums have no order."""
    assert direction().weights.dtype == np.int64
    other = TopicDirection(direction().weights[::-1], direction().offset)
    for vector in WordEmbedder().embed(ordinary()[:20]):
        assert direction().score(vector) == other.score(vector[::-1])


def test_examples_as_ordinary_as_the_rest_have_no_direction() -> None:
    mean = background().mean
    assert background().direction(np.stack([mean, mean])) is None
    apart = np.stack([mean, mean + 1e-3, mean])
    assert background().left_out(apart)[1] == 0.0


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 1.0])
def test_a_share_of_the_other_texts_reaches_a_line_at_most(share: float) -> None:
    others = background().scores(direction())
    found = line(others, [-5.0, -5.0, -5.0], share)
    assert sum(score >= found for score in others) / len(others) <= share
    assert share == 1.0 or found <= max(others) + 0.001


def test_a_line_lies_nearer_to_examples_that_are_far_from_other_texts() -> None:
    others = [0.0, 0.1, 0.2, 0.1]
    assert line(others, [0.2, 0.2, 0.2], 0.0) == 0.201
    assert line(others, [1.2, 1.2, 1.2], 0.0) == 0.501
    assert line(others, [-9.0, 1.2, 1.2, 1.2, 1.2], 0.0) == 0.501, "one of five may be far off"


def test_an_example_is_scored_along_the_direction_of_the_others() -> None:
    alone = background().left_out(rows([*BILLING["examples"], "a boat on the river"]))
    assert alone[-1] < 0.2
    assert min(alone[:-1]) > alone[-1]
