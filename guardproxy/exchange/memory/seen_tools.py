"""What was first seen of the definitions of tools, for checks that compare with it (`tool_pins` with `pins: first_seen`).

In: the definitions of an exchange. Out: at its end, a pin of each that was new; in later exchanges of the tenant, those pins.
Tools of all servers have one entry, so that a name of another server's tool is noticed. A definition that a check found to be
a change, a copy or a shadow leaves no pin."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import msgspec

from guardproxy.exchange.memory.use import ExchangeMemory, MemoryAsking, MemoryEnding, MemoryUse
from guardproxy.findings import Facts
from guardproxy.policy import BoundRules
from guardproxy.tool_pins import ToolDefinition, ToolPin, ToolPins, pin_of

TTL_S = 90 * 24 * 3600.0
MOST = 180  # of a tenant; of more, the oldest go
_ENTRY = "tools"


class SeenTool(msgspec.Struct, frozen=True):
    """A pin, as it is kept."""

    server: str
    name: str
    digest: str
    sketch: tuple[int, ...] = ()


def _wanted(bound: BoundRules) -> bool:
    return bound.needs_seen_tools


def _keys(asking: MemoryAsking) -> tuple[str, ...]:
    return (_ENTRY,)


def _recalled(memory: ExchangeMemory, facts: Facts) -> Facts:
    seen = memory.values(SEEN_TOOLS).values()
    pins = tuple(ToolPin(tool.server, tool.name, tool.digest, tool.sketch) for tool in seen)
    return replace(facts, seen_tools=ToolPins(pins))


def _left(ending: MemoryEnding) -> None:
    # More than an entry may have would only be dropped there.
    for definition in deque(_new(ending), MOST):
        pin = pin_of(definition)
        member = hashlib.sha256(f"{pin.server}\0{pin.name}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
        seen = SeenTool(pin.server, pin.name, pin.digest, pin.sketch)
        ending.memory.put(SEEN_TOOLS, _ENTRY, member, seen, "absent")


def _new(ending: MemoryEnding) -> Iterator[ToolDefinition]:
    for side in (ending.request, *ending.answers):
        for lane in side.gate.lanes.every:
            definition = lane.text.call
            if isinstance(definition, ToolDefinition) and all(each.label == "NEW" for each in lane.progress.findings):
                yield definition


SEEN_TOOLS: MemoryUse[SeenTool] = MemoryUse(
    "seen_tools", SeenTool, _wanted, keys=_keys, scope="tenant", ttl_s=TTL_S, most=MOST, recalled=_recalled, left=_left
)
