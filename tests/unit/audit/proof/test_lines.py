"""Reading trees from files: the same in any pieces, and compared at every stated size."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.audit.proof import lines as module
from guardproxy.audit.proof.lines import RootWatch, line_hashes
from guardproxy.audit.proof.tree import line_hash, root_of


@given(st.binary(max_size=40).map(lambda data: data.replace(b"\x01", b"\n")), st.lists(st.integers(0, 40), max_size=5))
def test_any_pieces_give_the_same_hashes(data: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    assert list(line_hashes(pieces)) == [line_hash(line) for line in data.split(b"\n")[:-1]]


@given(st.integers(0, 20), st.lists(st.tuples(st.integers(1, 25), st.booleans()), max_size=6), st.integers(1, 9))
def test_every_stated_root_is_compared(count: int, stated: list[tuple[int, bool]], at_once: int) -> None:
    rows = [b"%d\n" % number for number in range(count)]
    hashes = [line_hash(row) for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ADDED_AT_ONCE", at_once)
        watch = RootWatch((size, root_of(hashes[:size]) if right else bytes(32)) for size, right in stated)
        assert list(watch.passed([*rows, b"torn"])) == [*rows, b"torn"]
        assert watch.size == count
        assert watch.finish().root == root_of(hashes)
    assert watch.wrong == sorted({size for size, right in stated if not right and size <= count})
    assert set(watch.missing) == {size for size, _ in stated if size > count}
