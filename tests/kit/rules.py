"""Rules of small policies, and findings to try them on."""

from __future__ import annotations

from guardproxy.findings import Channel, Direction, Finding, Kind
from guardproxy.policy import BoundRules
from tests.kit.play import policy_set

CHECKS = """
checks:
  one: {use: pattern, words: [one]}
  two: {use: pattern, words: [two]}
  three: {use: pattern, words: [three]}
"""
ROUTE = "POST /v1/chat/completions"


def policies(rules: str, more: str = "", name: str = "p", checks: str = CHECKS) -> str:
    return f"policy: {name}\n{checks}rules:\n{rules}{more}"


def bound(*texts: str) -> BoundRules:
    return policy_set(*texts).bind(ROUTE, "m", "t")


def channel(kind: Kind = "user", direction: Direction = "request") -> Channel:
    return Channel(direction, kind, "x")


def finding(check: str, start: int = 0, label: str = "X") -> Finding:
    return Finding(start, start + 1, check, label, 1.0)
