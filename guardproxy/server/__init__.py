"""The aiohttp server: admission, the driver of exchanges, upstreams, scanning threads, workers."""

from __future__ import annotations

from guardproxy.server.aiohttp_parts import Wire, error_body, routed_request
from guardproxy.server.app import Server
from guardproxy.server.checking import check
from guardproxy.server.driving.asking.judges import LIMIT_AT_ONCE, score_of
from guardproxy.server.driving.asking.upstreams import Asking, AskingError, asking
from guardproxy.server.intake.grpc_port import add_port as add_grpc_port
from guardproxy.server.intake.grpc_port import handshake_option
from guardproxy.server.intake.listener import sender_of
from guardproxy.server.observing.companions import CompanionCommand
from guardproxy.server.processes.running import serve
from guardproxy.server.processes.stdio.guarding import guard
from guardproxy.server.processes.workers import several
from guardproxy.server.trust.certificates import Certificates
from guardproxy.server.upstream.deadlines import Deadlines
from guardproxy.server.upstream.upstream import check_answer_head

__all__ = [
    "LIMIT_AT_ONCE",
    "Asking",
    "AskingError",
    "Certificates",
    "CompanionCommand",
    "Deadlines",
    "Server",
    "Wire",
    "add_grpc_port",
    "asking",
    "check",
    "check_answer_head",
    "error_body",
    "guard",
    "handshake_option",
    "routed_request",
    "score_of",
    "sender_of",
    "serve",
    "several",
]
