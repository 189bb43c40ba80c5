"""Sentences of answers and of retrieved texts: where they end, in any pieces, and what they state."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.checks._shared.grounding.sentences import (
    CAP,
    is_fact,
    is_heading,
    plain,
    sentences,
    statement,
    stem,
    words_of,
)

PIECES = st.sampled_from(
    ["word ", "Word ", "a.", ". ", ".\n", "\n", "\n\n", "! ", '." ', "Dr. ", "e.g. ", "U.S. ", "1. ", "- ", "3.5", "。", "  ",
     "…", "x" * 90, "(", ") ", "\t", "é", "\U0001f600"]
)  # fmt: skip


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text, 0, last=True)]


def test_where_sentences_end() -> None:
    text = (
        'Dr. Smith opens at 9 a.m. on weekdays. He said "no." The U.S. team left!\n1. Open the valve. Wait 3.5 s.\nEnd'
    )
    assert cut(text) == [
        "Dr. Smith opens at 9 a.m. on weekdays. ",
        'He said "no." ',
        "The U.S. team left!\n",
        "1. Open the valve. ",
        "Wait 3.5 s.\n",
        "End",
    ]
    assert cut("\u6771\u4eac\u3067\u3059\u3002\u306f\u3044") == ["\u6771\u4eac\u3067\u3059\u3002", "\u306f\u3044"]


def test_a_sentence_waits_for_what_follows() -> None:
    for text in ("It ends.", "It ends. ", "It ends"):
        assert list(sentences(text, 0, last=False)) == []
    assert list(sentences("It ends. N", 0, last=False)) == [(0, 9)]
    assert list(sentences("It ends.\n", 0, last=False)) == [(0, 9)]


@given(st.lists(PIECES, max_size=80).map("".join), st.lists(st.integers(0, 900), max_size=12))
@settings(max_examples=300, deadline=None)
def test_no_continuation_moves_an_end(text: str, places: list[int]) -> None:
    whole = list(sentences(text, 0, last=True))
    assert "".join(text[start:end] for start, end in whole) == text
    assert all(end - start <= CAP for start, end in whole)
    found, at = [], 0
    for place in (*sorted(places), len(text)):
        part = list(sentences(text[:place], at, last=place >= len(text)))
        found += part
        at = part[-1][1] if part else at
    assert found == whole


def test_a_sentence_without_an_end_is_cut() -> None:
    assert cut("x" * (CAP + 1)) == ["x" * CAP, "x"]
    assert [len(part) for part in cut("words " * CAP)][:2] == [CAP, CAP]


@pytest.mark.parametrize(
    ("sentence", "bare"),
    [
        ("- **Dogs** need a _ticket_ [1].\n", "Dogs need a ticket."),
        ("2) See [the page](https://a.example/b) (source: doc 3).", "See the page."),
        ("> ## The fare\u30104:0\u2020source\u3011", "The fare"),
        ("12 members `voted` for snake_case.", "12 members voted for snake_case."),
    ],
)
def test_marks_are_no_words(sentence: str, bare: str) -> None:
    assert plain(sentence) == bare


@pytest.mark.parametrize(
    "said",
    [
        "Shall I book a table?", "Here are the main points:", "Hello!", "Thank you!", "Great question!", "Dogs.",
        "I could not find anything about this in the documents.", "The documents do not say how much it costs.",
        "Unfortunately, the text doesn't mention the price.", "There is no information about the fare in the text.",
        "No details about the fare were found.", "The fare is not mentioned in the context.", "I hope this helps a lot!",
        "Please contact the support team for details.", "Let me know if you have further questions.",
        "In my opinion, that is a good offer.", "You may want to check their website.", "If you need more help, call them.",
        "I'm sorry, but I don't know that.",
    ],
)  # fmt: skip
def test_what_states_nothing(said: str) -> None:
    assert statement(said) == ""


@pytest.mark.parametrize(
    ("said", "states"),
    [
        ("Yes, dogs need a ticket.", "dogs need a ticket."),
        ("Dogs are not permitted by the IT department.", "Dogs are not permitted by the IT department."),
        ("It does not include a charger.", "It does not include a charger."),
        ("I think it costs 3 euros.", "I think it costs 3 euros."),
        ("It costs 3.", "It costs 3."),
        ("Please return it within days.", "Please return it within days."),
    ],
)
def test_what_states_something(said: str, states: str) -> None:
    assert statement(said) == states


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        ("## Fares and more", True), ("Fares and Rules\n", True), ("**Fares And Rules**\n", True),
        ("- Fares And More\n", False),
        ("Fares rise\n", False), ("Fares And More", False), ("Fares And More.\n", False), ("Fares\n", False), ("\n", False),
    ],
)  # fmt: skip
def test_headings(line: str, is_one: bool) -> None:
    assert is_heading(line) is is_one


def test_how_words_are_compared() -> None:
    assert list(map(stem, words_of("Ferries' ferry 1,200 50.0 7:15. twelve Twice day taking stopped stop"))) == [
        "fer", "fer", "1200", "50", "7:15", "12", "2", "day", "tak", "stop", "stop"
    ]  # fmt: skip
    assert [word for at, word in enumerate(words_of("Anna met Bo at 9 in The Hague")) if is_fact(word, is_first=at == 0)] == [
        "Bo", "9", "Hague"
    ]  # fmt: skip


def test_a_sentence_keeps_the_quotes_that_follow_its_end() -> None:
    text = "\u4ed6\u8bf4\u65e9\u4e0a\u597d\u3002\u201d The shop opens."
    assert list(sentences(text[:6], 0, last=False)) == [], "a quote may follow"
    assert next(sentences(text, 0, last=False)) == (0, 7)
    assert list(sentences(text[:6], 0, last=True)) == [(0, 6)]
