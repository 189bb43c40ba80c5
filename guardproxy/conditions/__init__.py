"""Conditions that checks and policies share: expressions in CEL, and names that are compared in their normal form."""

from __future__ import annotations

from guardproxy.conditions.cel import (
    LIMIT_ITEMS,
    CelError,
    CelExpression,
    CelFunction,
    CelNames,
    Token,
    compile_expression,
    literal,
    tokens_of,
)
from guardproxy.conditions.globs import fits, in_lower_case, pattern_of

__all__ = [
    "LIMIT_ITEMS",
    "CelError",
    "CelExpression",
    "CelFunction",
    "CelNames",
    "Token",
    "compile_expression",
    "fits",
    "in_lower_case",
    "literal",
    "pattern_of",
    "tokens_of",
]
