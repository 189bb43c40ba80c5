"""Parts of requests that several formats have: prompts, conversations, system texts, and fields that only some servers
know."""

from __future__ import annotations

from guardproxy.wire.request.azure import route_spellings
from guardproxy.wire.request.requests import expect_list, expect_type, read_body, refuse_other_case
from guardproxy.wire.request.system import SystemChange

__all__ = [
    "SystemChange",
    "expect_list",
    "expect_type",
    "read_body",
    "refuse_other_case",
    "route_spellings",
]
