"""The parser that takes JSON in pieces: what it reads, where it stops, and that cuts do not matter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guardproxy.schemas.reader import DEPTH_LIMIT, Reader, alike
from guardproxy.schemas.tokens import DIGITS_LIMIT
from guardproxy.wire.json.strict import JsonFault, read
from tests.kit.play import pieces


def reading(text: str, cuts: Any = ()) -> Reader:
    reader = Reader()
    for piece in pieces(text, cuts):
        reader.feed(piece)
    reader.close()
    return reader


@pytest.mark.parametrize(
    ("text", "at", "label"),
    [
        ("", 0, "incomplete"),
        ("  ", 1, "incomplete"),
        ("Sure", 0, "malformed"),
        ("{", 0, "incomplete"),
        ('{"a" 1}', 5, "malformed"),
        ("{a: 1}", 1, "malformed"),
        ('{"a": 1,}', 8, "malformed"),
        ('{"a": 1 "b": 2}', 8, "malformed"),
        ('{"a": 1]', 7, "malformed"),
        ('{"a": 1, "a": 2}', 11, "duplicate_key"),
        ("[1,]", 3, "malformed"),
        ("[1 2]", 3, "malformed"),
        ("[1}", 2, "malformed"),
        ("[}", 1, "malformed"),
        ("1 2", 2, "malformed"),
        ("{} x", 3, "malformed"),
        ("tru", 2, "incomplete"),
        ("trux", 3, "malformed"),
        ("nul ", 3, "malformed"),
        ("01", 1, "malformed"),
        ("-", 0, "malformed"),
        ("-a", 1, "malformed"),
        ("1.", 1, "malformed"),
        ("1.e5", 2, "malformed"),
        ("1e", 1, "malformed"),
        ("[1e+]", 4, "malformed"),
        ("1.2.3", 3, "malformed"),
        ("+1", 0, "malformed"),
        ("1e999", 4, "malformed"),
        ("[1e999]", 6, "malformed"),
        ("NaN", 0, "malformed"),
        ('"a\nb"', 2, "malformed"),
        ('"a', 1, "incomplete"),
        ('"\\x"', 2, "malformed"),
        ('"\\u12g4"', 5, "malformed"),
        ('"\\ud800"', 7, "malformed"),
        ('"\\ud800x"', 7, "malformed"),
        ('"\\ud800\\n"', 8, "malformed"),
        ('"\\ud800\\u0041"', 12, "malformed"),
        ('"\\udc00"', 6, "malformed"),
        ("9" * (DIGITS_LIMIT + 1), DIGITS_LIMIT, "malformed"),
        ("[" * (DEPTH_LIMIT + 1), DEPTH_LIMIT, "malformed"),
    ],
)
def test_a_fault_is_found_at_its_character(text: str, at: int, label: str) -> None:
    for cuts in ([], range(len(text)), [at], [at + 1]):
        found = reading(text, cuts)
        assert found.wrong is not None
        assert (found.wrong.at, found.wrong.label) == (at, label)
        assert found.wrong.details[0].expected


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "-0",
        " [ 1 , { } , [ ] ] ",
        "0.5e-3",
        "1E5",
        "true",
        " null ",
        '"\\u00e9\\ud83d\\ude00\\/\\b\\f\\n\\r\\t\\"\\\\"',
        '{"a": [1, {"b": []}, {}], "": "x"}',
        "[" * DEPTH_LIMIT + "]" * DEPTH_LIMIT,
        "9" * DIGITS_LIMIT,
    ],
)
def test_what_is_json_is_read(text: str) -> None:
    for cuts in (range(0), range(len(text))):
        found = reading(text, cuts)
        assert found.wrong is None
        assert found.value == read(text.encode())


def test_nothing_is_read_after_a_fault() -> None:
    reader = Reader()
    for piece in ("x", "{", "}"):
        reader.feed(piece)
    reader.close()
    assert reader.wrong is not None
    assert reader.wrong.at == 0
    assert reader.at == 3


def test_places_are_named() -> None:
    found = reading('{"a": [1, {"b c": tru')
    assert found.place() == ("a[1].b c", "a[1].b c")


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
)
_CUTS = st.lists(st.integers(0, 80), max_size=6)


def strict(text: str) -> Any:
    """The tree, or the sign that there is none, as the proxy reads every body."""
    try:
        return [read(text.encode("utf-8", "surrogatepass"))]
    except JsonFault:
        return None


@given(_ANY, st.booleans(), _CUTS)
def test_every_json_is_read_however_it_is_cut(value: Any, ascii_only: bool, cuts: list[int]) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    found = reading(text, cuts)
    assert ([found.value] if found.wrong is None else None) == strict(text)


@given(_ANY, st.integers(0, 60), st.text(max_size=3), st.integers(0, 3), _CUTS)
@example([1], 2, "", 1, [])
def test_broken_json_is_refused_exactly_where_it_breaks(
    value: Any, at: int, put: str, gone: int, cuts: list[int]
) -> None:
    text = json.dumps(value)
    text = text[:at] + put + text[at + gone :]
    found = reading(text, cuts)
    assert ([found.value] if found.wrong is None else None) == strict(text)
    if found.wrong is not None:
        again = reading(text)
        assert again.wrong is not None
        assert (again.wrong.at, again.wrong.label) == (found.wrong.at, found.wrong.label)


@given(_ANY, st.integers(0, 60))
def test_no_beginning_of_json_is_refused(value: Any, end: int) -> None:
    text = json.dumps(value)
    reader = Reader()
    reader.feed(text[:end])
    assert reader.wrong is None


@given(st.text("ab", max_size=4), st.text("ab", max_size=4))
def test_alike(one: str, other: str) -> None:
    count = alike(one, other)
    assert one[:count] == other[:count]
    assert one[count : count + 1] != other[count : count + 1] or count == len(one) == len(other)
