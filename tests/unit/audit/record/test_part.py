"""Parts of entries become JSON objects in one call or in steps, with the same result."""

from __future__ import annotations

import msgspec

from guardproxy.audit.record.part import RecordLeaf, RecordPart


class Leaf(RecordLeaf, frozen=True, kw_only=True):
    a: int
    b: str = ""


class Part(RecordPart, frozen=True, kw_only=True):
    leaf: Leaf
    leaves: tuple[Leaf, ...] = ()
    more: dict[str, int] = msgspec.field(default_factory=dict)


def test_defaults_are_left_out() -> None:
    assert Leaf(a=1).document() == {"a": 1}
    assert Part(leaf=Leaf(a=1, b="x")).document() == {"leaf": {"a": 1, "b": "x"}}
    assert Part(leaf=Leaf(a=1), leaves=(Leaf(a=2),), more={"c": 3}).document() == {
        "leaf": {"a": 1},
        "leaves": [{"a": 2}],
        "more": {"c": 3},
    }
