"""File descriptors: how many this process may open, and how many connections that allows."""

from __future__ import annotations

import sys
from contextlib import suppress

RESERVED = 128  # logs, models, the admin port, libraries
MOST = 100_000


def connections(wanted: int) -> int:
    """The number of client connections to allow: `wanted`, or, if that is 0, as many as the limit of descriptors allows. Each
    client connection may need an upstream connection too. Raises the soft limit to the hard limit."""
    allowed = max(1, min(MOST, (descriptors() - RESERVED) // 2))
    return min(wanted, allowed) if wanted else allowed


def descriptors() -> int:
    """The number of descriptors that this process may open, after raising the limit as far as possible."""
    if sys.platform == "win32":
        return 2 * MOST
    import resource  # noqa: PLC0415 - Unix only

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS has a lower limit that it does not report
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return 2 * MOST if soft == resource.RLIM_INFINITY else soft
