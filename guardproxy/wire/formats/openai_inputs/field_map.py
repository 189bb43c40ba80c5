"""The maps of OpenAI Embeddings and Moderations: the meaning of each place of a request and of an answer.

Vectors and scores are numbers that no check reads: they pass, and the record lists them as not inspected. A place for a
vector that holds anything else is text. A place for scores passes numbers from 0 to 1 only.

Decision: docs/decisions/0034-vectors-and-scores-are-not-read.md
"""

from __future__ import annotations

import math
import struct
from typing import Any

from guardproxy.concurrency import stop_point
from guardproxy.wire.json import (
    NAME,
    NUMBER_LIMIT,
    NUMBER_TYPES,
    OTHERS,
    STRUCTURE,
    UNMAPPED,
    Map,
    MapFields,
    MapLeaf,
    opaque,
    part_text,
    text,
)
from guardproxy.wire.json.opaque import NOT_KEPT, decoded, is_binary, printable
from guardproxy.wire.request.prompts import texts_or_tokens
from guardproxy.wire.request.vllm_fields import OPTIONS

VECTORS = MapLeaf("tokens", media="vectors")
SCORES = MapLeaf("tokens", media="scores")
CATEGORIES = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm"),
    *("self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic"),
)
"""The categories of moderations. The name of any other category is scanned."""
_FLOAT_BYTES = 4
_LARGEST = 1e6  # text that is read as numbers gives larger ones
_FIELDS = frozenset(("object", "index", "embedding"))

_URL = opaque("url", "user")


def _image(value: Any) -> Map:
    return {"url": _URL, OTHERS: UNMAPPED} if isinstance(value, dict) else _URL


_PART: MapFields = {"type": STRUCTURE, "text": part_text("user"), "image_url": _image}


def _input(value: Any) -> Map:
    has_parts = isinstance(value, list) and any(isinstance(item, dict) for item in value)
    return [_PART] if has_parts else texts_or_tokens(value)


REQUEST: MapFields = {
    **OPTIONS,
    "model": NAME,
    "input": _input,
    "dimensions": STRUCTURE,
    "encoding_format": STRUCTURE,
    "user": text("metadata"),
}


def _vector(value: Any) -> MapLeaf:
    return VECTORS if _is_vector(value) else UNMAPPED


def _is_vector(value: Any) -> bool:
    """Whether a value is a list of numbers, or base64 of numbers."""
    if isinstance(value, list):
        return NUMBER_TYPES.issuperset(map(type, value))
    return isinstance(value, str) and (value == NOT_KEPT or _holds_floats(value) or is_binary(value))


def _holds_floats(value: str) -> bool:
    """Whether a string is base64 of numbers of 32 bits, as vectors are. The numbers of a text would be too large."""
    data = decoded(value)
    if not data or len(data) % _FLOAT_BYTES or printable(data) is not None:
        return False
    numbers = struct.unpack(f"<{len(data) // _FLOAT_BYTES}f", data)
    return math.isfinite(sum(numbers)) and -_LARGEST < min(numbers) <= max(numbers) < _LARGEST


def _data(value: Any) -> Map:
    """Maps the list of vectors as one place, as the list of places in a record would be as long as the answer."""
    if value == NOT_KEPT or (isinstance(value, list) and value and all(map(_holds_vector, value))):
        return VECTORS
    return [{"object": STRUCTURE, "index": STRUCTURE, "embedding": _vector}]


def _holds_vector(item: Any) -> bool:
    """Whether an item of an answer has a vector and nothing else that could be text."""
    stop_point()
    if not isinstance(item, dict) or not item.keys() <= _FIELDS or item.get("object") not in (None, "embedding"):
        return False
    index = item.get("index", 0)
    return type(index) is int and abs(index) < NUMBER_LIMIT and _is_vector(item.get("embedding"))


def _scores(value: Any) -> Map:
    """Maps the scores of one input as one place, if they are known categories with numbers."""
    if value == NOT_KEPT or (isinstance(value, dict) and value and all(map(_is_score, value, value.values()))):
        return SCORES
    return dict.fromkeys(CATEGORIES, _score)


def _is_score(category: str, value: Any) -> bool:
    return category in CATEGORIES and _score(value) is SCORES


def _score(value: Any) -> MapLeaf:
    return SCORES if type(value) in NUMBER_TYPES and 0 <= value <= 1 else UNMAPPED


_RESULT: MapFields = {
    "flagged": STRUCTURE,
    "categories": dict.fromkeys(CATEGORIES, STRUCTURE),
    "category_scores": _scores,
    "category_applied_input_types": {name: [STRUCTURE] for name in CATEGORIES},
}
RESPONSE: MapFields = {
    **dict.fromkeys(("id", "object", "created"), STRUCTURE),
    "model": NAME,
    "data": _data,
    "results": [_RESULT],
    "usage": UNMAPPED,
    "error": text("error"),
}
