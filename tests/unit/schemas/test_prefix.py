"""Growing texts judged by schemas: the verdict comes at the first character that shows it, and says what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.schemas.compiled import compile_schema
from guardproxy.schemas.drafts import allowed_steps
from guardproxy.schemas.prefix import Prefix
from tests.kit.play import pieces

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "mood": {"enum": ["calm", "cross", None]},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2, "uniqueItems": True},
        "home": {"$ref": "#/$defs/home"},
        "extra": {"type": "object", "maxProperties": 1, "patternProperties": {"^x": {"type": "null"}}},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"home": {"allOf": [{"type": "object"}, {"properties": {"city": {"const": "Oslo"}}}]}},
}


def wrong(schema: Any, text: str, cuts: Any = (), draft: str = "2020-12") -> tuple[int, str, str] | None:
    """Where and how a text is wrong, and what was expected."""
    reading = Prefix(compile_schema(schema, default=draft))
    for piece in pieces(text, cuts):
        reading.feed(piece)
    reading.close()
    if reading.wrong is None:
        return None
    detail = reading.wrong.details[0]
    said = f": {detail.said}" if detail.said else ""
    return reading.wrong.at, reading.wrong.label, f"{detail.place}: {detail.expected}, {detail.found}{said}"


@pytest.mark.parametrize(
    ("text", "at", "label", "said"),
    [
        ("[", 0, "wrong_type", ": an object, an array"),
        ('"', 0, "wrong_type", ": an object, a string"),
        ('{"name": 5}', 9, "wrong_type", "name: a string, a number"),
        ('{"age": t', 8, "wrong_type", "age: a number, true or false"),
        (
            '{"nam_',
            5,
            "unknown_key",
            ': no keys but "age", "extra", "home", "mood", "name", "tags", a key that begins with: nam_',
        ),
        ('{"nam"', 5, "unknown_key", ': no keys but "age", "extra", "home", "mood", "name", "tags", another key: nam'),
        ('{"name": "abcdefg', 16, "too_much", "name: at most 6 characters, more"),
        ('{"name": "abcdef\\u0067', 21, "too_much", "name: at most 6 characters, more"),
        ('{"age": 151}', 11, "invalid", "age: a number of at most 150, a number"),
        ('{"age": 1.5}', 11, "invalid", "age: a whole number, a number"),
        ('{"mood": 7', 9, "wrong_type", 'mood: one of "calm", "cross", null, a number'),
        ('{"mood": "cak', 12, "wrong_value", 'mood: one of "calm", "cross", a string that begins with: cak'),
        ('{"mood": "cal"', 13, "invalid", 'mood: one of "calm", "cross", null, another value'),
        ('{"tags": ["a", 1', 15, "wrong_type", "tags[1]: a string, a number"),
        ('{"tags": ["a", "b", ', None, "", ""),
        ('{"tags": ["a", "b", "', 20, "too_much", "tags[2]: at most 2 items, one more"),
        ('{"tags": ["a", "a"]', 18, "invalid", "tags: an array without equal items, an array of 2 items"),
        ('{"home": {"city": "Os_', 21, "wrong_value", 'home.city: one of "Oslo", a string that begins with: Os_'),
        ('{"extra": {"x": null, "', 22, "too_much", "extra: at most 1 keys, one more"),
        ('{"extra": {"x": 0', 16, "wrong_type", "extra.x: null, a number"),
        ('{"age": 3}', 9, "invalid", ': the key "name", it is missing'),
        ('{"name": "a"', 11, "incomplete", ": a complete JSON value, a text that ends early"),
    ],
)
def test_a_text_is_wrong_at_the_character_that_shows_it(text: str, at: int | None, label: str, said: str) -> None:
    for cuts in (range(0), range(len(text))):
        reading = Prefix(compile_schema(PERSON))
        for piece in pieces(text, cuts):
            reading.feed(piece)
        if label == "incomplete":
            reading.close()
        if at is None:
            assert reading.wrong is None
            continue
        assert reading.wrong is not None
        assert (reading.wrong.at, reading.wrong.label) == (at, label)
        detail = reading.wrong.details[0]
        assert (
            f"{detail.place}: {detail.expected}, {detail.found}" + (f": {detail.said}" if detail.said else "") == said
        )
        if at and label != "incomplete":
            before = Prefix(compile_schema(PERSON))
            before.feed(text[:at])
            assert before.wrong is None, "one character less was not wrong yet"


@pytest.mark.parametrize(
    ("schema", "draft", "text", "expected"),
    [
        ({"const": 1}, "4", "2", None),
        ({"const": 1}, "6", "2", (0, "invalid", ": 1, another value")),
        (
            {"prefixItems": [{"type": "null"}], "items": False},
            "2020-12",
            "[null, 1]",
            (7, "invalid", "[1]: nothing here, a value"),
        ),
        ({"prefixItems": [{"type": "null"}]}, "2020-12", "[null, 1]", None),
        (
            {"items": [{"type": "null"}], "additionalItems": False},
            "7",
            "[null, 1]",
            (7, "invalid", "[1]: nothing here, a value"),
        ),
        ({"items": [{"type": "null"}]}, "7", "[null, 1]", None),
        ({"items": {"type": "null"}}, "7", "[1]", (1, "wrong_type", "[0]: null, a number")),
        ({"properties": {"a": False}}, "7", '{"a": 1}', (6, "invalid", "a: nothing here, a value")),
        ({"additionalProperties": {"type": "null"}}, "7", '{"a b": 1}', (8, "wrong_type", "a b: null, a number")),
        (
            {"patternProperties": {"^x": {}}, "additionalProperties": False},
            "7",
            '{"x": 1, "y": 2}',
            (11, "unknown_key", ": no keys, another key: y"),
        ),
        ({"$ref": "#/definitions/a", "definitions": {"a": {}}, "type": "null"}, "7", "1", None),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {}}, "type": "null"},
            "2019-09",
            "1",
            (0, "wrong_type", ": null, a number"),
        ),
        (
            {"anyOf": [{"type": "null"}, {"required": ["a"]}]},
            "2020-12",
            '{"b": 1}',
            (7, "invalid", ": a value that fits one of the shapes in the schema, an object with 1 keys"),
        ),
        (
            {"items": {"not": {"type": "null"}}},
            "2020-12",
            "[1, null]",
            (7, "invalid", "[1]: a value of another shape, null"),
        ),
        (
            {"if": {"required": ["a"]}, "then": {"required": ["b"]}},
            "2020-12",
            '{"a": 1}',
            (7, "invalid", ': the key "b", it is missing'),
        ),
        (
            {"unevaluatedProperties": False, "allOf": [{"properties": {"a": {}}}]},
            "2020-12",
            '{"b": 1}',
            (7, "invalid", ": only keys that the schema names, an object with 1 keys"),
        ),
        (
            {"contains": {"type": "null"}},
            "2020-12",
            "[1]",
            (2, "invalid", ": an item of the kind that the schema asks for, an array of 1 items"),
        ),
        ({"dependentRequired": {"a": ["b"]}}, "2020-12", '{"a": 1}', (7, "invalid", ': the key "b", it is missing')),
        ({"dependencies": {"a": {"required": ["b"]}}}, "7", '{"a": 1}', (7, "invalid", ': the key "b", it is missing')),
        (
            {"propertyNames": {"maxLength": 1}},
            "7",
            '{"ab": 1}',
            (8, "invalid", ": a string of at most 1 characters, a string of 2 characters"),
        ),
        ({"type": ["integer", "null"]}, "4", "1.5", (2, "invalid", ": a whole number or null, a number")),
        ({"required": ['a"b']}, "7", "{}", (1, "invalid", ": the key one of the values in the schema, it is missing")),
        ({"enum": [1, "x" * 99]}, "7", "2", (0, "invalid", ": one of 1 or another value in the schema, another value")),
        (
            {
                "$dynamicRef": "#n",
                "$defs": {"a": {"$dynamicAnchor": "n", "items": {"$dynamicRef": "#n"}, "maxItems": 1}},
            },
            "2020-12",
            "[[1,2]]",
            (6, "invalid", "[0]: an array of at most 1 items, an array of 2 items"),
        ),
        ({"format": "email", "contentEncoding": "base64"}, "2020-12", '"no"', None),
        ({"if": {}, "then": False}, "2020-12", "1", (0, "invalid", ": nothing here, a number")),
        (
            {"if": {}, "then": {"items": [{}], "additionalItems": False}},
            "7",
            "[1, 2]",
            (5, "invalid", ": a value that fits `additionalItems` of the schema, an array of 2 items"),
        ),
        ({"allOf": [True, {"enum": [True, 1]}]}, "7", "false", (4, "invalid", ": one of true, 1, another value")),
        (False, "2020-12", "1", (0, "invalid", ": nothing here, a value")),
        (True, "2020-12", "1", None),
        ({"multipleOf": 2, "format": "x"}, "7", "3", (0, "invalid", ": a multiple of 2, a number")),
    ],
)
def test_the_keywords_of_a_draft_decide(schema: Any, draft: str, text: str, expected: Any) -> None:
    assert wrong(schema, text, draft=draft) == expected
    assert wrong(schema, text, range(len(text)), draft) == expected


def test_what_the_text_itself_made_up_is_not_shown() -> None:
    schema = {
        "properties": {"a": {"additionalProperties": {"type": "object", "additionalProperties": {"type": "null"}}}}
    }
    reading = Prefix(compile_schema(schema))
    reading.feed('{"a": {"my name": {"": 7')
    assert reading.wrong is not None
    assert reading.wrong.details[0].place == "a.my name"
    assert reading.wrong.details[0].shown == "a.*"
    whole = {"anyOf": [schema], "properties": {"a": True}}
    compiled = compile_schema({"not": {}, **whole})
    assert compiled.judge({})


def test_places_in_a_finished_value_are_not_shown_either() -> None:
    reading = Prefix(
        compile_schema({"unevaluatedProperties": {"type": "null"}, "properties": {"a": {"items": {"not": {}}}}})
    )
    reading.feed('{"my name": 7}')
    assert reading.wrong is not None
    assert [(detail.place, detail.shown) for detail in reading.wrong.details] == [("", "")]
    reading = Prefix(compile_schema({"allOf": [{"anyOf": [{"properties": {"b": {"type": "null"}}}]}], "items": {}}))
    reading.feed('{"b": 7}')
    assert reading.wrong is not None


def test_only_a_few_errors_are_named_and_each_once() -> None:
    schema = {"if": {}, "then": {"properties": {name: {"type": "null"} for name in "abcde"}}}
    reading = Prefix(compile_schema(schema))
    reading.feed(json.dumps(dict.fromkeys("abcde", 1)))
    assert reading.wrong is not None
    assert [detail.place for detail in reading.wrong.details] == ["a", "b", "c"]
    twice = {"if": {}, "then": {"allOf": [{"minimum": 3}, {"minimum": 3}]}}
    assert wrong(twice, "1") == (0, "invalid", ": a number of at least 3, a number")


def test_several_words_must_fit_at_once() -> None:
    schema = {"allOf": [{"enum": ["ab", "ac"]}, {"enum": ["ac", "ad"]}]}
    assert wrong(schema, '"ac"') is None
    assert wrong(schema, '"ab') == (2, "wrong_value", ': one of "ac", "ad", a string that begins with: ab')
    assert wrong({"enum": [1]}, '"a"') == (0, "wrong_type", ": one of 1, a string")
    assert wrong({"enum": [[]]}, "[1]") == (2, "invalid", ": one of [], another value")
    assert wrong({"type": "string", "enum": [1, "a"]}, "1") == (0, "wrong_type", ': one of 1, "a", a number')


def test_the_whole_text_is_judged_once_more_whatever_its_parts_were() -> None:
    reading = Prefix(compile_schema(PERSON))
    reading._coming = ()
    reading.feed("[]")
    assert reading.wrong is not None
    assert reading.wrong.label == "invalid"


def test_schemas_that_lead_to_each_other_are_walked_as_deep_as_the_text() -> None:
    tree = {
        "type": "object",
        "properties": {"left": {"$ref": "#"}, "value": {"type": "integer"}},
        "required": ["value"],
    }
    text = '{"left": {"left": {"value": 1}, "value": 2}, "value": 3}'
    assert wrong(tree, text) is None
    assert wrong(tree, text.replace("1", '"')) == (28, "wrong_type", "left.left.value: a number, a string")
    assert wrong(tree, text.replace('"value": 1', "")) == (19, "invalid", 'left.left: the key "value", it is missing')


@pytest.mark.parametrize("word", ["enum", "properties"])
def test_words_that_begin_alike_are_compared_once_for_each_piece(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Character by character in Python they were compared with each piece: seconds for a kilobyte of an answer."""
    words = ["p" * 90 + f"{at:04}" for at in range(50)]
    schema: Any = {"enum": words}
    if word == "properties":
        schema = {"properties": dict.fromkeys(words, True), "additionalProperties": False}
    monkeypatch.setattr("guardproxy.schemas.prefix.alike", lambda *_: pytest.fail("compared in Python"))
    prefix = Prefix(compile_schema(schema))
    before = prefix._budget.steps
    text = json.dumps(words[7] if word == "enum" else {words[7]: 1})
    for char in text:
        prefix.feed(char)
    prefix.close()
    assert prefix.wrong is None
    assert before + allowed_steps(len(text)) - allowed_steps(0) - prefix._budget.steps >= len(words) // 16
