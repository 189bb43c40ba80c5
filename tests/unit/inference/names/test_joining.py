"""How the tags of words become spans."""

from __future__ import annotations

import pytest

from guardproxy.checks import Tag
from guardproxy.inference.names.joining import joined

TEXT = "Mara  (Lindqvist), Oslo"
PLACES = [(0, 4), (6, 7), (7, 16), (16, 17), (17, 18), (19, 23)]
SHARES = [[9, 1], [5, 1], [8, 0], [3, 1], [1, 1], [2, 7]]


@pytest.mark.parametrize(
    ("best", "spans"),
    [
        ([0, 0, 0, 0, 0, 0], []),
        ([1, 2, 2, 2, 0, 3], [("Mara  (Lindqvist", "P", 0.625), ("Oslo", "L", 0.7)]),
        ([1, 0, 2, 0, 0, 0], [("Mara", "P", 0.9), ("Lindqvist", "P", 0.8)]),
        ([1, 0, 1, 1, 0, 4], [("Mara", "P", 0.9), ("Lindqvist", "P", 0.8), ("", "P", 0.3), ("Oslo", "L", 0.7)]),
        ([1, 4, 0, 0, 0, 0], [("Mara", "P", 0.9), ("", "L", 0.1)]),
    ],
)
def test_tags_that_go_on_are_one_span(best: list[int], spans: list[tuple[str, str, float]]) -> None:
    tags = list(joined(TEXT, PLACES, best, SHARES, ("P", "L"), steps=10))
    assert [(TEXT[tag.start : tag.end], tag.label, tag.score) for tag in tags] == spans


def test_the_edges_are_those_of_the_tagger() -> None:
    (tag,) = joined("#Oslo!", [(0, 6)], [1], [[1.0]], ("L",), edges="#!")
    assert tag == Tag(1, 5, "L", 1.0)
