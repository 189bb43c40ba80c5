"""The direction of a topic: where its examples lie, seen from ordinary texts.

In: vectors of examples and of ordinary texts. Out: a score for a vector, and the threshold from which a text is about the
topic. A score is 0 for the mean of the ordinary texts and 1 for the mean of the examples. Between them the direction is that
of a linear discriminant: differences count less in which ordinary texts differ anyway, such as how long or how formal they
are.

The numbers of a direction are rounded to whole ones, so that a score does not hang on the machine that computed it.

Decision: docs/decisions/0077-topics-are-told-by-examples.md
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

LENGTH = 127
"""The length of a vector of an `Embedder`."""
SPREAD = 10.0
"""How much of the mean variance is added to that of each direction: few texts say little about a direction of its own."""
STEPS = 1 << 20
"""Steps of a unit of a score, before it is rounded."""
DIGITS, STEP = 3, 0.001
"""Of a score and of a threshold."""
LOWEST = 5
"""One example in so many may lie below what a threshold is moved towards."""
TOWARDS = 0.3
"""How far a threshold is moved towards the examples."""

Numbers = NDArray[np.float64]


def numbers(vectors: Sequence[bytes], dimensions: int) -> Numbers:
    """Returns vectors of an `Embedder` as rows of numbers, of about unit length."""
    joined = np.frombuffer(b"".join(vectors), np.int8).astype(np.float64)
    return joined.reshape(len(vectors), dimensions) / LENGTH


@lru_cache(maxsize=2)
def background_of(vectors: tuple[bytes, ...], dimensions: int) -> Background:
    """Returns the background with these vectors, which all checks of a model share."""
    return Background(vectors, dimensions)


class Background:
    """Ordinary texts of all kinds. `rows`: their vectors; `mean`: of them."""

    def __init__(self, vectors: Sequence[bytes], dimensions: int) -> None:
        self._vectors = tuple(vectors)
        self.rows = numbers(vectors, dimensions)
        self.mean = self.rows.mean(0)
        apart = self.rows - self.mean
        spread = apart.T @ apart / len(apart)
        spread += (SPREAD * np.trace(spread) / dimensions + 1e-6) * np.eye(dimensions)
        self._inverse = np.linalg.inv(spread)

    def direction(self, examples: Numbers) -> TopicDirection | None:
        """Returns the direction of a topic, given the vectors of its examples; `None` if they lie where ordinary texts do."""
        away = examples.mean(0) - self.mean
        weights = self._inverse @ away
        length = float(weights @ away)
        if length <= 1e-9:
            return None
        weights /= length
        whole = np.rint(weights * (STEPS / LENGTH)).astype(np.int64)
        return TopicDirection(whole, int(np.rint(-(weights @ self.mean) * STEPS)))

    def scores(self, direction: TopicDirection) -> list[float]:
        """Returns the scores of the ordinary texts."""
        return [direction.score(vector) for vector in self._vectors]

    def left_out(self, examples: Numbers) -> list[float]:
        """Returns the score of each of at least two examples along the direction of the others."""
        scores = []
        for at in range(len(examples)):
            direction = self.direction(np.delete(examples, at, 0))
            scores.append(direction.score_of(examples[at]) if direction else 0.0)
        return scores


def line(others: Sequence[float], examples: Sequence[float], share: float) -> float:
    """Returns the threshold of a topic, in steps of a thousandth.

    `others`: the scores of texts that are not about it, of which at most a share reaches the threshold. `examples`: the score
    of each example along the direction of the others. If most of them lie higher, the threshold is nearer to them, since
    texts that nobody thought of lie higher than those that somebody collected.
    """
    falling = sorted(others, reverse=True)
    edge = falling[min(int(share * len(falling)), len(falling) - 1)]
    low = sorted(examples)[len(examples) // LOWEST]
    return round(edge + TOWARDS * max(0.0, low - edge) + STEP, DIGITS)


@dataclass(frozen=True, slots=True, eq=False)
class TopicDirection:
    """The score of a vector is the sum of its numbers times `weights`, plus `offset`, in steps of 1 / STEPS."""

    weights: NDArray[np.int64]
    offset: int

    def score(self, vector: bytes) -> float:
        """Returns the score of a vector of an `Embedder`. A vector of zeros, of a text without a word, has the score 0."""
        found = np.frombuffer(vector, np.int8)
        return round((int(self.weights @ found) + self.offset) / STEPS, DIGITS) if found.any() else 0.0

    def score_of(self, row: Numbers) -> float:
        """Returns the score of a vector given as a row of `numbers`."""
        return self.score(np.rint(row * LENGTH).astype(np.int8).tobytes())
