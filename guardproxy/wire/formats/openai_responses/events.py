"""The events of a stream of OpenAI Responses: their maps, and where each of their texts is in the whole answer.

An event names the place of its text by numbers (`output_index`, `content_index`). A text has the same path in its deltas, in
the events that repeat it, and in a plain answer: `output[0].content[0].text`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from guardproxy.events import Path
from guardproxy.wire.formats.openai_responses.field_map import ERROR, JSON_RESPONSE, RESPONSE
from guardproxy.wire.formats.openai_responses.items import STREAMS, Holder, annotation, answer_item, json_item, part
from guardproxy.wire.formats.openai_responses.words import EVENTS
from guardproxy.wire.json import (
    KEYS,
    OTHERS,
    PADDING,
    STRUCTURE,
    TOKENS,
    Map,
    MapFields,
    MapLeaf,
    opaque,
    part_text,
    text,
)

TERMINAL = frozenset(("response.completed", "response.incomplete", "response.failed", "error"))
"""The types of the events that end a stream."""
WHOLE = frozenset((*(TERMINAL - {"error"}), "response.created", "response.in_progress", "response.queued"))
"""The types of the events that hold the response."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A text that comes in deltas. `field`: the name of the whole text in the event that ends it; `place`: the path of the
    text, in which words stand for the numbers of an event."""

    how: MapLeaf
    field: str
    place: Path

    def path(self, tree: Mapping[str, Any]) -> Path:
        """The path of the text in the answer."""
        return _path(tree, self.place)


def _path(tree: Mapping[str, Any], place: Path) -> Path:
    return tuple(number(tree, step) if str(step).endswith("_index") else step for step in place)


def number(tree: Mapping[str, Any], name: str | int) -> int:
    """The number of an event under this name; 0 if there is none."""
    value = tree.get(str(name))
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


_ITEM: Path = ("output", "output_index")
_CONTENT: Path = (*_ITEM, "content", "content_index")
_SUMMARY: Path = (*_ITEM, "summary", "summary_index")
_ARGUMENT = text("tool_arguments")
_ARGUMENTS = Flow(MapLeaf("json", "tool_arguments"), "arguments", (*_ITEM, "arguments"))
FLOWS: dict[str, Flow] = {
    "response.output_text": Flow(part_text("assistant"), "text", (*_CONTENT, "text")),
    "response.refusal": Flow(part_text("refusal"), "refusal", (*_CONTENT, "refusal")),
    "response.reasoning_text": Flow(part_text("reasoning"), "text", (*_CONTENT, "text")),
    "response.reasoning_summary_text": Flow(part_text("reasoning"), "text", (*_SUMMARY, "text")),
    "response.function_call_arguments": _ARGUMENTS,
    "response.mcp_call_arguments": _ARGUMENTS,
    "response.custom_tool_call_input": Flow(_ARGUMENT, "input", (*_ITEM, "input")),
    "response.code_interpreter_call_code": Flow(_ARGUMENT, "code", (*_ITEM, "code")),
    "response.shell_call_command": Flow(_ARGUMENT, "command", (*_ITEM, "action", "commands", "command_index")),
    "response.shell_call_output_content": Flow(part_text("tool_result"), "output", (*_ITEM, "output", "command_index")),
    "response.audio.transcript": Flow(text("assistant"), "transcript", ("audio", "transcript")),
}
"""The texts that come in deltas, by the types of their events without the last word."""
PARTS: dict[str, Path] = {
    "response.content_part": _CONTENT,
    "response.reasoning_summary_part": _SUMMARY,
}
_HOLDERS: dict[str, tuple[str, Path]] = {
    "response.output_item": ("item", _ITEM),
    **{name: ("part", place) for name, place in PARTS.items()},
    "response.output_text.annotation": ("annotation", (*_CONTENT, "annotations", "annotation_index")),
}
"""The objects that events hold, by the types of the events without the last word: the field, and the object's path."""
_GROWING = re.compile(
    r"output\[\d+\]\.(?:(?:content|summary)\[\d+\]\.(?:text|refusal)|arguments|input|code|action\.commands\[\d+\])"
)
NUMBERS_AND_NAMES = (
    *("type", "sequence_number", "item_id", "obfuscation", "output_index", "content_index", "summary_index"),
    *("command_index", "annotation_index"),
)
"""The fields of events that are not text."""
_WORDS: MapFields = {**dict.fromkeys(NUMBERS_AND_NAMES, STRUCTURE), "obfuscation": PADDING}


