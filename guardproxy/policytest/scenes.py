"""Turns a scene of a policy test into the bytes on the wire: a request, and answers that are cut at any offset.

In: `Texts` or `RawExchange`, and a seed. Out: bytes. The cuts are a function of the seed, so a failure can be reproduced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

from guardproxy.policy.values import RawExchange, RequestFacts, Texts
from guardproxy.wire import Author, Codec, Prompt
from guardproxy.wire.json import write

LETTERS = 1
"""The seed for which every character of a text, and every event, arrives in its own piece."""

_MOST_CUTS = 40


@dataclass(frozen=True, slots=True)
class Cuts:
    """How an answer arrives. `streamed`: as events. `seed`: selects the cuts; with seed 0 there is a single piece."""

    streamed: bool = False
    seed: int = 0

    def __str__(self) -> str:
        if not self.streamed and not self.seed:
            return "whole"
        return f"in pieces (seed {self.seed})" if self.seed else "streamed at once"


@dataclass(frozen=True, slots=True)
class SceneAnswer:
    """An answer of the upstream. `late[i]`: whether the piece after `pieces[i]` arrives before `pieces[i]` was
    scanned."""

    status: int
    media: str
    pieces: tuple[bytes, ...]
    late: tuple[bool, ...] = ()


Fill = Callable[[str], str]
"""Replaces numbered placeholders of a scene, such as `[EMAIL_ADDRESS_1]`, by the placeholders of this exchange."""


def request_of(scene: Texts | RawExchange, facts: RequestFacts, streamed: bool) -> bytes:
    """Returns the body of the request."""
    if isinstance(scene, RawExchange):
        return codec_of(facts).write_body(scene.request)
    prompt = Prompt(facts.model, scene.request or "", stream=streamed)
    codec = codec_of(facts)
    return codec.write_body(codec.author.request(prompt))


def answer_of(
    scene: Texts | RawExchange, facts: RequestFacts, cuts: Cuts, number: int, fill: Fill
) -> SceneAnswer | None:
    """Returns the answer for an attempt, counted from 0; `None` if the scene has no answer for it."""
    if isinstance(scene, RawExchange):
        return _raw_answer(scene, facts, cuts, number, fill)
    if number >= len(scene.answers):
        return None
    text, codec = fill(scene.answers[number]), codec_of(facts)
    author, media = codec.author, codec.contract.media
    if not cuts.streamed:
        return SceneAnswer(200, media.whole, (write(author.answer_with("assistant", text)),))
    pieces = [text[low:high] for low, high in _borders(len(text), cuts.seed)]
    return _cut(author.frames_with("assistant", pieces) or [], 200, media.streamed, cuts.seed)


def plays(scene: Texts | RawExchange, chunkings: int) -> list[Cuts]:
    """Returns all cuts at which a scene is played. All results must agree with the result at the first cuts."""
    if isinstance(scene, Texts):
        streams = [Cuts(True, seed) for seed in range(chunkings + 1)] if scene.answers and chunkings else []
        return [Cuts(), *streams]
    if scene.stream is not None:
        return [Cuts(True, seed) for seed in range(chunkings + 1)]
    # A JSON body is decoded only when it is complete, so a single seed represents all cuts.
    return [Cuts(False, seed) for seed in range(2 if scene.answers and chunkings else 1)]


def codec_of(facts: RequestFacts) -> Codec:
    """Returns the format of a scene's route."""
    codec = facts.formats.codec_for(facts.route)
    assert codec is not None  # noqa: S101 - the reader of the file has checked the route
    return codec


def _raw_answer(scene: RawExchange, facts: RequestFacts, cuts: Cuts, number: int, fill: Fill) -> SceneAnswer | None:
    codec = codec_of(facts)
    author, media = codec.author, codec.contract.media
    if scene.stream is not None:
        if number:
            return None
        # A scene may omit the closing events of its stream, as tests are about texts.
        items = [*scene.stream, *author.ending(scene.stream)]
        return _cut([_event(item, author, fill) for item in items], scene.status, media.streamed, cuts.seed)
    if number >= len(scene.answers):
        return None
    return _cut([fill(write(scene.answers[number]).decode()).encode()], scene.status, media.whole, cuts.seed)


def _event(item: Any, author: Author, fill: Fill) -> bytes:
    return fill(author.event(item).decode()).encode()


# Cuts.


def _cut(events: Sequence[bytes], status: int, media: str, seed: int) -> SceneAnswer:
    if seed == LETTERS:  # each event is scanned before the next arrives
        return SceneAnswer(status, media, tuple(events), (False,) * len(events))
    data = b"".join(events)
    pieces = tuple(data[low:high] for low, high in _borders(len(data), seed))
    chance = Random(f"late {seed}")  # noqa: S311 - a test that can be repeated
    return SceneAnswer(status, media, pieces, tuple(bool(seed) and chance.random() < 0.3 for _ in pieces))


def _borders(size: int, seed: int) -> list[tuple[int, int]]:
    """Returns the start and the end of each piece, in order."""
    if seed == LETTERS:
        return list(pairwise(range(size + 1)))
    chance = Random(f"{seed} {size}")  # noqa: S311 - as above
    count = chance.randint(1, min(size, _MOST_CUTS)) if seed and size > 1 else 0
    return list(pairwise(sorted({0, size, *(chance.randrange(1, size) for _ in range(count))})))
