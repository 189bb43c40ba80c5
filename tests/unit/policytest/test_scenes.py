"""A scene becomes the bytes of a request and of answers, whatever the seed says about their cuts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.policy.values.cases import RawExchange, RequestFacts, Texts
from guardproxy.policytest.scenes import LETTERS, Cuts, SceneAnswer, answer_of, plays, request_of
from tests.kit.play import CHAT, MESSAGES, chat_texts, events, message_texts

ROUTES = (CHAT, MESSAGES)


def same(text: str) -> str:
    return text


def answer(scene: Texts | RawExchange, cuts: Cuts, number: int = 0, route: str = CHAT) -> SceneAnswer:
    found = answer_of(scene, RequestFacts(route), cuts, number, same)
    assert found
    return found


def test_a_request_is_what_its_format_asks_for() -> None:
    assert json.loads(request_of(Texts("hello"), RequestFacts(model="m"), False)) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
    }
    streamed = json.loads(request_of(Texts(None), RequestFacts(MESSAGES), True))
    assert (streamed["stream"], streamed["max_tokens"], streamed["messages"][0]["content"]) == (True, 1024, "")
    assert json.loads(request_of(RawExchange({"a": 1}), RequestFacts(), True)) == {"a": 1}


def test_a_whole_answer() -> None:
    chat = answer(Texts(None, ("one", "two")), Cuts(), 1)
    assert (chat.status, chat.media, len(chat.pieces)) == (200, "application/json", 1)
    assert json.loads(chat.pieces[0])["choices"][0]["message"]["content"] == "two"
    message = answer(Texts(None, ("one",)), Cuts(), route=MESSAGES)
    assert json.loads(message.pieces[0])["content"] == [{"type": "text", "text": "one"}]
    assert answer_of(Texts(None, ("one",)), RequestFacts(), Cuts(), 1, same) is None


@given(st.text(max_size=60), st.integers(0, 50), st.sampled_from(ROUTES))
def test_a_streamed_answer_says_the_text_at_every_seed(text: str, seed: int, route: str) -> None:
    found = answer(Texts(None, (text,)), Cuts(True, seed), route=route)
    data = b"".join(found.pieces)
    assert all(found.pieces)
    assert len(found.late) == len(found.pieces)
    said = chat_texts(data).get("content0", "") if route == CHAT else message_texts(data).get("block0", "")
    assert said == text
    assert found == answer(Texts(None, (text,)), Cuts(True, seed), route=route), "a seed says it all"


def test_seed_nought_is_one_piece_and_the_first_one_letter_by_letter() -> None:
    scene = Texts(None, ("abcdef",))
    assert len(answer(scene, Cuts(True, 0)).pieces) == 1
    pieces = answer(scene, Cuts(True, LETTERS)).pieces
    trees = [tree for piece in pieces for _, tree in events(piece)]
    assert [tree["choices"][0]["delta"].get("content") for tree in trees[:-1]] == [None, *"abcdef", None]
    assert len(pieces) == len(trees) == 9


def test_placeholders_are_filled_in() -> None:
    filled = answer_of(
        Texts(None, ("dear [A_1]",)), RequestFacts(), Cuts(), 0, lambda text: text.replace("[A_1]", "[A_x]")
    )
    assert filled
    assert b"dear [A_x]" in filled.pieces[0]


@pytest.mark.parametrize(
    ("route", "stream", "end"),
    [
        (CHAT, ({"a": 1},), b"data: [DONE]\n\n"),
        (CHAT, ({"a": 1}, "[DONE]"), b"data: [DONE]\n\n"),
        (MESSAGES, ({"type": "ping"},), b'event: message_stop\ndata: {"type":"message_stop"}\n\n'),
        (MESSAGES, ({"type": "message_stop"},), b'event: message_stop\ndata: {"type":"message_stop"}\n\n'),
        (MESSAGES, ({"type": "error"},), b'event: error\ndata: {"type":"error"}\n\n'),
        (MESSAGES, ({"x": 1}, "raw\ntext"), b'event: message_stop\ndata: {"type":"message_stop"}\n\n'),
    ],
)
def test_a_written_stream_ends_as_its_format_does(route: str, stream: tuple[Any, ...], end: bytes) -> None:
    scene = RawExchange({}, (), stream)
    for seed in range(4):
        data = b"".join(answer(scene, Cuts(True, seed), route=route).pieces)
        assert data.endswith(end)
        assert data.count(end) == 1
    assert answer_of(scene, RequestFacts(route), Cuts(True), 1, same) is None


def test_a_written_answer() -> None:
    scene = RawExchange({}, ({"a": 1}, {"b": 2}), None, 429)
    found = answer(scene, Cuts(False, 3), 1)
    assert (found.status, found.media, b"".join(found.pieces)) == (429, "application/json", b'{"b":2}')
    assert answer_of(scene, RequestFacts(), Cuts(), 2, same) is None


def test_the_ways_in_which_a_scene_is_played() -> None:
    assert plays(Texts("a"), 3) == [Cuts()]
    assert plays(Texts("a", ("b",)), 2) == [Cuts(), Cuts(True, 0), Cuts(True, 1), Cuts(True, 2)]
    assert plays(Texts("a", ("b",)), 0) == [Cuts()]
    assert plays(RawExchange({}, (), ("x",)), 1) == [Cuts(True, 0), Cuts(True, 1)]
    assert plays(RawExchange({}, ({},)), 5) == [Cuts(), Cuts(False, 1)]
    assert plays(RawExchange({}), 5) == [Cuts()]
    assert [str(one) for one in (Cuts(), Cuts(True, 0), Cuts(True, 7))] == [
        "whole",
        "streamed at once",
        "in pieces (seed 7)",
    ]
