"""A tiny first network that reads every row and clears those that are clearly harmless, so that the encoder need not run.

In: the row of token numbers that the encoder would get. Out: for each of the model's outputs an estimate of its score.
Kept: the session. A row is cleared for a query if each requested output has an estimate below its limit.

The network is `first_stage.onnx`: it takes `input_ids` (int64, 1 x tokens) and gives `scores` (float32, 1 x columns, 0.0 to
1.0). A row runs alone, on one thread, so its estimates depend on that row alone. `folders/clearing.py` says what it clears.

Decision: docs/decisions/0040-a-tiny-network-reads-first.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from guardproxy.errors import ConfigError
from guardproxy.inference.folders.clearing import Clearing
from guardproxy.inference.running.device import CPU
from guardproxy.inference.running.session import Session

DIGITS = 6
"""Digits of an estimate."""


class ClearingLimits:
    """Decides whether estimates are low enough to clear a row. `outputs`: the model's, in order."""

    def __init__(self, clearing: Mapping[str, Clearing], outputs: Sequence[str]) -> None:
        self._clearing = [clearing.get(output) for output in outputs]

    def can_clear(self, outputs: Sequence[int]) -> bool:
        """Whether a row may be cleared for a query for `outputs`, given by their numbers: each of them has an entry."""
        return all(self._clearing[output] for output in outputs)

    def clears(self, estimates: Sequence[float], outputs: Sequence[int]) -> bool:
        """Whether a row with these estimates is cleared for a query for `outputs`, given by their numbers."""
        entries = [(estimates[output], self._clearing[output]) for output in outputs]
        return all(entry is not None and estimate < entry.below for estimate, entry in entries)


class FirstStage(ClearingLimits):
    """The network of `first_stage.onnx`. Any thread may use it."""

    def __init__(self, path: Path, clearing: Mapping[str, Clearing], outputs: Sequence[str]) -> None:
        """`outputs`: the model's, in order. Raises `ConfigError` when the file cannot be run or lacks a column."""
        super().__init__(clearing, outputs)
        self._session = Session(path, 1, (CPU,))
        try:
            self.estimates((0,))
        except Exception as error:  # onnxruntime has no public base class for its errors here
            raise ConfigError(f"{path} does not fit `first_stage` in config.json: {type(error).__name__}") from error

    def estimates(self, row: Sequence[int]) -> tuple[float, ...]:
        """Returns the estimate for each output of the model, 1.0 for one that is never cleared."""
        scores = self._session.rows("scores", input_ids=row).tolist()
        return tuple(round(scores[entry.column], DIGITS) if entry else 1.0 for entry in self._clearing)
