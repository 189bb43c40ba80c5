"""The codec of a format whose requests and answers are JSON. A format derives from it and writes only what differs. A format
whose requests have another body overrides `read_body` and `write_body`.

In: the format's `grammar`, the class of its stream decoder, and the members that the base class leaves open. Out: the
members of the protocol `Codec`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from msgspec import structs

from guardproxy.errors import ErrorCode
from guardproxy.events import Count, Frame, Text
from guardproxy.redaction import NO_SHAPES, Shape, Shapes
from guardproxy.wire.contract.codec import AnswerFacts, Codec, Decoder, Request
from guardproxy.wire.contract.contract import Contract
from guardproxy.wire.contract.fields import FieldPath, has_field
from guardproxy.wire.contract.listed import without_entries
from guardproxy.wire.contract.turns import Turns
from guardproxy.wire.contract.writing import Author
from guardproxy.wire.decoding.decoding import StreamDecoder, edited_frame, events_of, leaf_of, nothing
from guardproxy.wire.decoding.whole_body import WholeDecoder
from guardproxy.wire.json import Map, TreeLeaf, dotted, edited, read, walk, write
from guardproxy.wire.request.requests import drop_echoes, read_body, refuse_other_case

D = TypeVar("D", bound=StreamDecoder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """How a format reads its JSON bodies. Every field is required, as a missing one could leave a text unguarded.

    `request`, `answer`, `json_answer` and `error` are maps: of a request, of a plain answer, of an answer that must be JSON
    itself, and of an error. `shapes_of`: reads the schemas of a request. `shape_of(shapes, tree, leaf)`: the demand of the
    schemas on a text. `notice`: reads usage and other facts of an answer. `withhold`: removes the fields of an answer that
    could repeat text, and returns their names. `counts_of(shapes, tree)`: the numbers that count characters of a text.
    """

    request: Map
    answer: Map
    json_answer: Map
    error: Map
    shapes_of: Callable[[Any], Shapes]
    shape_of: Callable[[Shapes, Any, TreeLeaf], Shape | None]
    notice: Callable[[Any, AnswerFacts], None]
    withhold: Callable[[Any], list[str]]
    counts_of: Callable[[Shapes, Any], tuple[Count, ...]]


def no_shapes(tree: Any) -> Shapes:
    """`Grammar.shapes_of` of a format whose requests have no schemas."""
    return NO_SHAPES


def no_shape(shapes: Shapes, tree: Any, leaf: TreeLeaf) -> Shape | None:
    """`Grammar.shape_of` of a format whose answers hold no text of a model."""
    return None


def no_counts(shapes: Shapes, tree: Any) -> tuple[Count, ...]:
    """`Grammar.counts_of` of a format whose answers count no characters."""
    return ()


class JsonCodec(ABC, Generic[D]):
    """A codec of JSON bodies. `D`: the decoder of the format's streams. `stream_end`: what ends a stream after an error."""

    name: str
    provider: str
    routes: tuple[str, ...]
    contract: Contract
    turns: Turns
    author: Author
    stream_end: bytes = b""

    @property
    @abstractmethod
    def grammar(self) -> Grammar:
        """How the format reads bodies."""

    @property
    @abstractmethod
    def stream(self) -> type[D]:
        """The class of the decoder of streams. Its framing is that of the format."""

    # Requests.

    @abstractmethod
    def check(self, tree: dict[str, Any]) -> None:
        """Raises `DownstreamError`, which names the field, if a field of a request has a wrong type."""

    def for_request(self, path: str, query: str) -> Codec:
        """Returns the codec of a request: one codec reads every framing of most formats."""
        return self

    def model_of(self, path: str, tree: dict[str, Any]) -> str:
        """Returns the model that a request names."""
        return tree.get("model") or ""

    def is_streamed(self, path: str, tree: dict[str, Any]) -> bool:
        """Whether a request asks for a stream."""
        return bool(tree.get("stream"))

    def read_body(self, body: bytes) -> dict[str, Any]:
        return read_body(body)

    def write_body(self, tree: Any) -> bytes:
        return write(tree)

    def has_field(self, path: FieldPath) -> bool:
        return has_field(self.grammar.request, path)

    def read_request(self, path: str, query: str, body: bytes) -> Request:
        tree = self.read_body(body)
        echoes = refuse_other_case(tree, self.grammar.request)
        self.check(tree)
        if echoes:
            drop_echoes(tree, echoes)
            body = self.write_body(tree)
        grammar, words = self.grammar, self.contract.words
        whole, shapes = Frame(body, tree), grammar.shapes_of(tree)
        shape_of = partial(grammar.shape_of, shapes)
        return Request(
            self.model_of(path, tree),
            self.is_streamed(path, tree),
            whole,
            lambda: events_of(walk(tree, grammar.request, words=words), whole, "request", shape_of),
            shapes,
        )

    # Answers.

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
        grammar, words = self.grammar, self.contract.words
        withhold = grammar.withhold if guarded else nothing
        if streamed:
            return self.stream(limit_bytes, read, shapes, withhold, words)
        how = grammar.error if failed else grammar.json_answer if shapes.answer else grammar.answer
        shape_of, counts_of = partial(grammar.shape_of, shapes), partial(grammar.counts_of, shapes)
        return WholeDecoder(how, grammar.notice, limit_bytes, shape_of, read, withhold, counts_of, words)

    @staticmethod
    def _spelled(frame: Frame) -> Frame:
        """Returns the frame with its numbers as they were spelled. Whole answers are read without that."""
        is_answer = isinstance(frame.tree, dict) and not frame.streamed and frame.terminal
        return structs.replace(frame, tree=read(frame.data)) if is_answer else frame

    def edited_tree(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> Any:
        """Returns the tree of a frame with these texts. A format with fields that repeat texts drops them here."""
        return edited(frame.tree, [(leaf_of(old), new) for old, new in texts if not old.judged])

    def _without_gone(self, frame: Frame, texts: Sequence[tuple[Text, str]], tree: Any) -> Any:
        """Returns an edited tree without the objects that are taken out of it: entries of lists, and definitions of tools,
        whose texts are only judged."""
        gone = [old.path for old, _ in texts if old.judged]
        if gone and texts[0][0].channel.direction == "request":
            return self.contract.offered(tree).without(gone)
        return without_entries(tree, {*frame.left_out, *map(dotted, gone)}) if gone or frame.left_out else tree

    @abstractmethod
    def without_end(self, frame: Frame, tree: Any) -> Any:
        """Returns an edited tree without its fields that end an answer; `None` if nothing of the frame is left."""

    def edited(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        tree = self._without_gone(frame, texts, self.edited_tree(self._spelled(frame), texts))
        if texts and texts[0][0].channel.direction == "request":
            return self.write_body(tree)
        return edited_frame(frame, tree, self.stream.framing)

    def cut(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        frame = self._spelled(frame)
        tree = self.without_end(frame, self._without_gone(frame, texts, self.edited_tree(frame, texts)))
        return b"" if tree is None else edited_frame(frame, tree, self.stream.framing)

    @abstractmethod
    def error(self, status: int, code: str, message: str, field: str | None = None) -> bytes: ...

    def own_answer(self, status: int, code: str, message: str, field: str | None = None) -> tuple[int, bytes]:
        return status, self.error(status, code, message, field)

    def error_event(self, code: str, message: str, decoder: Decoder | None = None) -> bytes:
        return self.stream.framing.frame(self.error(500, code, message)) + self.stream_end

    def ending(self, decoder: D, message: str) -> bytes:
        """Ends a stream that a filter stopped, with an error if the format has no other way. `decoder`: the decoder of the
        stream; a new one if nothing was sent."""
        return self.error_event(ErrorCode.CONTENT_FILTER, message, decoder)

    def filtered(self, decoder: Decoder, message: str) -> bytes:
        stream = self.stream
        return self.ending(decoder if isinstance(decoder, stream) else stream(limit_bytes=0), message)

    def keep_alive(self) -> bytes:
        return self.stream.framing.KEEP_ALIVE

    def opening(self, model: str) -> bytes:
        return b""

    def comment(self, text: str) -> bytes:
        return self.stream.framing.comment(text)
