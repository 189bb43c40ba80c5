"""The features of requests: which words count, and what the weights make of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.conditions import FEATURES, UNIT, RequestFeatures, words_of
from guardproxy.conditions.request_features import FIRST_CHARS, LAST_CHARS, MOST_WORDS

HARD = bytes([100, *[0] * (FEATURES - 1)])
EASY = bytes([256 - 100, 5, *[0] * (FEATURES - 2)])
MODEL = RequestFeatures(["prove", "hello"], HARD + EASY, (0.0, 0.05, *[0.0] * (FEATURES - 1)))


def test_the_first_and_the_last_words_count() -> None:
    long = "Begin " + "x " * 5000 + "finish, please!"
    assert words_of("What IS 2 and two?") == ["what", "is", "and", "two"]
    assert words_of(long)[0] == "begin"
    assert words_of(long)[-2:] == ["finish", "please"]
    assert len(words_of("word " * 10_000)) <= 2 * MOST_WORDS


@pytest.mark.parametrize(
    ("text", "first", "number"),
    [
        (f"Sum up:\n\n{'body ' * 500}", "sum", 2),
        (f"{'body ' * 500}\n\nWhat now?", "what", 2),
        (f"\n\n{'body ' * 500}", "body", 2 * MOST_WORDS),
        (f"{'body ' * 500}\n\n", "body", 2 * MOST_WORDS),
        (f"{'body ' * 500}\n\n{'tail ' * 500}", "body", 2 * MOST_WORDS),
        (f"Sum up:\n\n{'body ' * 20}", "sum", 22),
    ],
)
def test_a_short_paragraph_of_a_long_text_is_the_request(text: str, first: str, number: int) -> None:
    found = words_of(text)
    assert (found[0], len(found)) == (first, number)


@given(st.text(max_size=40), st.integers(0, 3 * FIRST_CHARS))
def test_no_word_of_a_text_counts_twice(start: str, more: int) -> None:
    text = (start + "a" * 7 + " ") * (more // 7)
    assert (
        sum(map(len, words_of(text))) <= min(len(text.lower()), FIRST_CHARS + LAST_CHARS) * 3
    )  # some letters grow in lower case


def test_features_are_means_over_known_words() -> None:
    assert MODEL.of("Prove it, hello!") == (0, round(5 * UNIT / 2), *[0] * (FEATURES - 2))
    assert MODEL.of("prove prove") == (100 * UNIT, *[0] * (FEATURES - 1))
    assert MODEL.of("12 + unknown") == (0,) * FEATURES


@pytest.mark.parametrize(("text", "low", "high"), [("prove", 990, 1000), ("hello", 0, 10), ("other", 500, 500)])
def test_scores_lie_between_0_and_1000(text: str, low: int, high: int) -> None:
    assert low <= MODEL.score(MODEL.of(text)) <= high


def test_a_policy_may_have_weights_of_its_own() -> None:
    turned = (0.0, -0.05, *[0.0] * (FEATURES - 1))
    assert MODEL.score(MODEL.of("prove"), turned) == UNIT - MODEL.score(MODEL.of("prove"))
    assert MODEL.score([0] * FEATURES, (1e9, *[0.0] * FEATURES)) == UNIT, "no number is too large"
