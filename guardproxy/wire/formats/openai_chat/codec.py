"""OpenAI Chat Completions: `POST /v1/chat/completions`, and the additions of vLLM, llama.cpp, Ollama and others.

Fields follow the public API and the types of openai-python. A stream is data-only events. The key of a choice's texts is its
index. A choice ends with `finish_reason`, the stream with `[DONE]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.events import Count, Event, Frame, Opaque, Text
from guardproxy.redaction import NO_SHAPES, Shape, Shapes
from guardproxy.wire.authoring import Author
from guardproxy.wire.codec import AnswerFacts, Decoder, Request
from guardproxy.wire.decoding import (
    LeafPlace,
    StreamDecoder,
    WholeDecoder,
    counts,
    edited_frame,
    events_of,
    indexed,
    is_delta,
    leaf_of,
    nothing,
)
from guardproxy.wire.formats.openai_chat import author, turns
from guardproxy.wire.formats.openai_chat.contract import CONTRACT
from guardproxy.wire.formats.openai_chat.echoes import trim, withhold
from guardproxy.wire.formats.openai_chat.places import JSON_RESPONSE, REQUEST, RESPONSE
from guardproxy.wire.formats.openai_chat.schemas import shape_of, shapes_of
from guardproxy.wire.framing import StreamEvent
from guardproxy.wire.framing.sse import KEEP_ALIVE, comment, frame
from guardproxy.wire.json import Map, TreeLeaf, dotted, edited, is_word, listed, text, walk, write
from guardproxy.wire.requests import expect_list, expect_type, read_body
from guardproxy.wire.turns import Turns


def _counts_of(tree: Any) -> tuple[Count, ...]:
    """Returns the offsets of annotations in the content."""
    return tuple(
        Count((*where, "start_index"), (*where, "end_index"), f"choices[{_index(choice)}].message.content")
        for number, choice in enumerate(_choices(tree))
        for name in ("message", "delta")
        if isinstance(answer := choice.get(name), dict) and "annotations" in answer
        for at, note in enumerate(listed(answer, "annotations"))
        if isinstance(note, dict) and isinstance(note.get("url_citation"), dict)
        for where in [("choices", number, name, "annotations", at, "url_citation")]
    )


def _notice(tree: Any, seen: AnswerFacts) -> None:
    if isinstance(tree.get("usage"), dict):
        seen.usage = counts(tree["usage"], CONTRACT.words)
    if isinstance(tree.get("model"), str):
        seen.model = tree["model"]
    for choice in _choices(tree):
        if isinstance(choice.get("finish_reason"), str):
            seen.finish.append(choice["finish_reason"])


def _choices(tree: Any) -> list[dict[str, Any]]:
    choices = tree.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def _index(choice: dict[str, Any]) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def _is_plain(value: Any) -> bool:
    """Whether our own ending may repeat a value of a chunk's head. A value that is not a word was text and may have been
    edited."""
    return is_word(value) if isinstance(value, str) else isinstance(value, int)


(_DONE,) = CONTRACT.terminal


@dataclass(slots=True)
class ChatDecoder(StreamDecoder):
    """A stream of chat chunks."""

    head: dict[str, Any] = field(default_factory=dict)
    shown: set[int] = field(default_factory=set)  # choices whose start the client received, but not their end
    _unfinished: set[int] = field(default_factory=set)  # choices that began and are not in `_finished`
    _finished: set[int] = field(default_factory=set)
    _calls: dict[str, str] = field(default_factory=dict)  # places of tool calls -> the tools' names

    def how(self, tree: Any) -> Map:
        return JSON_RESPONSE if self.shapes.answer else RESPONSE

    def shape_of(self, tree: Any, found: TreeLeaf, place: LeafPlace) -> Shape | None:
        if place.kind == "tool_arguments":
            call, _, last = place.path.rpartition(".")
            if last == "name":
                self._calls[call] = found.text
            elif last == "arguments" and call in self._calls:  # its name came in an earlier frame
                return self.shapes.tool(self._calls[call])
        return shape_of(self.shapes, tree, found)

    def counts_of(self, tree: Any) -> tuple[Count, ...]:
        return _counts_of(tree)

    def place(self, tree: Any, found: TreeLeaf) -> LeafPlace:
        path = indexed(tree, found.path)
        run = dotted(path[:2]) if path[0] == "choices" else str(path[0])
        named = tuple("message" if step == "delta" else step for step in path)
        return LeafPlace(found.leaf.kind, dotted(named), run, is_delta(path, ""))

    def special(self, event: StreamEvent) -> list[Event] | None:
        if event.data is None or event.data.strip() != b"[DONE]":
            return None
        self.complete = True
        self.over()
        return [*self.close_all(), Opaque(Frame(_DONE, streamed=True, terminal=True))]

    def after(self, tree: Any) -> list[Event]:
        _notice(tree, self.seen)
        events: list[Event] = []
        for choice in _choices(tree):
            if choice.get("finish_reason"):
                self._finished.add(_index(choice))
                self._unfinished.discard(_index(choice))
                events += self.close_run(f"choices[{_index(choice)}]")
            elif _index(choice) not in self._finished:
                self._unfinished.add(_index(choice))
            self.complete = not self._unfinished
        if tree.get("error"):
            self.complete = True
            events += self.close_all()
        return events

    def sent(self, frame: Frame) -> None:
        tree = frame.tree if isinstance(frame.tree, dict) else {}
        if not self.head and tree.get("id"):  # taken from a sent frame, so its words were scanned
            self.head = {key: tree[key] for key in ("id", "object", "created", "model") if _is_plain(tree.get(key))}
        for choice in _choices(tree):
            (self.shown.discard if choice.get("finish_reason") else self.shown.add)(_index(choice))


class OpenAIChat:
    """The codec."""

    name = "openai_chat"
    provider = "openai"
    routes = ("POST /v1/chat/completions",)
    contract = CONTRACT
    turns: Turns = turns
    author: Author = author

    def read_request(self, path: str, query: str, body: bytes) -> Request:
        tree = read_body(body)
        expect_type(tree, "model", str)
        expect_type(tree, "stream", bool)
        expect_list(tree, "messages", required=True)
        expect_list(tree, "tools")
        expect_type(tree, "n", int)
        if not 1 <= (tree.get("n") or 1) <= 128:
            raise DownstreamError(ErrorCode.INVALID_VALUE, "`n` must be 1 to 128", "n")
        for number, message in enumerate(tree["messages"]):
            expect_type(message, "role", str, f"messages[{number}]", required=True)
            expect_type(message, "content", (str, list), f"messages[{number}]")
        whole, shapes = Frame(body, tree), shapes_of(tree)
        return Request(
            tree.get("model") or "",
            bool(tree.get("stream")),
            whole,
            lambda: events_of(walk(tree, REQUEST, words=CONTRACT.words), whole, "request", partial(shape_of, shapes)),
            shapes,
        )

    def decoder(
        self,
        *,
        streamed: bool,
        failed: bool,
        limit_bytes: int,
        read: bool = True,
        guarded: bool = False,
        shapes: Shapes = NO_SHAPES,
    ) -> Decoder:
        without = withhold if guarded else nothing
        if streamed:
            return ChatDecoder(limit_bytes, read, shapes, without, CONTRACT.words)
        how = text("error") if failed else JSON_RESPONSE if shapes.answer else RESPONSE
        return WholeDecoder(
            how, _notice, limit_bytes, partial(shape_of, shapes), read, without, _counts_of, CONTRACT.words
        )

    def edited(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        return edited_frame(frame, _without_echoes(frame, texts))

    def cut(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        tree = _without_echoes(frame, texts)
        for choice in _choices(tree):
            choice["finish_reason"] = None
        tree.pop("usage", None)
        return edited_frame(frame, tree)

    def error(self, status: int, code: str, message: str, field: str | None = None) -> bytes:
        kind = "invalid_request_error" if status < 500 else "server_error"
        return write({"error": {"message": message, "type": kind, "param": field, "code": code}})

    def error_event(self, code: str, message: str) -> bytes:
        return frame(self.error(500, code, message)) + _DONE

    def filtered(self, decoder: Decoder, message: str) -> bytes:
        head = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": ""}
        open_choices: set[int] = {0}
        if isinstance(decoder, ChatDecoder):
            head |= decoder.head
            open_choices = decoder.shown or open_choices
        ending: dict[str, Any] = {"delta": {}, "logprobs": None, "finish_reason": "content_filter"}
        chunks = [frame(write({**head, "choices": [{"index": index, **ending}]})) for index in sorted(open_choices)]
        return b"".join(chunks) + _DONE

    def keep_alive(self) -> bytes:
        return KEEP_ALIVE

    def opening(self, model: str) -> bytes:
        return b""

    def comment(self, text: str) -> bytes:
        return comment(text)


def _without_echoes(frame: Frame, texts: Sequence[tuple[Text, str]]) -> Any:
    """Returns the edited tree without fields that repeat the old text or its length: token probabilities, size padding."""
    tree = edited(frame.tree, [(leaf_of(old), new) for old, new in texts])
    if not texts or texts[0][0].channel.direction != "response":
        return tree
    tree.pop("obfuscation", None)
    for number, choice in enumerate(tree["choices"] if isinstance(tree.get("choices"), list) else []):
        mine = [(old, new) for old, new in texts if old.path[:2] == ("choices", number)] if _speaks(choice) else []
        if not any(old.altered or old.text != new for old, new in mine):
            continue
        choice.pop("token_ids", None)
        if any(old.altered for old, _ in mine):
            choice["logprobs"] = None
        elif choice.get("logprobs"):
            trim(choice, {str(old.path[-1]): (old.text, new) for old, new in mine if len(old.path) == _OF_ANSWER})
    return tree


_OF_ANSWER = 4  # `choices[0].message.content`


def _speaks(choice: Any) -> bool:
    """Whether a choice holds data about its own tokens."""
    return isinstance(choice, dict) and bool(choice.get("token_ids") or choice.get("logprobs"))


CODEC = OpenAIChat()
