"""Fields of a request, by their names."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.errors import DownstreamError
from guardproxy.wire import codecs
from guardproxy.wire.contract.fields import FieldPath, denied_field, is_on
from guardproxy.wire.formats.openai_chat.codec import CODEC

KEYS = st.sampled_from(["a", "b", "topA", "top_a", "c"])
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["x", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(KEYS, TREES, max_size=4)
PATHS = st.lists(KEYS | st.just("*"), max_size=3).map(lambda more: FieldPath(".".join(["a", *more])))


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a[]", "*", "*.a", "a b", "a.0", "ä", "a.b\n"])
def test_a_text_that_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no field"):
        FieldPath(text)


@pytest.mark.parametrize(
    ("path", "tree", "value", "written"),
    [
        ("store", {}, False, {"store": False}),
        ("store", {"store": True, "x": 1}, False, {"store": False, "x": 1}),
        ("options.usage", {}, True, {"options": {"usage": True}}),
        ("options.usage", {"options": None}, True, {"options": {"usage": True}}),
        ("options.usage", {"options": {"a": 1}}, True, {"options": {"a": 1, "usage": True}}),
        ("tools.*.strict", {"tools": [{}, {"strict": False}]}, True, {"tools": [{"strict": True}, {"strict": True}]}),
        ("tools.*.strict", {"tools": []}, True, {"tools": []}),
        ("tools.*.strict", {}, True, {}),
        ("tools.*.strict", {"tools": None}, True, {"tools": None}),
        ("tools.*.strict", {"tools": {"strict": False}}, True, {"tools": {"strict": True}}),
        ("stop.*", {"stop": ["a", "b"]}, "c", {"stop": ["c", "c"]}),
        ("stop.*", {"stop": "a"}, "c", {"stop": "c"}),
        ("store", {"sto_re": True}, False, {"store": False}),
        ("store", {"\u017ftore": True}, False, {"store": False}),
        ("store", {"extra_body": {"store": True, "x": 1}}, False, {"extra_body": {"x": 1}, "store": False}),
        (
            "store",
            {"extra_body": {"extra_body": {"store": 1}}},
            False,
            {"extra_body": {"extra_body": {}}, "store": False},
        ),
        ("safety_settings", {"safetySettings": [1]}, [], {"safety_settings": []}),
        ("safetySettings", {"safety_settings": [1]}, [], {"safetySettings": []}),
        ("a_b.c", {"aB": {"c": 1, "d": 2}}, 3, {"a_b": {"c": 3, "d": 2}}),
        ("safetySettings", {"safetySettings": 1, "safety_settings": 2}, [], {"safetySettings": []}),
    ],
)
def test_a_field_is_set(path: str, tree: dict[str, Any], value: Any, written: dict[str, Any]) -> None:
    assert FieldPath(path).written(tree, value) == written


@pytest.mark.parametrize(
    ("path", "tree", "field"),
    [
        ("options.usage", {"options": "x"}, "options"),
        ("options.usage", {"options": [1]}, "options"),
        ("tools.*.strict", {"tools": "f"}, "tools"),
        ("tools.*.strict", {"tools": [{}, 1]}, "tools[1]"),
    ],
)
def test_a_value_on_the_way_of_another_type_is_an_error(path: str, tree: dict[str, Any], field: str) -> None:
    with pytest.raises(DownstreamError) as error:
        FieldPath(path).written(tree, True)
    assert (error.value.status, error.value.field) == (400, field)


@pytest.mark.parametrize(
    ("path", "tree", "rest"),
    [
        ("logprobs", {"logprobs": True, "x": 1}, {"x": 1}),
        ("top_logprobs", {"topLogprobs": 1, "top_logprobs": 2, "TOP_LOGPROBS": 3}, {}),
        ("a.b", {"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}),
        ("a.b", {"a": "b"}, {"a": "b"}),
        ("a.*.b", {"a": [{"b": 1}, 2, {"c": {"b": 1}}]}, {"a": [{}, 2, {"c": {"b": 1}}]}),
        ("a.*", {"a": [1, 2]}, {"a": []}),
        ("a.*", {"a": {"b": 1}}, {"a": []}),
        ("a.*", {"a": None}, {"a": None}),
        ("a.*.b", {"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}),
        ("a", {"requests": [{"a": 1, "b": 2}, 3], "extra_body": 4}, {"requests": [{"b": 2}, 3], "extra_body": 4}),
        ("a.b", {"generate_content_request": {"a": {"b": 1}}}, {"generate_content_request": {"a": {}}}),
    ],
)
def test_a_field_is_removed(path: str, tree: dict[str, Any], rest: dict[str, Any]) -> None:
    assert FieldPath(path).without(tree) == rest


@given(PATHS, OBJECTS)
def test_a_tree_is_never_changed_in_place(path: FieldPath, tree: dict[str, Any]) -> None:
    before = copy.deepcopy(tree)
    rest = path.without(tree)
    assert (tree, list(path.places(rest)) if path.steps[-1] != "*" else []) == (before, [])
    try:
        written = path.written(tree, 7)
    except DownstreamError:
        written = None
    assert tree == before
    if written is not None:
        places = list(path.places(written))
        assert path.written(written, 7) == written, "a field that is set is set"
        assert "*" in path.steps or len(places) == 1


def test_places_are_those_of_the_request_and_of_nested_bodies() -> None:
    tree = {"requests": [{"a": 1}, [{"a": 2}], 3], "a": 4, "extra_body": {"requests": {"A": 5}}}
    assert list(FieldPath("a").places(tree)) == [
        *(("a",), ("requests", 0, "a"), ("extra_body", "requests", "A"), ("requests", 1, 0, "a")),
    ]
    assert list(FieldPath("a.b").places({"a": "text"})) == []
    assert list(FieldPath("a.*.b").places({"a": {"b": 1}})) == [("a", "b")]
    assert list(FieldPath("a.*.b").places({"a": [{"b": 1}]})) == [("a", 0, "b")]
    assert list(FieldPath("a.*").places({"a": None})) == []
    assert FieldPath("a").is_at_top(tree)
    assert not FieldPath("a").is_at_top({"extra_body": {"a": 1}})


@pytest.mark.parametrize(
    ("path", "name", "is_it"),
    [("Stream", "stream", True), ("extraBody.stream", "stream", True), ("requests.*.model", "model", True),
     ("stream.x", "stream", False), ("streams", "stream", False)],
)  # fmt: skip
def test_a_path_is_a_field_in_any_spelling(path: str, name: str, is_it: bool) -> None:
    assert FieldPath(path).is_field(name) is is_it


@pytest.mark.parametrize(
    ("first", "second", "is_part"),
    [("a", "a", True), ("a.b", "a", True), ("a", "a.b", False), ("aB.c", "a_b", True), ("ab", "a", False)],
)
def test_a_field_lies_in_another(first: str, second: str, is_part: bool) -> None:
    assert FieldPath(first).is_part_of(FieldPath(second)) is is_part


@pytest.mark.parametrize(("value", "on"), [(None, False), (False, False), (0, True), (True, True), ("", True)])
def test_null_and_false_ask_for_nothing(value: Any, on: bool) -> None:
    assert is_on(value) is on


@pytest.mark.parametrize(
    ("tree", "allowed", "place"),
    [
        ({"chat_template": "x"}, (), "chat_template"),
        ({"chat_template": "x"}, ("chat_template",), None),
        ({"chat_template": None}, (), None),
        ({"chat_template": ""}, (), None),
        ({"chat_template": {}}, (), None),
        ({"chat_template": 0}, (), "chat_template"),
        ({"extra_body": {"chat_template": "x"}}, (), "extra_body.chat_template"),
        ({"extra_body": {"chat_template": "x"}}, ("chat_template",), None),
        ({"extra_body": "chat_template"}, (), None),
        ({"extra_body": {"extra_body": {"chat_template": "x"}}}, (), "extra_body.extra_body.chat_template"),
        ({"chatTemplate": "x"}, (), "chatTemplate"),
        ({"chatTemplate": "x"}, ("chat_template",), None),
        ({"messages": [{"chat_template": "x"}]}, (), None),
    ],
)
def test_a_denied_field_is_found(tree: dict[str, Any], allowed: tuple[str, ...], place: str | None) -> None:
    found = denied_field(tree, ["chat_template"], allowed)
    assert found == (None if place is None else (place, "chat_template"))


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("store", True),
        ("topLogprobs", True),
        ("stream_options.include_usage", True),
        ("stream_options.include_it", False),
        ("store.x", False),
        ("metadata.anything", True),
        ("tools.*.function.strict", True),
        ("tools.*.unknown", False),
        ("tools.function", False),
        ("messages.*.name", True),
        ("top_kk", False),
    ],
)
def test_a_format_knows_its_fields(path: str, known: bool) -> None:
    assert CODEC.has_field(FieldPath(path)) is known


def test_a_denied_field_is_a_field_of_its_format() -> None:
    for codec in codecs():
        for name in codec.contract.denied:
            assert codec.has_field(FieldPath(name)), f"{codec.name} does not know {name}"
