"""Entries of lists are found by the paths of their texts, and left out by their places."""

from __future__ import annotations

import re

import pytest

from guardproxy.wire.contract.listed import ListedEntries, without_entries

LISTS = ListedEntries(re.compile(r"a\.b\[\d+\]"))
TREE = {"a": {"b": ["x", "z", "y"], "c": [[1, 2], 3]}}


@pytest.mark.parametrize(
    ("path", "place"), [("a.b[1].c", "a.b[1]"), ("a.b[12]#key", "a.b[12]"), ("a.b", ""), ("b[1]", "")]
)
def test_a_text_belongs_to_an_entry(path: str, place: str) -> None:
    assert LISTS.entry_of(path) == place


def test_entries_are_left_out() -> None:
    assert without_entries(TREE, ["a.b[0]", "a.b[2]", "a.c[0][1]"]) == {"a": {"b": ["z"], "c": [[1], 3]}}
    assert without_entries(TREE, []) is TREE
    assert TREE["a"]["b"] == ["x", "z", "y"]
