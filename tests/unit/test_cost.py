"""The cost of an exchange is linear in what it is sent, for each shape of body, and no step on the loop is long.

A squared path shows as work that grows fourfold when the repeated part is doubled. What a format adds to its map is a
shape here by itself (`cost.FIELDS`).
"""

from __future__ import annotations

import pytest

from tools.cost import LOOP_CALLS, SHAPES, Work

pytestmark = pytest.mark.heavy

SIZE = 40
MOST_PER_DOUBLING = 2.3
SLACK = 2000  # calls or characters: what is the same for every size is not there at once


@pytest.mark.parametrize("name", SHAPES)
def test_work_grows_with_the_size(name: str) -> None:
    shape = SHAPES[name]
    shape(SIZE)  # caches and compiled patterns
    works = [shape(SIZE * factor) for factor in (1, 2, 4)]
    for count in ("calls", "chars"):
        once, twice, four_times = (getattr(work, count) for work in works)
        grown = four_times - twice
        assert grown <= MOST_PER_DOUBLING * (twice - once) + SLACK, f"{count}: {once}, {twice}, {four_times}"
    assert max(work.on_loop for work in works) <= LOOP_CALLS


def test_every_kind_of_shape_is_there() -> None:
    assert len(SHAPES) >= 60
    assert isinstance(SHAPES["messages of blocks"](2), Work)
