"""Wire formats: bytes <-> events. The contract of a codec, the formats, framing, and what is read from bodies."""

from __future__ import annotations

from guardproxy.wire.bounds import BOUNDS, UNBOUNDED, Bounds
from guardproxy.wire.carries import carried
from guardproxy.wire.codec import Bounded, Codec, Decoder, Request, Seen, codec_for, codecs
from guardproxy.wire.decoding import found_of
from guardproxy.wire.framing.sse import frame
from guardproxy.wire.inspection import UNINSPECTED, uninspected, unmapped, without_kinds
from guardproxy.wire.opaque import NOT_KEPT
from guardproxy.wire.protocol_words import is_chance, is_short, undated
from guardproxy.wire.statements import LARGEST, Stated, stated
from guardproxy.wire.turns import Call, Said, first_words, further, keep_alive, opening
from guardproxy.wire.wanted import ANSWERS, NOTHING, Asked, inputs, is_answered, name_path, part, read

__all__ = [
    "ANSWERS",
    "BOUNDS",
    "LARGEST",
    "NOTHING",
    "NOT_KEPT",
    "UNBOUNDED",
    "UNINSPECTED",
    "Asked",
    "Bounded",
    "Bounds",
    "Call",
    "Codec",
    "Decoder",
    "Request",
    "Said",
    "Seen",
    "Stated",
    "carried",
    "codec_for",
    "codecs",
    "first_words",
    "found_of",
    "frame",
    "further",
    "inputs",
    "is_answered",
    "is_chance",
    "is_short",
    "keep_alive",
    "name_path",
    "opening",
    "part",
    "read",
    "stated",
    "undated",
    "uninspected",
    "unmapped",
    "without_kinds",
]
