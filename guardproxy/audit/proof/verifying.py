"""Verifies logs in parts: each part alone, and then all parts in order.

In: parts of logs, and what is expected of each log. Out: the state of verification after all lines.

A part is read under the assumption that its first record follows the line before it. If nothing is wrong in it, and this
assumption holds, its lines are joined at once. Otherwise its lines are read again, in their place. So the report is the one of
a verifier that reads line after line, and only parts with problems are read twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from guardproxy.audit.proof.lines import RootWatch
from guardproxy.audit.proof.tree import Subtrees, line_hash
from guardproxy.audit.record.chain import ChainHead, VerifiedRun, Verifier
from guardproxy.engine import Part

VERIFIED_BYTES = 1 << 22
"""The size of a part. Verifying is fast, so its parts are large."""


class ExpectedLog(NamedTuple):
    """What is expected of a log. `heads`: records that must be in it. `stated`: sizes, and the Merkle roots of that many
    lines."""

    heads: tuple[ChainHead, ...] = ()
    stated: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class VerifiedPart:
    """A part that was read. `lines`: their number. `run`: the lines, if nothing is wrong. `pieces`: the Merkle trees over them,
    if roots are stated; a piece ends at each stated size."""

    lines: int
    run: VerifiedRun | None = None
    pieces: tuple[Subtrees, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifyWork:
    """Verifies parts of logs alone. `expected`: by the text of the path of a log."""

    expected: Mapping[str, ExpectedLog]
    uses_models: bool = False

    @contextmanager
    def open(self) -> Iterator[Callable[[Part], VerifiedPart]]:
        """See `Work.open`."""
        yield self._do

    def _do(self, part: Part) -> VerifiedPart:
        expected = self.expected[str(part.path)]
        verifier = Verifier(expected.heads, whole=part.start == 0)
        hashes = []
        for line in part.lines():
            verifier.take(line)
            if verifier.problems:
                return VerifiedPart(verifier.last)
            if expected.stated:
                hashes.append(line_hash(line))
        run = verifier.run()
        pieces = _pieces(hashes, run.first + 1, expected.stated) if run is not None and hashes else ()
        return VerifiedPart(verifier.last, run, pieces)


def _pieces(hashes: Sequence[bytes], start: int, stated: Sequence[tuple[int, bytes]]) -> tuple[Subtrees, ...]:
    """Returns the Merkle trees over lines. `start`: the index of the first line in the log."""
    end = start + len(hashes)
    cuts = sorted({start, *(size for size, _ in stated if start < size < end), end})
    return tuple(Subtrees.over(hashes[low - start : high - start], low) for low, high in pairwise(cuts))


@dataclass(slots=True)
class LogVerification:
    """The state of verification of a log, part after part."""

    expected: ExpectedLog
    verifier: Verifier = field(init=False)
    watch: RootWatch = field(init=False)

    def __post_init__(self) -> None:
        self.verifier = Verifier(self.expected.heads, whole=True)
        self.watch = RootWatch(self.expected.stated)

    def take(self, part: Part, verified: VerifiedPart) -> None:
        """Takes the next part. Raises `OSError` if its lines have to be read again and cannot be."""
        if self.verifier.is_stopped or not verified.lines:
            return
        run = verified.run
        # With a missing line before it, the first record is not at the place that its number says.
        is_in_place = not verified.pieces or verified.pieces[0].start == self.watch.size
        if run is not None and is_in_place and self.verifier.fits(run):
            self.verifier.join(run)
            self.watch.join(verified.pieces)
            return
        for line in part.lines():
            if self.expected.stated and line.endswith(b"\n"):
                self.watch.take(line_hash(line))
            self.verifier.take(line)
            if self.verifier.is_stopped:
                break
