"""JSON as the wire formats use it: strict reading, the walk over texts, edits in place."""

from __future__ import annotations

from guardproxy.wire.json.numbers import stand_in, stand_ins
from guardproxy.wire.json.replacing import edited
from guardproxy.wire.json.strict import DEPTH_LIMIT, JsonFault, bound_nesting, read, skim, write
from guardproxy.wire.json.text import Leaf, View, apart, edited_leaves, places, rewrite, view
from guardproxy.wire.json.walk import (
    KEYS,
    NAME,
    NUMBER_LIMIT,
    OTHERS,
    STRUCTURE,
    TOKEN_IDS,
    TOKENS,
    UNMAPPED,
    Found,
    Map,
    MapLeaf,
    dotted,
    is_plain_key,
    is_word,
    listed,
    opaque,
    reach,
    text,
    unknown,
    walk,
)

__all__ = [
    "DEPTH_LIMIT",
    "KEYS",
    "NAME",
    "NUMBER_LIMIT",
    "OTHERS",
    "STRUCTURE",
    "TOKENS",
    "TOKEN_IDS",
    "UNMAPPED",
    "Found",
    "JsonFault",
    "Leaf",
    "Map",
    "MapLeaf",
    "View",
    "apart",
    "bound_nesting",
    "dotted",
    "edited",
    "edited_leaves",
    "is_plain_key",
    "is_word",
    "listed",
    "opaque",
    "places",
    "reach",
    "read",
    "rewrite",
    "skim",
    "stand_in",
    "stand_ins",
    "text",
    "unknown",
    "view",
    "walk",
    "write",
]
