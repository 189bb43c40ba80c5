"""The upstream of a replay: a codec whose decoder returns the texts of a record instead of decoding bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from msgspec import structs

from guardproxy.audit.record import RecordedAnswer
from guardproxy.events import End, Event, Frame, Opaque, RunEnd, Text
from guardproxy.findings import Channel, Kind
from guardproxy.redaction import NO_SHAPES, Shapes
from guardproxy.wire import AnswerFacts, Author, Codec, Contract, Decoder, FieldPath, Request, Turns

_STREAM = "text/x-recorded"


@dataclass(slots=True)
class RecordedUpstream:
    """A codec and decoder that replace the upstream's. The codec reads requests as usual; the decoder returns the
    texts of the current `answer`. `contract`: that of the format, with a type of streams that no whole answer has."""

    codec: Codec
    answer: RecordedAnswer
    stopped: bool
    usage: Mapping[str, Any] = field(default_factory=dict)
    seen: AnswerFacts = field(default_factory=AnswerFacts)
    shapes: Shapes = NO_SHAPES
    begun: bool = False  # whether the client had a part of the answer when a rule stopped it
    names_kinds: bool = True  # whether the record names the kinds of uninspected places; older records do not
    contract: Contract = field(init=False, repr=False)
    waiting: list[Event] | None = None
    """The next piece of a stream that is played in pieces; `None`: the whole answer comes next."""

    def __post_init__(self) -> None:
        # The record says whether an answer was a stream. It has no query, by which some requests choose a framing whose type is
        # that of whole answers, so the types of the format do not tell.
        contract = self.codec.contract
        self.contract = replace(contract, media=replace(contract.media, streamed=_STREAM))

    @property
    def name(self) -> str:
        return self.codec.name

    @property
    def provider(self) -> str:
        return self.codec.provider

    @property
    def routes(self) -> tuple[str, ...]:
        return self.codec.routes

    @property
    def turns(self) -> Turns:
        return self.codec.turns

    @property
    def author(self) -> Author:
        return self.codec.author

    def for_request(self, path: str, query: str) -> Codec:
        return self

    def read_request(self, path: str, query: str, body: bytes) -> Request:
        """Reads a request. Uninspected places that the record does not list passed then, and pass again."""
        request = self.codec.read_request(path, query, body)

        def of_no_kind() -> list[Event]:
            return [
                structs.replace(event, media=()) if isinstance(event, Opaque) else event for event in request.events()
            ]

        return request if self.names_kinds else structs.replace(request, events=of_no_kind)

    def read_body(self, body: bytes) -> Any:
        return self.codec.read_body(body)

    def write_body(self, tree: Any) -> bytes:
        return self.codec.write_body(tree)

    def has_field(self, path: FieldPath) -> bool:
        return self.codec.has_field(path)

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
        self.shapes = shapes
        return self

    def edited(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        return self.codec.edited(frame, texts) if frame.tree is not None else b""

    def cut(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        return b""

    def error(self, status: int, code: str, message: str, field: str | None = None) -> bytes:
        return self.codec.error(status, code, message, field)

    def own_answer(self, status: int, code: str, message: str, field: str | None = None) -> tuple[int, bytes]:
        return self.codec.own_answer(status, code, message, field)

    def error_event(self, code: str, message: str, decoder: Decoder | None = None) -> bytes:
        return self.codec.error_event(code, message, decoder)

    def filtered(self, decoder: Decoder, message: str) -> bytes:
        return b""

    def keep_alive(self) -> bytes:
        return b""

    def opening(self, model: str) -> bytes:
        return b""

    def comment(self, text: str) -> bytes:
        return b""

    def feed(self, data: bytes) -> list[Event]:
        """Returns the recorded texts, in the order in which their frames were sent. The rest of a stopped answer comes
        last, because another policy may not stop it. The rest of an answer that was cut off is omitted."""
        if self.waiting is not None:
            piece, self.waiting = self.waiting, None
            return piece
        self.seen = AnswerFacts(dict(self.usage), self.answer.model, list(self.answer.finish))
        at = [0] * len(self.answer.texts)
        events: list[Event] = []
        whole = Frame(b"", terminal=True)
        for runs in self._frames():
            frame = Frame(b"", streamed=True) if self.answer.streamed else whole
            texts = [event for number, size in runs for event in self._texts(frame, number, size, at)]
            events += texts or [Opaque(frame)]
        parts = dict.fromkeys([event.run for event in events if isinstance(event, Text) and event.run])
        return [*events, *map(RunEnd, parts)]

    def _frames(self) -> Iterator[Sequence[tuple[int, int]]]:
        """Yields the runs of each frame. Only the first frame has several: after it, the answer has begun for the client,
        and the borders of the other frames change nothing."""
        runs, opening = self.answer.runs, self.answer.opening
        if runs and not opening and self.stopped:
            # An old record does not say where the first frame ended. Its status says whether the stop came after it.
            if self.begun:
                yield ((-1, 0),)
            else:
                opening = len(runs)
        if opening:
            yield runs[:opening]
        yield from ((run,) for run in runs[opening:])
        if self.stopped:
            yield from (((number, len(text.text or "")),) for number, text in enumerate(self.answer.texts))

    def _texts(self, frame: Frame, number: int, size: int, at: list[int]) -> Iterator[Event]:
        """Yields the events of a run in a frame. `at`: how much of each text came before; it is moved on."""
        if number < 0:
            return
        text = self.answer.texts[number]
        channel = Channel("response", cast(Kind, text.kind), text.path)
        if text.judged:  # the record has only its findings
            if not at[number]:
                at[number] = text.chars
                yield Text(channel, " " * text.chars, frame, (), judged=True)
                yield End(channel)
            return
        shown = text.text or ""
        part = shown[at[number] : at[number] + size]
        if part:
            at[number] += len(part)
            key, shape = text.path.endswith("#key"), self.shapes.shape_at(*(text.shape or ("", ())))
            about = Text(
                channel,
                part,
                frame,
                (),
                encoded=text.encoded,
                key=key,
                number=text.number,
                shape=shape,
                fixed=text.fixed,
                unmapped=text.unmapped,
            )
            yield structs.replace(about, run=text.run) if text.run else about
            if at[number] == len(shown) and not text.open:
                yield End(channel)

    def end(self) -> list[Event]:
        return []

    def sent(self, frame: Frame) -> None:
        """Does nothing: a replay has no client."""
