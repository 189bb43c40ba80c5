"""Wire formats: bytes <-> events. The contract of a codec, the formats, framing, and what is read from bodies."""

from __future__ import annotations

from guardproxy.wire.authoring import Author, CutText, Prompt, Reply, word_parts
from guardproxy.wire.bounds import BOUNDS, UNBOUNDED, Bounds
from guardproxy.wire.codec import Bounded, Codec, Decoder, Request, Seen
from guardproxy.wire.contract import (
    NO_DEMAND,
    CallInput,
    Contract,
    Demand,
    KeyHeader,
    MediaTypes,
    Query,
    Signs,
    UsageFields,
)
from guardproxy.wire.decoding import found_of
from guardproxy.wire.inspection import UNINSPECTED, uninspected, unmapped, without_kinds
from guardproxy.wire.opaque import NOT_KEPT
from guardproxy.wire.protocol_words import is_chance, is_short, undated
from guardproxy.wire.registry import codec_for, codec_of_client, codecs, served
from guardproxy.wire.routes import Route
from guardproxy.wire.statements import EVERY_SERVER, LARGEST, Fields, Stated, stated
from guardproxy.wire.turns import Call, ModelTurn, Turns
from guardproxy.wire.words import SHARED, Words

__all__ = [
    "BOUNDS",
    "EVERY_SERVER",
    "LARGEST",
    "NOT_KEPT",
    "NO_DEMAND",
    "SHARED",
    "UNBOUNDED",
    "UNINSPECTED",
    "Author",
    "Bounded",
    "Bounds",
    "Call",
    "CallInput",
    "Codec",
    "Contract",
    "CutText",
    "Decoder",
    "Demand",
    "Fields",
    "KeyHeader",
    "MediaTypes",
    "ModelTurn",
    "Prompt",
    "Query",
    "Reply",
    "Request",
    "Route",
    "Seen",
    "Signs",
    "Stated",
    "Turns",
    "UsageFields",
    "Words",
    "codec_for",
    "codec_of_client",
    "codecs",
    "found_of",
    "is_chance",
    "is_short",
    "served",
    "stated",
    "undated",
    "uninspected",
    "unmapped",
    "without_kinds",
    "word_parts",
]
