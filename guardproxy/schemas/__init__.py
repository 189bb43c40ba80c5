"""Validates growing JSON texts against JSON Schemas."""

from __future__ import annotations

from guardproxy.schemas.compiled import Compiled, SchemaError, compile_schema
from guardproxy.schemas.drafts import DRAFTS, LATEST, CostError
from guardproxy.schemas.prefix import Prefix
from guardproxy.schemas.reader import INCOMPLETE, MALFORMED, alike
from guardproxy.schemas.typed import with_types
from guardproxy.schemas.wording import details, words

__all__ = [
    "DRAFTS",
    "INCOMPLETE",
    "LATEST",
    "MALFORMED",
    "Compiled",
    "CostError",
    "Prefix",
    "SchemaError",
    "alike",
    "compile_schema",
    "details",
    "with_types",
    "words",
]
