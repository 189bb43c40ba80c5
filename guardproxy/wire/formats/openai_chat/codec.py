"""OpenAI Chat Completions: `POST /v1/chat/completions`, and the additions of vLLM, llama.cpp, Ollama and others.

Fields follow the public API and the types of openai-python. A stream is data-only events. The key of a choice's texts is its
index. A choice ends with `finish_reason`, the stream with `[DONE]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.events import Count, Frame, Path, Text
from guardproxy.findings import Kind
from guardproxy.redaction import Shape, Shapes
from guardproxy.wire.contract.turns import Turns
from guardproxy.wire.contract.writing import Author
from guardproxy.wire.decoding.decoding import LeafPlace, index_of, indexed, is_delta
from guardproxy.wire.decoding.json_codec import Grammar
from guardproxy.wire.families import openai
from guardproxy.wire.families.openai import ChoicesCodec, ChoicesDecoder
from guardproxy.wire.formats.openai_chat import turns
from guardproxy.wire.formats.openai_chat.contract import CONTRACT
from guardproxy.wire.formats.openai_chat.derived_fields import trim, withhold
from guardproxy.wire.formats.openai_chat.field_map import JSON_RESPONSE, REQUEST, RESPONSE
from guardproxy.wire.formats.openai_chat.schemas import shape_of, shapes_of
from guardproxy.wire.formats.openai_chat.writer import author
from guardproxy.wire.json import Map, TreeLeaf, dotted, listed, objects, text
from guardproxy.wire.request.azure import hosted_routes
from guardproxy.wire.request.requests import expect_list, expect_type


def _counts_of(shapes: Shapes, tree: Any) -> tuple[Count, ...]:
    """Returns the offsets of annotations in the content."""
    counts: list[Count] = []
    for number, choice in enumerate(objects(tree.get("choices"))):
        for name in ("message", "delta"):
            answer = choice.get(name)
            if type(answer) is not dict or "annotations" not in answer:
                continue
            for at, note in enumerate(listed(answer, "annotations")):
                if isinstance(note, dict) and isinstance(note.get("url_citation"), dict):
                    where = "choices", number, name, "annotations", at, "url_citation"
                    path = f"choices[{index_of(choice)}].message.content"
                    counts.append(Count((*where, "start_index"), (*where, "end_index"), path))
    return tuple(counts)


@dataclass(slots=True)
class ChatDecoder(ChoicesDecoder):
    """A stream of chat chunks."""

    _calls: dict[str, str] = field(default_factory=dict)  # places of tool calls -> the tools' names
    _last: tuple[tuple[Path, Kind, int], LeafPlace] | None = (
        None  # the last place in a choice, by all that it depends on
    )

    def how(self, tree: Any) -> Map:
        return JSON_RESPONSE if self.shapes.answer else RESPONSE

    def shape_of(self, tree: Any, leaf: TreeLeaf, place: LeafPlace) -> Shape | None:
        if place.kind == "tool_arguments":
            call, _, last = place.path.rpartition(".")
            if last == "name":
                # Later frames bring the arguments without the name.
                self._calls[call] = leaf.text
            elif last == "arguments" and call in self._calls:  # its name came in an earlier frame
                return self.shapes.tool(self._calls[call])
        return shape_of(self.shapes, tree, leaf)

    def counts_of(self, tree: Any) -> tuple[Count, ...]:
        return _counts_of(self.shapes, tree)

    def place(self, tree: Any, leaf: TreeLeaf) -> LeafPlace:
        path = leaf.path
        choice = tree["choices"][path[1]] if path[0] == "choices" and len(path) == _OF_ANSWER else None
        index = choice.get("index") if isinstance(choice, dict) and isinstance(path[1], int) else None
        if type(index) is not int:
            return self._place(tree, leaf)
        key = path, leaf.leaf.kind, index
        # Nearly every frame of a stream has the same place.
        if self._last is None or self._last[0] != key:
            self._last = key, self._place(tree, leaf)
        return self._last[1]

    def _place(self, tree: Any, leaf: TreeLeaf) -> LeafPlace:
        if len(leaf.path) == 1:  # a step of the hot path
            return LeafPlace(leaf.leaf.kind, str(leaf.path[0]), str(leaf.path[0]), flows=False)
        path = indexed(tree, leaf.path)
        run = dotted(path[:2]) if path[0] == "choices" else str(path[0])
        named = tuple("message" if step == "delta" else step for step in path)
        return LeafPlace(leaf.leaf.kind, dotted(named), run, is_delta(path, ""))


class OpenAIChat(ChoicesCodec[ChatDecoder]):
    """The codec."""

    name = "openai_chat"
    routes: tuple[str, ...] = ("POST /v1/chat/completions", *hosted_routes("chat/completions"))
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
        notice=openai.notice,
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

    def ending(self, decoder: ChatDecoder, message: str) -> bytes:
        return decoder.ending("chat.completion.chunk", {"delta": {}, "logprobs": None})


def _drop_echoes(tree: Any, texts: Sequence[tuple[Text, str]]) -> None:
    """Drops the fields of an edited answer that repeat the old text or its length: token probabilities, size padding."""
    for name in openai.PADDINGS:
        tree.pop(name, None)
    for number, choice in enumerate(tree["choices"] if isinstance(tree.get("choices"), list) else []):
        mine = [(old, new) for old, new in texts if old.path[:2] == ("choices", number)] if _speaks(choice) else []
        if not any(old.altered or old.text != new for old, new in mine):
            continue
        choice.pop("token_ids", None)
        # The text that the entries say is no longer known here, so none of them can be proven.
        if any(old.altered for old, _ in mine):
            choice["logprobs"] = None
        elif choice.get("logprobs"):
            trim(choice, {str(old.path[-1]): (old.text, new) for old, new in mine if len(old.path) == _OF_ANSWER})


_OF_ANSWER = 4  # `choices[0].message.content`


def _speaks(choice: Any) -> bool:
    """Whether a choice holds data about its own tokens."""
    return isinstance(choice, dict) and bool(choice.get("token_ids") or choice.get("logprobs"))


CODEC = OpenAIChat()
