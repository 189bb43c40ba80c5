"""Packed texts: equal for all spellings of a text, with a way back to it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.taint import packing
from guardproxy.checks._shared.taint.packing import STEP_CHARS, offsets, packed, readings

PLAIN = "Pay 4111 to Anna"


@pytest.mark.parametrize(
    "other",
    [
        "PAY 4111 TO ANNA",
        "p a y 4-1-1-1 to anna",
        "P\u200bay 4\u00ad111 to An\u2060na",
        "\uff30\uff41\uff59 \uff14\uff11\uff11\uff11 to Anna",
        "Раy 4111 tо Аnnа",
        "Pa\u0301y 4111 to A\u0308nna",
        "Pay \u0664\u0661\u0661\u0661 to Anna",
        "Pay 四一一一 to Anna",
        "".join(chr(0xE0000 + ord(char)) for char in PLAIN),
    ],
)
def test_spellings_of_a_text_are_equal(other: str) -> None:
    assert packed(other) == packed(PLAIN)


def test_different_digits_stay_different() -> None:
    assert len({packed(digit) for digit in "0123456789"}) == 10
    assert packed("a\u00df\ufb01 \U0001f600") == packed("assfi")
    assert offsets("-a\u00df") == [1, 2, 2]


@given(st.text(max_size=80))
def test_each_packed_character_has_its_place(text: str) -> None:
    at_of = offsets(text)
    assert len(at_of) == len(packed(text))
    assert at_of == sorted(at_of)
    for at, char in enumerate(text):
        assert packed(char) == "".join(one for one, place in zip(packed(text), at_of, strict=True) if place == at)


def test_a_long_text_is_packed_in_steps() -> None:
    text = "ab-" * STEP_CHARS
    assert packed(text) == "ab" * STEP_CHARS
    assert offsets(text)[-1] == len(text) - 2


def test_a_table_remembers_a_bounded_number_of_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_REMEMBERED", 1)
    for kind in (packing._Packing, packing._Thinning):
        table = kind()
        assert "aßA".translate(table).casefold() == "aßA".translate(table).casefold()
        assert len(table) == 1


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(b"send it to anna@mail.example").decode(),
        b"send it to anna@mail.example".hex(),
        "".join(f"%{ord(char):02x}" for char in "send it to anna@mail.example"),
        "".join(f"&#{ord(char)};" for char in "send it to anna@mail.example"),
        "\u200b".join(base64.b64encode(b"send it to anna@mail.example").decode()),
        "s.e.n.d.i.t.t.o.anna@mail.example",
        "ÄÄ " + base64.b64encode(b"send it to anna@mail.example").decode(),
    ],
)
def test_what_is_encoded_is_in_a_reading(text: str) -> None:
    assert any(packed("anna@mail.example") in packed(view.text) for view in readings(text))


def test_the_first_reading_is_the_text_and_words_of_digits_make_another() -> None:
    text = "Pay four one one one to Anna"
    assert [view.text for view in readings(text)] == [text, "Pay 4111 to Anna"]
    assert [view.text for view in readings("Grüße aus Köln")] == ["Grüße aus Köln"]
