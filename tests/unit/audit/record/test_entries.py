"""The entries about sealed texts hold no text and no name of a subject."""

from __future__ import annotations

from guardproxy.audit.record.entries import Erased, Rotated, Unsealed


def test_their_members() -> None:
    shared = {"v", "at", "engine", "by", "why"}
    assert set(Erased.__struct_fields__) == {*shared, "keys"}
    assert set(Rotated.__struct_fields__) == {*shared, "count"}
    assert set(Unsealed.__struct_fields__) == {*shared, "id", "key"}
