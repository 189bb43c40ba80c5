"""Scorers without a model, whose scores depend on every character of a piece."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from guardproxy.checks._shared.declared.contract import Query, ScoredPiece
from guardproxy.findings import Kind

POINTS: Mapping[str, Mapping[str, float]] = {
    "jailbreak": {"5%": 0.4, "1%": 0.8, "0.1%": 0.95},
    "embedded": {"5%": 0.3, "1%": 0.7},
    "harm": {"1%": 0.5},
}
LABELS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    **{output: {"any": (output,)} for output in POINTS},
    "injection": {"any": ("jailbreak", "embedded"), "tool_result": ("embedded",)},
    "orders": {"tool_result": ("embedded",)},
}


class FakeScorer:
    """`says(text, output)` scores each piece of `chars` characters, neighbours sharing `overlap`. Keeps what was asked."""

    digest = "sha256:fake"
    outputs = tuple(POINTS)
    labels = LABELS
    points = POINTS
    default_point = "1%"
    clears: Mapping[str, float] = {}
    channel_points: Mapping[Kind, Mapping[str, Mapping[str, float]]] = {}

    def __init__(self, says: Callable[[str, str], float], chars: int = 1000, overlap: int = 0) -> None:
        self._says = says
        self._chars = chars
        self._overlap = overlap
        self.calls: list[list[Query]] = []

    def points_in(self, kind: Kind) -> Mapping[str, Mapping[str, float]]:
        return {**self.points, **self.channel_points.get(kind, {})}

    def clears_from(self, kind: Kind) -> Mapping[str, float]:
        return self.clears

    @property
    def texts(self) -> list[list[str]]:
        return [[query.text for query in call] for call in self.calls]

    def judge(self, queries: Sequence[Query]) -> list[tuple[ScoredPiece, ...]]:
        self.calls.append(list(queries))
        return [tuple(self._pieces(query)) for query in queries]

    def _pieces(self, query: Query) -> list[ScoredPiece]:
        text = query.text
        last = max(0, len(text) - self._chars)
        starts = [*range(0, last, self._chars - self._overlap), last]
        return [
            ScoredPiece(start, end, {output: self._says(text[start:end], output) for output in query.outputs})
            for start in starts
            for end in [min(len(text), start + self._chars)]
        ]


def words(text: str, output: str) -> float:
    """0.9 for a text with the word "attack", 0.6 for one with "doubtful", else 0.1, whatever the output."""
    return 0.9 if "attack" in text else 0.6 if "doubtful" in text else 0.1


def hashed(text: str, output: str) -> float:
    """A score that changes with every character."""
    return hashlib.sha256(f"{output}{text}".encode("utf-8", "surrogatepass")).digest()[0] / 255
