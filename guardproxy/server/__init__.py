"""The aiohttp server: admission, the driver of exchanges, upstreams, scanning threads, workers."""

from __future__ import annotations

from guardproxy.server.logs import configure
from guardproxy.server.running import serve
from guardproxy.server.workers import several

__all__ = [
    "configure",
    "serve",
    "several",
]
