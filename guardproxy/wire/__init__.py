"""Wire formats: bytes <-> events. Holds the formats that are installed, and what one reads and writes.

What a format declares is in `contract`, what most formats build on in `decoding`, `framing`, `request` and `json`, the formats
of policy files in `declared`.
"""

from __future__ import annotations

from guardproxy.wire.contract.bounds import BOUNDS, UNBOUNDED, Bounds
from guardproxy.wire.contract.codec import AnswerFacts, Codec, Decoder, Request
from guardproxy.wire.contract.contract import Contract
from guardproxy.wire.contract.fields import FieldPath
from guardproxy.wire.contract.request_facts import RequestStatement, statement_of
from guardproxy.wire.contract.routes import Route
from guardproxy.wire.contract.turns import Call, Turns
from guardproxy.wire.contract.writing import Author, Prompt, Reply
from guardproxy.wire.dialect import Dialect, ModelReply
from guardproxy.wire.feedback import FEEDBACK, FEEDBACK_ANSWER, FEEDBACK_ROUTE
from guardproxy.wire.json.identifiers import is_chance, is_short, undated
from guardproxy.wire.json.opaque import NOT_KEPT
from guardproxy.wire.registry import Formats, codecs, default_route, installed, missing_members

__all__ = [
    "BOUNDS",
    "FEEDBACK",
    "FEEDBACK_ANSWER",
    "FEEDBACK_ROUTE",
    "NOT_KEPT",
    "UNBOUNDED",
    "AnswerFacts",
    "Author",
    "Bounds",
    "Call",
    "Codec",
    "Contract",
    "Decoder",
    "Dialect",
    "FieldPath",
    "Formats",
    "ModelReply",
    "Prompt",
    "Reply",
    "Request",
    "RequestStatement",
    "Route",
    "Turns",
    "codecs",
    "default_route",
    "installed",
    "is_chance",
    "is_short",
    "missing_members",
    "statement_of",
    "undated",
]
