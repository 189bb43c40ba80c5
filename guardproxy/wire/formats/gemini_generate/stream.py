"""The decoder of a stream: each frame is a whole answer, whose parts continue the parts of the frames before.

The parts of a candidate are numbered over all frames as they are in the answer that the frames add up to: a text continues the
text before it, any other part is new. So a text of a stream has the same path as in a plain answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from guardproxy.errors import ErrorCode
from guardproxy.events import Count, Event, Frame, Opaque, Path
from guardproxy.redaction import Shape
from guardproxy.wire.contract.codec import AnswerFacts
from guardproxy.wire.decoding.decoding import LeafPlace, StreamDecoder, counts, index_of, indexed, is_delta
from guardproxy.wire.decoding.frame_cache import Filler
from guardproxy.wire.formats.gemini_generate.calls import CollectedCall, call_key
from guardproxy.wire.formats.gemini_generate.derived_fields import offsets
from guardproxy.wire.formats.gemini_generate.field_case import camel, value
from guardproxy.wire.formats.gemini_generate.field_map import EVENT, JSON_EVENT
from guardproxy.wire.formats.gemini_generate.schemas import shape_of_part
from guardproxy.wire.formats.gemini_generate.words import WORDS
from guardproxy.wire.framing import Framing, StreamEvent, data_lines, json_array
from guardproxy.wire.json import Map, TreeLeaf, dotted, members, objects

_PARTS = ("content", "parts")
_TO_PART = 5  # steps of a path to a part: `candidates`, 0, `content`, `parts`, 0
_SILENT = frozenset(("thought", "thoughtSignature", "partMetadata"))  # fields that begin no part
_ALONE = frozenset(
    (
        *("functionCall", "functionResponse", "executableCode", "codeExecutionResult", "inlineData", "fileData"),
        *("toolCall", "toolResponse"),
    )
)
_UNSPECIFIED = ("", "FINISH_REASON_UNSPECIFIED")


def notice(tree: Any, seen: AnswerFacts) -> None:
    """Reads the usage, the model and the reasons of the end from an answer or a frame."""
    _notice(tree, [finish_of(candidate) for candidate in objects(value(tree, "candidates"))], seen)


def _notice(tree: Any, reasons: list[str], seen: AnswerFacts) -> None:
    """Reads the facts of an answer. `reasons`: those of its candidates."""
    if isinstance(usage := value(tree, "usageMetadata"), dict):
        seen.usage = {**seen.usage, **counts(usage, WORDS)}
    if isinstance(model := value(tree, "modelVersion"), str):
        seen.model = model
    seen.finish += filter(None, (*reasons, _block_reason(tree)))


def finish_of(candidate: Any) -> str:
    """Returns the reason for which a candidate ended; empty if it goes on."""
    reason = value(candidate, "finishReason")
    return reason if isinstance(reason, str) and reason not in _UNSPECIFIED else ""


def _block_reason(tree: Any) -> str:
    reason = value(value(tree, "promptFeedback"), "blockReason")
    return reason if isinstance(reason, str) else ""


def _nature(part: Any) -> str:
    """Returns what a part is: `text`, `thought`, `call`, `alone` (never continued), the names of unknown fields, or nothing
    for a part that only says something about another."""
    if not isinstance(part, dict):
        return "alone"
    names = {camel(name) for name in part} - _SILENT
    if "functionCall" in names:
        return "call"
    if names & _ALONE:
        return "alone"
    if "text" in names:
        return "thought" if part.get("thought") is True else "text"
    return " ".join(sorted(names))


@dataclass(slots=True)
class PartPosition:
    """The position of a candidate: the number and the nature of its current part, and the call in it."""

    number: int = 0
    nature: str = ""
    call: CollectedCall = field(default_factory=CollectedCall)
    paths: dict[str, int] = field(default_factory=dict)  # JSON paths of the call's arguments, numbered

    def move(self, part: Any, nature: str) -> bool:
        """Moves to a part. Returns whether it is a new part."""
        call = members(part).get(call_key(part))
        continues = nature == self.nature and nature != "alone" and (nature != "call" or self.call.goes_on)
        is_new = bool(nature) and not continues
        if is_new:
            # The first part has the number 0.
            self.number += bool(self.nature)
            self.nature = nature
            self.call, self.paths = CollectedCall(), {}
        if nature == "call":
            self.call.add(members(call))
        return is_new


@dataclass(slots=True)
class GenerateDecoder(StreamDecoder):
    """A stream of answers. `shown`: whether the client received a frame."""

    framing: ClassVar[Framing] = data_lines
    remembers: ClassVar[bool] = True
    fillers: ClassVar[Mapping[Path, Filler]] = {
        ("usageMetadata", "candidatesTokenCount"): "count",
        ("usageMetadata", "thoughtsTokenCount"): "count",
        ("usageMetadata", "totalTokenCount"): "count",
    }
    shown: bool = False
    _positions: dict[int, PartPosition] = field(default_factory=dict)
    _numbers: dict[tuple[Any, Any], int] = field(default_factory=dict)  # of the frame: candidate and part -> number
    _calls: list[tuple[str, str]] = field(default_factory=list)  # of the frame
    _left: list[str] = field(default_factory=list)  # the runs of parts that the frame leaves behind
    _unfinished: set[int] = field(default_factory=set)
    _finished: set[int] = field(default_factory=set)

    def calls_of(self, tree: Any) -> tuple[tuple[str, str], ...]:
        self._number(tree)
        return tuple(self._calls)

    def _number(self, tree: Any) -> None:
        """Numbers the parts of the frame."""
        self._numbers.clear()
        self._calls.clear()
        candidates = value(tree, "candidates")
        for at, candidate in enumerate(candidates if isinstance(candidates, list) else ()):
            if not isinstance(candidate, dict):
                continue
            index = index_of(candidate)
            position = self._positions.setdefault(index, PartPosition())
            parts = value(candidate.get("content"), "parts")
            for order, part in enumerate(parts if isinstance(parts, list) else ()):
                before = _run(index, position.number)
                nature = _nature(part)
                if position.move(part, nature) and before != _run(index, position.number):
                    self._left.append(before)
                self._numbers[at, order] = position.number
                if nature == "call" and not position.call.goes_on:
                    key = call_key(part) or "functionCall"
                    self._calls.append((f"{_run(index, position.number)}.{key}.args", position.call.text()))

    def how(self, tree: Any) -> Map:
        return JSON_EVENT if self.shapes.answer else EVENT

    def place(self, tree: Any, leaf: TreeLeaf) -> LeafPlace:
        kind, path = leaf.leaf.kind, leaf.path
        if path[0] != "candidates" or path[2:4] != _PARTS or len(path) <= _TO_PART:
            named = indexed(tree, path)
            return LeafPlace(kind, dotted(named), dotted(named[:2]), is_delta(path, ""))
        candidate = tree["candidates"][path[1]]
        index, rest = index_of(candidate), path[_TO_PART:]
        run = _run(index, self._numbers.get((path[1], path[4]), 0))
        if rest == ("text",):
            return LeafPlace(kind, f"{run}.text", run, flows=True)
        if len(rest) == 4 and camel(str(rest[3])) == "stringValue" and camel(str(rest[1])) == "partialArgs":
            partial = candidate["content"]["parts"][path[4]][rest[0]][rest[1]][rest[2]]
            paths = self._positions[index].paths
            number = paths.setdefault(str(value(partial, "jsonPath")), len(paths))
            return LeafPlace(kind, f"{run}.{rest[0]}.{rest[1]}[{number}].{rest[3]}", run, flows=True)
        flows = kind == "unmapped" and is_delta(path, "delta")
        return LeafPlace(kind, f"{run}.{dotted(rest)}", run, flows)

    def shape_of(self, tree: Any, leaf: TreeLeaf, place: LeafPlace) -> Shape | None:
        if leaf.leaf.how == "json":
            return self.shapes.answer
        if leaf.path[0] != "candidates" or leaf.key or leaf.number or len(leaf.path) <= _TO_PART:
            return None
        node = tree
        for step in leaf.path[:_TO_PART]:
            node = node[step]
        return shape_of_part(self.shapes, node, leaf.path[_TO_PART:]) if isinstance(node, dict) else None

    def counts_of(self, tree: Any) -> tuple[Count, ...]:
        candidates = value(tree, "candidates")

        def name_text(at: int, part: int) -> str:
            return f"{_run(index_of(candidates[at]), part)}.text"

        return tuple(offsets(tree, name_text))

    def ends(self, tree: Any) -> bool:
        return bool(tree.get("error"))

    def after(self, tree: Any) -> list[Event]:
        candidates = objects(value(tree, "candidates"))
        reasons = list(map(finish_of, candidates))
        _notice(tree, reasons, self.seen)
        for candidate, reason in zip(candidates, reasons, strict=True):
            index = index_of(candidate)
            if reason:
                self._finished.add(index)
                self._unfinished.discard(index)
            elif index not in self._finished:
                self._unfinished.add(index)
            self.complete = not self._unfinished
        # Google answers a prompt that it blocks without any candidate.
        if not candidates and not self._unfinished and _block_reason(tree):
            self.complete = True
        if self.ends(tree):
            return self.finish()
        left, self._left = self._left, []
        return [event for run in left for event in self.close_run(run)]

    def sent(self, frame: Frame) -> None:
        self.shown = True


def _run(index: int, number: int) -> str:
    """Returns the path of a part of a candidate."""
    return f"candidates[{index}].content.parts[{number}]"


@dataclass(slots=True)
class ArrayDecoder(GenerateDecoder):
    """The same answers as elements of a JSON array, as servers send them without `alt=sse`."""

    framing: ClassVar[Framing] = json_array

    def name_of(self, tree: Any, event: str | None) -> str | None:
        return f"{event}]" if event and self.ends(tree) else event

    def special(self, event: StreamEvent) -> list[Event] | None:
        if event.data != json_array.CLOSE:
            return None
        if not self.complete:
            return self.fault(ErrorCode.UPSTREAM_TRUNCATED, "the answer ended before it was complete")
        return [*self.finish(), Opaque(Frame(json_array.CLOSE, streamed=True, terminal=True))]
