"""The end of a file of lines: the same lines as a reader of the whole file gets, from few bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardproxy.audit.storage.ending import last_line, last_lines, whole_lines_end


@pytest.mark.parametrize("reach", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    "data", [b"", b"torn", b"\n", b"a\n", b"a\ntorn", b"one\ntwo\n", b"one\ntwo\nthree, which is long\ntorn"]
)
def test_the_last_lines_are_those_of_the_whole_file(data: bytes, reach: int) -> None:
    def read(size_bytes: int, offset: int) -> bytes:
        return data[offset : offset + size_bytes]

    end = whole_lines_end(read, len(data), reach)
    whole = data[:end]
    assert whole == b"".join(line for line in data.splitlines(keepends=True) if line.endswith(b"\n"))
    start, lines = last_lines(read, end, reach)
    assert whole[start:] == lines
    assert start == 0 or whole[start - 1 : start] == b"\n"
    assert lines.splitlines()[-1:] == whole.splitlines()[-1:]


@pytest.mark.parametrize(
    ("data", "line"),
    [(b"", b""), (b"torn", b""), (b"a\n", b"a\n"), (b"a\nb\n", b"b\n"), (b"a\nb\ntorn", b"b\n"), (b"a\n\n", b"\n")],
)
def test_the_last_line_of_a_file(tmp_path: Path, data: bytes, line: bytes) -> None:
    path = tmp_path / "lines"
    for before in (b"", b"x" * (1 << 18) + b"\n"):
        path.write_bytes(before + data)
        assert last_line(path) == (line or before)
