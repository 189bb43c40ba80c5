"""The table of options: every check declares its own completely, and `build` reads its defaults there."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from guardproxy.checks import Option, check_names, options, options_digest, own_names, with_defaults
from guardproxy.errors import OptionError
from tools.pages import ROOT
from tools.pages.check_options import BLOCK

DECLARED = {"word": Option("A word.", {"type": "string"}, default="x"), "least": Option("A score.", {"type": "number"})}
EVERY = [(use, key, option) for use in check_names() for key, option in options(use).items()]


def test_what_is_left_out_has_its_default() -> None:
    assert with_defaults({}, DECLARED) == {"word": "x", "least": None}
    assert with_defaults({"word": "y", "least": 0.5}, DECLARED) == {"word": "y", "least": 0.5}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("wrod", "unknown option `wrod`; did you mean `word`? (known options: word, least)"),
        ("zzz", "unknown option `zzz`; known options: word, least"),
    ],
)
def test_an_option_that_is_not_declared_is_refused(key: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        with_defaults({key: 1}, DECLARED)
    assert (caught.value.key, caught.value.message) == (key, message)


SINGLE: dict[str, dict[str, Any]] = {
    "one of a, b": {"enum": ["a", "b"]},
    "true or false": {"type": "boolean"},
    "a number": {"type": "number"},
    "a number from 0 to 1": {"type": "number", "minimum": 0, "maximum": 1},
    "a whole number from 1 to 65536": {"type": "integer", "minimum": 1, "maximum": 65536},
    "a number, above 0 and at most 60": {"type": "number", "exclusiveMinimum": 0, "maximum": 60},
    "a whole number, at least 2": {"type": "integer", "minimum": 2},
}
VALUES: tuple[Any, ...] = (
    True,
    False,
    0,
    1,
    2,
    60,
    61,
    65536,
    65537,
    -1,
    0.5,
    float("inf"),
    "a",
    "c",
    "",
    [],
    ["a"],
    {},
    None,
)


@pytest.mark.parametrize(("wanted", "schema"), SINGLE.items(), ids=SINGLE)
def test_a_single_value_is_compared_with_its_schema(wanted: str, schema: dict[str, Any]) -> None:
    is_valid = Draft202012Validator(schema).is_valid
    declared = {"it": Option("A value.", schema, default="")}
    for value in VALUES:
        if is_valid(value):
            assert with_defaults({"it": value}, declared) == {"it": value}
        else:
            with pytest.raises(OptionError) as caught:
                with_defaults({"it": value}, declared)
            assert (caught.value.key, caught.value.message) == ("it", f"`it` must be {wanted}")


def test_nan_is_within_no_bounds() -> None:
    for schema in (schema for schema in SINGLE.values() if len(schema) > 1):
        with pytest.raises(OptionError):
            with_defaults({"it": float("nan")}, {"it": Option("A value.", schema)})


def test_other_values_are_for_the_check_to_read() -> None:
    for schema in ({"type": "string"}, {"type": "array"}, {"anyOf": [{"type": "number"}, {"type": "string"}]}, {}):
        assert with_defaults({"it": [1]}, {"it": Option("A value.", schema)}) == {"it": [1]}


def test_nothing_stands_for_a_default_in_words() -> None:
    number = {"type": "number"}
    assert with_defaults({"it": None}, {"it": Option("A score.", number, default_words="none")}) == {"it": None}
    with pytest.raises(OptionError):
        with_defaults({"it": None}, {"it": Option("A score.", number, default=1.0)})


@pytest.mark.parametrize(("use", "key", "option"), EVERY, ids=lambda value: value if isinstance(value, str) else "")
def test_every_option_is_declared_completely(use: str, key: str, option: Option) -> None:
    assert option.help.endswith(".")
    assert "by default" not in option.help, "the table says the default"
    assert option.default is None or not option.default_words
    Draft202012Validator.check_schema(dict(option.schema))
    valid = Draft202012Validator(dict(option.schema)).is_valid
    assert option.default is None or option.default == [] or valid(option.default)
    values: tuple[Any, ...] = option.tighter if isinstance(option.tighter, tuple) else ()
    assert all(map(valid, values))
    assert not values or option.default in values


def test_a_digest_tells_options_apart() -> None:
    digests = {
        options_digest("a", 1, {"x": 1}),
        options_digest("b", 1, {"x": 1}),
        options_digest("a", 2, {"x": 1}),
        options_digest("a", 1, {"x": 2}),
        options_digest("a", 1, {"x": 1}, "more"),
    }
    assert len(digests) == 5
    assert options_digest("a", 1, {"x": 1, "y": 2}) == options_digest("a", 1, {"y": 2, "x": 1})


def test_the_page_of_the_checks_has_a_table_for_each() -> None:
    assert {
        match["use"] for match in BLOCK.finditer((ROOT / "docs/policies/checks.md").read_text("utf-8"))
    } == own_names()
