"""A cheap first stage: a linear layer over hashed tokens and token pairs that clears texts which are clearly harmless.

In: the encoder's token numbers of a piece, without the special ones. Out: one number for each of the model's outputs;
if all requested outputs lie below their thresholds, the encoder does not run. Kept: the weights, read once.

A token has two features, each a row of `weights`: the row of its number (the first `unigrams` rows) and, except for
the first token, the row of its pair with the previous token (a hash selects it from the other rows). The score of a
span of `span` tokens is `bias` plus the sum of its features divided by the square root of its length. Spans begin
every `span // 2` tokens; the last span ends at the last token. The highest score of each output counts, so that one
bad sentence is not lost in a long text.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from guardproxy.errors import ConfigError

_PAIR = 1_000_003
_NAMES = ("weights", "bias", "thresholds", "span", "unigrams")


def features(ids: NDArray[np.int64], unigrams: int, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the indexes of the feature rows, of `rows` in all: for tokens, shape (tokens,); for pairs, (tokens -
    1,)."""
    return ids % unigrams, unigrams + (ids[:-1] * _PAIR + ids[1:]) % (rows - unigrams)


def spans(count: int, span: int) -> list[tuple[int, int]]:
    """Returns start and end of each span of `count` tokens; at least one span."""
    if count <= span:
        return [(0, count)]
    step = span // 2
    starts = (min(n * step, count - span) for n in range(math.ceil((count - span) / step) + 1))
    return [(start, start + span) for start in starts]


@dataclass(frozen=True, slots=True, eq=False)
class FirstStage:
    """The layer. `weights`: shape (rows, outputs); `bias`, `thresholds`: shape (outputs,)."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    span: int
    unigrams: int

    def scores(self, ids: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns the highest score of each output over the spans of a piece, shape (outputs,)."""
        tokens = np.asarray(ids, np.int64)
        single, pairs = features(tokens, self.unigrams, len(self.weights))
        sums_by_token = self.weights[single]
        sums_by_token[1:] += self.weights[pairs]
        sums = np.zeros((len(tokens) + 1, len(self.bias)))
        np.cumsum(sums_by_token, 0, np.float64, sums[1:])
        cuts = np.array(spans(len(tokens), self.span))
        # All spans of a piece have the same length.
        scale = math.sqrt(max(1, cuts[0, 1] - cuts[0, 0]))
        highest: NDArray[np.float64] = (sums[cuts[:, 1]] - sums[cuts[:, 0]]).max(0) / scale + self.bias
        return highest


def load(path: Path, outputs: int) -> FirstStage:
    """Loads the first stage from a file, for a network with `outputs` outputs. Raises `ConfigError`."""
    try:
        with path.open("rb") as raw, np.load(raw) as file:
            missing = [name for name in _NAMES if name not in file]
            if missing:
                raise ConfigError(f"{path} lacks {', '.join(missing)}")
            weights, bias, thresholds, span, unigrams = (file[name] for name in _NAMES)
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} is not a file of numpy arrays") from error
    if weights.dtype not in (np.float16, np.float32) or weights.ndim != 2 or weights.shape[1] != outputs:
        raise ConfigError(f"{path}: `weights` must be float16 or float32, of shape (rows, {outputs})")
    for name, array in (("bias", bias), ("thresholds", thresholds)):
        if array.dtype.kind != "f" or array.shape != (outputs,):
            raise ConfigError(f"{path}: `{name}` must be floats of shape ({outputs},)")
    if not all(np.isfinite(array).all() for array in (weights, bias, thresholds)):
        raise ConfigError(f"{path}: every number must be finite")
    for name, array, most in (("span", span, 512), ("unigrams", unigrams, len(weights) - 1)):
        if array.dtype.kind not in "iu" or array.size != 1 or not 1 < array.item() <= most:
            raise ConfigError(f"{path}: `{name}` must be a whole number from 2 to {most}")
    return FirstStage(
        weights.astype(np.float32),
        bias.astype(np.float32),
        thresholds.astype(np.float32),
        int(span.item()),
        int(unigrams.item()),
    )
