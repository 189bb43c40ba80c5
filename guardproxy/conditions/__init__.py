"""Conditions that checks and policies share: expressions in CEL, and names that are compared in their normal form."""

from __future__ import annotations

from guardproxy.conditions.canonical_names import model_key, model_readings
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
from guardproxy.conditions.request_features import FEATURES, UNIT, RequestFeatures, words_of
from guardproxy.conditions.tool_names import ToolNames, is_listed, is_named

__all__ = [
    "FEATURES",
    "LIMIT_ITEMS",
    "UNIT",
    "CelError",
    "CelExpression",
    "CelFunction",
    "CelNames",
    "RequestFeatures",
    "Token",
    "ToolNames",
    "compile_expression",
    "fits",
    "in_lower_case",
    "is_listed",
    "is_named",
    "literal",
    "model_key",
    "model_readings",
    "pattern_of",
    "tokens_of",
    "words_of",
]
