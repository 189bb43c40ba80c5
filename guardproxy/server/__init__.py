"""The aiohttp server: admission, the driver of exchanges, upstreams, scanning threads, workers."""

from __future__ import annotations

from guardproxy.server.aiohttp_parts import Wire, error_body, routed_request
from guardproxy.server.app import Server
from guardproxy.server.checking import check
from guardproxy.server.driving.asking.judges import LIMIT_AT_ONCE, score_of
from guardproxy.server.driving.asking.upstreams import Asking, AskingError, asking
from guardproxy.server.intake.listener import sender_of
from guardproxy.server.observing.companions import CompanionCommand
from guardproxy.server.processes.running import serve
from guardproxy.server.processes.stdio.guarding import guard
from guardproxy.server.processes.workers import several
from guardproxy.server.upstream.deadlines import Deadlines
from guardproxy.server.upstream.upstream import check_answer_head

__all__ = [
    "LIMIT_AT_ONCE",
    "Asking",
    "AskingError",
    "CompanionCommand",
    "Deadlines",
    "Server",
    "Wire",
    "asking",
    "check",
    "check_answer_head",
    "error_body",
    "guard",
    "routed_request",
    "score_of",
    "sender_of",
    "serve",
    "several",
]
