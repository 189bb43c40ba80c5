"""The calls of functions in an answer: their arguments as JSON text, for checks of a schema.

Arguments come as an object, or in a stream as values of JSON paths (`partialArgs`), whose strings continue in later frames.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from guardproxy.events import Path, RunCall
from guardproxy.wire.contract.calls import CallMap
from guardproxy.wire.formats.gemini_generate.field_case import camel, value
from guardproxy.wire.json import edited, objects

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d{1,4})\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")
_UNREADABLE = "?"  # not JSON, so no schema accepts it


def _written(call: Mapping[str, Any], *, streamed: bool) -> tuple[str, str] | None:
    """Returns the arguments of a call. Those of a stream are collected over its events (`Frame.calls`)."""
    has_arguments = isinstance(call.get("args"), dict) or bool(value(call, "partialArgs"))
    if not has_arguments and "name" not in call:  # a tool that Google runs
        return None
    collected = CollectedCall()
    collected.add(dict(call))
    return "args", collected.text()


_RUN = {"executableCode": "code_execution", "groundingMetadata": "google_search"}


def _runs(tree: Any) -> Iterator[RunCall]:
    """Yields the calls of tools that Google runs."""
    for key in ("candidates", "contents"):
        for at, turn in enumerate(objects(value(tree, key))):
            content, path = (turn.get("content"), (key, at, "content")) if key == "candidates" else (turn, (key, at))
            for name in turn:
                if camel(name) in _RUN:
                    yield RunCall((key, at, name), _RUN[camel(name)])
            parts = value(content, "parts")
            for number, part in enumerate(parts if isinstance(parts, list) else ()):
                for name in part if isinstance(part, dict) else ():
                    if camel(name) in _RUN:
                        yield RunCall((*path, "parts", number, name), _RUN[camel(name)])
                    elif camel(name) == "toolCall" and isinstance(kind := value(part[name], "toolType"), str):
                        yield RunCall((*path, "parts", number, name), kind.lower())


def _named(tree: Mapping[str, Any], *, streamed: bool) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yields the calls of functions. In a stream, a call that goes on or ends has neither a name nor `args`."""
    for at, turn in enumerate(objects(value(tree, "candidates"))):
        parts = value(turn.get("content"), "parts")
        for number, part in enumerate(parts if isinstance(parts, list) else ()):
            call = part.get(key) if (key := call_key(part)) else None
            if isinstance(call, dict) and not (streamed and "name" not in call and call.get("args") is None):
                yield ("candidates", at, "content", "parts", number, key), call


CALLS = CallMap(
    re.compile(
        r"(?P<call>.*?parts(?:\[\d+\])?\.(?:functionCall|function_call|toolCall|tool_call|executableCode|executable_code)"
        r"|candidates\[\d+\]\.(?:groundingMetadata|grounding_metadata))\.(?P<member>\w+)"
    ),
    _written,
    pieces=("partialArgs", "partial_args"),
    runs=_runs,
    named=_named,
)


def call_key(part: Any) -> str:
    """Returns the key of a part under which its call is; empty if the part calls no function."""
    keys = ("functionCall", "function_call") if isinstance(part, dict) else ()
    return next((key for key in keys if part.get(key) is not None), "")


@dataclass(slots=True)
class CollectedCall:
    """A call whose arguments arrive. `goes_on`: whether a later part continues it."""

    goes_on: bool = False
    _given: dict[str, Any] = field(default_factory=dict)
    _parts: dict[str, list[Any]] = field(default_factory=dict)  # JSON path -> its values so far

    def add(self, call: dict[str, Any]) -> None:
        """Takes the next part of the call."""
        self.goes_on = value(call, "willContinue") is True
        if isinstance(args := call.get("args"), dict):
            self._given |= args
        for partial in objects(value(call, "partialArgs")):
            path = value(partial, "jsonPath")
            names = ("stringValue", "numberValue", "boolValue")
            given = next((value(partial, name) for name in names if value(partial, name) is not None), None)
            self._parts.setdefault(path if isinstance(path, str) else "", []).append(given)

    def text(self) -> str:
        """Returns the arguments as JSON text."""
        tree = edited(self._given, ())  # a copy, as the values belong to the trees of frames
        for path, values in self._parts.items():
            is_text = all(isinstance(given, str) for given in values)
            if not _put(tree, path, "".join(values) if is_text else edited(values[-1], ())):
                return _UNREADABLE
        return json.dumps(tree, ensure_ascii=False)


def _put(tree: Any, path: str, given: Any) -> bool:
    """Puts a value at a JSON path such as `$.rooms[0].name`. Returns whether the path could be followed."""
    if not path.startswith("$"):
        return False
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        if (match := _STEP.match(path, at)) is None:
            return False
        steps.append(int(match[2]) if match[2] else next(name for name in match.group(1, 3, 4) if name is not None))
        at = match.end()
    if not steps:
        return False
    node = tree
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        empty: Any = given if following is None else [] if isinstance(following, int) else {}
        if isinstance(step, int):
            # A gap in a list could have any length, so none is filled.
            if not isinstance(node, list) or step > len(node):
                return False
            if step == len(node):
                node.append(empty)
        elif not isinstance(node, dict):
            return False
        else:
            node.setdefault(step, empty)
        if following is None:
            node[step] = given
        node = node[step]
    return True
