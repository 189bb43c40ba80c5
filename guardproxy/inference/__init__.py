"""Runs models: ONNX sessions, batching, the verdict cache, taggers, and clients of remote scoring services.

`ModelScorer`, `ModelPairJudge` and `Serving` need numpy and tokenizers. They are loaded at their first use, so that commands
without a model start fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from guardproxy.inference.models import DescribedModels, Models, Settings, cores, find, load
from guardproxy.inference.running.meters import Registry
from guardproxy.inference.running.throughput import Ratio, work_ahead
from guardproxy.inference.services import Remotes, origin, origin_of

if TYPE_CHECKING:
    from guardproxy.inference.embedding import TableEmbedder, background_texts
    from guardproxy.inference.pairs.judge import ModelPairJudge
    from guardproxy.inference.scoring.scorer import ModelScorer
    from guardproxy.inference.serving import Serving

__all__ = [
    "DescribedModels",
    "ModelPairJudge",
    "ModelScorer",
    "Models",
    "Ratio",
    "Registry",
    "Remotes",
    "Serving",
    "Settings",
    "TableEmbedder",
    "background_texts",
    "cores",
    "find",
    "load",
    "origin",
    "origin_of",
    "work_ahead",
]
_HEAVY = {
    "ModelPairJudge": "guardproxy.inference.pairs.judge",
    "ModelScorer": "guardproxy.inference.scoring.scorer",
    "Serving": "guardproxy.inference.serving",
    "TableEmbedder": "guardproxy.inference.embedding",
    "background_texts": "guardproxy.inference.embedding",
}


def __getattr__(name: str) -> Any:
    """Imports the module of a name of `_HEAVY` at its first use."""
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HEAVY[name]), name)
