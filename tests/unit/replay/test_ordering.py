"""The members of a recorded request are read again in the order in which they were sent."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.replay.ordering import in_order
from guardproxy.wire.json import dotted

NAMES = st.text("abcdefgh", min_size=1, max_size=3)
TREES = st.recursive(
    st.text("xyz", max_size=2),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(NAMES, inner, min_size=1, max_size=4),
)


def paths_of(node: Any, path: tuple[str | int, ...] = ()) -> list[str]:
    """The paths of all strings, in their order."""
    if isinstance(node, dict):
        return [text for key, child in node.items() for text in paths_of(child, (*path, key))]
    if isinstance(node, list):
        return [text for index, child in enumerate(node) for text in paths_of(child, (*path, index))]
    return [dotted(path)]


@given(TREES)
def test_a_tree_that_was_sorted_has_its_order_again(tree: Any) -> None:
    written = json.loads(json.dumps(tree, sort_keys=True))
    assert json.dumps(in_order(written, paths_of(tree))) == json.dumps(tree)


def test_the_name_of_a_member_counts_as_its_text() -> None:
    tree = {"": "S", "[MAIL_x]": "K", "name": "send"}
    paths = ["name", "[MAIL_x]#key", "[MAIL_x]", "#key"]
    assert list(in_order(tree, paths)) == ["name", "[MAIL_x]", ""]


def test_members_without_a_text_stay_behind() -> None:
    assert list(in_order({"a": 1, "b": "text", "c": None}, ["b"])) == ["b", "a", "c"]
