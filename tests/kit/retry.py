"""Playing several attempts: what the model says one answer after the other, in both formats, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any

from guardproxy.decisions import UNPLANNED, Plan
from guardproxy.exchange.inputs.setting import ExchangeLimits
from guardproxy.exchange.inputs.transcript import DataReceived, Finish, ResponseEnded, ResponseStarted, SendUpstream
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.wire.contract.writing import Author, Prompt
from guardproxy.wire.registry import installed
from tests.kit.play import CHAT, MESSAGES, Play, chat_frames, cut, message_frames, pieces

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
RIGHT = '{"name": "Mara", "age": 41}'
POLICY = """\
policy: p
checks:
  word: {use: pattern, words: [no-such-word]}
  shape: {use: json_schema, schema: from_request}
rules:
  - {id: watch, on: request, when: word, action: flag}
"""
RULE = "  - {id: shape, on: response, when: shape, action: retry, attempts: 2}\n"
Body = dict[str, Any]


def author_of(route: str) -> Author:
    """What writes the format of a route."""
    codec = installed().codec_for(route)
    assert codec
    return codec.author


def ask(route: str = CHAT, *, stream: bool = False, schema: Any = PERSON, **more: Any) -> Body:
    """A request that asks for a person."""
    prompt = Prompt("m", "Who?", stream=stream, schema=schema)
    return {**author_of(route).request(prompt), **more}


def whole(text: str, route: str = CHAT, usage: tuple[int, int] = (3, 2)) -> bytes:
    """A whole answer."""
    codec = installed().codec_for(route)
    assert codec
    names = codec.contract.usage
    counted = {names.prompt[0]: usage[0], names.answer[0]: usage[1]}
    tree = codec.author.answer_with("assistant", text)
    assert tree
    return json.dumps({**tree, "model": "m", "usage": counted}).encode()


def streamed(text: str, route: str = CHAT, size: int = 3) -> bytes:
    """A stream of the text in pieces."""
    parts = pieces(text, range(size, len(text), size))
    frames = message_frames([("text", parts)]) if route == MESSAGES else chat_frames({"content": one} for one in parts)
    return b"".join(frames)


class Attempts:
    """A play with one answer after the other: `answers` are bodies, cut at the places that `cuts` gives."""

    def __init__(
        self,
        policies: PolicySet,
        body: Body,
        route: str = CHAT,
        limits: ExchangeLimits | None = None,
        clock: Callable[[], float] = lambda: 0.0,
        plan: Plan = UNPLANNED,
    ) -> None:
        self.play = Play(policies, route, limits or ExchangeLimits(), clock=clock)
        self.clock = clock
        self.play.ask(body, plan)
        self.stream = body.get("stream", False)

    def answer(
        self, data: bytes, cuts: Iterable[int] = (), *, status: int = 200, waits: Sequence[bool] = ()
    ) -> Attempts:
        """One answer, until it is over or discarded."""
        play, before = self.play, len(self.sent)
        media = "text/event-stream" if self.stream and status == 200 else "application/json"
        play.tell(ResponseStarted(status, media, self.clock()))
        for number, chunk in enumerate(cut(data, cuts)):
            if self.over or len(self.sent) > before:
                return self
            play.tell(DataReceived(chunk, self.clock()))
            if number >= len(waits) or not waits[number]:
                play.scan()
        play.scan()
        if not self.over and len(self.sent) == before:
            play.tell(ResponseEnded(self.clock()))
            play.scan()
        return self

    def say(self, text: str, cuts: Iterable[int] = (), **more: Any) -> Attempts:
        """One answer with this text."""
        data = streamed(text, self.play.route) if self.stream else whole(text, self.play.route)
        return self.answer(data, cuts, **more)

    @property
    def sent(self) -> list[SendUpstream]:
        return [command for command in self.play.done if isinstance(command, SendUpstream)]

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(command.body) for command in self.sent]

    @property
    def over(self) -> bool:
        return any(isinstance(command, Finish) for command in self.play.done)


def ticking(step: float) -> Callable[[], float]:
    """A clock that goes on by `step` seconds each time it is looked at."""
    ticks = count(1)
    return lambda: next(ticks) * step
