"""The runtime of models: sessions, batching, the cache of verdicts, taggers, and services that judge elsewhere."""

from __future__ import annotations

from guardproxy.inference.meters import Registry
from guardproxy.inference.models import Models, Settings, cores, find, load
from guardproxy.inference.pace import Ratio, before
from guardproxy.inference.scorer import ModelScorer
from guardproxy.inference.services import Remotes
from guardproxy.inference.serving import Serving

__all__ = [
    "ModelScorer",
    "Models",
    "Ratio",
    "Registry",
    "Remotes",
    "Serving",
    "Settings",
    "before",
    "cores",
    "find",
    "load",
]
