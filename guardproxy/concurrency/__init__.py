"""Small parts for code in threads: attributes that are computed once without a lock, and stop points of long scans."""

from __future__ import annotations

from guardproxy.concurrency.lazy import lazy
from guardproxy.concurrency.stopping import ScanStopped, stop_point, stoppable

__all__ = ["ScanStopped", "lazy", "stop_point", "stoppable"]
