"""Small parts for code in threads: attributes computed once without a lock, stop points of scans, and bounds for libraries."""

from __future__ import annotations

from guardproxy.concurrency.lazy import lazy
from guardproxy.concurrency.metering import LIBRARIES, WorkLimitError, metered
from guardproxy.concurrency.stopping import ScanStopped, stop_point, stoppable

__all__ = [
    "LIBRARIES",
    "ScanStopped",
    "WorkLimitError",
    "lazy",
    "metered",
    "stop_point",
    "stoppable",
]
