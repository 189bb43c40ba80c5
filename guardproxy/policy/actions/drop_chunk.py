"""`action: drop_chunk`: the document or the tool's result with the finding is cut out of the request."""

from __future__ import annotations

from guardproxy.decisions import Decision, DropChunk
from guardproxy.findings import Direction, Kind
from guardproxy.policy.document import Rule

REACH: frozenset[tuple[Direction, Kind]] = frozenset((("request", "tool_result"), ("request", "document")))
ONLY = "drop_chunk cuts documents and results of tools out of a request, so it inspects only these: `on: request.tool_result`"


def decide(rule: Rule) -> Decision:
    return DropChunk(rule.id)
