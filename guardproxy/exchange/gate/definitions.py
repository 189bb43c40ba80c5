"""Adds each definition of a tool as one text, for checks that judge definitions.

In: the events of a request or an answer. Out: the same events; after those of a frame, each definition in it as a text of JSON
that is judged and never sent (`Text.judged`), with the definition itself (`Text.call`). An edit of such a text takes the
definition out of the frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from guardproxy.events import End, Event, Frame, Opaque, Text
from guardproxy.findings import Channel, Direction
from guardproxy.tool_pins import ToolDefinition, ToolPin, name_key
from guardproxy.wire import Contract
from guardproxy.wire.json import dotted, reach, write


def with_definitions(events: Iterable[Event], contract: Contract, direction: Direction, server: str) -> list[Event]:
    """Returns the events with definitions. `server`: the name of the server, if the route has it."""
    out: list[Event] = []
    frame: Frame | None = None
    for event in events:
        if isinstance(event, (Text, Opaque)) and event.frame is not frame:
            out += _definitions(frame, contract, direction, server)
            frame = event.frame
        out.append(event)
    return [*out, *_definitions(frame, contract, direction, server)]


def _definitions(frame: Frame | None, contract: Contract, direction: Direction, server: str) -> Iterator[Event]:
    if frame is None or not isinstance(frame.tree, dict):
        return
    found = contract.offered(frame.tree).every if direction == "request" else contract.listed(frame.tree)
    first: dict[tuple[str, str], ToolDefinition | ToolPin] = {}  # as a pin, if another one reads the same
    for tool in found:
        entry = reach(frame.tree, tool.path)
        channel = Channel(direction, "tool_definition", f"{dotted(tool.path)}#definition")
        definition = ToolDefinition(tool.names[0], tool.server or server, entry)
        if key := name_key(definition.name):
            place = definition.server, key
            twin = first.setdefault(place, definition)
            if isinstance(twin, ToolDefinition) and twin is not definition:
                twin = first[place] = ToolPin(twin.server, twin.name, twin.digest)
            if isinstance(twin, ToolPin) and twin.digest != definition.digest:
                definition = replace(definition, twin=twin)
        text = write(entry).decode()
        yield Text(channel, text, frame, tool.path, judged=True, call=definition)
        yield End(channel)
