"""A file that is read in parts has the same lines as the whole file, wherever it is cut."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guardproxy.engine.objects import AnyPath
from guardproxy.engine.parts import Part, parts_of


class Bytes:
    """A file in memory. `read`: the number of bytes that were asked for."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.read = 0

    def open(self, mode: str) -> BytesIO:
        return _Counted(self)


class _Counted(BytesIO):
    def __init__(self, file: Bytes) -> None:
        super().__init__(file.data)
        self._file = file

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        self._file.read += len(line)
        return line


def lines(file: Bytes, part_bytes: int) -> list[bytes]:
    path = cast(AnyPath, file)
    return [line for part in parts_of([(path, len(file.data))], part_bytes) for line in part.lines()]


@given(st.lists(st.binary(max_size=9)), st.integers(1, 30))
@example([b"", b"", b"abc"], 1)
def test_parts_have_the_lines_of_the_file(pieces: list[bytes], part_bytes: int) -> None:
    file = Bytes(b"\n".join(pieces))
    assert lines(file, part_bytes) == list(BytesIO(file.data))


@pytest.mark.parametrize("size", [10_000, 20_000, 40_000])
def test_a_long_line_is_read_a_bounded_number_of_times(size: int) -> None:
    file = Bytes(b"x" * size + b"\n")
    assert lines(file, 100) == [file.data]
    assert file.read <= 3 * size


def test_an_empty_file_has_one_part() -> None:
    path: Any = Path("a.jsonl")
    assert list(parts_of([(path, 0), (path, 5)], 3)) == [Part(path, 0, 0), Part(path, 0, 3), Part(path, 3, 5)]
    assert str(Part(path, 3, 5)) == "a.jsonl, bytes 3 to 5"


def test_a_line_that_grew_after_planning_is_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"one\ntw")
    *_, last = parts_of([(file, 6)], 4)
    file.write_bytes(b"one\ntwo\nthree\n")
    assert list(last.lines()) == [b"two\n"]
