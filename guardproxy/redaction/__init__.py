"""Redaction: operators, placeholders, stand-ins for values of a fixed shape, and the places where values are
restored."""

from __future__ import annotations

from guardproxy.redaction.altered import altered_placeholders
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
    "Operator",
    "Operators",
    "Restoration",
    "Restoring",
    "Shape",
    "Shapes",
    "altered_placeholders",
    "keyed_hash",
    "mint",
    "stand_in",
    "strictest",
]
