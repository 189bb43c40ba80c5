"""What stands where a placeholder cannot: it satisfies the schema, and comes from the placeholder alone."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.redaction.placeholders import PLACEHOLDER
from guardproxy.redaction.shapes import FORMATS, Constraint, Shape
from guardproxy.redaction.surrogates import StandIn, sample, stand_in
from tests.kit.play import mint

TOKEN = mint("MAIL", "jo@ab.io")
CODE = TOKEN[-13:-1]
READERS: dict[str, Any] = {
    "email": lambda text: re.fullmatch(r"[a-z]+@[a-z]+\.example", text),
    "uri": lambda text: re.fullmatch(r"https://[a-z]+\.example/[a-z]+", text),
    "hostname": lambda text: re.fullmatch(r"[a-z]+(\.[a-z]+)+", text),
    "uuid": lambda text: UUID(text).version == 4,
    "ipv4": IPv4Address,
    "ipv6": IPv6Address,
    "ipv4network": IPv4Network,
    "ipv6network": IPv6Network,
    "base64": lambda text: re.fullmatch("([a-z]{4})+", text),
    "json-pointer": lambda text: text[0] == "/",
    "regex": re.compile,
    "date": lambda text: re.fullmatch(r"\d{4}-\d\d-\d\d", text),
    "time": lambda text: re.fullmatch(r"\d\d:\d\d:\d\dZ", text),
    "date-time": lambda text: re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text),
    "duration": lambda text: re.fullmatch(r"PT\dS", text),
}


def made(schema: Any, token: str = TOKEN) -> StandIn | None:
    return stand_in(Shape("x", schema).constraints(), token)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_one_that_readers_take(name: str) -> None:
    found = made({"format": name})
    assert found
    assert READERS[FORMATS[name]](found.text)


@given(one=st.text(min_size=1, max_size=9), other=st.text(min_size=1, max_size=9))
def test_those_that_hold_their_placeholder_differ_as_placeholders_do(one: str, other: str) -> None:
    for name in sorted(set(FORMATS.values())):
        first, second = made({"format": name}, mint("A", one)), made({"format": name}, mint("A", other))
        assert first
        assert second
        if first.own:
            assert (first == second) == (one == other)
            assert not PLACEHOLDER.search(first.text)
        else:
            assert first == second


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, StandIn(TOKEN, own=True)),
        ({"maxLength": 80, "minLength": 4}, StandIn(TOKEN, own=True)),
        ({"maxLength": 12}, StandIn(CODE, own=True)),
        ({"maxLength": 5}, StandIn(CODE[:5], own=False)),
        ({"minLength": 60, "maxLength": 70}, StandIn((CODE * 6)[:70], own=False)),
        ({"pattern": "^[a-z]+$"}, StandIn(CODE, own=True)),
        ({"pattern": "^[A-Z]{3,}$"}, StandIn(CODE.upper(), own=True)),
        ({"pattern": r"^[^@]+@[^@]+\.[a-z]+$"}, StandIn(f"{CODE}@redacted.example", own=True)),
        ({"pattern": r"^\d{3}-\d{2}-\d{4}$"}, StandIn("000-00-0000", own=False)),
        ({"pattern": r"^\+?[1-9]\d{1,14}$"}, StandIn("10", own=False)),
        ({"format": "date", "pattern": "^1"}, StandIn("1900-01-01", own=False)),
        ({"format": "date", "pattern": "^2"}, None),
        ({"enum": ["a"]}, None),
        ({"pattern": "(?=x)a"}, None),
        ({"pattern": "("}, None),
        ({"pattern": "a{999}"}, None),
        ({"pattern": "^x$", "maxLength": 0}, None),
        ({"anyOf": [{"enum": ["a"]}, {"format": "uuid"}]}, StandIn("00000000-0000-4000-8000-" + "0" * 12, own=True)),
        ({"anyOf": [{"format": "email"}, {"type": "string"}]}, StandIn(f"{CODE}@redacted.example", own=True)),
    ],
)
def test_what_fits(schema: Any, expected: StandIn | None) -> None:
    found = made(schema)
    if expected and expected.text.startswith("00000000-"):
        assert found
        assert (found.text[:24], found.own) == (expected.text[:24], expected.own)
    else:
        assert found == expected


@pytest.mark.parametrize(
    "pattern",
    [
        "abc",
        "[^a]b",
        ".x",
        r"\d\s\w",
        r"[\d-]{2,}",
        r"[^\d]+",
        r"(a|b)c+?",
        "x?y*",
        "^(?:a)$",
        r"\bq",
        r"[^x0]",
        r"\D\S\W",
        "[^x]",
        "a*+b",
        "[b-d]",
    ],
)
def test_a_sample_matches_its_pattern(pattern: str) -> None:
    assert re.fullmatch(pattern, sample(pattern))


@pytest.mark.parametrize("pattern", ["(", "(?!a)b", "a{999}", r"(a)\1", "(" * 2000 + "a" + ")" * 2000])
def test_what_has_no_sample(pattern: str) -> None:
    assert sample(pattern) == ""


def test_a_set_that_leaves_nothing() -> None:
    assert sample(r"[^\w\W]") == ""


@given(pattern=st.text(alphabet="ab[]()^$*+?.|\\dw{}1,-", max_size=12))
def test_no_pattern_of_a_client_breaks_anything(pattern: str) -> None:
    found = made({"pattern": pattern})
    if found:
        assert found.text is not None
        assert Constraint(patterns=(pattern,)) in Shape("x", {"pattern": pattern}).constraints()
