"""`action: drop_chunk`: the document or the tool's result with the finding is cut out of the request."""

from __future__ import annotations

from guardproxy.decisions import Decision, DropChunk
from guardproxy.policy.document import Rule


def decide(rule: Rule) -> Decision:
    return DropChunk(rule.id)
