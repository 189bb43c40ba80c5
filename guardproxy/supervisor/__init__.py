"""The supervisor's runtime: a folder with a model becomes a `Scorer` that the check `supervisor` can ask.

In: a model folder and a number of threads. Out: scores for texts. Kept: one ONNX Runtime session, which any thread may
use. The heavy libraries are imported when a model is loaded, never before.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from guardproxy.supervisor.model import Model, find, read

if TYPE_CHECKING:
    from guardproxy.supervisor.scorer import OnnxScorer

__all__ = ["Model", "find", "load", "read"]


def load(folder: Path, threads: int = 1) -> OnnxScorer:
    """The scorer of the model in `folder`, warmed up, with `threads` CPU threads for one forward pass.

    Raises `ConfigError` when the folder is incomplete, does not match its SHA256SUMS, or cannot be run.
    """
    from guardproxy.supervisor.scorer import OnnxScorer  # noqa: PLC0415 - imports onnxruntime, only now

    return OnnxScorer(read(folder), threads)
