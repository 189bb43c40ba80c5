"""OpenAI Chat Completions: `POST /v1/chat/completions`, and the additions of vLLM, llama.cpp, Ollama and others.

Fields follow the public API and the types of openai-python. A stream is data-only events. The key of a choice's texts is its
index. A choice ends with `finish_reason`, the stream with `[DONE]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.events import Count, Event, Frame, Opaque, Text
from guardproxy.redaction import Shape, Shapes
from guardproxy.wire.authoring import Author
from guardproxy.wire.codec import AnswerFacts, Decoder
from guardproxy.wire.decoding import LeafPlace, StreamDecoder, counts, index_of, indexed, is_delta
from guardproxy.wire.formats.openai_chat import author, turns
from guardproxy.wire.formats.openai_chat.contract import CONTRACT
from guardproxy.wire.formats.openai_chat.echoes import trim, withhold
from guardproxy.wire.formats.openai_chat.places import JSON_RESPONSE, REQUEST, RESPONSE
from guardproxy.wire.formats.openai_chat.schemas import shape_of, shapes_of
from guardproxy.wire.framing import StreamEvent
from guardproxy.wire.framing.sse import frame
from guardproxy.wire.json import Map, TreeLeaf, dotted, is_word, listed, text, write
from guardproxy.wire.json_codec import Grammar, JsonCodec
from guardproxy.wire.requests import expect_list, expect_type
from guardproxy.wire.turns import Turns


def _counts_of(shapes: Shapes, tree: Any) -> tuple[Count, ...]:
    """Returns the offsets of annotations in the content."""
    return tuple(
        Count((*where, "start_index"), (*where, "end_index"), f"choices[{index_of(choice)}].message.content")
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
        return _counts_of(self.shapes, tree)

    def place(self, tree: Any, found: TreeLeaf) -> LeafPlace:
        path = indexed(tree, found.path)
        run = dotted(path[:2]) if path[0] == "choices" else str(path[0])
        named = tuple("message" if step == "delta" else step for step in path)
        return LeafPlace(found.leaf.kind, dotted(named), run, is_delta(path, ""))

    def special(self, event: StreamEvent) -> list[Event] | None:
        if event.data is None or event.data.strip() != b"[DONE]":
            return None
        return [*self.finish(), Opaque(Frame(_DONE, streamed=True, terminal=True))]

    def after(self, tree: Any) -> list[Event]:
        _notice(tree, self.seen)
        events: list[Event] = []
        for choice in _choices(tree):
            if choice.get("finish_reason"):
                self._finished.add(index_of(choice))
                self._unfinished.discard(index_of(choice))
                events += self.close_run(f"choices[{index_of(choice)}]")
            elif index_of(choice) not in self._finished:
                self._unfinished.add(index_of(choice))
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
            (self.shown.discard if choice.get("finish_reason") else self.shown.add)(index_of(choice))


class OpenAIChat(JsonCodec[ChatDecoder]):
    """The codec."""

    name = "openai_chat"
    provider = "openai"
    routes = ("POST /v1/chat/completions",)
    contract = CONTRACT
    turns: Turns = turns
    author: Author = author

    stream = ChatDecoder
    grammar = Grammar(
        request=REQUEST,
        answer=RESPONSE,
        json_answer=JSON_RESPONSE,
        error=text("error"),
        shapes_of=shapes_of,
        shape_of=shape_of,
        notice=_notice,
        withhold=withhold,
        counts_of=_counts_of,
    )

    def check(self, tree: dict[str, Any]) -> None:
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

    def edited_tree(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> Any:
        tree = super().edited_tree(frame, texts)
        if texts and texts[0][0].channel.direction == "response":
            _drop_echoes(tree, texts)
        return tree

    def without_end(self, frame: Frame, tree: Any) -> Any:
        for choice in _choices(tree):
            choice["finish_reason"] = None
        tree.pop("usage", None)
        return tree

    def error(self, status: int, code: str, message: str, field: str | None = None) -> bytes:
        kind = "invalid_request_error" if status < 500 else "server_error"
        return write({"error": {"message": message, "type": kind, "param": field, "code": code}})

    def error_event(self, code: str, message: str, decoder: Decoder | None = None) -> bytes:
        return frame(self.error(500, code, message)) + _DONE

    def ending(self, decoder: ChatDecoder, message: str) -> bytes:
        head = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": "", **decoder.head}
        ending: dict[str, Any] = {"delta": {}, "logprobs": None, "finish_reason": "content_filter"}
        choices = sorted(decoder.shown or {0})
        return b"".join(frame(write({**head, "choices": [{"index": index, **ending}]})) for index in choices) + _DONE


def _drop_echoes(tree: Any, texts: Sequence[tuple[Text, str]]) -> None:
    """Drops the fields of an edited answer that repeat the old text or its length: token probabilities, size padding."""
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


_OF_ANSWER = 4  # `choices[0].message.content`


def _speaks(choice: Any) -> bool:
    """Whether a choice holds data about its own tokens."""
    return isinstance(choice, dict) and bool(choice.get("token_ids") or choice.get("logprobs"))


CODEC = OpenAIChat()
