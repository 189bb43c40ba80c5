"""Redaction: operators, placeholders, stand-ins for values of a fixed shape, the places where values are restored, and
masks for the log."""

from __future__ import annotations

from guardproxy.redaction.altered import altered_placeholders
from guardproxy.redaction.masking import Moves, OffsetMap, Span, beside, mask, merge
from guardproxy.redaction.operators import (
    DEFAULT,
    HASH_TYPES,
    KINDS,
    MASK_ALL,
    PLACEHOLDER_OPERATOR,
    PLACEHOLDERS,
    REMOVAL,
    Kind,
    Operator,
    Operators,
    strictest,
)
from guardproxy.redaction.placeholders import PLACEHOLDER, RESTORE, WITHHELD, Restoring, keyed_hash, mint
from guardproxy.redaction.restoration import EVERYWHERE, Restoration
from guardproxy.redaction.shapes import NAME, NO_SHAPES, Shape, Shapes
from guardproxy.redaction.surrogates import stand_in
from guardproxy.redaction.values import ValueMatcher

__all__ = [
    "DEFAULT",
    "EVERYWHERE",
    "HASH_TYPES",
    "KINDS",
    "MASK_ALL",
    "NAME",
    "NO_SHAPES",
    "PLACEHOLDER",
    "PLACEHOLDERS",
    "PLACEHOLDER_OPERATOR",
    "REMOVAL",
    "RESTORE",
    "WITHHELD",
    "Kind",
    "Moves",
    "OffsetMap",
    "Operator",
    "Operators",
    "Restoration",
    "Restoring",
    "Shape",
    "Shapes",
    "Span",
    "ValueMatcher",
    "altered_placeholders",
    "beside",
    "keyed_hash",
    "mask",
    "merge",
    "mint",
    "stand_in",
    "strictest",
]
