"""Adapters: the policies as a guard inside other gateways.

In: a call of another gateway, which asks whether a request or an answer may pass. Out: what to judge as an exchange, and the
answer in the words of that gateway. One folder each, which no other knows; `ADAPTERS` lists them. `chat.py` is what they
share.

Decision: docs/decisions/0070-an-adapter-asks-the-same-exchange.md
"""

from __future__ import annotations

from guardproxy.adapters.agentgateway import Agentgateway
from guardproxy.adapters.agentgateway_mcp import AgentgatewayMcp
from guardproxy.adapters.chat import (
    ROUTE,
    STREAM,
    Said,
    body_of,
    canonical,
    refusal_in,
    request_of,
    said_in,
    stream_of,
    tree_of,
)
from guardproxy.adapters.contract import Adapter, AdapterCall, AdapterVerdict, FiredRule, GrpcAdapter
from guardproxy.adapters.litellm import Litellm
from guardproxy.adapters.moderations import Moderations
from guardproxy.adapters.portkey import Portkey

ADAPTERS: tuple[Adapter, ...] = (Agentgateway(), AgentgatewayMcp(), Litellm(), Moderations(), Portkey())
"""Every adapter. To add one: a folder, and its line here."""

__all__ = [
    "ADAPTERS",
    "ROUTE",
    "STREAM",
    "Adapter",
    "AdapterCall",
    "AdapterVerdict",
    "FiredRule",
    "GrpcAdapter",
    "Said",
    "body_of",
    "canonical",
    "refusal_in",
    "request_of",
    "said_in",
    "stream_of",
    "tree_of",
]
