"""A head on vectors of texts: logistic regression over the vector of a text and over its tokens.

In: token numbers of texts, their labels, and the table of an embedding model. Out: weights. The vector says what a text is
about, and its tokens how it says so. Plain gradient descent with momentum from zero: the same texts give the same weights
on a machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
MOST_TOKENS_KEPT = 2000
"""The tokens with a weight of their own: those that most texts have."""
FEWEST_TEXTS = 3
"""A token that fewer texts have has no weight."""
STEPS = 300
VECTOR_SCALE, TOKEN_SCALE = 4.0, 2.0
"""How freely weights of vectors and of tokens may grow."""
STRENGTHS = (0.0003, 0.001, 0.003, 0.01)
"""How strongly weights are pulled to nothing; cross-validation chooses."""
PLAIN = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class VectorSpace:
    """The table of an embedding model. `rows`: int8, tokens x dimensions; `weights`: of each token, at most 1."""

    rows: NDArray[np.int8]
    weights: NDArray[np.float32]

    def vectors(self, texts: Sequence[NDArray[np.int64]]) -> Numbers:
        """Returns a vector of unit length for each text, given as token numbers; zeros for a text without a token."""
        found = np.zeros((len(texts), self.rows.shape[1]))
        for at, ids in enumerate(texts):
            total = self.weights.take(ids).astype(np.float64) @ self.rows.take(ids, 0).astype(np.float64)
            found[at] = total / max(float(np.linalg.norm(total)), PLAIN)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class VectorHead:
    """The logit of a text is its vector times `vector`, plus the sum of the weights of its tokens over the root of their
    number, plus `bias`. `tokens`: a weight for each token of the vocabulary."""

    vector: Numbers
    tokens: Numbers
    bias: float

    def logits(self, space: VectorSpace, texts: Sequence[NDArray[np.int64]]) -> Numbers:
        """Returns the logit of each text."""
        bags = np.array([self.tokens.take(ids).sum() / np.sqrt(max(1, len(ids))) for ids in texts])
        found: Numbers = space.vectors(texts) @ self.vector + bags + self.bias
        return found


def train(
    space: VectorSpace, texts: Sequence[NDArray[np.int64]], is_found: Sequence[bool], strength: float
) -> VectorHead:
    """Returns the head with the least log loss for texts with both labels, with weights pulled to nothing by `strength`."""
    wanted = np.asarray(is_found, np.float64)
    kept = _kept_tokens(texts)
    columns = np.zeros((len(texts), space.rows.shape[1] + len(kept)))
    vectors = space.vectors(texts)
    middle = vectors.mean(0)
    columns[:, : space.rows.shape[1]] = (vectors - middle) * VECTOR_SCALE
    place = np.full(len(space.rows), -1)
    place[kept] = np.arange(len(kept)) + space.rows.shape[1]
    for at, ids in enumerate(texts):
        at_columns = place.take(ids)
        np.add.at(columns[at], at_columns[at_columns >= 0], TOKEN_SCALE / np.sqrt(max(1, len(ids))))
    weights, bias = _descend(columns, wanted, strength)
    vector = weights[: space.rows.shape[1]] * VECTOR_SCALE
    tokens = np.zeros(len(space.rows))
    tokens[kept] = weights[space.rows.shape[1] :] * TOKEN_SCALE
    return VectorHead(vector, tokens, bias - float(vector @ middle))


def _kept_tokens(texts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Returns the tokens that have a weight of their own, in order."""
    distinct = [np.unique(ids) for ids in texts]
    tokens, counts = np.unique(np.concatenate(distinct), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_TOKENS_KEPT]
    return np.sort(tokens[order][counts[order] >= FEWEST_TEXTS])


def _descend(columns: Numbers, wanted: Numbers, strength: float) -> tuple[Numbers, float]:
    """Returns weights and bias, by Nesterov's method with the step that the curvature allows."""
    share = (wanted.sum() + 1) / (len(wanted) + 2)
    bias = float(np.log(share / (1 - share)))
    rate = 1 / (0.25 * _curvature(columns) + 0.25 + strength)
    weights = np.zeros(columns.shape[1])
    ahead, ahead_bias = weights, bias
    for step in range(STEPS):
        error = 1 / (1 + np.exp(-np.clip(columns @ ahead + ahead_bias, -60, 60))) - wanted
        after = ahead - rate * (columns.T @ error / len(wanted) + strength * ahead)
        after_bias = ahead_bias - rate * float(error.mean())
        momentum = step / (step + 3)
        ahead, ahead_bias = after + momentum * (after - weights), after_bias + momentum * (after_bias - bias)
        weights, bias = after, after_bias
    return weights, bias


def _curvature(columns: Numbers) -> float:
    """Returns a bound of the largest eigenvalue of the columns' second moments, by the power method."""
    direction = np.ones(columns.shape[1]) / np.sqrt(columns.shape[1])
    size = 0.0
    for _ in range(30):
        moved = columns.T @ (columns @ direction) / len(columns)
        size = float(np.linalg.norm(moved))
        direction = moved / max(size, PLAIN)
    return 1.1 * size
