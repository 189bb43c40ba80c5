"""Limits of usage, and prices: the values of a policy file or a file of limits by which the gateway counts requests."""

from __future__ import annotations

from guardproxy.policy.usage.pricing import MOST_CHARS, MOST_MODELS, Price, PriceList, Rates, TokenUse, keep, whole
from guardproxy.policy.usage.usage_limits import (
    LARGEST,
    MICRO,
    LimitFault,
    LimitRule,
    StoredLimit,
    Unit,
    amount_words,
    limit_rule,
    limit_words,
    number_words,
)

__all__ = [
    "LARGEST",
    "MICRO",
    "MOST_CHARS",
    "MOST_MODELS",
    "LimitFault",
    "LimitRule",
    "Price",
    "PriceList",
    "Rates",
    "StoredLimit",
    "TokenUse",
    "Unit",
    "amount_words",
    "keep",
    "limit_rule",
    "limit_words",
    "number_words",
    "whole",
]
