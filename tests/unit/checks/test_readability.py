"""The check `readability`: hard and simple passages, and those that get no verdict."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.checks import Resources, build
from guardproxy.checks.readability import readability, syllables_of
from guardproxy.errors import OptionError
from guardproxy.testing import assert_promise
from tests.kit.checks import PROSE, assert_every_split, whole

HARD = (
    "The implementation of interdisciplinary methodologies necessitates considerable deliberation, and the organization "
    "of the participating institutions is of fundamental significance for the sustainability of the initiative. "
)
SIMPLE = "The cat sat on the mat. It was a big cat. The dog ran to the cat. They had fun in the sun. "


def check(**options: Any) -> Any:
    return build("readability", "readability", {"words": 20, **options}, Resources())


def test_a_hard_passage_is_found() -> None:
    (finding,) = assert_every_split(check(most=10), HARD)
    assert (finding.label, finding.score > 0.5) == ("TOO_HARD", True)
    (detail,) = finding.details
    assert detail.expected == "a text with a readability grade of at most 10"
    assert detail.found.startswith("grade ")
    assert whole(check(most=10), SIMPLE) == []


def test_a_simple_passage_is_found() -> None:
    (finding,) = whole(check(least=5, most=30), SIMPLE)
    assert (finding.label, finding.details[0].expected) == (
        "TOO_SIMPLE",
        "a text with a readability grade of at least 5 and at most 30",
    )


def test_ease_goes_the_other_way() -> None:
    assert [finding.label for finding in whole(check(measure="ease", least=50), HARD)] == ["TOO_HARD"]
    assert [finding.label for finding in whole(check(measure="ease", most=90), SIMPLE)] == ["TOO_SIMPLE"]
    assert whole(check(measure="ease", least=50), SIMPLE) == []


@pytest.mark.parametrize(
    "text",
    [
        "The cat sat on the mat.",
        "Der Leuchtturmwärter ging jeden Morgen zum Hafen hinunter und sah den Booten nach, die hinausfuhren. " * 3,
        "x = 1\ny = 2\n" * 20,
        "",
    ],
)
def test_other_texts_get_no_verdict(text: str) -> None:
    assert whole(check(most=-50), text) == []


def test_the_threshold_says_how_far_beyond_the_range() -> None:
    values = readability(SIMPLE)
    assert values is not None
    most = values["grade"] - 2
    assert [finding.score for finding in whole(check(most=most), SIMPLE)] == [0.5]
    assert whole(check(most=most, threshold=0.6), SIMPLE) == []
    assert whole(check(most=values["grade"]), SIMPLE) == []


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("the", 1),
        ("cat", 1),
        ("harbour", 2),
        ("table", 2),
        ("make", 1),
        ("makes", 1),
        ("houses", 2),
        ("walked", 1),
        ("wanted", 2),
        ("need", 1),
        ("tree", 1),
        ("implementation", 5),
        ("don't", 1),
        ("hmm", 1),
    ],
)
def test_syllables_are_counted(word: str, count: int) -> None:
    assert syllables_of(word) == count


def test_known_texts_have_plausible_grades() -> None:
    grades = [values["grade"] for text in (SIMPLE, PROSE, HARD) if (values := readability(text))]
    assert [grade > least for grade, least in zip(grades, (-5, 3, 20), strict=True)] == [True] * 3
    assert [grade < most for grade, most in zip(grades, (3, 9, 40), strict=True)] == [True] * 3
    assert readability("") is None


def test_no_cut_changes_what_is_found() -> None:
    assert_promise(check(most=5, window_chars=300), [HARD, SIMPLE, "\n", "The ", "x" * 50], 60)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "give `least`, `most` or both"),
        ({"least": 9, "most": 5}, "`least` is above `most`"),
        ({"most": 900}, "`most` must be a number from -50 to 150"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        check(**options)
