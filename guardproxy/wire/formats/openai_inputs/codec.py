"""OpenAI Embeddings and Moderations: `POST /v1/embeddings` and `POST /v1/moderations`.

Fields follow the public API and the types of openai-python. Requests hold texts to read. Answers hold vectors or scores and no
texts, and there are no streams. A stream that an upstream sends anyway is read like an answer, event by event.
"""

from __future__ import annotations

from typing import Any

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.wire.contract.turns import Turns
from guardproxy.wire.contract.writing import Author
from guardproxy.wire.decoding.decoding import LeafPlace, nothing
from guardproxy.wire.decoding.json_codec import Grammar, no_counts, no_shape, no_shapes
from guardproxy.wire.families import openai
from guardproxy.wire.families.openai import ChoicesCodec, ChoicesDecoder
from guardproxy.wire.formats.openai_inputs import turns
from guardproxy.wire.formats.openai_inputs.contract import CONTRACT, ROUTES
from guardproxy.wire.formats.openai_inputs.field_map import REQUEST, RESPONSE
from guardproxy.wire.formats.openai_inputs.writer import author
from guardproxy.wire.json import Map, TreeLeaf, dotted, text
from guardproxy.wire.request import prompts
from guardproxy.wire.request.requests import expect_list, expect_type


class InputDecoder(ChoicesDecoder):
    """A stream, though the format has none: every text is complete in its event."""

    def how(self, tree: Any) -> Map:
        return RESPONSE

    def place(self, tree: Any, found: TreeLeaf) -> LeafPlace:
        return LeafPlace(found.leaf.kind, dotted(found.path), str(found.path[0]), flows=False)


class OpenAIInputs(ChoicesCodec[InputDecoder]):
    """The codec."""

    name = "openai_inputs"
    routes: tuple[str, ...] = ROUTES
    contract = CONTRACT
    turns: Turns = turns
    author: Author = author

    stream = InputDecoder
    grammar = Grammar(
        request=REQUEST,
        answer=RESPONSE,
        json_answer=RESPONSE,
        error=text("error"),
        shapes_of=no_shapes,
        shape_of=no_shape,
        notice=openai.notice,
        withhold=nothing,
        counts_of=no_counts,
    )

    def check(self, tree: dict[str, Any]) -> None:
        expect_type(tree, "model", str)
        value = tree.get("input")
        if value is None:
            raise DownstreamError(ErrorCode.INVALID_TYPE, "`input` is missing", "input")
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            expect_list(tree, "input")
        else:
            prompts.check(value, "input")

    def is_streamed(self, path: str, tree: dict[str, Any]) -> bool:
        return False


CODEC = OpenAIInputs()
