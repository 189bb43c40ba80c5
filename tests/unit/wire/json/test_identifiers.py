"""The words and identifiers that places of structure pass unscanned, and what they cannot hold."""

from __future__ import annotations

import pytest

from guardproxy.wire.json.identifiers import WORDS, is_chance, is_identifier, is_known, is_short, undated

UUID = "0b1c2d3e-aaaa-4bbb-8ccc-0d1e2f3a4b5c"


@pytest.mark.parametrize(
    "text",
    [
        "call_a1B2c3",
        "toolu_01A2b3C4d5E6f7",
        "msg_01XFDUDYJgAACzvnptvVoYEL",
        "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
        f"chatcmpl-{UUID}",
        UUID,
        "fp_44709d6fcb",
        "call_again_12_0",
        "req_011CSHoEeqs5C35K2UUqR7Fy",
    ],
)
def test_identifiers_of_the_protocols(text: str) -> None:
    assert is_identifier(text)
    assert is_known(text)


@pytest.mark.parametrize(
    "text",
    [
        "4111222233334444",
        "call_4111222233334444",
        "call_4111-2222-3333-4444",
        "msg_2125551234",
        "call_AKIAIOSFODNN7EXAMPLE",
        "jo@ab.io",
        "call_jo@ab.io",
        "call_",
        "jane-roe",
        "sk-ant-abc",
        "toolu_" + "a" * 49,
        "call_a b",
        "call_a\n",
        "41112222-3333-4444-1111-222233334444",
        "function-call-4111222233334444",
        "user2",
    ],
)
def test_what_is_no_known_word_is_scanned(text: str) -> None:
    assert not is_known(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gpt-4.1-2025-04-14", "gpt-4.1"),
        ("claude-opus-4-1-20250805", "claude-opus-4-1"),
        ("claude-3-5-sonnet@20240620", "claude-3-5-sonnet"),
        ("41112222-20250414", "41112222-20250414"),
        ("x-41112222-20250414", "x-41112222-20250414"),
        ("20250414", "20250414"),
        ("a-2025-13-01", "a-2025-13-01"),
        ("a-202504141", "a-202504141"),
    ],
)
def test_only_a_date_is_left_out_of_a_name(name: str, text: str) -> None:
    assert undated(name) == text


def test_words() -> None:
    assert {"user", "stop", "ephemeral", "image/png", "text/plain", "chat.completion.chunk", ""} <= WORDS
    assert all(len(word) <= 80 and sum(map(str.isdigit, word)) <= 10 for word in WORDS), "no word is a number"
    assert is_short("a1Z")
    assert is_short("")
    assert not is_short("a1Z4")
    assert not is_short("a-b")
    assert not is_short("é")


def test_random_bits_hold_a_licence_by_chance() -> None:
    bits = "chatcmpl-0f1e2d3cab12345674e5f6a7b8c9d0e1"
    assert is_identifier(bits)
    assert not is_identifier("chatcmpl-0f1e2d3cab123456789e5f6a7b8c9d0e")
    assert is_chance(bits, "ab1234567")
    assert not is_chance(bits, "123456789")
    assert not is_chance("ab1234567", "ab1234567")