def _split(name: str) -> tuple[str, str]:
    """The type of an event without its last word, and the last word."""
    base, _, last = name.rpartition(".")
    return base, last


def flow_of(name: str) -> Flow | None:
    """The text that events of a type bring in deltas, if any."""
    base, last = _split(name)
    return FLOWS.get(base) if last in ("delta", "done", "added") else None


def part_path(tree: Mapping[str, Any], name: str) -> Path | None:
    """The path of the part of an item that an event begins or ends; `None` for all other events."""
    place = PARTS.get(_split(name)[0])
    return None if place is None else _path(tree, place)


def path_of(tree: Mapping[str, Any], name: str, path: Path) -> Path:
    """The path in the answer of a leaf at `path` of an event."""
    first = path[0]
    if name in WHOLE:
        return path[1:] if first == "response" and len(path) > 1 else ("event", *path)
    base, last = _split(name)
    if (flow := FLOWS.get(base)) and first == ("delta" if last == "delta" else flow.field):
        start = flow.path(tree)
        if flow.field == "output" and last == "done" and len(path) > 1 and isinstance(path[1], int):
            return (*start[:-1], int(start[-1]) + path[1], *path[2:])  # the event lists the outputs of its command
        return (*start, *path[1:])
    holder = _HOLDERS.get(base)
    if holder and first == holder[0]:
        return (*_path(tree, holder[1]), *path[1:])
    if first == "item_id":
        return (*_path(tree, _ITEM), "id", *path[1:])
    place = flow.place[:-1] if flow else holder[1] if holder else _ITEM if "output_index" in tree else ("event",)
    return (*_path(tree, place), *path)


def is_beginning(name: str, path: str) -> bool:
    """Whether the text at a path of the answer, in an event that begins an object, is the beginning of a text."""
    return name.endswith(".added") and _GROWING.fullmatch(path) is not None


def _maps(response: Map, item_map: Map, answer_text: MapLeaf) -> dict[str, MapFields]:
    """The maps of events by type. `answer_text`: the map of the text of the answer."""
    maps: dict[str, MapFields] = {name: dict(_WORDS) for name in EVENTS}
    holder: Holder = "json" if answer_text.how == "json" else "answer"
    for name in WHOLE:
        maps[name]["response"] = response
    for base, flow in FLOWS.items():
        how = answer_text if base == "response.output_text" else flow.how
        for last, field in (("delta", "delta"), ("done", flow.field), ("added", flow.field)):
            if f"{base}.{last}" in maps:
                maps[f"{base}.{last}"][field] = how
    for last in ("added", "done"):
        maps[f"response.output_item.{last}"]["item"] = item_map
        for base in PARTS:
            maps[f"{base}.{last}"] |= {"part": part("assistant", holder=holder), "status": STRUCTURE}
    for last in ("delta", "done"):
        maps[f"response.output_text.{last}"]["logprobs"] = TOKENS
    maps["response.output_text.annotation.added"]["annotation"] = annotation("assistant")
    maps["response.function_call_arguments.done"]["name"] = _ARGUMENT
    maps["response.shell_call_output_content.done"]["output"] = [STREAMS]
    maps["response.audio.delta"]["delta"] = opaque("pieces", "assistant")
    maps["response.image_generation_call.partial_image"] |= {
        "partial_image_b64": opaque("image", "tool_result"),
        **dict.fromkeys(("partial_image_index", "background", "output_format", "quality", "size"), STRUCTURE),
    }
    maps["error"] |= dict.fromkeys(("code", "message", "param", "status"), text("error"))
    maps["error"] |= {"error": ERROR, OTHERS: text("error"), KEYS: text("error")}
    return maps


TEXT_EVENTS = _maps(RESPONSE, answer_item, part_text("assistant"))
JSON_EVENTS = _maps(JSON_RESPONSE, json_item, MapLeaf("json", "assistant"))
