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


class Below(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    a: int
    b: str = ""


class Above(RecordPart, frozen=True, kw_only=True):
    below: tuple[Below, ...] = ()


def test_a_value_of_a_room_below_is_a_part_too() -> None:
    part = Above(below=(Below(a=1), Below(a=2, b="x")))
    assert part.document() == {"below": [{"a": 1}, {"a": 2, "b": "x"}]}


def test_defaults_are_left_out() -> None:
    assert Leaf(a=1).document() == {"a": 1}
    assert Part(leaf=Leaf(a=1, b="x")).document() == {"leaf": {"a": 1, "b": "x"}}
    assert Part(leaf=Leaf(a=1), leaves=(Leaf(a=2),), more={"c": 3}).document() == {
        "leaf": {"a": 1},
        "leaves": [{"a": 2}],
        "more": {"c": 3},
    }
