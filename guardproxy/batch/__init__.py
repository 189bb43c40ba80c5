"""Replays records and scans texts in many files, with any engine: part by part, and merged in order.

| module | content |
|---|---|
| `policies` | policies that each worker loads again, and compares with those of the command |
| `replaying` | replays the records of logs |
| `scanning` | scans the texts of JSON lines, and files of text |
"""

from __future__ import annotations

from guardproxy.batch.policies import SharedPolicies
from guardproxy.batch.replaying import LogReplay, ReplayWork, SealedTexts
from guardproxy.batch.scanning import ScannedPart, ScanWork, TextFile, text_line

__all__ = [
    "LogReplay",
    "ReplayWork",
    "ScanWork",
    "ScannedPart",
    "SealedTexts",
    "SharedPolicies",
    "TextFile",
    "text_line",
]
