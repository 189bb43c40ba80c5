"""Elements of a JSON array: the same elements however the bytes are cut, bounded, never an element that is not finished."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.wire.framing.json_array import BROKEN, CLOSE, KEEP_ALIVE, ArrayCutter, comment, cutter, frame
from guardproxy.wire.framing.stream import StreamEvent
from tests.kit.play import cut

END = StreamEvent(CLOSE)


def elements(parts: list[bytes], limit_bytes: int = 1000) -> tuple[list[StreamEvent], ArrayCutter]:
    framer = cutter(limit_bytes)
    return [event for part in parts for event in framer.feed(part)], framer


def test_elements_and_what_is_not_finished() -> None:
    found, framer = elements([b' [ {"a": "}]\\"{"},\r\n{"b": [{}, 1]}\n,{"c"'])
    assert found == [StreamEvent(b'{"a": "}]\\"{"}', "["), StreamEvent(b'{"b": [{}, 1]}', ",")]
    assert framer.pending
    assert framer.feed(b":2}") == [StreamEvent(b'{"c":2}', ",")]
    assert framer.pending
    assert framer.feed(b" ] more") == [END]
    assert not framer.pending
    assert framer.feed(b"{}") == []
    assert elements([b"[]"])[0] == [END]
    assert elements([b""])[0] == []
    assert not elements([KEEP_ALIVE])[1].pending


def test_an_object_alone() -> None:
    found, framer = elements([b'{"error"', b': "]"} '])
    assert found == [StreamEvent(b'{"error": "]"}', "")]
    assert not framer.pending


@pytest.mark.parametrize(
    "data", [b"x", b"[1]", b'["a"]', b"[{},]", b"[,{}]", b"[{}{}]", b"[[{}]]", b"data: {}", b"]", b"[{},,{}]"]
)
def test_what_is_no_array_of_objects(data: bytes) -> None:
    found, framer = elements([data])
    assert found[-1] == StreamEvent(BROKEN)
    assert found.count(StreamEvent(BROKEN)) == 1
    assert framer.feed(b"{}]") == []


PIECES = [b"[", b"]", b"{", b"}", b",", b'"', b"\\", b"a", b" ", b"\n", b"\xc3\xbc", b'"a"', b"{}"]
ARRAYS = st.lists(
    st.dictionaries(st.text(max_size=3), st.text(alphabet='a"\\{}[],ü', max_size=6), max_size=2), max_size=4
)


@given(st.lists(st.sampled_from(PIECES), max_size=14), st.sets(st.integers(1, 20)))
def test_no_cut_changes_the_elements(parts: list[bytes], cuts: set[int]) -> None:
    data = b"".join(parts)
    for start in (b"", b"[{"):
        for limit_bytes in (1000, 4):
            whole = elements([start + data], limit_bytes)
            pieces = elements(cut(start + data, cuts), limit_bytes)
            assert pieces[0] == whole[0]
            assert pieces[1].too_large == whole[1].too_large
            assert pieces[1].pending == whole[1].pending


@given(ARRAYS, st.sets(st.integers(1, 60)), st.sampled_from([None, 1]))
def test_the_elements_are_those_of_a_parser(trees: list[dict[str, str]], cuts: set[int], indent: int | None) -> None:
    data = json.dumps(trees, indent=indent).encode()
    found, framer = elements(cut(data, cuts))
    assert [json.loads(event.data or b"") for event in found[:-1]] == trees
    assert found[-1] == END
    assert not framer.pending
    written = b"".join(frame(event.data or b"", event.event) for event in found[:-1]) + CLOSE
    assert not trees or json.loads(written) == trees


def test_an_element_is_bounded() -> None:
    found, framer = elements([b'[{"a":1},{"a":12345},{}]'], 8)
    assert (found, framer.too_large) == ([StreamEvent(b'{"a":1}', "[")], True)
    assert framer.feed(b"{}") == []
    assert elements([b"[" + b" " * 100 + b"{}"], 2)[0] == [StreamEvent(b"{}", "[")]
    assert elements([b'[{"a":'], 4)[1].too_large


def test_a_long_element_is_searched_once() -> None:
    framer = cutter(1 << 20)
    framer.feed(b'[{"a": "')
    for _ in range(100):
        assert framer.feed(b"x" * 100) == []
        assert framer._searched == len(framer._buffer)


def test_brackets_and_commas_are_written() -> None:
    assert frame(b"{}", "[") + frame(b"{}", ",") + frame(b"{}", ",]") == b"[{},\n{},\n{}]"
    assert frame(b"{}", "[]") == b"[{}]"
    assert frame(b"{}", "") == frame(b"{}") == b"{}"
    assert comment("a receipt") == b""
