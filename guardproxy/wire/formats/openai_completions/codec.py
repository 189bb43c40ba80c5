"""OpenAI Completions: `POST /v1/completions`, and the additions of vLLM and others.

Fields follow the public API and the types of openai-python. Answers and chunks have one shape: `choices[].text`. With `echo`
the text repeats the prompt, so checks of answers read the prompt too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.events import Count, Frame, Text
from guardproxy.redaction import Shape, Shapes
from guardproxy.wire.contract.turns import Turns
from guardproxy.wire.contract.writing import Author
from guardproxy.wire.decoding.decoding import LeafPlace, index_of, indexed, is_delta
from guardproxy.wire.decoding.json_codec import Grammar, no_shapes
from guardproxy.wire.families import openai
from guardproxy.wire.families.openai import ChoicesCodec, ChoicesDecoder
from guardproxy.wire.formats.openai_completions import turns
from guardproxy.wire.formats.openai_completions.contract import CONTRACT
from guardproxy.wire.formats.openai_completions.derived_fields import trim, withhold
from guardproxy.wire.formats.openai_completions.field_map import JSON_RESPONSE, REQUEST, RESPONSE
from guardproxy.wire.formats.openai_completions.writer import author
from guardproxy.wire.json import Map, TreeLeaf, dotted, text
from guardproxy.wire.request import prompts
from guardproxy.wire.request.azure import hosted_routes
from guardproxy.wire.request.requests import expect_type

_TEXT = ("choices", "text")


def _shape_of(shapes: Shapes, tree: Any, found: TreeLeaf) -> Shape | None:
    """Returns the demand of a policy's schema on a leaf: requests of the format have no schemas."""
    return shapes.answer if found.leaf.how == "json" else None


def _offsets(tree: Any, origins: dict[int, int]) -> Iterator[Count]:
    """Yields the offsets of tokens in the texts. `origins`: the first offset of each choice; those of new choices are added."""
    for number, choice in enumerate(tree["choices"] if isinstance(tree.get("choices"), list) else ()):
        lists = choice.get("logprobs") if isinstance(choice, dict) else None
        offsets = lists.get("text_offset") if isinstance(lists, dict) else None
        if not isinstance(offsets, list) or not offsets or type(offsets[0]) is not int:
            continue
        # Servers count from the beginning of the prompt, so a text may begin with any offset.
        origin = origins.setdefault(index_of(choice), offsets[0])
        for at in range(len(offsets)):
            path = ("choices", number, "logprobs", "text_offset", at)
            yield Count(path, path, f"choices[{index_of(choice)}].text", origin=origin)


def _counts_of(shapes: Shapes, tree: Any) -> tuple[Count, ...]:
    return tuple(_offsets(tree, {}))


@dataclass(slots=True)
class CompletionDecoder(ChoicesDecoder):
    """A stream of chunks. Each holds the next parts of some choices."""

    _origins: dict[int, int] = field(default_factory=dict)

    def how(self, tree: Any) -> Map:
        return JSON_RESPONSE if self.shapes.answer else RESPONSE

    def shape_of(self, tree: Any, found: TreeLeaf, place: LeafPlace) -> Shape | None:
        return _shape_of(self.shapes, tree, found)

    def counts_of(self, tree: Any) -> tuple[Count, ...]:
        return tuple(_offsets(tree, self._origins))

    def place(self, tree: Any, found: TreeLeaf) -> LeafPlace:
        path = indexed(tree, found.path)
        is_part = path[0] == "choices" and len(path) > len(_TEXT)
        run = dotted(path[:2]) if path[0] == "choices" else str(path[0])
        return LeafPlace(found.leaf.kind, dotted(path), run, is_delta(path, "delta" if is_part else ""))


class OpenAICompletions(ChoicesCodec[CompletionDecoder]):
    """The codec."""

    name = "openai_completions"
    routes: tuple[str, ...] = (author.ROUTE, *hosted_routes("completions"))
    contract = CONTRACT
    turns: Turns = turns
    author: Author = author

    stream = CompletionDecoder
    grammar = Grammar(
        request=REQUEST,
        answer=RESPONSE,
        json_answer=JSON_RESPONSE,
        error=text("error"),
        shapes_of=no_shapes,
        shape_of=_shape_of,
        notice=openai.notice,
        withhold=withhold,
        counts_of=_counts_of,
    )

    def check(self, tree: dict[str, Any]) -> None:
        expect_type(tree, "model", str)
        expect_type(tree, "stream", bool)
        expect_type(tree, "echo", bool)
        expect_type(tree, "suffix", str)
        prompts.check(tree.get("prompt"), "prompt")
        for name in ("n", "best_of"):
            expect_type(tree, name, int)
            if not 1 <= (tree.get(name) or 1) <= 128:
                raise DownstreamError(ErrorCode.INVALID_VALUE, f"`{name}` must be 1 to 128", name)

    def edited_tree(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> Any:
        tree = super().edited_tree(frame, texts)
        if texts and texts[0][0].channel.direction == "response":
            # They were cut to fit the text before the edit, and would tell its length.
            for name in openai.PADDINGS:
                tree.pop(name, None)
            for old, new in texts:
                if old.path[::2] == _TEXT and (old.altered or old.text != new):
                    _drop_echoes(tree["choices"][old.path[1]], old, new)
        return tree

    def ending(self, decoder: CompletionDecoder, message: str) -> bytes:
        return decoder.ending("text_completion", {"text": "", "logprobs": None})


def _drop_echoes(choice: dict[str, Any], old: Text, new: str) -> None:
    """Drops the fields of an edited choice that repeat the old text."""
    choice.pop("token_ids", None)
    if old.altered:
        choice["logprobs"] = None
    else:
        trim(choice, old.text, new)


CODEC = OpenAICompletions()
