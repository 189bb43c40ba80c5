"""The neutral form of a text can be read and acts on nothing."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks import Resources, build
from guardproxy.redaction.escaping import neutral
from tests.kit.checks import whole

CHECKS = [build(use, use, {}, Resources()) for use in ("links", "control_chars", "special_tokens")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://evil.example/a.png?x=1&y=2", "https[:]//evil[.]example/a[.]png?x=1[&]y=2"),
        ("//evil.example", "[/]/evil[.]example"),
        ("/\t/evil.example", "[/]\t/evil[.]example"),
        ("\\\\evil", "[\\][\\]evil"),
        ("https%3a%2F%2fevil", "https[%]3a[%]2F[%]2fevil"),
        ("javascript&colon;x", "javascript[&]colon;x"),
        ("<|im_start|>", "[<]|im_start|[>]"),
        ("[INST]", "[[]INST]"),
        ("Human:", "Human[:]"),
        ("\x1b[31m", "[U+001B][31m"),
        ("a\u202eb\u200b", "a[U+202E]b[U+200B]"),
        ("\U000e0041\ufe0f", "[U+E0041][U+FE0F]"),
        ("a\tb\nc", "a\tb\nc"),
        ("ordinary text. Done", "ordinary text. Done"),
        ("aGVsbG8gdGhlcmU=", "aGVsbG8gdGhlcmU="),
        ("", ""),
    ],
)
def test_what_acts_stands_between_brackets_and_what_is_unseen_has_its_number(value: str, expected: str) -> None:
    assert neutral(value) == expected


@pytest.mark.parametrize(
    "value", ["https://evil.example/", "javascript:x()", "<|im_end|>", "\x1b]52;c;YQ==\x07", "a\u200b" * 6]
)
@pytest.mark.parametrize("around", ["{}", "![x]({})", "[1]: {}", "a {} b", "<a href='{}'>", "<img src={}>"])
def test_no_check_finds_anything_in_a_neutral_text(value: str, around: str) -> None:
    for check in CHECKS:
        assert [
            finding for finding in whole(check, around.format(neutral(value))) if finding.label != "UNDECODED"
        ] == []


@given(st.text())
def test_nothing_unseen_is_left_and_nothing_visible_is_lost(value: str) -> None:
    shown = neutral(value)
    assert {char for char in shown if unicodedata.category(char) in ("Cc", "Cf", "Co", "Cn", "Zl", "Zp")} <= set(
        "\t\n\r"
    )
    rest = iter(shown)
    assert all(char in rest for char in value if char.isprintable() and not unicodedata.category(char).startswith("M"))
