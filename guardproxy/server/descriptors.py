"""File descriptors: how many this process may open, and how many connections that allows."""

from __future__ import annotations

import sys
from contextlib import suppress

RESERVED = 128  # logs, models, the admin port, libraries
MOST = 100_000


def connections(wanted: int) -> int:
    """How many client connections there may be: `wanted`, or what the limit of descriptors allows where that is 0. Each
    client connection may need one to the upstream too. Raises the soft limit to the hard one."""
    allowed = max(1, min(MOST, (descriptors() - RESERVED) // 2))
    return min(wanted, allowed) if wanted else allowed


def descriptors() -> int:
    """How many descriptors this process may open, after its limit was raised as far as it goes."""
    if sys.platform == "win32":
        return 2 * MOST
    import resource  # noqa: PLC0415 - Unix only

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS has a lower limit that it does not tell
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return 2 * MOST if soft == resource.RLIM_INFINITY else soft
