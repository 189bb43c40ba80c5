"""The aiohttp server: admission, the driver of exchanges, upstreams, scanning threads, workers."""

from __future__ import annotations

from guardproxy.server.checking import CheckedPart, check
from guardproxy.server.driving.judge import LIMIT_AT_ONCE, Asking, JudgeError, asking
from guardproxy.server.observing.logs import configure
from guardproxy.server.processes.running import serve
from guardproxy.server.processes.stdio.guarding import guard
from guardproxy.server.processes.workers import several

__all__ = [
    "LIMIT_AT_ONCE",
    "Asking",
    "CheckedPart",
    "JudgeError",
    "asking",
    "check",
    "configure",
    "guard",
    "serve",
    "several",
]
