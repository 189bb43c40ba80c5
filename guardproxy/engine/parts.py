"""Cuts files of lines into parts that can be read alone.

In: files and their sizes. Out: parts, and the lines of a part.

A part is a range of bytes. Its lines are those that begin in this range, so a cut may be in the middle of a line, and planning
reads no file. A line that is longer than a part belongs to the part in which it begins, and the parts in its middle have no
line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from guardproxy.engine.objects import AnyPath

PART_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """The lines of a file that begin at one of the bytes from `start` up to `end`."""

    path: AnyPath
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.path}, bytes {self.start} to {self.end}"

    def lines(self) -> Iterator[bytes]:
        """Yields the lines with their newlines; the last line of a file may have none. Raises `OSError`."""
        with self.path.open("rb") as file:
            at = self.start
            if at:
                # The byte before the part tells whether a line begins with the part.
                file.seek(at - 1)
                rest = file.readline(self.end - at + 1)
                at += len(rest) - 1
                if not rest.endswith(b"\n"):
                    return
            while at < self.end and (line := file.readline()):
                at += len(line)
                yield line


def parts_of(sizes: Iterable[tuple[AnyPath, int]], part_bytes: int = PART_BYTES) -> Iterator[Part]:
    """Yields the parts of files in order. `sizes`: the files with their sizes in bytes. An empty file has one part."""
    for path, size in sizes:
        for start in range(0, max(size, 1), part_bytes):
            yield Part(path, start, min(start + part_bytes, size))
