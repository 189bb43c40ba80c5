"""Anthropic Messages: `POST /v1/messages`.

Fields follow the public API and the types of anthropic-sdk-python. A stream is named events. The SDK reads the name, so name
and `type` are written from one value. A text belongs to a content block and ends with `content_block_stop`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar

from guardproxy.errors import ErrorCode
from guardproxy.events import Count, Event, Frame
from guardproxy.redaction import Shape
from guardproxy.wire.contract.codec import AnswerFacts, Decoder
from guardproxy.wire.contract.turns import Turns
from guardproxy.wire.contract.writing import Author
from guardproxy.wire.decoding.decoding import LeafPlace, StreamDecoder, counts, index_of, indexed, is_delta, nothing
from guardproxy.wire.decoding.json_codec import Grammar, JsonCodec
from guardproxy.wire.formats.anthropic_messages import turns
from guardproxy.wire.formats.anthropic_messages.citations import cited
from guardproxy.wire.formats.anthropic_messages.contract import CONTRACT, COUNTS, CREATES
from guardproxy.wire.formats.anthropic_messages.field_map import (
    ERROR,
    JSON_EVENTS,
    JSON_RESPONSE,
    REQUEST,
    RESPONSE,
    TEXT_EVENTS,
)
from guardproxy.wire.formats.anthropic_messages.schemas import shape_of, shape_of_block, shapes_of
from guardproxy.wire.formats.anthropic_messages.writer import ERROR_TYPES, author
from guardproxy.wire.framing.sse import frame
from guardproxy.wire.json import STRUCTURE, Map, TreeLeaf, dotted, is_word, write
from guardproxy.wire.request.requests import expect_list, expect_type

_FLOWING = {"content": "content", "text": "text", "thinking": "thinking", "partial_json": "input"}


def _notice(tree: Any, seen: AnswerFacts) -> None:
    if isinstance(tree.get("usage"), dict):
        seen.usage = {**seen.usage, **counts(tree["usage"], CONTRACT.words)}
    if isinstance(tree.get("model"), str):
        seen.model = tree["model"]
    if isinstance(tree.get("stop_reason"), str):
        seen.finish.append(tree["stop_reason"])


def _type(tree: Any) -> str:
    return tree["type"] if isinstance(tree.get("type"), str) else ""


@dataclass(slots=True)
class MessagesDecoder(StreamDecoder):
    """A stream of message events."""

    remembers: ClassVar[bool] = True
    shown: Counter[int] = field(default_factory=Counter)  # blocks whose start the client received, but not their end
    called: dict[int, Any] = field(default_factory=dict)  # blocks that call a tool -> its name
    shown_usage: dict[str, Any] = field(default_factory=dict)  # not `seen`: its progress depends on chunks

    def how(self, tree: Any) -> Map:
        events = JSON_EVENTS if self.shapes.answer else TEXT_EVENTS
        return events.get(_type(tree), {"type": STRUCTURE})

    def shape_of(self, tree: Any, leaf: TreeLeaf, place: LeafPlace) -> Shape | None:
        if place.kind == "tool_arguments" and leaf.path[0] == "content_block":
            self.called[index_of(tree)] = tree["content_block"].get("name")
            return shape_of_block(self.shapes, tree["content_block"], leaf.path[1:])
        if leaf.path == ("delta", "partial_json"):
            return self.shapes.tool(self.called.get(index_of(tree)))
        return self.shapes.answer if leaf.leaf.how == "json" else None

    def name_of(self, tree: Any, event: str | None) -> str | None:
        # Any other value is text, and may be edited.
        return _type(tree) if _type(tree) and is_word(_type(tree)) else None

    def ends(self, tree: Any) -> bool:
        return _type(tree) in ("message_stop", "error")

    def counts_of(self, tree: Any) -> tuple[Count, ...]:
        return cited(self.shapes, tree)

    def place(self, tree: Any, leaf: TreeLeaf) -> LeafPlace:
        kind, name = leaf.leaf.kind, _type(tree)
        path = indexed(tree, leaf.path)
        if name in ("content_block_start", "content_block_delta"):
            # The path that the text has in a plain answer, so that both name it alike.
            block = f"content[{index_of(tree)}]"
            if len(path) == 2 and path[1] in _FLOWING:
                return LeafPlace(kind, f"{block}.{_FLOWING[str(path[1])]}", block, flows=True)
            flows = name == "content_block_delta" and kind == "unmapped" and is_delta(path, name)
            return LeafPlace(kind, f"{block}.{dotted(path[1:] or path)}", block, flows)
        if name in ("message_start", "message_delta"):
            return LeafPlace(kind, dotted(path[1:] or path), name, flows=False)
        return LeafPlace(kind, f"{name}.{dotted(path)}", name, is_delta(path, name))

    def after(self, tree: Any) -> list[Event]:
        match _type(tree):
            case "message_start":
                _notice(tree["message"] if isinstance(tree.get("message"), dict) else {}, self.seen)
            case "message_delta":
                _notice(tree, self.seen)
                _notice(tree["delta"] if isinstance(tree.get("delta"), dict) else {}, self.seen)
            case "content_block_stop":
                return self.close_run(f"content[{index_of(tree)}]")
            case "message_stop" | "error":
                return self.finish()
        return []

    def sent(self, frame: Frame) -> None:
        if frame.event == "message_start" and isinstance(frame.tree.get("message"), dict):
            usage = frame.tree["message"].get("usage")
            self.shown_usage = counts(usage, CONTRACT.words) if isinstance(usage, dict) else {}
        elif frame.event == "content_block_start":
            self.shown[index_of(frame.tree)] += 1
        elif frame.event == "content_block_stop" and self.shown[index_of(frame.tree)]:
            self.shown[index_of(frame.tree)] -= 1


class AnthropicMessages(JsonCodec[MessagesDecoder]):
    """The codec."""

    name = "anthropic_messages"
    provider = "anthropic"
    routes: tuple[str, ...] = (*CREATES, *COUNTS)  # a count must see the text that will be sent
    contract = CONTRACT
    turns: Turns = turns
    author: Author = author

    stream = MessagesDecoder
    grammar = Grammar(
        request=REQUEST,
        answer=RESPONSE,
        json_answer=JSON_RESPONSE,
        error=ERROR,
        shapes_of=shapes_of,
        shape_of=shape_of,
        notice=_notice,
        withhold=nothing,
        counts_of=cited,
    )

    def check(self, tree: dict[str, Any]) -> None:
        expect_type(tree, "model", str)
        expect_type(tree, "stream", bool)
        expect_type(tree, "max_tokens", int)
        expect_type(tree, "system", (str, list))
        expect_list(tree, "messages", required=True)
        expect_list(tree, "tools")
        for number, message in enumerate(tree["messages"]):
            expect_type(message, "role", str, f"messages[{number}]", required=True)
            expect_type(message, "content", (str, list), f"messages[{number}]", required=True)

    def without_end(self, frame: Frame, tree: Any) -> Any:
        return None if frame.event in ("message_delta", "message_stop") else tree

    def error(self, status: int, code: str, message: str, field: str | None = None) -> bytes:
        kind = ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
        # Anthropic's own word for it is that of its status 529.
        if code == ErrorCode.NO_CAPACITY and status >= 500:
            kind = ERROR_TYPES[529]
        detail = {"type": kind, "message": f"{message} ({code})"}
        return write({"type": "error", "error": detail})

    def error_event(self, code: str, message: str, decoder: Decoder | None = None) -> bytes:
        return frame(self.error(500, code, message), "error")

    def ending(self, decoder: MessagesDecoder, message: str) -> bytes:
        stops = [
            frame(write({"type": "content_block_stop", "index": index}), "content_block_stop")
            # A block that the client saw begin must end before the message does.
            for index in sorted(decoder.shown.elements())
        ]
        details = {"type": "refusal", "category": None, "explanation": message}
        delta = {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details}
        usage = {"output_tokens": 0, **decoder.shown_usage}
        ending = {"type": "message_delta", "delta": delta, "usage": usage}
        last = frame(write({"type": "message_stop"}), "message_stop")
        return b"".join(stops) + frame(write(ending), "message_delta") + last

    def keep_alive(self) -> bytes:
        return frame(write({"type": "ping"}), "ping")

    def opening(self, model: str) -> bytes:
        message: dict[str, Any] = {
            "id": "msg_filtered",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
        return frame(write({"type": "message_start", "message": message}), "message_start")


CODEC = AnthropicMessages()
