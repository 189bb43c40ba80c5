"""Replays recorded exchanges and compares the decisions."""

from __future__ import annotations

from guardproxy.replay.comparison import MaskedValue, ShownPath, Way, differences, is_seen, moved_decisions, text_at
from guardproxy.replay.digests import Digests, VersionCounts
from guardproxy.replay.findings import rules_for
from guardproxy.replay.pacing import LIMIT_CHARS, HoldStep, pace_of
from guardproxy.replay.replays import Rerun, judged, replay, rerun
from guardproxy.replay.results import ReplayResult

__all__ = [
    "LIMIT_CHARS",
    "Digests",
    "HoldStep",
    "MaskedValue",
    "ReplayResult",
    "Rerun",
    "ShownPath",
    "VersionCounts",
    "Way",
    "differences",
    "is_seen",
    "judged",
    "moved_decisions",
    "pace_of",
    "replay",
    "rerun",
    "rules_for",
    "text_at",
]
