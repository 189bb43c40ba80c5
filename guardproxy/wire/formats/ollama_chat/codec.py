"""Ollama Chat: `POST /api/chat`.

Fields follow the server's own types. Answers and lines of streams have one shape: `message`. Decisions of checks about the
arguments of a call are made on the whole call, as calls come whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from guardproxy.events import Path
from guardproxy.redaction import Shape
from guardproxy.wire.contract.turns import Turns
from guardproxy.wire.contract.writing import Author
from guardproxy.wire.decoding.decoding import LeafPlace
from guardproxy.wire.decoding.json_codec import Grammar, no_counts
from guardproxy.wire.families import ollama
from guardproxy.wire.families.ollama import LineDecoder, LinesCodec
from guardproxy.wire.formats.ollama_chat import turns
from guardproxy.wire.formats.ollama_chat.contract import CONTRACT
from guardproxy.wire.formats.ollama_chat.field_map import JSON_RESPONSE, REQUEST, RESPONSE
from guardproxy.wire.formats.ollama_chat.schemas import shape_of, shapes_of
from guardproxy.wire.formats.ollama_chat.writer import author
from guardproxy.wire.json import Map, TreeLeaf, members, text
from guardproxy.wire.request.requests import expect_list, expect_type


def _withhold(tree: Any) -> list[str]:
    message = members(tree.get("message"))
    return ollama.withhold_from(tree, [message.get("content"), message.get("thinking")])


class OllamaChatDecoder(LineDecoder):
    """A stream of messages."""

    message: ClassVar[Path] = ("message",)

    def how(self, tree: Any) -> Map:
        return JSON_RESPONSE if self.shapes.answer else RESPONSE

    def shape_of(self, tree: Any, leaf: TreeLeaf, place: LeafPlace) -> Shape | None:
        return shape_of(self.shapes, tree, leaf)


class OllamaChat(LinesCodec[OllamaChatDecoder]):
    """The codec."""

    name = "ollama_chat"
    routes = (author.ROUTE,)
    contract = CONTRACT
    turns: Turns = turns
    author: Author = author
    blank: ClassVar[Mapping[str, Any]] = {"message": {"role": "assistant", "content": ""}}

    stream = OllamaChatDecoder
    grammar = Grammar(
        request=REQUEST,
        answer=RESPONSE,
        json_answer=JSON_RESPONSE,
        error=text("error"),
        shapes_of=shapes_of,
        shape_of=shape_of,
        notice=ollama.notice,
        withhold=_withhold,
        counts_of=no_counts,
    )

    def check(self, tree: dict[str, Any]) -> None:
        super().check(tree)
        expect_list(tree, "messages")
        expect_list(tree, "tools")
        for number, message in enumerate(tree.get("messages") or ()):
            expect_type(message, "role", str, f"messages[{number}]", required=True)
            expect_type(message, "content", str, f"messages[{number}]")


CODEC = OllamaChat()
