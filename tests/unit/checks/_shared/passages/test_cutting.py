"""Where passages end, and the check that judges each of them."""

from __future__ import annotations

import pytest

from guardproxy.checks._shared.passages.common_trigrams import common_trigrams
from guardproxy.checks._shared.passages.cutting import PassageCheck, PassageSize, PassageVerdict
from guardproxy.findings import Detail, Traits
from tests.kit.checks import assert_every_split, whole

SIZE = PassageSize(4, 10)


@pytest.mark.parametrize(
    ("text", "passages"),
    [
        ("", []),
        ("abc", ["abc"]),
        ("ab\ncdef\ngh", ["ab\ncdef\n", "gh"]),
        ("one two three four", ["one two ", "three ", "four"]),
        ("abcdefghijklmn", ["abcdefghij", "klmn"]),
        ("abcdefghi\nk", ["abcdefghi\n", "k"]),
    ],
)
def test_passages_end_at_lines_and_spaces(text: str, passages: list[str]) -> None:
    assert [text[start:end] for start, end in SIZE.passages(text, 0, is_last=True)] == passages


def test_a_passage_that_may_grow_is_held() -> None:
    assert list(SIZE.passages("one two three four", 0, is_last=False)) == [(0, 8), (8, 14)]
    assert list(SIZE.passages("one two three", 0, is_last=False)) == [(0, 8)]


def judge(passage: str) -> PassageVerdict | None:
    return PassageVerdict("X", 0.5, "no x" if "y" in passage else "", "an x") if "x" in passage else None


def test_a_finding_covers_its_passage_without_the_spaces_around() -> None:
    check = PassageCheck("c", "d", Traits(labels=frozenset("X")), SIZE, judge)
    text = "one two  x y zz qqqqqqqqqqqqqx "
    found = assert_every_split(check, text)
    assert [(text[finding.start : finding.end], finding.details) for finding in found] == [
        ("x y zz", (Detail("", "", "no x", "an x"),)),
        ("qqqx", ()),
    ]
    assert whole(check, "") == []


def test_common_groups_of_letters_are_those_of_words() -> None:
    common = common_trigrams()
    assert {"^th", "the", "he^", "ung", "eau"} <= common
    assert not {"^qz", "xqj", "zxc"} & common
    assert 3000 < len(common) < 12_000
