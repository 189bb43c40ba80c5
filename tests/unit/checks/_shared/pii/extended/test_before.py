"""The words before a place, and the header above a cell."""

from __future__ import annotations

import pytest

from guardproxy.checks._shared.pii.extended.before import FAR, NEAR, column, follows_digits, in_number, words_before


def words(text: str, size: int = FAR) -> list[str]:
    return [word.word for word in words_before(text, len(text), size)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Call me: ", ["me", "call"]),
        ("homePhone_number ", ["number", "phone", "home"]),
        ("Numéro # 12 ", ["12", "#", "numero"]),
        ("<td class='phone'>Tel</td><td>", ["td", "td", "tel", "td"]),
        ("\ud800 tel ", ["tel"]),
        ("", []),
    ],
)
def test_words_come_nearest_first(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_a_word_that_may_begin_earlier_is_left_out() -> None:
    assert words(f"hotel{' ' * (NEAR - 3)}", NEAR) == []
    assert words(f"ho tel{' ' * (NEAR - 4)}", NEAR) == ["tel"]


def test_a_word_is_near_with_few_signs_behind_it() -> None:
    assert [word.is_near(2) for word in words_before("a.... b   : \n c", 15)] == [True, True, False]
    assert [word.is_near(5) for word in words_before("b \n\n c ", 7)] == [True, False]


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("name,phone\nBo,", "phone"),
        ("name,phone\nBo,1\nAl,", "phone"),
        ("phone;name\n", "phone"),
        ("| Name | Phone |\n|---|---|\n| Bo | ", "Phone"),
        ('a,"b,c",phone\n"x,y",z,"', "phone"),
        ("a line\nname\tphone\nBo\t", "phone"),
        ("name,phone,city\nBo,", "phone"),
        ("name,phone\nBo", ""),
        ("name\nBo,", ""),
        ("name\n", ""),
        ("name,12\nBo,", ""),
        (f"name,{'phone ' * 8}\nBo,", ""),
        ("Bo,", ""),
        ("", ""),
    ],
)
def test_the_header_is_the_first_line_of_the_table(text: str, header: str) -> None:
    assert column(text, len(text)) == header


def test_a_header_that_is_too_far_is_none() -> None:
    table = "name,phone\n" + "Bo Roe,x\n" * 200
    assert column(table, len(table)) != "phone"
    assert column("x" * 2000, 2000) == column(f"{'x' * 2000},", 2001) == ""


def test_a_comma_may_be_inside_of_a_number() -> None:
    assert in_number("1,234", 2)
    assert not in_number("a,234", 2)
    assert not in_number(",234", 1)


def test_digits_may_continue_a_group_before_them() -> None:
    assert follows_digits("12 34", 3)
    assert follows_digits("1. 34", 3)
    assert not follows_digits("a 34", 2)
    assert not follows_digits("1   34", 4)
    assert not follows_digits("34", 0)
