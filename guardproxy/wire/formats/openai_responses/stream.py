"""The decoder of a stream of OpenAI Responses.

A text belongs to an item, or to a part of an item. It comes in deltas and is repeated by the events that end the text, its
part, its item and the response. A repeated text gets the same edits as the deltas. A repeated text that differs from the deltas
is a text of its own.

Decision: docs/decisions/0033-a-repeated-text-gets-the-edits-of-its-deltas.md
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from guardproxy.errors import ErrorCode
from guardproxy.events import Count, End, Event, Frame, Path
from guardproxy.findings import Channel, Kind
from guardproxy.redaction import Shape
from guardproxy.wire.contract.codec import AnswerFacts
from guardproxy.wire.decoding.decoding import LeafPlace, StreamDecoder, counts, is_delta
from guardproxy.wire.decoding.frame_cache import Filler
from guardproxy.wire.formats.openai_responses.citations import counts_of
from guardproxy.wire.formats.openai_responses.events import (
    JSON_EVENTS,
    NUMBERS_AND_NAMES,
    TERMINAL,
    TEXT_EVENTS,
    WHOLE,
    flow_of,
    is_beginning,
    number,
    part_path,
    path_of,
)
from guardproxy.wire.formats.openai_responses.field_map import is_json
from guardproxy.wire.formats.openai_responses.schemas import shape_of_call
from guardproxy.wire.formats.openai_responses.shown import ShownAnswer
from guardproxy.wire.formats.openai_responses.words import EVENTS, WORDS
from guardproxy.wire.framing import StreamEvent
from guardproxy.wire.json import STRUCTURE, Map, TreeLeaf, dotted, is_word, members, reach

_OF_PART: tuple[tuple[Kind, str], ...] = (("assistant", "text"), ("reasoning", "text"), ("refusal", "refusal"))


def type_of(tree: Any) -> str:
    """The type of an event; empty if it has none."""
    return tree["type"] if isinstance(tree.get("type"), str) else ""


def notice(response: Any, seen: AnswerFacts) -> None:
    """Reads usage, model and the reason of the end from a response."""
    if isinstance(response.get("usage"), dict):
        seen.usage = counts(response["usage"], WORDS)
    if isinstance(response.get("model"), str):
        seen.model = response["model"]
    reason = members(response.get("incomplete_details")).get("reason") or response.get("status")
    if isinstance(reason, str) and reason not in ("in_progress", "queued"):
        seen.finish.append(reason)


def notice_stored(tree: Any, seen: AnswerFacts) -> None:
    """Reads the facts of a stored answer, without its usage: that was counted when the model answered."""
    notice(tree, seen)
    seen.usage = {}


@dataclass(slots=True)
class ResponsesDecoder(StreamDecoder):
    """A stream of events of a response."""

    repeats: ClassVar[bool] = True
    remembers: ClassVar[bool] = True
    fillers: ClassVar[Mapping[Path, Filler]] = {("sequence_number",): "count", ("obfuscation",): "padding"}
    shown: ShownAnswer = field(default_factory=ShownAnswer)
    _calls: dict[int, Any] = field(default_factory=dict)  # the numbers of items -> the items as they began
    _ended: set[Path] = field(default_factory=set)  # the texts, parts and items that have ended

    def how(self, tree: Any) -> Map:
        events = JSON_EVENTS if self.shapes.answer else TEXT_EVENTS
        return events.get(type_of(tree), {"type": STRUCTURE})

    def shape_of(self, tree: Any, leaf: TreeLeaf, place: LeafPlace) -> Shape | None:
        if leaf.key or leaf.number:
            return None
        *before, last = leaf.path
        if before == ["item"]:
            self._calls[number(tree, "output_index")] = tree["item"]
            return shape_of_call(self.shapes, tree["item"], last)
        if before[:2] == ["response", "output"] and len(before) == 3:
            return shape_of_call(self.shapes, reach(tree, tuple(before)), last)
        if place.kind == "tool_arguments" and not before:
            called = self._calls.get(number(tree, "output_index"))
            return shape_of_call(self.shapes, called, "name" if last == "name" else "arguments")
        return self.shapes.answer if leaf.leaf.how == "json" and place.kind == "assistant" else None

    def name_of(self, tree: Any, event: str | None) -> str | None:
        # Any other value is text, and may be edited.
        return type_of(tree) if type_of(tree) and is_word(type_of(tree)) else None

    def ends(self, tree: Any) -> bool:
        return type_of(tree) in TERMINAL

    def counts_of(self, tree: Any) -> tuple[Count, ...]:
        return counts_of(self.shapes, tree)

    def place(self, tree: Any, leaf: TreeLeaf) -> LeafPlace:
        kind, name = leaf.leaf.kind, type_of(tree)
        path = path_of(tree, name if name in EVENTS else "", leaf.path)
        run = dotted(path[:2]) if path[0] == "output" and len(path) > 2 else str(path[0])
        at = dotted(path)
        has_begun = is_beginning(name, at) and path[:2] not in self._ended
        flows = name.endswith(".delta") and leaf.path[0] == "delta" and flow_of(name) is not None
        is_new = kind == "unmapped" and leaf.path[0] not in NUMBERS_AND_NAMES and is_delta(leaf.path, name)
        return LeafPlace(kind, at, run, flows or has_begun or is_new)

    def _begin(self, channel: Channel, run: str, *, soft: bool) -> None:
        # Every text but that of an unknown field has an event that ends it.
        StreamDecoder._begin(self, channel, run, soft=soft and channel.kind == "unmapped")

    def special(self, event: StreamEvent) -> list[Event] | None:
        if event.data is None or event.data.strip() != b"[DONE]":
            return None
        return []  # SDKs take it for the end of the stream, which only the last event is

    def _texts(self, tree: Any, whole: Frame, leaves: Iterable[TreeLeaf]) -> list[Event]:
        flow = flow_of(type_of(tree)) if type_of(tree).endswith(".delta") else None
        if flow is not None:
            path = flow.path(tree)
            if not self._ended.isdisjoint((path[:2], path[:4], path)):
                message = "an event of the stream continues a text that has ended"
                return self.fault(ErrorCode.UPSTREAM_INVALID_JSON, message)
        return StreamDecoder._texts(self, tree, whole, leaves)

    def after(self, tree: Any) -> list[Event]:
        name = type_of(tree)
        # `_texts` has found a fault.
        if self._over:
            return []
        if name in WHOLE:
            notice(members(tree.get("response")), self.seen)
        if name in TERMINAL:
            return self.finish()
        return self._closed(tree, name) if name.endswith(".done") else []

    def _closed(self, tree: Any, name: str) -> list[Event]:
        """Ends the texts that an event ends, if it does not repeat them."""
        if name == "response.output_item.done":
            path: Path = ("output", number(tree, "output_index"))
            self._ended.add(path)
            return self.close_run(dotted(path))
        if (part := part_path(tree, name)) is not None:
            self._ended.add(part)
            return [end for kind, field_ in _OF_PART for end in self._close_text(kind, (*part, field_))]
        if (flow := flow_of(name)) is None:
            return []
        path = flow.path(tree)
        if path[0] == "output":
            self._ended.add(path)
        texts = ((*path, "stdout"), (*path, "stderr")) if flow.field == "output" else (path,)
        return [end for text in texts for end in self._close_text(flow.how.kind, text)]

    def _close_text(self, kind: Kind, path: Path) -> list[Event]:
        channel = Channel("response", kind, dotted(path))
        if channel not in self._open:
            return []
        self._close(channel)
        return [End(channel)]

    def sent(self, frame: Frame) -> None:
        if self.reads and frame.streamed and frame.tree is not None:
            # The bytes hold the edits that the tree lacks. A frame has one line of data.
            self.shown.see(json.loads(frame.data.partition(b"data: ")[2]))


@dataclass(slots=True)
class StoredDecoder(ResponsesDecoder):
    """The stream of a stored response, from its first event, which says whether the text is JSON."""

    _is_json: bool = False

    def how(self, tree: Any) -> Map:
        if type_of(tree) in WHOLE:
            self._is_json = is_json(tree.get("response"))
        return (JSON_EVENTS if self._is_json else TEXT_EVENTS).get(type_of(tree), {"type": STRUCTURE})

    def after(self, tree: Any) -> list[Event]:
        events = ResponsesDecoder.after(self, tree)
        self.seen.usage = {}
        return events
