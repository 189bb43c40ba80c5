"""The tokens of JSON in pieces: the same at every cut, and the first wrong character by its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.schemas.tokens import DIGITS_LIMIT, Malformed, NumberToken, StringToken


def read_string(*parts: str) -> tuple[str, list[tuple[str, int]], int]:
    """The value of a string, what was reported of it, and how many characters it took."""
    reported: list[tuple[str, int]] = []
    token = StringToken(lambda run, at: reported.append((run, at)))
    at = 0
    for part in parts:
        index = token.read(part, 0, at)
        if token.is_complete:
            return token.value, reported, at + index
        assert index == len(part)
        at += len(part)
    return token.value, reported, -1


TEXTS = ["plain", "", 'say "hi"', "a\\b/c", "line\nbreak\ttab", "Grüße", "\U0001f600 smile", "\u2028"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("is_ascii", [True, False])
def test_a_string_is_the_same_at_every_cut(text: str, is_ascii: bool) -> None:
    written = json.dumps(text, ensure_ascii=is_ascii)[1:] + ", more"
    size = len(written) - len(", more")
    for cut in range(len(written) + 1):
        value, reported, end = read_string(written[:cut], written[cut:])
        assert (value, end) == (text, size)
        assert "".join(run for run, _ in reported) == text
    assert read_string(*written)[0] == text


def test_characters_are_reported_with_their_places() -> None:
    assert read_string('ab\\ncd\\u0041"')[1] == [("ab", 0), ("\n", 3), ("cd", 4), ("A", 11)]
    assert read_string("ab", "c")[1:] == ([("ab", 0), ("c", 2)], -1)


@pytest.mark.parametrize(
    ("written", "at", "expected"),
    [
        ('a\n"', 1, "an escape such as \\n"),
        ("a\\x", 2, "an escape that JSON has"),
        ("\\u00g0", 4, "four hexadecimal digits"),
        ("\\udc00", 5, "the first half of a surrogate pair before the second"),
        ('\\ud83d"', 6, "the other half of a surrogate pair"),
        ("\\ud83d\\n", 7, "the other half of a surrogate pair"),
        ("\\ud83d\\u0041", 11, "the other half of a surrogate pair"),
    ],
)
def test_the_first_wrong_character_of_a_string_is_named(written: str, at: int, expected: str) -> None:
    for cut in range(len(written) + 1):
        with pytest.raises(Malformed, match=r".") as caught:
            read_string(written[:cut], written[cut:])
        assert (caught.value.at, caught.value.expected, caught.value.char) == (at, expected, written[at])


def read_number(*parts: str) -> tuple[Any, int]:
    token, at = NumberToken(), 0
    for part in parts:
        index = token.read(part, 0, at)
        if index < len(part):
            return token.value(at + index), at + index
        at += len(part)
    return token.value(at), at


@pytest.mark.parametrize("written", ["0", "-0", "12", "1.5", "1e3", "1E-3", "-1.25e+2"])
def test_a_number_is_the_same_at_every_cut(written: str) -> None:
    for cut in range(len(written) + 1):
        value, end = read_number(written[:cut], written[cut:] + ",")
        assert (value, type(value), end) == (json.loads(written), type(json.loads(written)), len(written))


@pytest.mark.parametrize(
    ("written", "at", "expected"),
    [
        ("01", 1, "a number as JSON writes them"),
        ("1.e", 2, "a number as JSON writes them"),
        ("-", 1, "a number as JSON writes them"),
        ("1.", 2, "a number as JSON writes them"),
        ("1e999", 5, "a smaller number"),
        ("1" * (DIGITS_LIMIT + 1), DIGITS_LIMIT, "a number as JSON writes them"),
    ],
)
def test_the_first_wrong_character_of_a_number_is_named(written: str, at: int, expected: str) -> None:
    for cut in {0, 1, len(written) // 2, len(written)}:
        with pytest.raises(Malformed, match=r".") as caught:
            read_number(written[:cut], written[cut:])
        assert (caught.value.at, caught.value.expected) == (at, expected)
