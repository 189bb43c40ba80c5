"""Reads the Merkle tree of a file from its bytes. Pure.

In: the bytes of a file in pieces, and what checkpoints state about its lines. Out: the tree over its complete lines. The cost
is linear in the bytes, however long a line is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from guardproxy.audit.proof.tree import Frontier, Subtrees, line_hash

ADDED_AT_ONCE = 1 << 12


def line_hashes(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yields the hash of each complete line."""
    digest = hashlib.sha256(b"\x00")
    for piece in pieces:
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            digest.update(memoryview(piece)[start:end])
            yield digest.digest()
            digest = hashlib.sha256(b"\x00")
            start = end + 1
        digest.update(memoryview(piece)[start:])


class RootWatch:
    """Compares the roots of a growing tree with stated roots. `stated`: sizes, at least 1, and roots. `wrong`: the sizes so
    far at which the tree has another root."""

    def __init__(self, stated: Iterable[tuple[int, bytes]]) -> None:
        self.frontier = Frontier()
        self.wrong: list[int] = []
        self._stated = sorted(set(stated), reverse=True)  # the next statement is the last of the list
        self._waiting: list[bytes] = []

    @property
    def size(self) -> int:
        """Returns the number of hashes so far."""
        return self.frontier.size + len(self._waiting)

    def take(self, added: bytes) -> None:
        """Adds the hash of the next line."""
        self._waiting.append(added)
        # Exactly at each stated size, since a tree that has grown no longer tells the root that it had there.
        if len(self._waiting) >= ADDED_AT_ONCE or (self._stated and self._stated[-1][0] <= self.size):
            self._settle()

    def passed(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Yields the lines again, and adds every complete one."""
        for line in lines:
            if line.endswith(b"\n"):
                self.take(line_hash(line))
            yield line

    def join(self, pieces: Iterable[Subtrees]) -> None:
        """Adds the hashes of the next lines. `pieces`: their subtrees; a piece ends at each stated size."""
        self._settle()
        for piece in pieces:
            self.frontier = self.frontier.joined(piece)
            self._compare()

    def finish(self) -> Frontier:
        """Returns the tree."""
        self._settle()
        return self.frontier

    @property
    def missing(self) -> Sequence[int]:
        """Returns the stated sizes that the tree has not reached."""
        return [size for size, _ in self._stated]

    def _settle(self) -> None:
        self.frontier = self.frontier.extended(self._waiting)
        self._waiting.clear()
        self._compare()

    def _compare(self) -> None:
        while self._stated and self._stated[-1][0] <= self.frontier.size:
            size, root = self._stated.pop()
            if root != self.frontier.root:
                self.wrong.append(size)
