"""Depth 0: reads every span of a text, so that the encoder reads only those that it leaves open.

In: a text with its tokens. Out: for each span the logit of each column. Kept: the table of n-grams, and the session of
`first_stage.onnx` if a column needs it. `folders/spans.py` says what the numbers mean.

The network takes `input_ids` (int64, 1 x tokens, no special ones) and gives `logits` (float32, 1 x windows x columns) of
windows of `SPAN` tokens that begin every `SPAN / 2`. A span has the highest logit of the windows that end in it. A long text is
read in blocks that begin at multiples of `SPAN`, so that the memory does not grow with it. All depends on the query alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guardproxy.errors import ConfigError
from guardproxy.findings import Kind
from guardproxy.inference.folders.spans import SPAN, SpanReading
from guardproxy.inference.scoring import ngrams
from guardproxy.inference.scoring.ngrams import NgramTable

BLOCK_SPANS = 40
"""Spans that the network reads at once."""
MARGIN_SPANS = 1
"""Spans before and after a block that the network reads too, more than it sees to each side of a token."""
LOWEST = -30.0
"""The network's logit of a text without tokens."""
Logits = NDArray[np.float64]


class DepthZero:
    """Reads all spans of a text. Any thread may use it."""

    def __init__(self, reading: SpanReading, table: Path, network: Path) -> None:
        """`table`, `network`: the files; the second is read only if a column needs it. Raises `ConfigError` when a file
        cannot be used or lacks a column."""
        self._columns = reading.columns
        self._table = NgramTable(table, len(reading.columns))
        self._scales = np.array([column.scale for column in reading.columns])
        self._weights = np.array([column.network for column in reading.columns])
        self._used = np.flatnonzero(self._weights)
        self._session: Any = None
        if reading.has_network:
            from guardproxy.inference.running.session import Session  # noqa: PLC0415 - imports onnxruntime, only now

            self._session = Session(network, 1)
            try:
                self._network([0] * (SPAN + 1))
            except Exception as error:  # onnxruntime has no public base class for its errors here
                raise ConfigError(f"{network} does not fit `spans` in config.json: {type(error).__name__}") from error

    def logits(self, text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]], kind: Kind | None) -> Logits:
        """Returns the logits of each span of a text, (spans, columns), at least one. `ids`, `offsets`: of its tokens.
        `kind`: of its channel."""
        found = self._table.sums(*ngrams.read(text, ids, offsets)) * self._scales
        if self._session:
            found[:, self._used] += self._network(ids) * self._weights[self._used]
        whole: Logits = found + np.array([column.bias_in(kind) for column in self._columns])
        return whole

    def _network(self, ids: Sequence[int]) -> Logits:
        """Returns the logits of the network for each span, (spans, columns whose `network` is not 0)."""
        spans = max(1, -(-len(ids) // SPAN))
        found = np.full((spans, len(self._used)), LOWEST)
        if not ids:
            return found
        for first in range(0, spans, BLOCK_SPANS):
            after = min(spans, first + BLOCK_SPANS)
            begin = max(0, first - MARGIN_SPANS)
            part = ids[begin * SPAN : (after + MARGIN_SPANS) * SPAN]
            windows = self._session.rows("logits", input_ids=part)[:, self._used].astype(np.float64)
            if len(windows) != -(-len(part) // (SPAN // 2)):
                raise ValueError("the network gave another number of windows")
            # Window j begins at token j SPAN / 2 and ends in span (j + 1) // 2, or with the text.
            ends = begin + (np.arange(len(windows)) + 1) // 2
            own = (ends >= first) & ((ends < after) | (after == spans))
            np.maximum.at(found, np.minimum(ends[own], spans - 1), windows[own])
        return found
