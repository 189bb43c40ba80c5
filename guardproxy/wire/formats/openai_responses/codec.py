"""OpenAI Responses: `POST /v1/responses`, and the routes that count its tokens and compact its conversations.

Fields follow the public API and the types of openai-python. A stream is named events; each has its number. The name of an event
and its `type` are written from one value. The last event repeats the whole answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.events import Frame, Text
from guardproxy.redaction import NO_SHAPES, Shapes
from guardproxy.wire.authoring import Author
from guardproxy.wire.codec import Decoder, Request
from guardproxy.wire.decoding import WholeDecoder, edited_frame, events_of, leaf_of, nothing
from guardproxy.wire.formats.openai_responses import author, turns
from guardproxy.wire.formats.openai_responses.citations import counts_of
from guardproxy.wire.formats.openai_responses.contract import COMPACT, CONTRACT, COUNT, CREATE
from guardproxy.wire.formats.openai_responses.events import TERMINAL
from guardproxy.wire.formats.openai_responses.places import JSON_RESPONSE, REQUEST, RESPONSE
from guardproxy.wire.formats.openai_responses.replies import event
from guardproxy.wire.formats.openai_responses.schemas import shape_of, shapes_of
from guardproxy.wire.formats.openai_responses.shown import ShownAnswer
from guardproxy.wire.formats.openai_responses.stream import ResponsesDecoder, notice
from guardproxy.wire.formats.openai_responses.token_data import trim, withhold
from guardproxy.wire.framing.sse import KEEP_ALIVE, comment
from guardproxy.wire.json import edited, text, walk, write
from guardproxy.wire.requests import expect_list, expect_type, read_body
from guardproxy.wire.turns import Turns

_BACKGROUND = (
    "`background` without `stream` is not possible here: the answer would be read from a route that no check guards; send "
    "`stream: true`, or leave `background` out"
)


class OpenAIResponses:
    """The codec."""

    name = "openai_responses"
    provider = "openai"
    routes = (CREATE, COUNT, COMPACT)
    contract = CONTRACT
    turns: Turns = turns
    author: Author = author

    def read_request(self, path: str, query: str, body: bytes) -> Request:
        tree = read_body(body)
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
            return ResponsesDecoder(limit_bytes, read, shapes, without, CONTRACT.words)
        how = text("error") if failed else JSON_RESPONSE if shapes.answer else RESPONSE
        return WholeDecoder(
            how, notice, limit_bytes, partial(shape_of, shapes), read, without, counts_of, CONTRACT.words
        )

    def edited(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        return edited_frame(frame, _tree(frame, texts))

    def cut(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        if frame.event in TERMINAL:
            return b""
        tree = _tree(frame, texts)
        if isinstance(tree.get("item"), dict) and "status" in tree["item"]:
            tree["item"]["status"] = "incomplete"
        return edited_frame(frame, tree)

    def error(self, status: int, code: str, message: str, field: str | None = None) -> bytes:
        kind = "invalid_request_error" if status < 500 else "server_error"
        return write({"error": {"message": message, "type": kind, "param": field, "code": code}})

    def error_event(self, code: str, message: str) -> bytes:
        words = {"code": code, "message": message, "param": None}
        # SDKs raise an exception only if there is a field `error`.
        return event({"type": "error", **words, "sequence_number": 0, "error": {"type": "server_error", **words}})

    def filtered(self, decoder: Decoder, message: str) -> bytes:
        shown = decoder.shown if isinstance(decoder, ResponsesDecoder) else ShownAnswer()
        return b"".join(map(event, shown.ending()))

    def keep_alive(self) -> bytes:
        return KEEP_ALIVE

    def opening(self, model: str) -> bytes:
        response: dict[str, Any] = {
            "id": "resp_filtered",
            "object": "response",
            "created_at": 0,
            "status": "in_progress",
            "model": model,
            "output": [],
        }
        return event({"type": "response.created", "response": response, "sequence_number": 0})

    def comment(self, text: str) -> bytes:
        return comment(text)


def _tree(frame: Frame, texts: Sequence[tuple[Text, str]]) -> Any:
    """Returns the edited tree, without log probabilities of the old text and without padding of its length."""
    tree = edited(frame.tree, [(leaf_of(old), new) for old, new in texts])
    if texts and texts[0][0].channel.direction == "response":
        tree.pop("obfuscation", None)
        trim(tree, texts)
    return tree


CODEC = OpenAIResponses()
