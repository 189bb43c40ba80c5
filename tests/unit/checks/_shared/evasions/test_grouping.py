"""Groups of one length: what follows each other, where it ends, and what no group begins with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.evasions import grouping
from guardproxy.checks._shared.evasions.grouping import MOST, Groups, Holds, groups, has_groups
from tests.kit.checks import PROSE
from tests.kit.evasions import pieces


def _spans(text: str, more: bool = False) -> list[tuple[list[str], str, bool]]:
    """The groups of a text, each with its tail and whether more text may add to it."""
    return [
        ([text[low:high] for low, high in its.spans], text[slice(*its.tail)] if its.tail else "", its.open)
        for its in groups(text, more)
    ]


@pytest.mark.parametrize("between", [" ", "  ", "\t", "\n", "\r\n", " \n", "\n> ", "\n>> ", "\n        ", "\n> > \t"])
def test_groups_follow_each_other_over_spaces_and_margins(between: str) -> None:
    text = f"see {between.join(('aB1c', 'dddd', 'EEEE', 'f='))}, please"
    assert _spans(text) == [(["aB1c", "dddd", "EEEE"], "f=", False)]


@pytest.mark.parametrize("between", ["   ", "\n\n", ", ", "-", "\n| "])
def test_other_signs_part_groups(between: str) -> None:
    assert _spans(between.join(("aB1c", "aB1d", "aB1e"))) == []


def test_words_names_and_numbers_begin_no_groups() -> None:
    for text in (
        PROSE,
        "This That Then 4111 1111 1111 1111",
        "well-known half-open read-only",
        "a/b c/d e/f g/h i/j",
        "",
    ):
        assert not has_groups(text, text.encode())
        assert _spans(text, more=True) == []


@pytest.mark.parametrize("first", ["aBcd", "AAbc", "ab1c", "AB1C", "1a23", "1A23", "ABCD"])
def test_mixed_letters_begin_groups(first: str) -> None:
    text = f"{first} word then"
    assert has_groups(text, text.encode())
    assert _spans(f"word {first} word then") == [([first, "word", "then"], "", False)]


def test_a_group_has_four_to_128_characters() -> None:
    assert _spans("aB1 aB1 aB1 aB1 aB1") == []
    assert _spans(f"{'aB' * 64} {'aB' * 64}") == [(["aB" * 64] * 2, "", False)]
    assert _spans(f"{'aB' * 65} {'aB' * 65}") == []
    assert _spans("=aB1c aB1cdefg aB1cdefg") == [(["aB1cdefg"] * 2, "", False)], "padding ends another run"


def test_a_shorter_group_ends_groups_if_the_length_fits() -> None:
    assert _spans("aB1c aB1c aB1c ab and") == [(["aB1c"] * 3, "ab", False)]
    assert _spans("aB1c aB1c aB1c a and") == [(["aB1c"] * 3, "", False)], "no byte"
    assert _spans("aB1cdefghijk word") == [(["aB1cdefghijk"], "word", False)]
    assert _spans("aB1cdefghijk wor") == [], "a word behind a single run"
    assert _spans("aB1cdefghijk\nwor") == [(["aB1cdefghijk"], "wor", False)]
    assert _spans("aB1c aB1c") == [], "too short for a run"


def test_more_text_may_add_groups() -> None:
    for end in (" ", "  ", "\r", "\n", " \n> "):
        assert _spans(f"a aB1c{end}", more=True) == [(["aB1c"], "", True)]
        assert _spans(f"a aB1c{end}") == []
    assert _spans("a aB1c. ", more=True) == []
    assert _spans("a aB1c", more=True) == [], "a text ends where a word begins"
    assert [its.open for its in groups("aB1c aB1c aB1c ab ", more=True)] == [False]


def test_the_length_of_groups_is_bounded() -> None:
    text = " ".join(pieces("aB1c" * 3000, 8)) + " "
    found = list(groups(text, more=True))
    assert [len(its.spans) * 8 for its in found] == [MOST, MOST, 12000 - 2 * MOST]
    assert [its.open for its in found] == [False, False, True]
    assert list(groups(" ".join(pieces("aB1c" * 1024, 8)) + " ", more=True)) == [
        Groups(tuple((at, at + 8) for at in range(0, 9 * 512, 9)), None, False)
    ]


def test_numbered_words_are_no_groups() -> None:
    for text in ("word0 word1 word2 word3", "Item1 Item2 Item3", "step10 step11"):
        assert not has_groups(text, text.encode())


@pytest.mark.parametrize("text", ["1970s 1980s 1990s", "19th 20th 21st", "120GB 12TBs", "4chan 8bits"])
def test_measures_begin_no_groups(text: str) -> None:
    assert not has_groups(text, text.encode())
    assert _spans(f"{text} ", more=True) == []


def _groups_that_hold(text: str, known: Holds) -> list[tuple[list[str], str, bool]]:
    return [
        ([text[low:high] for low, high in its.spans], text[slice(*its.tail)] if its.tail else "", its.open)
        for its in groups(text, True, known)
    ]


def test_groups_that_hold_no_text_are_left_out() -> None:
    def holds(run: str, size: int) -> bool:
        assert run[:size]
        return "x" not in run and not run.startswith("NOGO")

    assert _groups_that_hold("NOGO aB1c aB1d aB1e, and", holds) == [(["aB1c", "aB1d", "aB1e"], "", False)]
    assert _groups_that_hold("aB1x aB1c ", holds) == [(["aB1c"], "", True)], "a first group"
    assert _groups_that_hold("aB1c aB1x aB1d ", holds) == [(["aB1d"], "", True)], "the groups before another one"
    assert _groups_that_hold("aB1c word aB1x abcd 120G aB1d ", holds) == [(["aB1d"], "", True)], (
        "words and measures are no first group"
    )
    assert _groups_that_hold("aB1c aB1x abcd ", holds) == [], "no group is left"
    assert _groups_that_hold("aB1c aB1d aB1e xB1f aB1g ", holds) == [
        (["aB1c", "aB1d", "aB1e"], "", False),
        (["aB1g"], "", True),
    ]
    assert _groups_that_hold("aB1c aB1d aB1e AB1x aB1g ", holds) == [
        (["aB1c", "aB1d", "aB1e", "AB1x"], "", False),
        (["aB1g"], "", True),
    ], "a group that may have the last character"
    assert _groups_that_hold("aB1cd aB1cd aB1cd xB1cd cd ", holds) == [(["aB1cd"] * 3 + ["xB1cd"], "cd", False)]
    long = "aB1c" * 16
    assert _groups_that_hold(f"{long} {long} {'x' * 64} ", holds) == [([long, long, "x" * 64], "", True)], (
        "enough is known"
    )


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@given(st.text("aA0 q=\n", max_size=30))
def test_a_sign_is_found_in_slices(size: int, text: str) -> None:
    whole = _spans(text), has_groups(text, text.encode())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(grouping, "SLICE", size)
        assert (_spans(text), has_groups(text, text.encode())) == whole
