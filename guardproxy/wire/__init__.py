"""Wire formats: bytes <-> events. Holds the contract of a codec, the formats, framing, and readers of request bodies."""

from __future__ import annotations

from guardproxy.wire.authoring import Author, CutText, Prompt, Reply, text_of, word_parts
from guardproxy.wire.bounds import BOUNDS, UNBOUNDED, Bounds
from guardproxy.wire.codec import AnswerFacts, Bounded, Codec, Decoder, Request
from guardproxy.wire.contract import (
    ANY_OBJECT,
    NO_DEMAND,
    SDK_QUERY,
    CallInput,
    Contract,
    Demand,
    KeyHeader,
    MediaTypes,
    QuerySyntax,
    RefusedRoutes,
    Signs,
    UsageFields,
    demand_of,
    name_beside,
    no_inputs,
)
from guardproxy.wire.decoding import (
    LeafPlace,
    StreamDecoder,
    WholeDecoder,
    counts,
    edited_frame,
    events_of,
    index_of,
    indexed,
    is_delta,
    leaf_of,
)
from guardproxy.wire.framing import Framing, StreamEvent, ndjson, sse
from guardproxy.wire.inspection import UNINSPECTED, uninspected, unmapped, without_kinds
from guardproxy.wire.json_codec import Grammar, JsonCodec
from guardproxy.wire.opaque import NOT_KEPT
from guardproxy.wire.protocol_words import is_chance, is_short, undated
from guardproxy.wire.registry import codec_for, codec_of_client, codecs, missing_members, served
from guardproxy.wire.requests import expect_list, expect_type, read_body
from guardproxy.wire.routes import Route
from guardproxy.wire.statements import EVERY_SERVER, LARGEST, Fields, RequestStatement, statement_of
from guardproxy.wire.turns import Call, ModelTurn, Turns, first_text
from guardproxy.wire.words import SHARED, Vocabulary

__all__ = [
    "ANY_OBJECT",
    "BOUNDS",
    "EVERY_SERVER",
    "LARGEST",
    "NOT_KEPT",
    "NO_DEMAND",
    "SDK_QUERY",
    "SHARED",
    "UNBOUNDED",
    "UNINSPECTED",
    "AnswerFacts",
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
    "Framing",
    "Grammar",
    "JsonCodec",
    "KeyHeader",
    "LeafPlace",
    "MediaTypes",
    "ModelTurn",
    "Prompt",
    "QuerySyntax",
    "RefusedRoutes",
    "Reply",
    "Request",
    "RequestStatement",
    "Route",
    "Signs",
    "StreamDecoder",
    "StreamEvent",
    "Turns",
    "UsageFields",
    "Vocabulary",
    "WholeDecoder",
    "codec_for",
    "codec_of_client",
    "codecs",
    "counts",
    "demand_of",
    "edited_frame",
    "events_of",
    "expect_list",
    "expect_type",
    "first_text",
    "index_of",
    "indexed",
    "is_chance",
    "is_delta",
    "is_short",
    "leaf_of",
    "missing_members",
    "name_beside",
    "ndjson",
    "no_inputs",
    "read_body",
    "served",
    "sse",
    "statement_of",
    "text_of",
    "undated",
    "uninspected",
    "unmapped",
    "without_kinds",
    "word_parts",
]
