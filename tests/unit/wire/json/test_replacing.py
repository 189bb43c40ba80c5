"""Changed texts come to stand where they were found, and nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.wire.json.replacing import edited
from guardproxy.wire.json.strict import read, write
from guardproxy.wire.json.walk import OTHERS, STRUCTURE, UNMAPPED, MapFields, TreeLeaf, text, walk

MAP: MapFields = {"id": STRUCTURE, "text": text("user"), "free": {OTHERS: text("tool_result")}}
CARD = 4111222233334444
TREES = st.recursive(
    st.text(max_size=4) | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*map(str, MAP), "x", "a b", "1"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(tree=TREES)
def test_edits_change_what_they_name_and_nothing_else(tree: Any) -> None:
    tree = {"x": tree, "text": tree}
    ones = list(walk(tree, MAP))
    assert edited(tree, []) == tree
    same = edited(tree, [(one, one.text) for one in ones if not one.number])
    assert same == tree
    values = [one for one in ones if not one.key and not one.parts]
    copy = edited(tree, [(one, "7" if one.number else "new") for one in values])
    for one in values:
        at = copy
        for step in one.path:
            at = at[step]
        assert at == (7 if one.number else "new")


def test_keys_are_renamed_in_their_place_the_deepest_first() -> None:
    tree = {"first": 1, "a b": {"c d": {"e f": "x"}}, "last": 2}
    keys = [(one, one.text.upper()) for one in walk(tree, MAP) if one.key and " " in one.text]
    changed = edited(tree, [*keys, (TreeLeaf(("a b", "c d", "e f"), "x", UNMAPPED), "y")])
    assert changed == {"first": 1, "A B": {"C D": {"E F": "y"}}, "last": 2}
    assert list(changed) == ["first", "A B", "last"]
    assert tree == {"first": 1, "a b": {"c d": {"e f": "x"}}, "last": 2}, "the tree itself stays"


@pytest.mark.parametrize(("left", "number"), [("1000", 1000), ("-12", -12), ("", 0), ("-", 0)])
def test_what_a_stop_leaves_of_a_number_is_a_number(left: str, number: int) -> None:
    assert edited({"a": CARD}, [(TreeLeaf(("a",), str(CARD), UNMAPPED, number=True), left)]) == {"a": number}


def test_a_row_of_numbers_is_replaced_part_by_part() -> None:
    tree = {"text": [4111, 1111, "1111", 1111.0]}
    (row,) = [leaf for leaf in walk(tree, MAP) if leaf.parts]
    assert edited(tree, [(row, "1000 1111 1000")]) == {"text": [1000, 1111, "1000", 0]}


def test_a_key_that_takes_the_name_of_another_takes_over_its_value() -> None:
    tree = {"a b": 1, "x": 2, "c": 3}
    assert edited(tree, [(TreeLeaf(("a b",), "a b", UNMAPPED, key=True), "c")]) == {"c": 3, "x": 2}
    assert edited(tree, [(TreeLeaf(("c",), "c", UNMAPPED, key=True), "a b")]) == {"a b": 3, "x": 2}


def test_an_edit_keeps_how_other_numbers_are_spelled() -> None:
    tree = read(b'{"a":"x","n":[1e5,-0,0.10]}')
    leaf = TreeLeaf(("a",), "x", UNMAPPED)
    assert write(edited(tree, [(leaf, "y")])) == b'{"a":"y","n":[1e5,-0,0.10]}'
    assert write(edited(tree, [(leaf, "y")], keeps_spelling=False)) == b'{"a":"y","n":[100000.0,0,0.1]}'
