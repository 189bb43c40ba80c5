"""OpenAI Responses: `POST /v1/responses`, the routes that count its tokens and compact its conversations, and those that read
back stored answers and items.

Fields follow the public API and the types of openai-python. A stream is named events; each has its number. The name of an event
and its `type` are written from one value. The last event repeats the whole answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.events import Frame, Opaque, Text
from guardproxy.wire.contract.codec import Codec, Decoder, Request
from guardproxy.wire.contract.contract import Contract
from guardproxy.wire.contract.turns import Turns
from guardproxy.wire.contract.writing import Author
from guardproxy.wire.decoding.json_codec import Grammar
from guardproxy.wire.families.openai import OpenAICodec
from guardproxy.wire.formats.openai_responses import turns
from guardproxy.wire.formats.openai_responses.citations import counts_of
from guardproxy.wire.formats.openai_responses.contract import CONTRACT, STORED_CONTRACT, UNANSWERED
from guardproxy.wire.formats.openai_responses.events import TERMINAL
from guardproxy.wire.formats.openai_responses.field_map import (
    CREATES,
    JSON_RESPONSE,
    REQUEST,
    RESPONSE,
    STORED,
    retrieved,
)
from guardproxy.wire.formats.openai_responses.schemas import shape_of, shapes_of
from guardproxy.wire.formats.openai_responses.stream import ResponsesDecoder, StoredDecoder, notice, notice_stored
from guardproxy.wire.formats.openai_responses.token_data import trim, withhold
from guardproxy.wire.formats.openai_responses.writer import author
from guardproxy.wire.json import text
from guardproxy.wire.request.requests import expect_list, expect_type

_BACKGROUND = (
    "`background` without `stream` is not possible here: the answer would be read back by a request that names no model, so "
    "policies for some models could not judge it; send `stream: true`, or leave `background` out"
)


class OpenAIResponses(OpenAICodec[ResponsesDecoder]):
    """The codec."""

    name = "openai_responses"
    routes: tuple[str, ...] = (*CREATES, *UNANSWERED, *STORED.made_by)
    contract: Contract = CONTRACT
    turns: Turns = turns
    author: Author = author

    stream = ResponsesDecoder
    grammar = Grammar(
        request=REQUEST,
        answer=RESPONSE,
        json_answer=JSON_RESPONSE,
        error=text("error"),
        shapes_of=shapes_of,
        shape_of=shape_of,
        notice=notice,
        withhold=withhold,
        counts_of=counts_of,
    )

    def for_request(self, path: str, query: str) -> Codec:
        return STORED_CODEC if STORED.split_path(path) is not None else self

    def check(self, tree: dict[str, Any]) -> None:
        expect_type(tree, "model", str)
        for name in ("stream", "background", "store"):
            expect_type(tree, name, bool)
        expect_type(tree, "instructions", (str, list))
        expect_type(tree, "input", (str, list))
        expect_list(tree, "tools")
        if isinstance(tree.get("input"), list):
            expect_list(tree, "input")
            for number, item in enumerate(tree["input"]):
                expect_type(item, "role", str, f"input[{number}]")
                expect_type(item, "content", (str, list), f"input[{number}]")
        if tree.get("background") and not tree.get("stream"):
            raise DownstreamError(ErrorCode.INVALID_VALUE, _BACKGROUND, "background")

    def edited_tree(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> Any:
        tree = super().edited_tree(frame, texts)
        if texts and texts[0][0].channel.direction == "response":
            tree.pop("obfuscation", None)  # its length tells the length of the old text
            trim(tree, texts)
        return tree

    def without_end(self, frame: Frame, tree: Any) -> Any:
        if frame.event in TERMINAL:
            return None
        # An item that is cut must not look complete.
        if isinstance(tree.get("item"), dict) and "status" in tree["item"]:
            tree["item"]["status"] = "incomplete"
        return tree

    def error_event(self, code: str, message: str, decoder: Decoder | None = None) -> bytes:
        words = {"code": code, "message": message, "param": None}
        number = decoder.shown.sequence + 1 if isinstance(decoder, ResponsesDecoder) else 0
        # SDKs raise an exception only if there is a field `error`.
        return author.event(
            {"type": "error", **words, "sequence_number": number, "error": {"type": "server_error", **words}}
        )

    def ending(self, decoder: ResponsesDecoder, message: str) -> bytes:
        return b"".join(map(author.event, decoder.shown.ending()))

    def opening(self, model: str) -> bytes:
        response: dict[str, Any] = {
            "id": "resp_filtered",
            "object": "response",
            "created_at": 0,
            "status": "in_progress",
            "model": model,
            "output": [],
        }
        return author.event({"type": "response.created", "response": response, "sequence_number": 0})


class StoredOpenAIResponses(OpenAIResponses):
    """The codec of requests that read back what is stored. They have no body; the path names what they ask for."""

    contract = STORED_CONTRACT
    stream = StoredDecoder
    grammar = replace(OpenAIResponses.grammar, answer=retrieved, notice=notice_stored)

    def read_request(self, path: str, query: str, body: bytes) -> Request:
        whole = Frame(b"", {})
        return Request("", "stream=true" in query.split("&"), whole, lambda: [Opaque(whole)])


CODEC = OpenAIResponses()
STORED_CODEC = StoredOpenAIResponses()
