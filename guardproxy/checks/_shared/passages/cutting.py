"""Cuts a growing text into passages, and a check that judges each of them.

In: windows of text. Out: at most one finding for each passage. Kept: nothing between scans.

A passage begins where the one before ends. It ends behind the first line break after `least` characters; without one, at `most`
characters, behind the last space of its second half if there is one. So where passages end depends on the text alone, and a
verdict on a passage depends on that passage alone. A stream is held to the end of the passage that arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from guardproxy.concurrency import stop_point
from guardproxy.findings import Detail, Finding, Scan, Traits, Window


class PassageVerdict(NamedTuple):
    """What is wrong with a passage. `expected`, `found`: words for a model that is asked to answer again."""

    label: str
    score: float
    expected: str = ""
    found: str = ""


@dataclass(frozen=True, slots=True)
class PassageSize:
    """The size of passages in characters: see the docstring of the module."""

    least: int
    most: int

    def passages(self, text: str, at: int, *, is_last: bool) -> Iterator[tuple[int, int]]:
        """Yields the start and the end of each passage from `at` on that no continuation can change. `is_last`: whether the
        text is complete."""
        while at < len(text):
            line_end = text.find("\n", at + self.least, at + self.most)
            if line_end >= 0:
                end = line_end + 1
            elif len(text) >= at + self.most:
                space = text.rfind(" ", at + self.most // 2, at + self.most)
                end = space + 1 if space >= 0 else at + self.most
            elif is_last:
                end = len(text)
            else:
                return
            yield at, end
            at = end


@dataclass(frozen=True, slots=True)
class PassageCheck:
    """A `Check` that judges passages. `judge`: returns what is wrong with one, or `None`."""

    name: str
    digest: str
    traits: Traits
    size: PassageSize
    judge: Callable[[str], PassageVerdict | None]

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        findings: list[Finding] = []
        at = window.settled - window.start
        for start, end in self.size.passages(window.text, at, is_last=window.last):
            stop_point()
            at = end
            passage = window.text[start:end]
            if (verdict := self.judge(passage)) is not None:
                low = window.start + start + len(passage) - len(passage.lstrip())
                high = window.start + start + len(passage.rstrip())
                details = (Detail("", "", verdict.expected, verdict.found),) if verdict.expected else ()
                findings.append(Finding(low, high, self.name, verdict.label, verdict.score, details))
        settled = window.start + at
        return Scan(tuple(findings), settled, settled)
