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
    by_role_in_parts,
    is_of_part,
    map_of,
    moved,
    pointer,
    put,
    value,
    values,
    without,
    written,
)
from guardproxy.wire.json import STRUCTURE, part_text, text, walk


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


@pytest.mark.parametrize(
    ("place", "stands_alone", "is_part"),
    [
        ("/a", False, False),
        ("/texts/*", False, False),
        ("/parts/*/text", False, True),
        ("/parts/*/text", True, False),
        ("/turns/*/parts/*", True, True),
        ("/turns/*/parts/*/text", True, True),
    ],
)
def test_the_last_list_of_a_pointer_is_that_of_the_parts(place: str, stands_alone: bool, is_part: bool) -> None:
    assert is_of_part(pointer(place), stands_alone=stands_alone) is is_part


def test_an_item_with_a_role_is_a_message_and_no_part() -> None:
    how = map_of(
        {("items", "*", "text"): part_text("user"), ("items", "*", "more", "*", "text"): part_text("user")}, "role"
    )
    tree = {
        "items": [{"text": "a", "more": [{"text": "b"}]}, {"role": "user", "text": "c", "more": [{"text": "d"}]}, "e"]
    }
    leaves = {leaf.text: leaf.leaf.joins for leaf in walk(tree, how) if not leaf.key}
    assert leaves == {"a": True, "b": True, "c": False, "d": True, "user": False, "e": False}


def test_parts_of_a_message_of_an_unknown_role_are_parts() -> None:
    how = map_of({("turns", "*", "parts", "*", "text"): by_role_in_parts}, "role")
    tree = {"turns": [{"role": role, "parts": [{"text": "a"}]} for role in ("user", "else")]}
    found = [(leaf.leaf.kind, leaf.leaf.joins, leaf.leaf.unmapped) for leaf in walk(tree, how) if leaf.text == "a"]
    assert found == [("user", True, False), ("user", True, True)]
