"""The shipped judge of pairs, run as in production, on obvious pairs. Nothing here is about how it reads."""

from __future__ import annotations

from functools import cache

import pytest

from guardproxy.checks import PairScores, TextPair
from guardproxy.inference.models import Settings, find, load_pairs
from guardproxy.inference.pairs.judge import ModelPairJudge

WARRANTY = "The warranty on the kettle lasts 24 months."
PASSAGE = (
    "The museum in Leeds opens at 10 am and is closed on Mondays. Entrance costs 12 euros for adults. Children under six"
    " get in free. A guided tour takes two hours and must be booked online."
)


@cache
def judge() -> ModelPairJudge:
    """It remembers nothing: every score here is made anew."""
    return load_pairs(find("pairs"), Settings(workers=2, remembered=0))


def judged(first: str, second: str) -> PairScores:
    return judge().judge([TextPair(first, second)])[0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (WARRANTY, "The kettle comes with 24 months of warranty."),
        (WARRANTY, "There is a warranty on the kettle."),
        (PASSAGE, "The museum is closed on Mondays."),
        (PASSAGE, "A guided tour takes two hours."),
        ("A man is playing a guitar in the park.", "A man is playing a guitar."),
    ],
)
def test_what_is_said_is_supported(first: str, second: str) -> None:
    assert judged(first, second).entails >= judge().points["supported"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (WARRANTY, "The warranty on the kettle does not last 24 months."),
        (WARRANTY, "There is no warranty on the kettle."),
        (PASSAGE, "The museum in Leeds does not open at 10 am."),
        ("A man is playing a guitar in the park.", "A man is not playing a guitar."),
    ],
)
def test_the_contrary_is_not_supported_and_contradicts(first: str, second: str) -> None:
    scores = judged(first, second)
    assert scores.contradicts == max(scores)
    assert scores.entails < judge().points["supported"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (WARRANTY, "The kettle is made of steel."),
        (PASSAGE, "The museum has a restaurant on the roof."),
        ("A man is playing a guitar in the park.", "A woman is eating soup at home."),
    ],
)
def test_what_is_not_said_is_not_supported(first: str, second: str) -> None:
    assert judged(first, second).entails < judge().points["supported"]


def test_questions_about_other_things_are_not_the_same() -> None:
    first = "How do I reset my password?"
    for second in ("How do I delete my account?", "How do I reset my router?", "Why should I reset my password?"):
        both = [judged(first, second).entails, judged(second, first).entails]
        assert min(both) < judge().points["same"], second


def test_the_folder_names_its_points() -> None:
    points = judge().points
    assert points.keys() == {"same", "same_strict", "supported", "contradicted"}
    assert points["same_strict"] >= points["same"]
