"""Texts to scores: tokens, pieces, forward passes, calibrated scores.

In: texts of any length. Out: for each its pieces, with the score of each output. Kept: tokenizer and session, both safe
for many threads. Nothing is truncated: a text of more tokens than the network takes is scored in overlapping pieces.
A text's scores depend on the text alone, not on the texts beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from guardproxy.checks import Judged, Query
from guardproxy.errors import ConfigError
from guardproxy.supervisor import tokens
from guardproxy.supervisor.model import Model
from guardproxy.supervisor.session import Session

_WARM_UP = ("", "warm up", "warm up " * 100)


class OnnxScorer:
    """Implements `guardproxy.checks.Scorer`. `provider`: what runs it, for a status page."""

    def __init__(self, model: Model, threads: int) -> None:
        """Loads and warms up. Raises `ConfigError` when the tokenizer or the network cannot be used."""
        special = model.special
        self._tokenizer, (self._first, self._last, _) = tokens.load(
            model.folder, special.first, special.last, special.pad
        )
        self._model = model
        self._biases = np.array([model.calibration[output].bias for output in model.outputs])
        self._temperatures = np.array([model.calibration[output].temperature for output in model.outputs])
        self._session = Session(model.folder / "model.onnx", threads)
        if len(self._session.run([self._first, self._last])) != len(model.outputs):
            raise ConfigError(f"{model.folder}: the network has not as many outputs as `outputs` in config.json")
        self.score(_WARM_UP)

    @property
    def digest(self) -> str:
        return self._model.digest

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._model.outputs

    @property
    def labels(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        return self._model.labels

    @property
    def points(self) -> Mapping[str, Mapping[str, float]]:
        return self._model.points

    @property
    def default_point(self) -> str:
        return self._model.default_point

    @property
    def model(self) -> Model:
        return self._model

    @property
    def provider(self) -> str:
        return self._session.provider

    def score(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """For each text the highest score of each output, whatever a first stage would say."""
        judged = self.judge([Query(text, self.outputs, first_stage=False) for text in texts])
        return [{output: max(one.scores[output] for one in pieces) for output in self.outputs} for pieces in judged]

    def judge(self, queries: Sequence[Query]) -> list[tuple[Judged, ...]]:
        """The pieces of each text, scored; see `guardproxy.checks.Scorer.judge`. Equal pieces are run once."""
        # A lone surrogate, legal in JSON, is no text for the tokenizer.
        clean = [query.text.encode("utf-8", "replace").decode("utf-8") for query in queries]
        known: dict[tuple[int, ...], Mapping[str, float]] = {}
        results = []
        encodings = self._tokenizer.encode_batch(clean, add_special_tokens=False)
        for query, encoded in zip(queries, encodings, strict=True):
            ids, offsets = encoded.ids, encoded.offsets
            judged = []
            for first, after in self.pieces(len(ids)):
                piece = tuple(ids[first:after])
                if piece not in known:
                    logits = np.array(self._session.run([self._first, *piece, self._last]))
                    known[piece] = dict(zip(self.outputs, self._scores(logits), strict=True))
                start = offsets[first][0] if first else 0
                end = offsets[after - 1][1] if after < len(ids) else len(query.text)
                judged.append(Judged(start, end, {output: known[piece][output] for output in query.outputs}))
            results.append(tuple(judged))
        return results

    def pieces(self, count: int) -> list[tuple[int, int]]:
        """`count` tokens cut to what the network takes: first and after last of each piece, one piece at least.

        Neighbours overlap and every token is in one. The last piece is moved back instead of being short: a few stray
        tokens say nothing by themselves.
        """
        room = self._model.max_tokens - 2
        if count <= room:
            return [(0, count)]
        step = room - self._model.overlap_tokens
        starts = (min(n * step, count - room) for n in range(math.ceil((count - room) / step) + 1))
        return [(start, start + room) for start in starts]

    def _scores(self, logits: NDArray[np.float64]) -> list[float]:
        """The scores of one row of logits, rounded: what follows the sixth digit says nothing."""
        scaled = np.clip((logits - self._biases) / self._temperatures, -60.0, 60.0)
        if self._model.activation == "sigmoid":
            scores = 1.0 / (1.0 + np.exp(-scaled))
        else:
            powers = np.exp(scaled - scaled.max())
            scores = powers / powers.sum()
        return [round(score, 6) for score in scores.tolist()]
