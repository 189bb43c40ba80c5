"""The walk over a tree by a map: every string is text, structure in a word's shape, opaque, or unmapped text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.wire.json.identifiers import is_known
from guardproxy.wire.json.walk import (
    KEYS,
    OTHERS,
    SECRET,
    STRUCTURE,
    UNMAPPED,
    Map,
    MapFields,
    MapLeaf,
    dotted,
    is_plain_key,
    is_word,
    opaque,
    text,
    walk,
)
from tests.kit.media import PNG

MAP: MapFields = {
    "id": STRUCTURE,
    "text": text("user"),
    "data": opaque("image", "user", "image/png"),
    "args": MapLeaf("json", "tool_arguments"),
    "items": [{"name": text("metadata")}],
    "choose": lambda value: text("system") if isinstance(value, str) else {"inner": text("user")},
    "free": {OTHERS: text("tool_result"), KEYS: text("tool_result"), "id": STRUCTURE},
}
CARD = 4111222233334444


def found(tree: Any, how: Any = MAP) -> list[tuple[str, str, str]]:
    return [
        (dotted(one.path) + ("#key" if one.key else "") + ("#number" if one.number else ""), one.text, one.leaf.kind)
        for one in walk(tree, how)
    ]


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"text": "a"}, [("text", "a", "user")]),
        ({"text": ""}, []),
        ({"text": {"a b": ["x", CARD, 5, True, None, 1e20]}}, [
            ("text.a b#key", "a b", "user"), ("text.a b[0]", "x", "user"), ("text.a b[1]#number", str(CARD), "user"),
        ]),
        ({"id": "call_a1"}, []),
        ({"id": "a-word_1.0"}, [("id", "a-word_1.0", "metadata")]),
        ({"id": "two words"}, [("id", "two words", "unmapped")]),
        ({"id": CARD}, [("id#number", str(CARD), "metadata")]),
        ({"id": 1_700_000_000}, []),
        ({"id": ["a", {"b c": CARD}]}, [
            ("id[0]", "a", "unmapped"), ("id[1].b c#key", "b c", "unmapped"), ("id[1].b c#number", str(CARD), "unmapped"),
        ]),
        ({"data": "AAAA"}, [("data", "AAAA", "user")]),
        ({"data": PNG}, [("data", "", "user")]),
        ({"data": {"x": "y"}}, [("data.x#key", "x", "unmapped"), ("data.x", "y", "unmapped")]),
        ({"data": {"type": "y", "": "z"}}, [("data.type", "y", "unmapped"), ("data.", "z", "unmapped")]),
        ({"data": ["y"]}, [("data[0]", "y", "unmapped")]),
        ({"args": '{"a": 1}'}, [("args", '{"a": 1}', "tool_arguments")]),
        ({"args": {"a b": "c"}}, [("args.a b#key", "a b", "tool_arguments"), ("args.a b", "c", "tool_arguments")]),
        ({"args": CARD}, [("args#number", str(CARD), "tool_arguments")]),
        ({"items": [{"name": "n", "x": "y"}, "z"]}, [
            ("items[0].name", "n", "metadata"), ("items[0].x#key", "x", "unmapped"), ("items[0].x", "y", "unmapped"),
            ("items[1]", "z", "unmapped"),
        ]),
        ({"items": "z"}, [("items", "z", "unmapped")]),
        ({"items": {"name": "n"}}, [("items.name", "n", "unmapped")]),
        ({"choose": "a"}, [("choose", "a", "system")]),
        ({"choose": {"inner": "a"}}, [("choose.inner", "a", "user")]),
        ({"choose": 5}, []),
        ({"free": {"a b": {"c d": "e"}, "id": "w"}}, [
            ("free.a b#key", "a b", "tool_result"), ("free.a b.c d#key", "c d", "tool_result"),
            ("free.a b.c d", "e", "tool_result"),
        ]),
        ({"new": "x", "Text": "y", "text ": "z"}, [
            ("new#key", "new", "unmapped"), ("new", "x", "unmapped"),
            ("Text#key", "Text", "unmapped"), ("Text", "y", "unmapped"),
            ("text #key", "text ", "unmapped"), ("text ", "z", "unmapped"),
        ]),
        ({"k1": "x"}, [("k1#key", "k1", "unmapped"), ("k1", "x", "unmapped")]),
        ("a", [("", "a", "unmapped")]),
        (["a"], [("[0]", "a", "unmapped")]),
    ],
)  # fmt: skip
def test_what_is_found(tree: Any, expected: list[tuple[str, str, str]]) -> None:
    assert found(tree) == expected


TREES = st.recursive(
    st.text(max_size=4) | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*map(str, MAP), "x", "a b", "1"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def strings(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], str]]:
    if isinstance(tree, dict):
        return [one for key, child in tree.items() for one in strings(child, (*path, key))]
    if isinstance(tree, list):
        return [one for number, child in enumerate(tree) for one in strings(child, (*path, number))]
    return [(path, tree)] if isinstance(tree, str) else []


@given(tree=TREES)
def test_no_string_is_passed_over_but_words_in_places_for_words(tree: Any) -> None:
    found = [one for one in walk(tree, MAP) if not one.key]
    seen = {one.path for one in found} | {path for one in found for path in one.parts}
    for path, value in strings(tree):
        assert path in seen or not value or (path[-1] == "id" and is_known(value))


def test_shapes() -> None:
    assert is_word("gpt-4.1:free/x_y=+")
    assert is_word("")
    assert not is_word("a b")
    assert not is_word("a@b")
    assert not is_word("x" * 257)
    assert not is_word("é")
    assert is_plain_key("input_schema")
    assert is_plain_key("$ref")
    assert not is_plain_key("k1")
    assert not is_plain_key("")
    assert not is_plain_key("x" * 41)
    assert not is_plain_key("é")
    assert dotted(("messages", 2, "content", 0, "text")) == "messages[2].content[0].text"
    assert dotted((0, "a")) == "[0].a"


def test_a_credential_is_opaque_and_everything_else_at_its_place_is_text() -> None:
    how: MapFields = {"key": SECRET, "headers": {KEYS: text("metadata"), OTHERS: SECRET}}
    (leaf,) = walk({"key": "Bearer of a secret"}, how)
    assert (leaf.text, leaf.leaf.how, leaf.leaf.media) == ("", "secret", "secret")
    assert list(walk({"key": None}, how)) == list(walk({"key": ""}, how)) == []
    name, value = walk({"headers": {"x key": "secret"}}, how)
    assert (name.text, name.key, name.leaf.kind, value.leaf.how) == ("x key", True, "metadata", "secret")
    for other in ({"a": "hidden text"}, ["hidden text"]):
        (hidden,) = (leaf for leaf in walk({"key": other}, how) if not leaf.key)
        assert (hidden.text, hidden.leaf.unmapped) == ("hidden text", True)
    parts = dict(zip("abcd", (4111, 2222, 3333, 4444), strict=True))
    assert [leaf.text for leaf in walk({"headers": parts}, how) if leaf.number] == ["4111 2222 3333 4444"]


_WRONG: list[Map] = [  # `make lint` reports an `ignore` that is not needed, so a type that lets a wrong map pass fails
    {"a": 3},  # type: ignore[dict-item]
    {"a": "text"},  # type: ignore[dict-item]
    {"a": None},  # type: ignore[dict-item]
    {"a": {"b": "c"}, OTHERS: UNMAPPED},  # type: ignore[dict-item]
    {"a": ["text"]},  # type: ignore[list-item]
    {"a": [{"b": 3}]},  # type: ignore[dict-item]
    {"a": lambda value: {"b": 3}},  # type: ignore[dict-item]
    {OTHERS: "text"},  # type: ignore[dict-item]
]
_WRONG_KEY: MapFields = {3: UNMAPPED}  # type: ignore[dict-item]


@pytest.mark.parametrize("tree", [{"a": "hidden"}, {"a": ["hidden"]}, {"a": [{"b": "hidden"}]}, {"a": {"b": "hidden"}}])
@pytest.mark.parametrize("how", [*_WRONG, _WRONG_KEY])
def test_a_wrong_map_lets_no_text_pass(how: Map, tree: Any) -> None:
    """The type checker refuses these maps. If one got past it, reading would fail rather than skip the text."""
    try:
        leaves = list(walk(tree, how))
    except AttributeError:
        return
    assert "hidden" in [leaf.text for leaf in leaves]
