"""Events of data lines only: read as every event stream, written without comments and names."""

from __future__ import annotations

from guardproxy.wire.framing import data_lines, sse
from guardproxy.wire.framing.stream import StreamEvent


def test_events_are_written_without_names_and_comments() -> None:
    assert data_lines.frame(b"{}", "name") == b"data: {}\n\n"
    assert data_lines.comment("a receipt") == b""
    data = (
        data_lines.KEEP_ALIVE
        + data_lines.frame(b"{}")
        + data_lines.KEEP_ALIVE
        + sse.comment("x")
        + sse.frame(b"[]", "n")
    )
    assert data_lines.cutter(100).feed(data) == [StreamEvent(b"{}"), StreamEvent(None), StreamEvent(b"[]", "n")]
