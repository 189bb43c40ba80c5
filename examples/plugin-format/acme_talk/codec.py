"""Bytes <-> events.

A request: `POST /acme/models/MODEL:talk` with `{"turns": [{"from": "user", "text": "..."}], "stream": true}`. A plain answer:
`{"text": "...", "end": "done", "usage": {"in": 1, "out": 2}}`. A stream has a line
for each piece, `{"text": "..."}`, and a last line with `end`. An error: `{"error": {"code": "...", "message": "..."}}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from acme_talk import author, turns
from acme_talk.contract import CONTRACT
from guardproxy.events import Event, Frame, Text
from guardproxy.findings import Kind
from guardproxy.redaction import NO_SHAPES, Shape, Shapes
from guardproxy.wire import (
    AnswerFacts,
    Author,
    Decoder,
    Framing,
    LeafPlace,
    Request,
    Route,
    StreamDecoder,
    Turns,
    WholeDecoder,
    counts,
    edited_frame,
    events_of,
    expect_list,
    expect_type,
    leaf_of,
    ndjson,
    read_body,
)
from guardproxy.wire.json import OTHERS, STRUCTURE, Map, MapLeaf, TreeLeaf, dotted, edited, text, unknown, walk, write

ROUTE = Route("POST /acme/models/{model}:talk")
_KINDS: dict[str, Kind] = {"user": "user", "model": "assistant", "system": "system"}


def _turn(value: Any) -> Map:
    kind = _KINDS.get(str(value.get("from")), "user") if isinstance(value, dict) else "user"
    return {"from": STRUCTURE, "text": text(kind), OTHERS: unknown(kind)}


REQUEST: Map = {"stream": STRUCTURE, "turns": [_turn], "answer_schema": text("tool_definition")}
_USAGE = {"in": STRUCTURE, "out": STRUCTURE}
_ERROR = {"code": STRUCTURE, "message": text("error")}
RESPONSE: Map = {"text": text("assistant"), "end": STRUCTURE, "usage": _USAGE, "error": _ERROR}
JSON_RESPONSE: Map = {**RESPONSE, "text": MapLeaf("json", "assistant")}


def _notice(tree: Any, seen: AnswerFacts) -> None:
    if isinstance(tree.get("usage"), dict):
        seen.usage = counts(tree["usage"], CONTRACT.words)
    if isinstance(tree.get("end"), str):
        seen.finish.append(tree["end"])


def _shape_of(shapes: Shapes, tree: Any, found: TreeLeaf) -> Shape | None:
    return shapes.answer if found.leaf.how == "json" else None


class TalkDecoder(StreamDecoder):
    """A stream: each line goes on with the texts of the lines before."""

    framing: ClassVar[Framing] = ndjson

    def how(self, tree: Any) -> Map:
        return JSON_RESPONSE if self.shapes.answer else RESPONSE

    def place(self, tree: Any, found: TreeLeaf) -> LeafPlace:
        return LeafPlace(found.leaf.kind, dotted(found.path), "answer", flows=True)

    def shape_of(self, tree: Any, found: TreeLeaf, place: LeafPlace) -> Shape | None:
        return _shape_of(self.shapes, tree, found)

    def ends(self, tree: Any) -> bool:
        return bool(tree.get("end") or tree.get("error"))

    def after(self, tree: Any) -> list[Event]:
        _notice(tree, self.seen)
        if not self.ends(tree):
            return []
        self.complete = True
        self.over()
        return self.close_all()


class Talk:
    """The codec."""

    name = "acme_talk"
    provider = "acme"
    routes = (ROUTE.text,)
    contract = CONTRACT
    turns: Turns = turns
    author: Author = author

    def read_request(self, path: str, query: str, body: bytes) -> Request:
        tree = read_body(body)
        expect_type(tree, "stream", bool)
        expect_list(tree, "turns", required=True)
        for number, turn in enumerate(tree["turns"]):
            expect_type(turn, "from", str, f"turns[{number}]", required=True)
            expect_type(turn, "text", str, f"turns[{number}]", required=True)
        model = (ROUTE.match(f"POST {path}") or {}).get("model", "")
        whole = Frame(body, tree)
        schema = tree.get("answer_schema")
        shapes = NO_SHAPES if schema is None else Shapes({}, Shape("answer_schema", schema))
        found = partial(walk, tree, REQUEST, words=CONTRACT.words)
        return Request(model, bool(tree.get("stream")), whole, lambda: events_of(found(), whole, "request"), shapes)

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
        if streamed:
            return TalkDecoder(limit_bytes, read, shapes, words=CONTRACT.words)
        how = JSON_RESPONSE if shapes.answer else RESPONSE
        return WholeDecoder(how, _notice, limit_bytes, partial(_shape_of, shapes), read, words=CONTRACT.words)

    def edited(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        return edited_frame(frame, _tree(frame, texts), ndjson)

    def cut(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        tree = {key: value for key, value in _tree(frame, texts).items() if key not in ("end", "usage")}
        return edited_frame(frame, tree, ndjson) if tree else b""

    def error(self, status: int, code: str, message: str, field: str | None = None) -> bytes:
        return write({"error": {"code": code, "message": message}})

    def error_event(self, code: str, message: str) -> bytes:
        return ndjson.frame(self.error(500, code, message))

    def filtered(self, decoder: Decoder, message: str) -> bytes:
        return ndjson.frame(write({"end": "filtered"}))

    def keep_alive(self) -> bytes:
        return ndjson.KEEP_ALIVE

    def opening(self, model: str) -> bytes:
        return b""

    def comment(self, text: str) -> bytes:
        return b""  # lines of JSON have no comments


def _tree(frame: Frame, texts: Sequence[tuple[Text, str]]) -> Any:
    return edited(frame.tree, [(leaf_of(old), new) for old, new in texts])


CODEC = Talk()
