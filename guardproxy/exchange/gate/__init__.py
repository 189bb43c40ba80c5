"""The texts of one direction: holds text back until its checks have settled, applies edits, and joins pieces into one
text."""

from __future__ import annotations

from guardproxy.exchange.gate.earlier import GivenValues, StoredTurn, merged, values_of
from guardproxy.exchange.gate.gate import Job
from guardproxy.exchange.gate.lanes import Lane
from guardproxy.exchange.gate.notes import Side

__all__ = [
    "GivenValues",
    "Job",
    "Lane",
    "Side",
    "StoredTurn",
    "merged",
    "values_of",
]
