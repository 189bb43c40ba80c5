"""When a log continues in a new file."""

from __future__ import annotations

from guardproxy.audit.writing.rotation import Rotation


def test_a_file_ends_at_its_limits() -> None:
    never = Rotation()
    assert never.due(1 << 60, 1e12) == ""
    both = Rotation(limit_bytes=100, limit_s=60)
    assert both.due(99, 59.9) == ""
    assert both.due(100, 0) == "the file has 100 bytes or more"
    assert both.due(0, 60) == "the file is 60 s old or older"
