"""The codec of a format that a policy file declares. It is built from the same parts as the shipped formats: maps, a `Grammar`
and a decoder of streams.

Closed by construction: a string at a place that no pointer names is read as `unmapped`. Token data is withheld from guarded
answers. A stream is complete only with its declared end. A stop sends an error, as the format's own way to end a filtered
answer is unknown: no client takes a stopped answer for a finished one.

Decisions:
- docs/decisions/0036-policies-declare-wire-formats.md
- docs/decisions/0072-an-agent-of-others-is-declared.md
"""

from __future__ import annotations

from typing import Any, ClassVar

from guardproxy.events import Event, Frame, Opaque
from guardproxy.redaction import Shape, Shapes
from guardproxy.wire.contract.codec import AnswerFacts
from guardproxy.wire.declared.contract import REPEATS, Maps, contract_of, ending, framing_of, maps_of
from guardproxy.wire.declared.declaration import DeclaredFormat
from guardproxy.wire.declared.pointers import Pointer, moved, put, value, without
from guardproxy.wire.declared.turns import DeclaredTurns
from guardproxy.wire.declared.writer import DeclaredAuthor
from guardproxy.wire.decoding.decoding import LeafPlace, StreamDecoder, indexed, is_delta
from guardproxy.wire.decoding.json_codec import Grammar, JsonCodec, no_counts, no_shapes
from guardproxy.wire.decoding.token_data import drop
from guardproxy.wire.framing import Framing, StreamEvent
from guardproxy.wire.json import NUMBER_LIMIT, Map, TreeLeaf, dotted, text, write
from guardproxy.wire.request.requests import expect_type


def _shape_of(shapes: Shapes, tree: Any, leaf: TreeLeaf) -> Shape | None:
    """Returns the demand of a policy's schema on a leaf: requests of the format have no schemas."""
    return shapes.answer if leaf.leaf.how == "json" else None


class DeclaredDecoder(StreamDecoder):
    """A stream of frames. A class for each format derives from it."""

    of: ClassVar[DeclaredFormat]
    maps: ClassVar[Maps]
    twins: ClassVar[tuple[tuple[Pointer, Pointer], ...]]

    def how(self, tree: Any) -> Map:
        return self.maps.json_frame if self.shapes.answer else self.maps.frame

    def shape_of(self, tree: Any, leaf: TreeLeaf, place: LeafPlace) -> Shape | None:
        return _shape_of(self.shapes, tree, leaf)

    def place(self, tree: Any, leaf: TreeLeaf) -> LeafPlace:
        path = indexed(tree, leaf.path)
        there = (moved(path, part, text) for part, text in self.twins)
        path = next((found for found in there if found is not None), path)
        is_text = leaf.leaf.how in ("text", "json") and leaf.leaf.kind not in ("metadata", "error")
        flows = is_delta(path, "") if leaf.leaf.kind == "unmapped" else is_text and self.of.has_streams
        return LeafPlace(leaf.leaf.kind, dotted(path), "answer", flows)

    def name_of(self, tree: Any, event: str | None) -> str | None:
        return event if event in self.of.stream.events else None

    def special(self, event: StreamEvent) -> list[Event] | None:
        end = self.of.stream.end_text.encode()
        if not end or event.data is None or event.data.strip() != end:
            return None
        frame = Frame(self.framing.frame(end, self.name_of(None, event.event)), streamed=True, terminal=True)
        return [*self.finish(), Opaque(frame)]

    def ends(self, tree: Any) -> bool:
        return not self.of.stream.end_text and self._is_last(tree)

    def _is_last(self, tree: Any) -> bool:
        """Whether nothing of the answer follows a frame."""
        for place, last in self.of.stream.ends:
            # In Python 1 equals true, and in JSON it does not.
            if (found := value(tree, place)) == last and type(found) is type(last):
                return True
        return isinstance(message := value(tree, self.of.error), str) and bool(message)

    def after(self, tree: Any) -> list[Event]:
        notice(self.of, tree, self.seen)
        if not self._is_last(tree):
            return []
        if not self.of.stream.end_text:
            return self.finish()
        self.complete = True
        return self.close_all()


def notice(declaration: DeclaredFormat, tree: Any, seen: AnswerFacts) -> None:
    """Reads the counts of tokens from an answer or a frame."""
    answer = declaration.answer
    for name, place in (("prompt_tokens", answer.prompt_tokens), ("answer_tokens", answer.answer_tokens)):
        if type(count := value(tree, place)) is int and abs(count) < NUMBER_LIMIT:
            seen.usage = {**seen.usage, name: count}


class DeclaredCodec(JsonCodec[DeclaredDecoder]):
    """The codec of a declaration. Raises `PointerError` if two pointers contradict each other. Its name holds the digest of the
    declaration, so that a record tells in which format it was read."""

    def __init__(self, declaration: DeclaredFormat) -> None:
        self.declaration = declaration
        self.name = f"{declaration.name}@{declaration.digest}"
        self.provider = declaration.name
        self.routes = declaration.routes
        self.contract = contract_of(declaration)
        maps = maps_of(declaration)
        self.author = self._author = DeclaredAuthor(declaration, maps.request)
        self.turns = DeclaredTurns(declaration, maps.request)
        kept = tuple(place[-1] for place in (*declaration.answer.structure, *declaration.stream.structure))

        def withhold(tree: Any) -> list[str]:
            gone: dict[str, None] = {}
            drop(tree, gone.setdefault, REPEATS, kept)
            return list(gone)

        self._grammar = Grammar(
            request=maps.request,
            answer=maps.answer,
            json_answer=maps.json_answer,
            error=text("error"),
            shapes_of=no_shapes,
            shape_of=_shape_of,
            notice=lambda tree, seen: notice(declaration, tree, seen),
            withhold=withhold,
            counts_of=no_counts,
        )
        self._stream = _decoder_of(declaration, maps)
        self.stream_end = ending(declaration) if declaration.stream.end_text else b""

    @property
    def grammar(self) -> Grammar:
        return self._grammar

    @property
    def stream(self) -> type[DeclaredDecoder]:
        return self._stream

    def check(self, tree: dict[str, Any]) -> None:
        request = self.declaration.request
        for place, type_ in ((request.stream, bool), (request.model, str)):
            if place and isinstance(holder := value(tree, place[:-1]), dict):
                expect_type(holder, place[-1], type_, _where(place))

    def model_of(self, path: str, tree: dict[str, Any]) -> str:
        return value(tree, self.declaration.request.model) or ""

    def is_streamed(self, path: str, tree: dict[str, Any]) -> bool:
        return self._author.is_streamed(tree)

    def without_end(self, frame: Frame, tree: Any) -> Any:
        for place, _ in self.declaration.stream.ends:
            tree = without(tree, place)
        return tree

    def error(self, status: int, code: str, message: str, field: str | None = None) -> bytes:
        return write(put({}, self.declaration.error, f"{message} ({code})"))


def _where(place: Pointer) -> str:
    return ".".join(place[:-1])


def _decoder_of(declaration: DeclaredFormat, its_maps: Maps) -> type[DeclaredDecoder]:
    """Returns the class of the decoder of a format's streams."""

    class Bound(DeclaredDecoder):
        """The decoder of one format."""

        of: ClassVar[DeclaredFormat] = declaration
        maps: ClassVar[Maps] = its_maps
        twins: ClassVar[tuple[tuple[Pointer, Pointer], ...]] = declaration.twins()
        framing: ClassVar[Framing] = framing_of(declaration)

    return Bound
