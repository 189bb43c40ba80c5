"""Pointers: how they are written, the maps that follow from them, and what contradicts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.wire.declared.pointers import (
    PointerError,
    by_role,
    map_of,
    moved,
    pointer,
    put,
    value,
    values,
    without,
    written,
)
from guardproxy.wire.json import STRUCTURE, text, walk


@pytest.mark.parametrize(
    ("text", "steps"),
    [("/a", ("a",)), ("/a/*/b", ("a", "*", "b")), ("/a~1b/c~0d", ("a/b", "c~d")), ("/a/~01", ("a", "~1"))],
)
def test_a_pointer_is_read_and_written(text: str, steps: tuple[str, ...]) -> None:
    assert pointer(text) == steps
    assert written(steps) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "begins with `/`"),
        ("", "begins with `/`"),
        ("/", "begins with `/`"),
        ("/*/a", "not with `\\*`"),
        ("/a//b", "empty step"),
        ("/a/", "empty step"),
        ("/a/0/b", "all items"),
        ("/a~2", "written as `~0`"),
        ("/a~", "written as `~0`"),
    ],
)
def test_a_wrong_pointer_says_what_to_do(text: str, message: str) -> None:
    with pytest.raises(PointerError, match=message):
        pointer(text)


@pytest.mark.parametrize(
    ("pointers", "message"),
    [
        (["/a", "/a/b"], "as a whole and in parts"),
        (["/a/*/b", "/a/c"], "a list for one pointer and an object for another"),
        (["/a/*", "/a/*/b"], "as a whole and in parts"),
    ],
)
def test_pointers_that_contradict(pointers: list[str], message: str) -> None:
    with pytest.raises(PointerError, match=message) as caught:
        map_of({pointer(text): STRUCTURE for text in pointers})
    assert caught.value.pointers[0] == pointer(pointers[-1])


def test_a_kind_by_role_needs_messages() -> None:
    with pytest.raises(PointerError, match="a list of messages") as caught:
        map_of({pointer("/a/b"): by_role}, "role")
    assert caught.value.pointers == (pointer("/a/b"),)
    with pytest.raises(PointerError, match="as a whole and in parts"):
        map_of({pointer("/a/*/b"): by_role, pointer("/a/*/b/c"): STRUCTURE}, "role")


def test_the_role_of_the_nearest_message_decides() -> None:
    how = map_of({pointer("/m/*/parts/*/t"): by_role}, "who")
    tree = {"m": [{"who": "system", "parts": [{"t": "a b"}]}, {"who": "tool", "parts": [{"t": "c d"}, "e f"]}, "g h"]}
    assert [(leaf.text, leaf.leaf.kind) for leaf in walk(tree, how) if not leaf.key] == [
        ("a b", "system"),
        ("c d", "tool_result"),
        ("e f", "unmapped"),
        ("g h", "user"),
    ]


def test_values_are_found_and_written() -> None:
    tree: dict[str, Any] = {}
    put(tree, pointer("/a/*/b"), 1)
    put(tree, pointer("/a/*/c"), 2)
    put(tree, pointer("/d/e"), 3)
    put(tree, pointer("/f/*"), 4)
    put(tree, pointer("/f/*"), 5)
    assert tree == {"a": [{"b": 1, "c": 2}], "d": {"e": 3}, "f": [5]}
    assert value(tree, pointer("/a/*/c")) == 2
    assert list(values({"a": [{"b": 1}, 7, {"b": 2}]}, pointer("/a/*/b"))) == [1, 2]
    assert value(tree, pointer("/a/*/x")) is value(tree, pointer("/d/*/e")) is value(tree, None) is None
    assert without(tree, pointer("/d/e"))["d"] == {}
    assert without(tree, pointer("/x/y")) is tree
    assert without({"a": 5}, pointer("/a/b")) == {"a": 5}
    assert tree["d"] == {"e": 3}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (("a", 2, "t"), ("b", "c", 2)),
        (("a", 2, "t", "x"), ("b", "c", 2, "x")),
        (("a", "k", "t"), None),
        (("a", 2), None),
    ],
)
def test_a_place_moves_to_its_twin(path: Any, found: Any) -> None:
    assert moved(path, pointer("/a/*/t"), pointer("/b/c/*")) == found


WORDS = st.sampled_from(["alpha", "beta", "gamma", "messages", "text"])
TREES = st.recursive(
    st.sampled_from(["some text 1", "other text 2", "third text 3"]) | st.integers(0, 9) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
POINTERS = st.lists(
    st.lists(WORDS | st.just("*"), min_size=1, max_size=3).filter(lambda steps: steps[0] != "*"), max_size=4
)


def strings(tree: Any) -> list[str]:
    if isinstance(tree, str):
        return [tree]
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return [found for child in children for found in strings(child)]


@given(tree=st.dictionaries(WORDS, TREES, max_size=4), pointers=POINTERS, role=st.booleans())
def test_no_string_is_skipped_whatever_the_pointers_say(
    tree: dict[str, Any], pointers: list[list[str]], role: bool
) -> None:
    """A set of pointers is refused, or every string of every tree is read."""
    try:
        how = map_of({tuple(steps): by_role if role else text("user") for steps in pointers}, "role")
    except PointerError:
        return
    read = [leaf.text for leaf in walk(json.loads(json.dumps(tree)), how) if not (leaf.key or leaf.number)]
    assert sorted(read) == sorted(strings(tree))
