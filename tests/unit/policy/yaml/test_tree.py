"""The core schema of YAML 1.2, places, and where a text begins within its node."""

from __future__ import annotations

import math

import pytest

from guardproxy.errors import PolicyError
from guardproxy.policy.yaml.tree import FilePlace, core_scalar, read_tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("Null", None),
        ("nULL", "nULL"),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("0", 0),
        ("-12", -12),
        ("+3", 3),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("190:20:30", "190:20:30"),
        ("0.5", 0.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("-2.5E-1", -0.25),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("+.Inf", math.inf),
        ("inf", "inf"),
        ("2001-12-14", "2001-12-14"),
        ("=", "="),
        ("<<", "<<"),
        (".", "."),
        ("٣", "٣"),
    ],
)
def test_core_scalars(text: str, value: object) -> None:
    found = core_scalar(text)
    assert (type(found), found) == (type(value), value)


def test_not_a_number() -> None:
    found = core_scalar(".NaN")
    assert isinstance(found, float)
    assert math.isnan(found)


def test_quoted_scalars_are_texts() -> None:
    assert read_tree("[true, 'true', \"1\", '', 1]", "p").plain() == [True, "true", "1", "", 1]


def test_blocks_are_texts() -> None:
    assert read_tree("a: |\n  1\nb: >-\n  2\n  3\n", "p").plain() == {"a": "1\n", "b": "2 3"}


def test_places_count_characters() -> None:
    node = read_tree("ä: [é, {ö: 'ü'}]\n", "p")
    assert isinstance(node.value, dict)
    items = node.value["ä"]
    assert (items.place, items.key) == (FilePlace(1, 4), FilePlace(1, 1))
    assert isinstance(items.value, tuple)
    inner = items.value[1]
    assert (inner.place, inner.key) == (FilePlace(1, 8), FilePlace(1, 8))
    assert isinstance(inner.value, dict)
    assert (inner.value["ö"].place, inner.value["ö"].key) == (FilePlace(1, 12), FilePlace(1, 9))


@pytest.mark.parametrize(
    ("text", "lead"),
    [
        ("a b", 0),
        ("'a b'", 1),
        ('"a b"', 1),
        ('"a\\x20b"', None),
        ("'it''s'", None),
        ("a\n  b", None),
        ("'a\n  b'", None),
        ("|\n  a b\n", None),
    ],
)
def test_lead_is_known_where_a_text_reads_as_it_is_written(text: str, lead: int | None) -> None:
    node = read_tree(f"key: {text}", "p")
    assert isinstance(node.value, dict)
    assert node.value["key"].lead == lead


def test_twenty_levels_are_read() -> None:
    found = read_tree("[" * 20 + "]" * 20, "p").plain()
    depth = 0
    while found:
        found, depth = found[0], depth + 1
    assert depth == 19


SINGLE = "use single quotes, in which a backslash stays as it is"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (r'a: "\d+"', rf"1:6: `\d` means nothing between double quotes; {SINGLE}"),
        (r'a: ["x", "\."]', rf"1:12: `\.` means nothing between double quotes; {SINGLE}"),
        (r'a: "\bfalcon"', rf"1:4: `\b` between double quotes is a backspace; {SINGLE}"),
        (r'a: "\\\b"', rf"1:4: `\b` between double quotes is a backspace; {SINGLE}"),
        ("a: b: c", "1:5: a second `: ` in a line; quote the text"),
        ("a:\n  - b: see: this", "2:11: a second `: ` in a line; quote the text"),
        ("a: {b: c: d}", "1:9: a second `: ` in a text; quote the text"),
        ("a: b\n  c: d", "2:4: a key below a key that has a value; indent it like the line above, or quote the text"),
        ("a: @b", "1:4: a text cannot begin with @; quote the text"),
        ("a: %b", "1:4: a text cannot begin with %; quote the text"),
        ("a: [b", "1:6: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: 'b", "1:6: not valid YAML: found unexpected end of stream"),
        ("a: *b", "1:4: aliases are not available; repeat the value, or quote a text that begins with `*`"),
    ],
)
def test_the_usual_mistakes_of_texts_say_what_to_write(text: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        read_tree(text, "p.yaml")
    assert str(caught.value) == f"p.yaml:{message}"


@pytest.mark.parametrize(
    ("text", "value"), [(r"'\bx\d'", r"\bx\d"), (r'"\\bx"', r"\bx"), (r"\bx\d", r"\bx\d"), (r'"\x08"', "\b")]
)
def test_a_backslash_stays_where_it_is_meant(text: str, value: str) -> None:
    assert read_tree(f"a: {text}", "p.yaml").plain() == {"a": value}
