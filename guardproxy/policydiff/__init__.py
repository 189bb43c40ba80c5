"""Compares two sets of policies: their texts, and their decisions about recorded traffic."""

from __future__ import annotations

from guardproxy.policydiff.excerpts import ExcerptPart, excerpt
from guardproxy.policydiff.html import page, replay_page
from guardproxy.policydiff.policies import Change, changes, rule_words
from guardproxy.policydiff.traffic import COUNTS, Traffic

__all__ = [
    "COUNTS",
    "Change",
    "ExcerptPart",
    "Traffic",
    "changes",
    "excerpt",
    "page",
    "replay_page",
    "rule_words",
]
