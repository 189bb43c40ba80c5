"""Bytes <-> events.

A request: `POST /acme/models/MODEL:talk` with `{"turns": [{"from": "user", "text": "..."}], "stream": true}`. A plain answer:
`{"text": "...", "end": "done", "usage": {"in": 1, "out": 2}}`. A stream has a line
for each piece, `{"text": "..."}`, and a last line with `end`. An error: `{"error": {"code": "...", "message": "..."}}`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from acme_talk import author, turns
from acme_talk.contract import CONTRACT
from guardproxy.events import Event, Frame
from guardproxy.findings import Kind
from guardproxy.redaction import NO_SHAPES, Shape, Shapes
from guardproxy.wire import AnswerFacts, Author, Decoder, Route, Turns
from guardproxy.wire.decoding import Grammar, JsonCodec, LeafPlace, StreamDecoder, counts
from guardproxy.wire.framing import Framing, ndjson
from guardproxy.wire.json import OTHERS, STRUCTURE, Map, MapFields, MapLeaf, TreeLeaf, dotted, text, unknown, write
from guardproxy.wire.request import expect_list, expect_type

ROUTE = Route("POST /acme/models/{model}:talk")
_KINDS: dict[str, Kind] = {"user": "user", "model": "assistant", "system": "system"}


def _turn(value: Any) -> Map:
    kind = _KINDS.get(str(value.get("from")), "user") if isinstance(value, dict) else "user"
    return {"from": STRUCTURE, "text": text(kind), OTHERS: unknown(kind)}


REQUEST: MapFields = {"stream": STRUCTURE, "turns": [_turn], "answer_schema": text("tool_definition")}
_USAGE: MapFields = {"in": STRUCTURE, "out": STRUCTURE}
_ERROR: MapFields = {"code": STRUCTURE, "message": text("error")}
RESPONSE: MapFields = {"text": text("assistant"), "end": STRUCTURE, "usage": _USAGE, "error": _ERROR}
JSON_RESPONSE: MapFields = {**RESPONSE, "text": MapLeaf("json", "assistant")}


def _notice(tree: Any, seen: AnswerFacts) -> None:
    if isinstance(tree.get("usage"), dict):
        seen.usage = counts(tree["usage"], CONTRACT.words)
    if isinstance(tree.get("end"), str):
        seen.finish.append(tree["end"])


def _shapes_of(tree: Any) -> Shapes:
    schema = tree.get("answer_schema")
    return NO_SHAPES if schema is None else Shapes({}, Shape("answer_schema", schema))


def _shape_of(shapes: Shapes, tree: Any, leaf: TreeLeaf) -> Shape | None:
    return shapes.answer if leaf.leaf.how == "json" else None


class TalkDecoder(StreamDecoder):
    """A stream: each line goes on with the texts of the lines before."""

    framing: ClassVar[Framing] = ndjson

    def how(self, tree: Any) -> Map:
        return JSON_RESPONSE if self.shapes.answer else RESPONSE

    def place(self, tree: Any, leaf: TreeLeaf) -> LeafPlace:
        return LeafPlace(leaf.leaf.kind, dotted(leaf.path), "answer", flows=True)

    def shape_of(self, tree: Any, leaf: TreeLeaf, place: LeafPlace) -> Shape | None:
        return _shape_of(self.shapes, tree, leaf)

    def ends(self, tree: Any) -> bool:
        return bool(tree.get("end") or tree.get("error"))

    def after(self, tree: Any) -> list[Event]:
        _notice(tree, self.seen)
        return self.finish() if self.ends(tree) else []


class Talk(JsonCodec[TalkDecoder]):
    """The codec."""

    name = "acme_talk"
    provider = "acme"
    routes = (ROUTE.text,)
    contract = CONTRACT
    turns: Turns = turns
    author: Author = author

    stream = TalkDecoder
    grammar = Grammar(
        request=REQUEST,
        answer=RESPONSE,
        json_answer=JSON_RESPONSE,
        error=RESPONSE,
        shapes_of=_shapes_of,
        shape_of=_shape_of,
        notice=_notice,
        withhold=lambda tree: [],  # no field repeats a text
        counts_of=lambda shapes, tree: (),  # no field counts characters
    )

    def check(self, tree: dict[str, Any]) -> None:
        expect_type(tree, "stream", bool)
        expect_list(tree, "turns", required=True)
        for number, turn in enumerate(tree["turns"]):
            expect_type(turn, "from", str, f"turns[{number}]", required=True)
            expect_type(turn, "text", str, f"turns[{number}]", required=True)

    def model_of(self, path: str, tree: dict[str, Any]) -> str:
        return (ROUTE.match(f"POST {path}") or {}).get("model", "")

    def without_end(self, frame: Frame, tree: Any) -> Any:
        return {key: value for key, value in tree.items() if key not in ("end", "usage")} or None

    def error(self, status: int, code: str, message: str, field: str | None = None) -> bytes:
        return write({"error": {"code": code, "message": message}})

    def error_event(self, code: str, message: str, decoder: Decoder | None = None) -> bytes:
        return ndjson.frame(self.error(500, code, message))

    def ending(self, decoder: TalkDecoder, message: str) -> bytes:
        return ndjson.frame(write({"end": "filtered"}))


CODEC = Talk()
