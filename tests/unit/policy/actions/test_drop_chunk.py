"""The decision of `drop_chunk`."""

from __future__ import annotations

from guardproxy.decisions import DropChunk
from guardproxy.policy.actions import drop_chunk
from guardproxy.policy.load import parse


def test_the_chunk_is_dropped_whatever_the_finding() -> None:
    text = "policy: p\nchecks: {x: {use: secrets}}\nrules: [{id: cut, on: document, when: x, action: drop_chunk}]\n"
    (rule,) = parse(text, "p.yaml").rules
    assert drop_chunk.decide(rule) == DropChunk("cut")
