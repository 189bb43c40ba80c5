"""Lines of JSON: the same lines however the bytes are cut, bounded, never a line that is not finished."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.wire.framing.ndjson import KEEP_ALIVE, NdjsonCutter, comment, cutter, frame
from guardproxy.wire.framing.stream import StreamEvent
from tests.kit.play import cut


def lines(parts: list[bytes], limit_bytes: int = 100) -> tuple[list[StreamEvent], NdjsonCutter]:
    framer = cutter(limit_bytes)
    return [event for part in parts for event in framer.feed(part)], framer


def test_lines_and_what_is_not_finished() -> None:
    found, framer = lines([b'{"a": 1}\r\n\n{"b": 2}\n{"c"'])
    assert found == [StreamEvent(b'{"a": 1}'), StreamEvent(None), StreamEvent(b'{"b": 2}')]
    assert framer.pending
    assert not lines([frame(b"{}")])[1].pending
    assert frame(b"{}", "name") == b"{}\n"


def test_a_keep_alive_does_not_make_a_line_that_is_not_json() -> None:
    found, framer = lines([KEEP_ALIVE, KEEP_ALIVE, frame(b'{"a": 1}')])
    assert [json.loads(event.data or b"null") for event in found] == [{"a": 1}]
    assert not framer.pending
    assert not lines([KEEP_ALIVE])[1].pending


@given(st.lists(st.sampled_from([b"a", b"bb", b"\r", b"\n", b"\r\n", b" "]), max_size=12), st.sets(st.integers(1, 20)))
def test_no_cut_changes_the_lines(parts: list[bytes], cuts: set[int]) -> None:
    data = b"".join(parts)
    for limit_bytes in (100, 3):
        whole, pieces = lines([data], limit_bytes), lines(cut(data, cuts), limit_bytes)
        assert pieces[0] == whole[0]
        assert pieces[1].too_large == whole[1].too_large


def test_a_line_is_bounded() -> None:
    found, framer = lines([b"1234\n123456\n1\n"], 5)
    assert (found, framer.too_large) == ([StreamEvent(b"1234")], True)
    assert framer.feed(b"1\n") == []
    assert lines([b"12345\r"], 5)[1].too_large is False
    assert lines([b"123456"], 5)[1].too_large


def test_a_long_line_is_searched_once() -> None:
    framer = cutter(1 << 20)
    for _ in range(100):
        assert framer.feed(b"x" * 100) == []
        assert framer._searched == len(framer._buffer)


def test_lines_of_json_have_no_comments() -> None:
    assert comment("a receipt") == b""
