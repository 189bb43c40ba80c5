"""Plays recorded exchanges again and compares what was decided."""

from __future__ import annotations

from guardproxy.replay.comparison import UNSEEN, Masked, Way, differences, moved_decisions, text_at
from guardproxy.replay.replays import Rerun, replay, rerun

__all__ = [
    "UNSEEN",
    "Masked",
    "Rerun",
    "Way",
    "differences",
    "moved_decisions",
    "replay",
    "rerun",
    "text_at",
]
