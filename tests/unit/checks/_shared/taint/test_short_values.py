"""Short values: what is one, of a passage and of an argument."""

from __future__ import annotations

import pytest

from guardproxy.checks._shared.taint.short_values import short_values


def values(text: str, *, whole: bool = False) -> list[str]:
    found = list(short_values(text, whole=whole))
    assert all(text[start:end].strip() == text[start:end] for _, start, end in found)
    return [text[start:end] for _, start, end in found]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Order A-1234 is late.", ["A-1234"]),
        ('{"id": "W12345", "to":"b@x.io"}', ["W12345", "b@x.io"]),
        ("id:98765, key=ab12cd", ["id:98765", "98765", "key=ab12cd", "ab12cd"]),
        ("see http://a.io/x and a.io/x.", ["http://a.io/x", "//a.io/x", "a.io/x"]),
        ("the gate/dock of bay-7", ["gate/dock"]),
        ("plain words, 2026-11-30, 09:15, 1234, (12345)", ["12345"]),
        ("x" * 50 + "1 abcdefghijklmno1", []),
        ("e.g. a-b", []),
    ],
)
def test_the_values_of_a_passage(text: str, found: list[str]) -> None:
    assert values(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A-1234", ["A-1234"]),
        (" #W12345. ", ["#W12345"]),
        ("please mail b@x.io about A-1234", ["b@x.io"]),
        ("Paris", []),
        ("", []),
    ],
)
def test_the_values_of_an_argument(text: str, found: list[str]) -> None:
    assert values(text, whole=True) == found


def test_a_long_text() -> None:
    assert len(values("x1-2y3 " * 3000)) == 3000
