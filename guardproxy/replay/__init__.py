"""Replays recorded exchanges and compares the decisions."""

from __future__ import annotations

from guardproxy.replay.comparison import MaskedValue, Way, differences, is_seen, moved_decisions, text_at
from guardproxy.replay.replays import ReplayResult, Rerun, replay, rerun

__all__ = [
    "MaskedValue",
    "ReplayResult",
    "Rerun",
    "Way",
    "differences",
    "is_seen",
    "moved_decisions",
    "replay",
    "rerun",
    "text_at",
]
