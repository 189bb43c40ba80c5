"""Ollama Generate: `POST /api/generate`.

Fields follow the server's own types. Answers and lines of streams have one shape: the texts are at the top. `context`, a
conversation as token ids, is refused in requests and withheld from guarded answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from guardproxy.redaction import Shape, Shapes
from guardproxy.wire.contract.turns import Turns
from guardproxy.wire.contract.writing import Author
from guardproxy.wire.decoding.decoding import LeafPlace
from guardproxy.wire.decoding.json_codec import Grammar, no_counts
from guardproxy.wire.families import ollama
from guardproxy.wire.families.ollama import LineDecoder, LinesCodec
from guardproxy.wire.formats.ollama_generate import turns
from guardproxy.wire.formats.ollama_generate.contract import CONTRACT
from guardproxy.wire.formats.ollama_generate.field_map import JSON_RESPONSE, REQUEST, RESPONSE
from guardproxy.wire.formats.ollama_generate.writer import author
from guardproxy.wire.json import Map, TreeLeaf, text
from guardproxy.wire.request.requests import expect_type


def _shapes_of(tree: Any) -> Shapes:
    return Shapes({}, ollama.answer_shape(tree))


def _shape_of(shapes: Shapes, tree: Any, leaf: TreeLeaf) -> Shape | None:
    """Returns the demand of the schemas on a leaf."""
    if leaf.leaf.how == "json":
        return shapes.answer
    is_call = leaf.path[0] == "tool_calls" and not (leaf.key or leaf.number)
    return ollama.shape_of_call(shapes, tree, leaf.path) if is_call else None


def _withhold(tree: Any) -> list[str]:
    gone = ollama.withhold_from(tree, [tree.get("response"), tree.get("thinking")])
    return [*gone, "context"] if tree.pop("context", None) is not None else gone


class OllamaGenerateDecoder(LineDecoder):
    """A stream of parts of the answer."""

    def how(self, tree: Any) -> Map:
        return JSON_RESPONSE if self.shapes.answer else RESPONSE

    def shape_of(self, tree: Any, leaf: TreeLeaf, place: LeafPlace) -> Shape | None:
        return _shape_of(self.shapes, tree, leaf)


class OllamaGenerate(LinesCodec[OllamaGenerateDecoder]):
    """The codec."""

    name = "ollama_generate"
    routes = (author.ROUTE,)
    contract = CONTRACT
    turns: Turns = turns
    author: Author = author
    blank: ClassVar[Mapping[str, Any]] = {"response": ""}

    stream = OllamaGenerateDecoder
    grammar = Grammar(
        request=REQUEST,
        answer=RESPONSE,
        json_answer=JSON_RESPONSE,
        error=text("error"),
        shapes_of=_shapes_of,
        shape_of=_shape_of,
        notice=ollama.notice,
        withhold=_withhold,
        counts_of=no_counts,
    )

    def check(self, tree: dict[str, Any]) -> None:
        super().check(tree)
        for name in ("prompt", "suffix", "system", "template"):
            expect_type(tree, name, str)


CODEC = OllamaGenerate()
