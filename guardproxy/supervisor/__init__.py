"""The runtime of the models: a folder becomes a `Scorer` for the check `supervisor`, or a `Tagger` for names.

In: a model folder and a number of threads. Out: scores for texts, or names in them. Kept: one ONNX Runtime session,
which any thread may use. The heavy libraries are imported when a model is loaded, never before.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from guardproxy.supervisor.folder import find
from guardproxy.supervisor.model import Model, read
from guardproxy.supervisor.tags import TagModel
from guardproxy.supervisor.tags import read as read_tags

if TYPE_CHECKING:
    from guardproxy.checks import Tagger
    from guardproxy.supervisor.scorer import OnnxScorer

__all__ = ["Model", "TagModel", "find", "load", "load_tagger", "read", "read_tags"]


def load(folder: Path, threads: int = 1) -> OnnxScorer:
    """The scorer of the model in `folder`, warmed up, with `threads` CPU threads for one forward pass.

    Raises `ConfigError` when the folder is incomplete, does not match its SHA256SUMS, or cannot be run.
    """
    from guardproxy.supervisor.scorer import OnnxScorer  # noqa: PLC0415 - imports onnxruntime, only now

    return OnnxScorer(read(folder), threads)


SPACY = "spacy:"


def load_tagger(name: str, folders: tuple[Path, ...] = (), threads: int = 1) -> Tagger:
    """The tagger `name`: a model folder (see `find`), or `spacy:` and the name or path of a spaCy pipeline.

    Raises `ConfigError` when there is none, or when it cannot be used.
    """
    if name.startswith(SPACY):
        from guardproxy.supervisor.pipeline import SpacyTagger  # noqa: PLC0415 - imports spaCy, only now

        return SpacyTagger(name.removeprefix(SPACY))
    from guardproxy.supervisor.tagger import OnnxTagger  # noqa: PLC0415 - imports onnxruntime, only now

    return OnnxTagger(read_tags(find(name, folders)), threads)
