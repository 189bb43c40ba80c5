"""Words as the tagger `fast` sees them: where they are cut, how they are folded, and the rows that describe them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.inference.names import forms
from tests.kit.checks import promise


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in forms.words(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("John's friend", ["John", "'s", "friend"]),
        ("I'm O’Brien's", ["I'm", "O’Brien", "'s"]),
        ("St. Louis, 3pm", ["St", ".", "Louis", ",", "3", "pm"]),
        ("@bob_smith42", ["@", "bob", "_", "smith", "42"]),
        ("+1 212-555", ["+", "1", "212", "-", "555"]),
        ("Jo\u200bhn e\u0301te\u0301", ["Jo\u200bhn", "e\u0301te\u0301"]),
        ("ＪＯＨＮ　Ａ", ["ＪＯＨＮ", "Ａ"]),
        ("नमस्ते 😀\ud800", ["नमस्ते", "😀", "\ud800"]),
        ("a" * 50, ["a" * 40, "a" * 10]),
        (" \n\t", []),
    ],
)
def test_a_text_is_cut_into_words(text: str, words: list[str]) -> None:
    assert cut(text) == words


@pytest.mark.parametrize(
    "text",
    [
        "for (item of items) { total += item.price; }",
        '{"name": "Marlow", "price": 12.5}',
        "2031-02-11 04:12:55 WARN [depot] pallet=3391 skipped (scale)",
        "Mar 3 18:02:44 gw3 charon[811]: no config found",
        "[8:01] job[3] failed {retry}",
        "| Berth | Depth |\n|---|---|\n| North 1 | 11 m |",
    ],
)
def test_text_of_programs(text: str) -> None:
    assert forms.is_of_programs(cut(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Mara Lindqvist (our baker) moved to Gothenburg in 2019.",
        "Bob: 555 1234",
        "[8:01 PM] Mia: hi\n[8:02 PM] Alex: come at 9, it is 321 Pine Lane",
        "[12/03/24, 10:15:22] Ana: hola",
        "14 Quay Street, 90210 Galway",
        'She said "no" and left, didn\'t she?',
    ],
)
def test_what_people_write_is_no_text_of_programs(text: str) -> None:
    assert not forms.is_of_programs(cut(text))


@promise
@given(st.text())
def test_words_are_all_that_is_not_blank(text: str) -> None:
    places = forms.words(text)
    assert all(low < high for low, high in places)
    assert all(before[1] <= after[0] for before, after in pairwise(places))
    left = list(text)
    for low, high in places:
        left[low:high] = " " * (high - low)
    assert not "".join(left).strip()


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("Ada", "ada"),
        ("Jo\u200bhn", "john"),
        ("ＪＯＨＮ", "john"),
        ("2019", "0000"),
        ("soooooo", "soo"),
        ("O’Neil", "o'neil"),
    ],
)
def test_what_looks_alike_has_one_form(word: str, known: str) -> None:
    assert forms.lowered(forms.folded(word)) == known


@pytest.mark.parametrize(
    ("word", "case"),
    [
        *((",", 0), ("", 0), ("12", 1), ("ada", 2), ("Ada", 3), ("O'Brien", 3), ("ADA", 4), ("A", 5)),
        *(("iPhone", 6), ("McDonald", 7), ("王小明", 8), ("x1", 9)),
    ],
)
def test_how_a_word_is_written(word: str, case: int) -> None:
    assert forms.case_of(word) == case


def test_the_rows_of_a_word_say_what_is_known_of_it() -> None:
    unknown, known = (set(forms.parts("Lindqvist", 0b101, is_known)) for is_known in (False, True))
    assert len(unknown) == len(known) + 1
    assert len(known - set(forms.parts("Lindqvist", 0, True))) == 2
    assert known & set(forms.parts("lindqvist", 0, True))
    assert len(forms.parts("-", 0, True)) < 5
    assert all(0 <= row < forms.FIXED + forms.HASHED for row in unknown)


@promise
@given(st.text(min_size=1, max_size=60), st.integers(0, 255), st.booleans())
def test_every_word_has_rows(word: str, lists: int, known: bool) -> None:
    rows = forms.parts(forms.folded(word), lists, known)
    assert 2 < len(rows) < 64
    assert all(0 <= row < forms.FIXED + forms.HASHED for row in rows)
    assert 0 <= forms.number(forms.lowered(forms.folded(word))) < 1 << 32
