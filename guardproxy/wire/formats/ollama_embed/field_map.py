"""The maps of Ollama's embeddings: the meaning of each place of a request and of an answer.

Vectors are numbers that no check reads: they pass, and the record lists them as not inspected. A place for a vector that holds
anything else is text.

Decision: docs/decisions/0034-vectors-and-scores-are-not-read.md
"""

from __future__ import annotations

from typing import Any

from guardproxy.concurrency import stop_point
from guardproxy.wire.families import ollama
from guardproxy.wire.json import NUMBER_TYPES, STRUCTURE, UNMAPPED, MapFields, MapLeaf
from guardproxy.wire.json.opaque import NOT_KEPT
from guardproxy.wire.request.prompts import texts_or_tokens

_VECTORS = MapLeaf("tokens", media="vectors")

REQUEST: MapFields = {
    **ollama.REQUEST,
    **dict.fromkeys(("truncate", "dimensions"), STRUCTURE),
    "input": texts_or_tokens,
    "prompt": texts_or_tokens,
}


def _vector(value: Any) -> MapLeaf:
    return _VECTORS if value == NOT_KEPT or _is_vector(value) else UNMAPPED


def _vectors(value: Any) -> MapLeaf:
    """Maps the list of vectors as one place, as the list of places in a record would be as long as the answer."""
    is_list = isinstance(value, list) and all(map(_is_vector, value))
    return _VECTORS if value == NOT_KEPT or is_list else UNMAPPED


def _is_vector(value: Any) -> bool:
    stop_point()
    return isinstance(value, list) and NUMBER_TYPES.issuperset(map(type, value))


RESPONSE: MapFields = {**ollama.RESPONSE, "embeddings": _vectors, "embedding": _vector}
