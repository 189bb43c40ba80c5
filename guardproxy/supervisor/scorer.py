"""Texts to scores: tokens, pieces, forward passes, calibrated scores.

In: texts of any length. Out: for each, label -> 0.0 to 1.0. Kept: tokenizer and session, both safe for many threads.
Nothing is truncated: a text of more tokens than the network takes is scored in overlapping pieces, and the highest
score of each label counts. A text's score depends on the text alone, not on the texts beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from guardproxy.errors import ConfigError
from guardproxy.supervisor import tokens
from guardproxy.supervisor.model import Model
from guardproxy.supervisor.session import Session

OVERLAP_TOKENS = 48
"""Tokens that two neighbouring pieces of a long text share, so that an attack on the border is whole in one of them."""

_WARM_UP = ("", "warm up", "warm up " * 100)


class OnnxScorer:
    """Implements `guardproxy.checks.Scorer`. `provider`: what runs it, for a status page."""

    def __init__(self, model: Model, threads: int) -> None:
        """Loads and warms up. Raises `ConfigError` when the tokenizer or the network cannot be used."""
        self._tokenizer, self._first, self._last = tokens.load(model.folder)
        self._model = model
        self._session = Session(model.folder / "model.onnx", threads)
        if len(self._session.run([self._first, self._last])) != len(model.labels):
            raise ConfigError(f"{model.folder}: the network has not as many outputs as `labels` in config.json")
        self.score(_WARM_UP)

    @property
    def digest(self) -> str:
        return self._model.digest

    @property
    def thresholds(self) -> Mapping[str, float]:
        return self._model.thresholds

    @property
    def model(self) -> Model:
        return self._model

    @property
    def provider(self) -> str:
        return self._session.provider

    def score(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """The scores of each text, in order. Equal pieces are run once."""
        # A lone surrogate, legal in JSON, is no text for the tokenizer.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        known: dict[tuple[int, ...], list[float]] = {}
        results = []
        for encoded in self._tokenizer.encode_batch(clean, add_special_tokens=False):
            rows = []
            for piece in self.pieces(encoded.ids):
                if piece not in known:
                    known[piece] = self._session.run([self._first, *piece, self._last])
                rows.append(known[piece])
            highest = [max(column) for column in zip(*rows, strict=True)]
            by_label = zip(self._model.labels, highest, strict=True)
            results.append({label: self._scaled(label, logit) for label, logit in by_label})
        return results

    def pieces(self, ids: Sequence[int]) -> list[tuple[int, ...]]:
        """Token ids cut to what the network takes: one piece at least, neighbours overlapping, every id in one."""
        room = self._model.max_tokens - 2
        if len(ids) <= room:
            return [tuple(ids)]
        step = room - min(OVERLAP_TOKENS, room // 2)
        count = math.ceil((len(ids) - room) / step) + 1
        # The last piece is moved back instead of being short: a few stray tokens say nothing by themselves.
        return [tuple(ids[at : at + room]) for at in (min(n * step, len(ids) - room) for n in range(count))]

    def _scaled(self, label: str, logit: float) -> float:
        scaled = (logit - self._model.biases[label]) / self._model.temperatures[label]
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, scaled))))
