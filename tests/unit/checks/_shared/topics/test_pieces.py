"""The pieces of a text: they cover it, no continuation moves them, and they say what they are about or little."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.topics.pieces import LEAST, MOST, pieces, telling_words
from tests.kit.checks import promise

TEXTS = st.lists(st.sampled_from(["word ", "a. ", '"Yes!" ', "\n", "x" * 90, "。", " ", "e.g. ", "Stop."])).map("".join)


@promise
@given(TEXTS, st.integers(0, 2000))
def test_pieces_cover_a_text_and_no_continuation_moves_them(text: str, end: int) -> None:
    whole = list(pieces(text, 0, last=True))
    assert "".join(text[low:high] for low, high in whole) == text
    assert all(high - low <= MOST for low, high in whole)
    assert all(high - low > LEAST for low, high in whole[:-1])
    part = list(pieces(text[:end], 0, last=False))
    assert part == whole[: len(part)]


def test_a_piece_ends_with_a_sentence_or_else_with_a_word() -> None:
    first = "This sentence is repeated until it is long enough. " * 4
    text = first + "And this one follows." + " word" * 200
    assert next(pieces(text, 0, last=True)) == (0, len(first))
    low, high = list(pieces(text, 0, last=True))[1]
    assert (text[high - 1], text[low:high].split()[-1]) == (" ", "word")
    assert [high - low for low, high in pieces("x" * 1000, 0, last=True)] == [MOST, MOST, 1000 - 2 * MOST]


@pytest.mark.parametrize(
    "text",
    [
        "hi", "Thanks a lot!", "yes, please", "No. The second one.", "Can you repeat that?", "What about tomorrow?", "",
        "Anna Miller", "It's for 3 people", "tomorrow at 17:30", "the blue one", "Sorry, I don\u2019t understand.", "4711-22",
    ],
)  # fmt: skip
def test_small_talk_and_short_answers_say_little(text: str) -> None:
    assert telling_words(text) < 3


@pytest.mark.parametrize(
    "text",
    [
        "Write a poem about autumn", "How do I build a boat?", "Please translate this into Danish: the parcel is lost",
        "Anna Miller, Gothenburg", "\u5929\u6c14" * 16, "def fibonacci(number): pass",
    ],
)  # fmt: skip
def test_a_request_and_a_statement_say_enough(text: str) -> None:
    assert telling_words(text) >= 3
