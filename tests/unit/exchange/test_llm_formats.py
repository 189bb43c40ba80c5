"""Checks that ask a model elsewhere, in every format: plain and streamed, at every cut, and where an answer has no end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.exchange.inputs.setting import ExchangeLimits
from guardproxy.exchange.inputs.transcript import DataReceived, RequestReceived, ResponseStarted, SendData
from guardproxy.findings import Kind
from guardproxy.wire import Codec, codecs, installed
from guardproxy.wire.json import write
from tests.kit.asked import FakeModels, policies_asking
from tests.kit.play import Play, cut

POLICY = """\
policy: p
checks: {polite: {use: llm, upstream: judge, model: m, rubric: "Is it rude?"}}
rules:
"""
IN = "  - {id: rude, on: request, when: polite, action: block}\n"
OUT = "  - {id: rude, on: response, when: polite, action: ACTION}\n"
RUDE = "you are so rude"
KINDS: tuple[Kind, ...] = ("assistant", "tool_arguments", "reasoning", "refusal", "tool_result")


def playing(codec: Codec, *rules: str) -> tuple[Play, FakeModels]:
    models = FakeModels(lambda text: "yes" if "rude" in text else "no")
    found = installed().served(codec.author.ROUTE)
    assert found is not None
    route, path = found.route.text, codec.author.ROUTE.partition(" ")[2]
    return Play(policies_asking(models, POLICY + "".join(rules)), route, path=path, limits=ExchangeLimits()), models


@pytest.mark.parametrize("codec", codecs(), ids=lambda codec: codec.name)
def test_the_texts_of_a_request_are_judged_in_every_format(codec: Codec) -> None:
    for kind in sorted(
        codec.contract.carries["request"] & {"user", "system", "tool_result", "document", "tool_arguments"}
    ):
        play, models = playing(codec, IN)
        play.ask(write(codec.author.request_with(kind, RUDE)))
        assert any("rude" in text for text in models.texts), kind
        assert (play.finish.outcome, play.record["verdicts"][0]["check"]) == ("blocked_request", "polite"), kind


ANSWERS = [
    (codec, kind, streamed)
    for codec in codecs()
    for kind in KINDS
    for streamed in (False, True)
    if kind in codec.contract.carries["response"]
    and (codec.author.frames_with(kind, [RUDE]) if streamed else codec.author.answer_with(kind, RUDE)) is not None
]


def answered(
    codec: Codec, kind: Kind, action: str, pieces: list[str], *, streamed: bool, cuts: list[int]
) -> tuple[Play, FakeModels]:
    author, media = codec.author, codec.contract.media
    play, models = playing(codec, OUT.replace("ACTION", action))
    first: Kind = "user" if "user" in codec.contract.carries["request"] else "tool_arguments"
    play.ask(write(author.request_with(first, "hello")))
    if streamed:
        frames = author.frames_with(kind, pieces)
        assert frames is not None
        data = b"".join(frames)
    else:
        data = write(author.answer_with(kind, "".join(pieces)))
    play.stream(cut(data, cuts), media=media.streamed if streamed else media.whole)
    return play, models


NAMES = [f"{codec.name}-{kind}-{'streamed' if streamed else 'plain'}" for codec, kind, streamed in ANSWERS]


@pytest.mark.parametrize(("codec", "kind", "streamed"), ANSWERS, ids=NAMES)
def test_the_texts_of_an_answer_are_judged_in_every_format(codec: Codec, kind: Kind, streamed: bool) -> None:
    play, models = answered(codec, kind, "block", ["you are so ru", "de"], streamed=streamed, cuts=[])
    assert [text for text in models.texts if text == RUDE] == [RUDE], models.texts
    assert play.finish.outcome == "blocked_response"
    assert b"you are so" not in play.client


@given(st.sampled_from(ANSWERS), st.lists(st.integers(0, 900), max_size=6), st.sampled_from(["block", "flag"]))
def test_the_cuts_of_an_answer_change_nothing(answer: tuple[Codec, Kind, bool], cuts: list[int], action: str) -> None:
    codec, kind, streamed = answer
    pieces = ["fine, ", "and ru", "de too"]
    whole, asked = answered(codec, kind, action, pieces, streamed=streamed, cuts=[])
    again, also = answered(codec, kind, action, pieces, streamed=streamed, cuts=cuts)
    assert (again.client, also.texts) == (whole.client, asked.texts)
    assert again.record == whole.record


LISTENING = [codec for codec in codecs() if codec.contract.media.empty]


@pytest.mark.parametrize("codec", LISTENING, ids=lambda codec: codec.name)
@pytest.mark.parametrize("on_error", ["block", "flag"])
def test_messages_that_nobody_announces_fail_the_check(codec: Codec, on_error: str) -> None:
    """Such a stream does not end, and nothing unchecked is shown."""
    play, models = playing(codec, OUT.replace("ACTION", "block"), f"on_error: {on_error}\n")
    route = next(route for route in codec.routes if route.startswith("GET "))
    path = codec.author.ROUTE.partition(" ")[2]
    listening = Play(play.policies, route, path=path)
    listening.tell(RequestReceived(b""))
    listening.tell(ResponseStarted(200, codec.contract.media.streamed))
    frames = codec.author.frames_with("assistant", [RUDE]) or codec.author.frames_with("tool_result", [RUDE])
    assert frames
    listening.tell(DataReceived(b"".join(frames)))
    listening.scan()
    shown = b"".join(command.data for command in listening.done if isinstance(command, SendData))
    assert (RUDE.encode() in shown) == (on_error == "flag")
    assert models.texts == []


def test_every_such_format_is_tried() -> None:
    known: Any = {codec.name for codec, _, _ in ANSWERS}
    assert len(known) >= 8
