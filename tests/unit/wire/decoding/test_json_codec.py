"""The codec of JSON bodies, by a format that says only what differs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from guardproxy.errors import DownstreamError
from guardproxy.events import Count, Event, Frame, Opaque, Text
from guardproxy.redaction import Shape, Shapes
from guardproxy.wire import AnswerFacts, Decoder
from guardproxy.wire.decoding import Grammar, JsonCodec, LeafPlace, StreamDecoder
from guardproxy.wire.formats.openai_chat.codec import CODEC as CHAT
from guardproxy.wire.framing.sse import frame as sse_frame
from guardproxy.wire.json import STRUCTURE, Map, MapLeaf, TreeLeaf, dotted, text, write
from guardproxy.wire.request import expect_type


def sse(tree: Any) -> bytes:
    return sse_frame(write(tree))


@dataclass(slots=True)
class NoteDecoder(StreamDecoder):
    """A stream of notes, in which every text is complete in its event."""

    shown: list[str] = field(default_factory=list)

    def how(self, tree: Any) -> Map:
        return {"note": text("assistant"), "last": STRUCTURE}

    def place(self, tree: Any, found: TreeLeaf) -> LeafPlace:
        return LeafPlace(found.leaf.kind, dotted(found.path), "", flows=False)

    def after(self, tree: Any) -> list[Event]:
        return self.finish() if tree.get("last") else []

    def sent(self, frame: Frame) -> None:
        self.shown.append(frame.tree["note"])


def notice(tree: Any, seen: AnswerFacts) -> None:
    seen.model = tree.get("model", "")


def withhold(tree: Any) -> list[str]:
    return ["echo"] if tree.pop("echo", None) else []


class Notes(JsonCodec[NoteDecoder]):
    name = "notes"
    provider = "notes"
    routes = ("POST /notes",)
    contract = CHAT.contract
    stream = NoteDecoder
    grammar = Grammar(
        request={"note": text("user"), "stream": STRUCTURE, "model": STRUCTURE},
        answer={"note": text("assistant"), "model": STRUCTURE},
        json_answer={"note": MapLeaf("json", "assistant")},
        error=text("error"),
        shapes_of=lambda tree: Shapes({}, Shape("schema", tree["schema"]) if "schema" in tree else None),
        shape_of=lambda shapes, tree, found: shapes.answer if found.path == ("note",) else None,
        notice=notice,
        withhold=withhold,
        counts_of=lambda shapes, tree: (Count(("begin",), ("end",), "note"),) if "begin" in tree else (),
    )

    def check(self, tree: dict[str, Any]) -> None:
        expect_type(tree, "note", str, required=True)

    def without_end(self, frame: Frame, tree: Any) -> Any:
        return {key: value for key, value in tree.items() if key != "last"} or None

    def error(self, status: int, code: str, message: str, field: str | None = None) -> bytes:
        return write({"error": message})

    def error_event(self, code: str, message: str, decoder: Decoder | None = None) -> bytes:
        return sse({"error": message})

    def ending(self, decoder: NoteDecoder, message: str) -> bytes:
        return ",".join(decoder.shown).encode() + b";" + message.encode()


CODEC = Notes()


def request(**tree: Any) -> Any:
    return CODEC.read_request("/notes", "", write(tree))


def texts(events: list[Event]) -> list[Text]:
    return [event for event in events if isinstance(event, Text)]


def decoder(*, streamed: bool = False, failed: bool = False, **options: Any) -> Decoder:
    return CODEC.decoder(streamed=streamed, failed=failed, limit_bytes=1000, **options)


def test_a_request_is_checked_and_read_by_the_grammar() -> None:
    read = request(note="hi", model="m", stream=True, schema={"type": "string"})
    assert (read.model, read.stream) == ("m", True)
    (note, *_) = texts(read.events())
    assert (note.channel.kind, note.text) == ("user", "hi")
    assert read.shapes.answer is note.shape is not None
    assert (request(note="hi").model, request(note="hi").stream) == ("", False)
    with pytest.raises(DownstreamError, match="`note` is missing"):
        request(model="m")
    with pytest.raises(DownstreamError, match="must be a JSON object"):
        CODEC.read_request("/notes", "", b"[]")


def test_a_body_is_read_by_the_map_of_its_case() -> None:
    def read(body: dict[str, Any], **options: Any) -> list[tuple[str, bool]]:
        whole = decoder(**options)
        whole.feed(write(body))
        return [(event.channel.kind, event.encoded) for event in texts(whole.end())]

    json_shapes = Shapes({}, Shape("schema", {}))
    assert read({"note": "a"}) == [("assistant", False)]
    assert read({"note": "a"}, shapes=json_shapes) == [("assistant", True)]
    assert set(read({"note": "a"}, failed=True)) == {("error", False)}


def test_a_whole_answer_gives_its_facts_its_counts_and_what_was_withheld() -> None:
    body = write({"note": "a", "model": "m", "echo": "a", "begin": 0, "end": 1})
    guarded, free = decoder(guarded=True), decoder()
    for whole in (guarded, free):
        whole.feed(body)
    (note, *_) = texts(guarded.end())
    assert b"echo" not in note.frame.data
    assert note.frame.counts == (Count(("begin",), ("end",), "note"),)
    assert (guarded.seen.model, list(guarded.seen.withheld)) == ("m", ["echo"])
    assert b"echo" in texts(free.end())[0].frame.data
    assert not free.seen.withheld


def test_an_edit_keeps_the_framing_and_a_cut_leaves_the_end_out() -> None:
    (note, _end) = decoder(streamed=True).feed(sse({"note": "a", "last": 1}))[:2]
    assert isinstance(note, Text)
    assert CODEC.edited(note.frame, [(note, "b")]) == sse({"note": "b", "last": 1})
    assert CODEC.cut(note.frame, [(note, "b")]) == sse({"note": "b"})
    (last, *_) = decoder(streamed=True).feed(sse({"last": 1}))
    assert isinstance(last, Opaque)
    assert CODEC.cut(last.frame, []) == b""
    body = Frame(b"", {"note": "a"})
    assert json.loads(CODEC.edited(body, [])) == {"note": "a"}


def test_the_ending_knows_what_was_sent_of_its_own_stream() -> None:
    stream = decoder(streamed=True)
    for frame in {id(event.frame): event.frame for event in texts(stream.feed(sse({"note": "a"})))}.values():
        stream.sent(frame)
    assert CODEC.filtered(stream, "why") == b"a;why"
    assert CODEC.filtered(decoder(), "why") == b";why"


def test_the_framing_gives_keep_alives_and_comments() -> None:
    assert CODEC.keep_alive() == b":\n\n"
    assert CODEC.comment("a") == b": a\n\n"
    assert CODEC.opening("m") == b""
