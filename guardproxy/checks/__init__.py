"""Checks turn text into findings: one check a file or folder, named as in a policy (`use: pii`)."""

from __future__ import annotations

from guardproxy.checks._contract import (
    Check,
    Judged,
    Query,
    Resources,
    Scorer,
    Tag,
    Tagger,
    advice,
    build,
    known,
    labels,
    looks_at,
    options,
    own_names,
    with_partner,
)
from guardproxy.checks.http import VERSION
from guardproxy.checks.supervisor import Supervisor
from guardproxy.checks.supervisor import build as build_supervisor
from guardproxy.concurrency import ScanStopped, stop_point, stoppable

__all__ = [
    "VERSION",
    "Check",
    "Judged",
    "Query",
    "Resources",
    "ScanStopped",
    "Scorer",
    "Supervisor",
    "Tag",
    "Tagger",
    "advice",
    "build",
    "build_supervisor",
    "known",
    "labels",
    "looks_at",
    "options",
    "own_names",
    "stop_point",
    "stoppable",
    "with_partner",
]
