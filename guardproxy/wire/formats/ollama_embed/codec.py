"""Ollama's embeddings: `POST /api/embed` and the older `POST /api/embeddings`.

Requests hold texts to read. Answers hold vectors and no texts, and there are no streams. A stream that an upstream sends anyway
is read like an answer, line by line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.wire.contract.turns import Turns
from guardproxy.wire.contract.writing import Author
from guardproxy.wire.decoding.decoding import LeafPlace, nothing
from guardproxy.wire.decoding.json_codec import Grammar, no_counts, no_shape, no_shapes
from guardproxy.wire.families import ollama
from guardproxy.wire.families.ollama import LineDecoder, LinesCodec
from guardproxy.wire.formats.ollama_embed import turns
from guardproxy.wire.formats.ollama_embed.contract import CONTRACT, EMBED, EMBEDDINGS
from guardproxy.wire.formats.ollama_embed.field_map import REQUEST, RESPONSE
from guardproxy.wire.formats.ollama_embed.writer import author
from guardproxy.wire.json import Map, TreeLeaf, dotted, text
from guardproxy.wire.request import prompts


class EmbedDecoder(LineDecoder):
    """A stream, though the format has none: every text is complete in its line."""

    def how(self, tree: Any) -> Map:
        return RESPONSE

    def place(self, tree: Any, leaf: TreeLeaf) -> LeafPlace:
        return LeafPlace(leaf.leaf.kind, dotted(leaf.path), str(leaf.path[0]), flows=False)


class OllamaEmbed(LinesCodec[EmbedDecoder]):
    """The codec."""

    name = "ollama_embed"
    routes = (EMBED, EMBEDDINGS)
    contract = CONTRACT
    turns: Turns = turns
    author: Author = author
    blank: ClassVar[Mapping[str, Any]] = {"embeddings": []}

    stream = EmbedDecoder
    grammar = Grammar(
        request=REQUEST,
        answer=RESPONSE,
        json_answer=RESPONSE,
        error=text("error"),
        shapes_of=no_shapes,
        shape_of=no_shape,
        notice=ollama.notice,
        withhold=nothing,
        counts_of=no_counts,
    )

    def check(self, tree: dict[str, Any]) -> None:
        super().check(tree)
        if tree.get("input") is None and tree.get("prompt") is None:
            raise DownstreamError(ErrorCode.INVALID_TYPE, "`input` is missing", "input")
        prompts.check(tree.get("input"), "input")
        prompts.check(tree.get("prompt"), "prompt")

    def is_streamed(self, path: str, tree: dict[str, Any]) -> bool:
        return False


CODEC = OllamaEmbed()
