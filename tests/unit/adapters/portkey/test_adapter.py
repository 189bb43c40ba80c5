"""Portkey's webhook: its hooks, and its verdicts."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.adapters import AdapterVerdict
from guardproxy.adapters.portkey import Portkey
from guardproxy.adapters.portkey.adapter import ROUTE, ROUTES
from guardproxy.errors import DownstreamError
from guardproxy.wire import installed

PORTKEY = Portkey()
REQUEST = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "b"}}]}


def tree(**more: Any) -> dict[str, Any]:
    sides = {"request": {"json": REQUEST, "text": "a"}, "response": {"json": ANSWER, "text": "b"}}
    return {**sides, "requestType": "chatComplete", "eventType": "beforeRequestHook", "provider": "p", **more}


def read(**more: Any) -> Any:
    return PORTKEY.read(ROUTE, tree(**more), {})


def test_the_bodies_are_judged_as_they_are() -> None:
    call = read()
    assert call.request == REQUEST
    assert not call.is_about_answer
    assert call.is_named_by_edit
    answer = read(eventType="afterRequestHook")
    assert (answer.request, answer.answer) == (REQUEST, ANSWER)
    assert {read(metadata=data).caller for data in (None, {}, {"user": "a"})} == {"null", "{}", '{"user":"a"}'}


@pytest.mark.parametrize("kind", ROUTES)
def test_each_type_of_request_has_its_format(kind: str) -> None:
    assert read(requestType=kind).route == ROUTES[kind]
    assert installed().codec_for(ROUTES[kind]) is not None


@pytest.mark.parametrize(
    "more",
    [
        {"requestType": "createSpeech"},
        {"requestType": None},
        {"eventType": "other"},
        {"request": {"json": None}},
        {"request": None},
        {"new": "x"},
        {"eventType": "afterRequestHook", "response": None},
        {"eventType": "afterRequestHook", "response": {"json": []}},
    ],
)
def test_other_calls_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(DownstreamError) as raised:
        read(**more)
    assert raised.value.status == 400


def test_an_answer_that_is_not_sent_does_not_pass() -> None:
    call = read(eventType="afterRequestHook", response={"json": None})
    verdict = PORTKEY.write(call, AdapterVerdict(request=REQUEST))
    assert verdict["verdict"] is False
    assert "stream" in verdict["data"]["reason"]


def test_verdicts() -> None:
    call, edited = read(), {**REQUEST, "messages": [{"role": "user", "content": "X"}]}
    assert PORTKEY.write(call, AdapterVerdict(request=REQUEST)) == {"verdict": True}
    assert PORTKEY.write(call, AdapterVerdict(request=edited)) == {
        "verdict": True,
        "transformedData": {"request": {"json": edited}},
    }
    blocked = AdapterVerdict(is_blocked=True, message="no")
    assert PORTKEY.write(call, blocked) == {"verdict": False, "data": {"reason": "no"}}
    answer = read(eventType="afterRequestHook")
    shown = PORTKEY.write(answer, AdapterVerdict(request=edited, answer={"choices": []}))
    assert shown["transformedData"] == {"response": {"json": {"choices": []}}}


def test_an_error_is_a_verdict_too() -> None:
    assert PORTKEY.error("c", "m")["verdict"] is False


def test_what_its_user_gets() -> None:
    assert PORTKEY.told({"verdict": False}, "a") is None
    assert PORTKEY.told({"verdict": True}, "a") == "a"
    assert PORTKEY.told({"verdict": True, "transformedData": {"request": {"json": REQUEST}}}, "z") == "a"
    assert PORTKEY.told({"verdict": True, "transformedData": {"response": {"json": ANSWER}}}, "z") == "b"
