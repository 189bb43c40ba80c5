"""One ONNX Runtime session: on a GPU when the session proves that it has one, else on `threads` CPU threads.

In: the inputs of one text. Out: what the network says of it. Kept: the session, which any thread may use at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from guardproxy.errors import ConfigError


class Session:
    """Runs the network. `provider`: the execution provider that was really given."""

    def __init__(self, path: Path, threads: int) -> None:
        """Raises `ConfigError` when the file is no network or `threads` is below 1."""
        if threads < 1:
            raise ConfigError("the supervisor needs at least one thread")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # Spinning threads would take the time of the event loop between two forward passes.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # onnxruntime has no public base class for what it raises here
            raise ConfigError(f"{path} cannot be run: {type(error).__name__}") from error
        # That a provider is available says nothing: only the session knows which one it got.
        self.provider: str = self._session.get_providers()[0]

    def run(self, ids: Sequence[int]) -> list[float]:
        """The logits, one for each label, of one row of token ids (special tokens included)."""
        logits: list[float] = self.rows("logits", input_ids=ids, attention_mask=[1] * len(ids)).tolist()
        return logits

    def rows(self, output: str, **inputs: Sequence[int]) -> Any:
        """The array `output` for one row of each input.

        One row at a time on purpose. The int8 network scales its activations over the whole batch, so in a batch a
        text's score would depend on its neighbours, and findings would depend on how a stream was cut. It costs
        nothing: on a CPU a batch is no faster for rows of this length.
        """
        feed = {name: np.array([row], dtype=np.int64) for name, row in inputs.items()}
        return self._session.run([output], feed)[0][0]
