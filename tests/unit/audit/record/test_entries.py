"""The entries about sealed texts hold no text and no name of a subject."""

from __future__ import annotations

import pytest

from guardproxy.audit.record.entries import Better, Comparison, Erased, Rotated, Unsealed


def test_their_members() -> None:
    shared = {"v", "at", "engine", "by", "why"}
    assert set(Erased.__struct_fields__) == {*shared, "keys"}
    assert set(Rotated.__struct_fields__) == {*shared, "count"}
    assert set(Unsealed.__struct_fields__) == {*shared, "id", "key"}


@pytest.mark.parametrize(
    ("said", "better"),
    [
        ((), None),
        (("candidate", "candidate"), "candidate"),
        (("answer", "answer"), "answer"),
        (("equal", "equal"), "equal"),
        (("answer", "candidate"), "equal"),
        (("equal", "answer"), "equal"),
    ],
)
def test_an_answer_is_better_only_in_both_orders(said: tuple[Better, ...], better: Better | None) -> None:
    assert Comparison(upstream="u", model="m", ms=1.0, said=said).better == better
