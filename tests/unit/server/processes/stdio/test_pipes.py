"""Lines are cut the same however their bytes come, and descriptors are read and written without holding the loop."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.server.processes.stdio.pipes import LineCutter, PipeReader, PipeWriter


@given(st.binary(max_size=200).map(lambda data: data.replace(b"a", b"\n").replace(b"b", b"\r")), st.data())
def test_lines_do_not_depend_on_the_chunks(data: bytes, draw: st.DataObject) -> None:
    whole, cut = LineCutter(20), LineCutter(20)
    expected = list(whole.feed(data))
    found: list[bytes] = []
    at = 0
    while at < len(data):
        size = draw.draw(st.integers(1, 30))
        found += cut.feed(data[at : at + size])
        at += size
    assert (found, cut.dropped) == (expected, whole.dropped)


def test_a_line_that_is_too_long_is_dropped_and_the_next_is_not() -> None:
    cutter = LineCutter(4)
    assert list(cutter.feed(b"12345\n1234\n\n  \n")) == [b"1234"]
    assert cutter.dropped == 1


async def test_a_pipe_is_read_to_its_end() -> None:
    read, write = os.pipe()
    reader = PipeReader(read)
    os.write(write, b"abc")
    assert await reader.read() == b"abc"
    os.close(write)
    assert await reader.read() == b""
    assert await reader.read() == b""
    os.close(read)


async def test_a_large_message_is_written_while_it_is_read() -> None:
    read, write = os.pipe()
    writer, reader = PipeWriter(write), PipeReader(read)
    data = os.urandom(1_000_000)
    writing = asyncio.create_task(writer.write(data))
    found = b""
    while len(found) < len(data):
        found += await reader.read()
    await writing
    assert found == data
    os.close(write)


async def test_nobody_reads_any_more() -> None:
    read, write = os.pipe()
    writer = PipeWriter(write)
    os.close(read)
    with pytest.raises(ConnectionError):
        await writer.write(b"abc")
    with pytest.raises(ConnectionError):
        await writer.write(b"abc")
    assert writer.is_broken
    os.close(write)
