"""The users of the memory, in a fixed order. A new one is a line here."""

from __future__ import annotations

from typing import Any

from guardproxy.exchange.memory.approvals import APPROVED, PENDING, WAITING
from guardproxy.exchange.memory.seen_tools import SEEN_TOOLS
from guardproxy.exchange.memory.taint import TAINT
from guardproxy.exchange.memory.use import MemoryUse
from guardproxy.policy import BoundRules

USES: tuple[MemoryUse[Any], ...] = (APPROVED, PENDING, WAITING, TAINT, SEEN_TOOLS)


def uses_of(bound: BoundRules) -> tuple[MemoryUse[Any], ...]:
    """Returns the uses that a set of rules needs."""
    return tuple(use for use in USES if use.wanted(bound))
