"""The answer that a client has received so far of a stream, for the end of a stream that a rule stops.

In: the events that were sent, in order. Out: the events that end the open texts, parts and items and the response; they repeat
the texts that the client received, not those of the model. The cost is linear in the events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from guardproxy.events import Path
from guardproxy.wire.formats.openai_responses.events import FLOWS, TERMINAL, WHOLE, flow_of, number, part_path
from guardproxy.wire.json import members

_IDS = ("item_id", "output_index", "content_index", "summary_index", "command_index", "name")
_OUTPUTS = "response.shell_call_output_content"
_FILTERED_RESPONSE: Mapping[str, Any] = {
    "id": "resp_filtered",
    "object": "response",
    "created_at": 0,
    "model": "",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}


@dataclass(slots=True)
class _Item:
    """An item of the output. `texts`: the pieces of the texts that grow, by their paths in the item; `open`: the types of the
    events of the texts and parts that have not ended, without the last word, and the numbers in those events."""

    value: dict[str, Any]
    is_open: bool = True
    texts: dict[Path, list[str]] = field(default_factory=dict)
    open: dict[Path, tuple[str, dict[str, Any]]] = field(default_factory=dict)

    def begin(self, path: Path, base: str, tree: Mapping[str, Any]) -> None:
        """Notes that a text or a part began."""
        self.open.setdefault(path, (base, {name: tree[name] for name in _IDS if name in tree}))

    def append(self, path: Path, piece: Any) -> None:
        """Appends a piece to a text."""
        if path not in self.texts:
            self.texts[path] = [text] if isinstance(text := self.at(path), str) else []
        if isinstance(piece, str):
            self.texts[path].append(piece)

    def at(self, path: Path) -> Any:
        """The value at a path; `None` if there is none."""
        node: Any = self.value
        for step in path:
            if not (isinstance(node, list) and isinstance(step, int) and 0 <= step < len(node)):
                node = node.get(step) if isinstance(node, dict) else None
            else:
                node = node[step]
        return node

    def put(self, path: Path, value: Any) -> None:
        """Puts a value at a place. A place that leaves a gap in a list is left out."""
        node: Any = self.value
        for step, following in pairwise(path):
            node = _child(node, step, [] if isinstance(following, int) else {})
        _child(node, path[-1], value, replaces=True)

    def end(self, path: Path, value: Any) -> None:
        """Notes the end of a text or a part."""
        self.put(path, value)
        self.open.pop(path, None)
        self.texts.pop(path, None)

    def settle(self) -> dict[str, Any]:
        """Puts all growing texts in their places. Returns the item."""
        for path, pieces in self.texts.items():
            self.put(path, "".join(pieces))
        self.texts.clear()
        return self.value


def _child(node: Any, step: str | int, value: Any, *, replaces: bool = False) -> Any:
    """Returns the child of an object or a list; adds `value` if there is none, or if it `replaces` the child."""
    if isinstance(node, dict) and isinstance(step, str):
        if replaces or not isinstance(node.get(step), type(value)):
            node[step] = value
        return node[step]
    if isinstance(node, list) and isinstance(step, int) and 0 <= step <= len(node):
        if step == len(node):
            node.append(value)
        elif replaces or not isinstance(node[step], type(value)):
            node[step] = value
        return node[step]
    return None


@dataclass(slots=True)
class ShownAnswer:
    """The part of an answer that the client has received. `sequence`: the number of the last event."""

    sequence: int = 0
    _head: dict[str, Any] = field(default_factory=dict)
    _items: dict[int, _Item] = field(default_factory=dict)

    def see(self, tree: Mapping[str, Any]) -> None:
        """Takes an event that was sent."""
        name = tree.get("type")
        if not isinstance(name, str):
            return
        self.sequence = max(self.sequence, number(tree, "sequence_number"))
        if name in WHOLE and name not in TERMINAL:
            self._head = members(tree.get("response"))
            output = self._head.get("output")
            for at, value in enumerate(output if isinstance(output, list) else []):
                self._items[at] = _Item(members(value), is_open=False)
        elif name in ("response.output_item.added", "response.output_item.done"):
            value = members(tree.get("item"))
            self._items[number(tree, "output_index")] = _Item(value, is_open=name.endswith("added"))
        elif item := self._items.get(number(tree, "output_index")):
            _grow(item, name, tree)

    def ending(self) -> Iterator[dict[str, Any]]:
        """The events that end the answer."""
        output = []
        for at, item in sorted(self._items.items()):
            if item.is_open:
                yield from map(self._numbered, _closing(item))
                done = {**item.settle(), "status": "incomplete"}
                output.append(done)
                yield self._numbered({"type": "response.output_item.done", "output_index": at, "item": done})
            else:
                output.append(item.settle())
        response = {
            **_FILTERED_RESPONSE,
            **self._head,
            "status": "incomplete",
            "error": None,
            "incomplete_details": {"reason": "content_filter"},
            "output": output,
        }
        yield self._numbered({"type": "response.incomplete", "response": response})

    def _numbered(self, event: dict[str, Any]) -> dict[str, Any]:
        self.sequence += 1
        return {**event, "sequence_number": self.sequence}


def _grow(item: _Item, name: str, tree: Mapping[str, Any]) -> None:
    """Takes an event inside of an item."""
    base, _, last = name.rpartition(".")
    if (part := part_path(tree, name)) is not None:
        path = part[2:]
        if last == "added":
            item.put(path, members(tree.get("part")))
            item.begin(path, base, tree)
        else:
            # The end of a part repeats its texts, so these end with it.
            for field_ in ("text", "refusal"):
                item.texts.pop((*path, field_), None)
                item.open.pop((*path, field_), None)
            item.end(path, members(tree.get("part")))
    elif base == "response.output_text.annotation":
        path = ("content", number(tree, "content_index"), "annotations", number(tree, "annotation_index"))
        item.put(path, tree.get("annotation"))
    elif (flow := flow_of(name)) and flow.place[0] == "output":
        path = flow.path(tree)[2:]
        if base == _OUTPUTS:
            for stream in ("stdout", "stderr"):
                item.append((*path, stream), members(tree.get("delta")).get(stream))
        elif last == "delta":
            item.begin(path, base, tree)
            item.append(path, tree.get("delta"))
        elif last == "added":
            item.begin(path, base, tree)
            item.put(path, tree.get(flow.field))
        else:
            item.end(path, tree.get(flow.field))


def _closing(item: _Item) -> Iterator[dict[str, Any]]:
    """The events that end the open texts and parts of an item: each text before its part."""
    item.settle()
    for path, (base, ids) in sorted(item.open.items(), key=lambda entry: (entry[0][:2], -len(entry[0]))):
        field_ = FLOWS[base].field if base in FLOWS else "part"
        event = {"type": f"{base}.done", **ids, field_: item.at(path)}
        yield {**event, "logprobs": []} if base == "response.output_text" else event
