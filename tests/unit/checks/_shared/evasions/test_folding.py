"""Folding characters: what looks like another character, or like nothing, and what is left alone."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.evasions import folding
from guardproxy.checks._shared.evasions.folding import (
    _LOOK_ALIKES,
    INVISIBLE_LIMIT,
    classified,
    encoded,
    fold,
    has_hidden,
    has_twofold,
    padding,
    spaced_open,
    squeeze,
    table,
)
from tests.kit.evasions import DASHES, DIGITS, INVISIBLE, SPACES, bold, full_width, look_alikes, tags
from tests.kit.evasions import digits as in_digits

STANDARD, STRICT = table(False), table(True)


def _folded(text: str, strict: bool = False, other: bool = False) -> str:
    same, edits = fold(text, STRICT if strict else STANDARD, other)
    assert len(same) == len(text)
    for start, end, new in reversed(edits):
        same = same[:start] + new + same[end:]
    return same


@pytest.mark.parametrize("name", INVISIBLE)
def test_what_cannot_be_seen_between_characters_is_taken_out(name: str) -> None:
    sign = INVISIBLE[name]
    assert _folded(f"a{sign}b{sign} {sign}1") == "ab 1"
    assert _folded(sign.join("4111-1111")) == "4111-1111"


def test_categories_alone_would_not_do() -> None:
    assert {unicodedata.category(sign[0]) for sign in INVISIBLE.values()} == {"Cf", "Mn", "Me", "Lo"}


@pytest.mark.parametrize("sign", DASHES)
def test_dashes_between_digits(sign: str) -> None:
    assert _folded(f"555{sign}0142") == "555-0142"
    assert unicodedata.normalize("NFKC", sign) != "-" or sign in "\uff0d\ufe63"
    assert _folded(f"555 {sign} 0142") == f"555 {sign} 0142"


def test_a_dash_in_prose_is_a_dash_unless_strict() -> None:
    assert (
        _folded("the house\u2014which was old\u2013and that\u2015stood")
        == "the house\u2014which was old\u2013and that\u2015stood"
    )
    assert _folded("sk\u2013live\u2014x", strict=True) == "sk-live-x"
    assert _folded("sk\u2011live") == "sk-live"


@pytest.mark.parametrize("sign", SPACES.replace("\u2800", ""))
def test_spaces(sign: str) -> None:
    assert _folded(f"4111{sign}1111") == "4111 1111"
    assert _folded(f"été{sign}!") == f"été{sign}!"


@pytest.mark.parametrize("name", DIGITS)
def test_digits_of_other_scripts(name: str) -> None:
    assert _folded(in_digits("0123456789", DIGITS[name])) == "0123456789"


def test_compatibility_forms() -> None:
    assert _folded(full_width("jane.roe@example.com")) == "jane.roe@example.com"
    assert _folded(bold("AKIA2z")) == "AKIA2z"
    assert _folded("④¹₁⑴⒈ ﬁle ㎏ Ⓐ jane。roe") == "41111 file kg A jane.roe"
    assert _folded("Name：John，你好：") == "Name:John，你好："


def test_what_changes_its_length_is_left_to_the_offset_map() -> None:
    assert fold("ﬁ４", STANDARD) == ("ﬁ4", [(0, 1, "fi")])
    assert fold("\ufdfa İ ½ ４", STANDARD) == ("\ufdfa İ ½ 4", [])  # 18 characters, two, and none that is ASCII


def test_tags_spell_ascii_but_for_those_of_a_flag() -> None:
    flag = "\U0001f3f4" + tags("gbeng") + "\U000e007f"
    assert _folded(tags("4111 x"), other=True) == "4111 x"
    assert _folded(f"41{tags('y' * 100)}11") == "4111"
    assert _folded(f"a {flag} b", other=True) == f"a {flag} b"
    assert _folded(f"a {flag} b") == f"a {flag} b"


def test_look_alikes_in_words_that_look_latin() -> None:
    word = look_alikes("AKIAQ3EGZ7WTNX5LBJ2K")
    assert word.isascii() is False
    assert _folded(word) == word
    assert _folded(word, strict=True) == "AKIAQ3EGZ7WTNX5LBJ2K"
    assert _folded("jаne@example.com привет сор", strict=True) == "jane@example.com привет cop"
    assert _folded("\U0001d6a8KIA", strict=True) == "AKIA"  # mathematical bold alpha


def test_every_look_alike_is_a_letter_or_a_sign_of_another_alphabet() -> None:
    letters = [letter for row in _LOOK_ALIKES.values() for letter in row]
    assert len(letters) == len(set(letters)) > 200
    for letter in letters:
        assert not letter.isascii()
        assert not unicodedata.normalize("NFKC", letter).isascii()
        assert unicodedata.category(letter)[0] == "L" or letter == "\u212e"


def test_combining_marks() -> None:
    assert _folded("4\u03011\u0308\u03011") == "411"  # no language puts them on a digit
    assert _folded("e\u0301te\u0301 a\u0308") == "e\u0301te\u0301 a\u0308"
    assert _folded("4\u03011\u0308\u03011", strict=True) == "411"


@pytest.mark.parametrize(
    "text",
    [
        "Every morning the keeper went down to the harbour, and “nobody” could say why — it’s true…",
        "Каждое утро смотритель спускался в гавань.",
        "每天早上，老灯塔看守人走到港口（看着船只出海）：他知道大多数船员的名字！",
        "این یک متن فارسی است که نیم‌فاصله می‌گیرد.",
        "हर सुबह बूढ़ा रखवाला बंदरगाह तक जाता था क्ष्‍म।",
        "Où est l’été\u202f? «\u00a0Là-bas\u00a0», dit-il — 1ª vez, nº 3, Acme™",
        "Great ❤️ idea 👩‍💻 👍🏽 🏳️‍🌈 🇩🇪",
        "毎朝、灯台守は港まで歩いて行った。",
        "\u200bat the start, and at the end\u200b",
    ],
)
def test_ordinary_text_holds_nothing_hidden(text: str) -> None:
    assert not has_hidden(text, STANDARD)
    assert fold(text, STANDARD) == (text, [])


@pytest.mark.parametrize("sign", ["\u2800", "\u3164", "\x00", "\x0b", "\x85", "\u2028", "\ufffc"])
def test_blanks_join_or_part(sign: str) -> None:
    assert _folded(f"4111{sign}1111") == "41111111"
    assert _folded(f"4111{sign}1111", other=True) == "4111 1111"


def test_a_backspace_shows_nothing_or_erases() -> None:
    assert _folded("41x\b11 a\bb\b\b\b1") == "41x11 ab1"
    assert _folded("41x\b11 a\bb\b\b\b1", other=True) == "4111 1"
    assert _folded("41xy\u200bz\b\b\b\b11", other=True) == "4111"


def test_tabs_and_line_ends_stay() -> None:
    for other in (False, True):
        assert _folded("a\tb\nc\r\nd", other=other) == "a\tb\nc\r\nd"


def test_too_many_invisible_characters_are_not_taken_out_in_silence() -> None:
    few, many = "\u200b" * INVISIBLE_LIMIT, "\u200b" * (INVISIBLE_LIMIT + 1)
    assert _folded(f"a{few}b") == "ab"
    assert padding().search(f"a{few}b") is None
    assert _folded(f"a{many}b") == f"a{many}b"
    assert [match.span() for match in padding().finditer(f"a{many}\u200bb")] == [(1, 66)]


@pytest.mark.parametrize(
    ("text", "edits"),
    [
        ("4 1 1 1 1 1 1 1", [(0, 15, "41111111")]),
        ("a 4 1 1 1  1 1 1 1 b c", [(0, 22, "a41111111bc 41111111")]),
        ("4-1-1-1-1-1-1-1", [(0, 15, "41111111")]),
        ("4, 1, 1, 1, 1, 1, 1, 1", [(0, 22, "41111111")]),
        ("j a n e @ a c . b c", [(0, 19, "jane@ac.bc")]),
        ("4 1 1 1 1 1 1", []),
        ("4-1-1.1-1-1-1-1", []),
        ("a b c d e f g hello", []),
        ("to be or not to be, is it so or no", []),
    ],
)
def test_one_by_one(text: str, edits: list[tuple[int, int, str]]) -> None:
    assert squeeze(text) == edits


@pytest.mark.parametrize(
    ("text", "at"),
    [("it is a ", 6), ("so 4 1 1", 3), ("so 4-1-1.", 3), ("hello ", 6), ("12 34 56 ", 0), ("", 0), ("xyz 0x41, ", 4)],
)
def test_what_may_go_on_one_by_one(text: str, at: int) -> None:
    assert spaced_open(text) == at


# What `spaced_open` is defined as: the first place from which such units follow each other up to the end of the text.
_UNIT = r"(?<![0-9A-Za-z])(?:0x)?(?:[0-9A-Fa-f]{2}|[0-9A-Za-z])(?![0-9A-Za-z])[^0-9A-Za-z\n]{0,5}"
_UNITS = re.compile(rf"(?:{_UNIT}){{1,256}}\Z")


@given(
    st.lists(st.sampled_from(["0x", "a", "1", "4g", "41", "x", "0", " ", "-", ", ", "\n", "@", "é", "   "])).map(
        "".join
    )
)
def test_units_are_found_from_the_end_as_from_the_front(text: str) -> None:
    match = _UNITS.search(text)
    assert spaced_open(text) == (match.start() if match else len(text))


@pytest.mark.parametrize("unit", ["a ", "41 ", "0x41, ", "0x41     "])
def test_no_more_than_so_many_units_may_go_on(unit: str) -> None:
    for count in (255, 256, 257, 600):
        assert spaced_open(unit * count) == len(unit) * max(count - 256, 0)


SIGNS = 'aZ09 .-\u200b\u2013\u2014\u0301\u00a0\uff21\u0391\n\b\u202e("é\U000e0041'


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@given(st.text(SIGNS, max_size=14))
def test_a_long_text_is_looked_at_in_slices_with_the_same_result(size: int, text: str) -> None:
    tables = (STANDARD, STRICT)
    whole = [(has_hidden(text, using), has_twofold(text, using), fold(text, using)) for using in tables]
    data = encoded(text)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(folding, "SLICE", size)
        assert [(has_hidden(text, using), has_twofold(text, using), fold(text, using)) for using in tables] == whole
        assert encoded(text) == data
        assert classified(data, bytes(range(256))) == data


class _Noting:
    """A pattern that notes how much it reads at once."""

    most = 0

    def search(self, text: str) -> None:
        self.most = max(self.most, len(text))


def test_no_step_over_a_long_text_is_long() -> None:
    """A call holds the interpreter, and with it the event loop, whichever thread it runs in."""
    noting: Any = _Noting()
    using = replace(STANDARD, hidden=noting, twofold=noting)
    text = "é plain words " * folding.SLICE
    assert not has_hidden(text, using)
    assert not has_twofold(text, using)
    assert noting.most == folding.SLICE + 2
