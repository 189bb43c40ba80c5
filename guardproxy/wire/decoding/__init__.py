"""Decodes frames and whole bodies into events by the maps of a format. `JsonCodec` is the base of most formats."""

from __future__ import annotations

from guardproxy.wire.decoding.decoding import LeafPlace, StreamDecoder, counts, leaf_of
from guardproxy.wire.decoding.json_codec import Grammar, JsonCodec
from guardproxy.wire.decoding.whole_body import WholeDecoder

__all__ = [
    "Grammar",
    "JsonCodec",
    "LeafPlace",
    "StreamDecoder",
    "WholeDecoder",
    "counts",
    "leaf_of",
]
