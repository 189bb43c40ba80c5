"""The audit log: a chain of records in segments, sinks that write it, masks for what it must not show."""

from __future__ import annotations

from guardproxy.audit.chain import open_line
from guardproxy.audit.disk import reason
from guardproxy.audit.folder import NO_KEY, Finding, logs_of, verify_folder
from guardproxy.audit.intents import INTENT, abandoned, closing, unclosed
from guardproxy.audit.masking import Moves, OffsetMap, Span, beside, mask, merge
from guardproxy.audit.segment import numbers, path_of
from guardproxy.audit.sinks import opened
from guardproxy.audit.values import ValueMatcher

__all__ = [
    "INTENT",
    "NO_KEY",
    "Finding",
    "Moves",
    "OffsetMap",
    "Span",
    "ValueMatcher",
    "abandoned",
    "beside",
    "closing",
    "logs_of",
    "mask",
    "merge",
    "numbers",
    "open_line",
    "opened",
    "path_of",
    "reason",
    "unclosed",
    "verify_folder",
]
