"""The conversation with Envoy: messages in, messages out, and nothing out of turn."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.ext_proc.conversation import EnvoyConversation, OutOfTurnError
from guardproxy.ext_proc.messages import PIECE_BYTES, TYPES, UNCHANGED, Data, EnvoyHead, Message, Mutation, Trailers

REQUEST = EnvoyHead(True, [(":path", "/v1/x")])
ANSWER = EnvoyHead(False, [(":status", "200")])


def told(*messages: Message) -> EnvoyConversation:
    """A conversation in which Envoy has sent these messages."""
    conversation = EnvoyConversation()
    for message in messages:
        conversation.receive(message)
    return conversation


def shown(raw: bytes) -> tuple[str, bytes, bool]:
    """A message to Envoy: its kind, its part of a body, and whether that is the last."""
    message: Any = TYPES["ProcessingResponse"].FromString(raw)
    kind = message.ListFields()[0][0].name
    if kind not in ("request_body", "response_body"):
        return kind, b"", False
    piece = getattr(message, kind).response.body_mutation.streamed_response
    return kind, piece.body, piece.end_of_stream


def every(*parts: Iterable[bytes]) -> list[tuple[str, bytes, bool]]:
    return [shown(raw) for part in parts for raw in part]


def test_a_request_and_its_answer() -> None:
    conversation = told(REQUEST, Data(True, b"{", False), Data(True, b"}", True))
    assert not conversation.is_request_sent
    assert every(conversation.send_request(UNCHANGED, b"{}")) == [
        ("request_headers", b"", False),
        ("request_body", b"{}", True),
    ]
    assert conversation.is_request_sent
    assert not conversation.has_answer
    assert conversation.receive(ANSWER) == ANSWER
    assert conversation.has_answer
    assert shown(conversation.begin_answer()) == ("response_headers", b"", False)
    conversation.receive(Data(False, b"ab", False))
    assert every(conversation.send_answer(b"ab")) == [("response_body", b"ab", False)]
    assert not conversation.has_whole_answer
    conversation.receive(Data(False, b"c", True))
    assert conversation.has_whole_answer
    assert not conversation.is_over
    assert every(conversation.end_answer(b"c")) == [("response_body", b"c", True)]
    assert conversation.is_over
    assert every(conversation.end_answer(b"c"), conversation.send_answer(b"c")) == []


def test_a_request_without_a_body() -> None:
    conversation = told(EnvoyHead(True, [(":path", "/v1/models")], is_end=True))
    assert every(conversation.send_request(UNCHANGED, b"")) == [("request_headers", b"", False)]


def test_an_answer_without_a_body() -> None:
    conversation = told(REQUEST, EnvoyHead(False, [(":status", "204")], is_end=True))
    assert shown(conversation.begin_answer(Mutation(removing=["a"])))[0] == "response_headers"
    assert every(conversation.end_answer(b"")) == []
    assert conversation.is_over


def test_an_empty_body_ends_too() -> None:
    conversation = told(REQUEST, Data(True, b"", True))
    assert every(conversation.send_request(UNCHANGED, b""))[1:] == [("request_body", b"", True)]


def test_only_the_first_end_counts() -> None:
    """Envoy sends a second one behind a large body."""
    conversation = told(REQUEST)
    assert conversation.receive(Data(True, b"a", True)) is not None
    for late in (Data(True, b"b", False), Data(True, b"", True), Trailers(True, ("x",))):
        assert conversation.receive(late) is None
    assert every(conversation.send_request(UNCHANGED, b"a"))[1:] == [("request_body", b"a", True)]


def test_trailers_end_a_body() -> None:
    conversation = told(REQUEST, Data(True, b"a", False), Trailers(True, ("x",)))
    assert every(conversation.send_request(UNCHANGED, b"a"))[1:] == [
        ("request_body", b"a", False),
        ("request_trailers", b"", False),
    ]
    conversation = told(REQUEST, ANSWER, Trailers(False))
    assert conversation.has_whole_answer
    assert every([conversation.begin_answer()], conversation.end_answer(b"")) == [
        ("response_headers", b"", False),
        ("response_trailers", b"", False),
    ]


def test_an_answer_may_end_before_the_upstream() -> None:
    conversation = told(REQUEST, ANSWER, Data(False, b"a", False))
    conversation.begin_answer()
    assert every(conversation.end_answer(b"stopped")) == [("response_body", b"stopped", True)]
    conversation.receive(Data(False, b"b", True))
    assert every(conversation.send_answer(b"b")) == []


def test_an_answer_of_the_proxy_ends_everything() -> None:
    for conversation in (told(REQUEST), told(REQUEST, ANSWER)):
        assert shown(conversation.replace_answer(400, [], b"{}"))[0] == "immediate_response"
        assert conversation.is_over
        assert not conversation.has_answer
        with pytest.raises(OutOfTurnError):
            conversation.replace_answer(400, [], b"{}")
        with pytest.raises(OutOfTurnError):
            conversation.begin_answer()
        with pytest.raises(OutOfTurnError):
            list(conversation.send_request(UNCHANGED, b""))


def test_no_answer_takes_the_place_of_one_that_has_begun() -> None:
    conversation = told(REQUEST, ANSWER)
    conversation.begin_answer()
    assert conversation.has_begun_answer
    with pytest.raises(OutOfTurnError):
        conversation.replace_answer(400, [], b"{}")
    with pytest.raises(OutOfTurnError):
        conversation.begin_answer()


def test_a_request_is_sent_once() -> None:
    conversation = told(REQUEST)
    list(conversation.send_request(UNCHANGED, b""))
    with pytest.raises(OutOfTurnError):
        list(conversation.send_request(UNCHANGED, b""))


@pytest.mark.parametrize(
    "messages",
    [
        [Data(True, b"a")],
        [Trailers(True)],
        [REQUEST, REQUEST],
        [REQUEST, Data(False, b"a")],
        [REQUEST, ANSWER, ANSWER],
        [EnvoyHead(True, [], is_right_mode=False)],
    ],
)
def test_messages_out_of_turn_are_refused(messages: list[Message]) -> None:
    with pytest.raises(OutOfTurnError):
        told(*messages)


@given(
    cuts=st.lists(st.integers(0, 3 * PIECE_BYTES), max_size=5),
    late=st.lists(
        st.sampled_from([Data(False, b"", True), Data(False, b"x", False), Trailers(False, ("t",))]), max_size=3
    ),
)
def test_every_byte_is_sent_once_and_the_end_is_said_once(cuts: list[int], late: list[Message]) -> None:
    data = bytes(range(256)) * (3 * PIECE_BYTES // 256)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    conversation = told(REQUEST, ANSWER)
    sent = [conversation.begin_answer()]
    for at, to in pairwise(edges):
        conversation.receive(Data(False, data[at:to], to == len(data)))
        sent += conversation.send_answer(data[at:to])
    for message in late:
        conversation.receive(message)
    sent += conversation.end_answer(b"")
    parts = every(sent)[1:]
    assert b"".join(body for _, body, _ in parts) == data
    assert [is_end for _, _, is_end in parts] == [False] * (len(parts) - 1) + [True]
