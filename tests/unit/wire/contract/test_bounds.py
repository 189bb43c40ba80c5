"""What a body may hold is counted before it is parsed, and what is refused names the setting."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.exchange.inputs.setting import ExchangeLimits
from guardproxy.exchange.inputs.transcript import Finish
from guardproxy.wire.contract.bounds import BOUNDS, UNBOUNDED, Bounds
from guardproxy.wire.formats.openai_chat.contract import CONTRACT
from guardproxy.wire.json.strict import JsonFault
from tests.kit.play import Play, chat_frames, policy_set, sse

LIMITS = CONTRACT.limits
FEW = Bounds(texts=10, values=20, messages=2, tools=2, path_chars=8, depth=4)
POLICY = policy_set(
    "policy: p\nmatch: {}\nchecks: {word: {use: pattern, patterns: [badword]}}\n"
    "rules: [{id: r, on: [request, response], when: word, action: block}]\n"
)


@pytest.mark.parametrize(
    ("tree", "code"),
    [
        (["x"] * 11, "too_many_texts"),
        ({f"k{at}": 1 for at in range(11)}, "too_many_texts"),
        ([1] * 21, "too_many_values"),
        ([[]] * 21, "too_many_values"),
        ([[[[[]]]]] * 21, "too_deep"),
    ],
)
def test_what_is_too_much_is_refused(tree: Any, code: str) -> None:
    with pytest.raises(JsonFault) as raised:
        FEW.check(json.dumps(tree).encode())
    assert raised.value.code == code
    if code != "too_deep":
        assert f"limit_{code.removeprefix('too_many_')}" in str(raised.value)


@pytest.mark.parametrize("tree", [["x"] * 10, ['"' * 40, "," * 40], ["\\" * 41, ',"' * 20], [1] * 19])
def test_quotes_and_commas_in_strings_do_not_count(tree: Any) -> None:
    FEW.check(json.dumps(tree).encode())


@pytest.mark.parametrize(
    ("tree", "code"),
    [
        ({"messages": [{}] * 3}, "too_many_messages"),
        ({"input": [{}] * 3}, "too_many_messages"),
        ({"tools": [{}] * 3}, "too_many_tools"),
        ({"functions": [{}] * 3}, "too_many_tools"),
        ({"abcd": [{"abcde": 1}]}, "too_many_path_chars"),
        ({"n": [123456789] * 11}, "too_many_texts"),
        ({f"k{at}": 1e9 for at in range(11)}, "too_many_texts"),
    ],
)
def test_what_a_tree_holds_too_much_of(tree: Any, code: str) -> None:
    with pytest.raises(JsonFault) as raised:
        FEW.check_tree(tree, LIMITS)
    assert raised.value.code == code


def test_what_agents_send_passes() -> None:
    tools = [{"type": "function", "function": {"name": f"t{at}", "parameters": {"p": {}}}} for at in range(500)]
    body = {"messages": [{"role": "user", "content": "x"}] * 5000, "tools": tools}
    BOUNDS.check(json.dumps(body).encode())
    BOUNDS.check_tree(body, LIMITS)
    UNBOUNDED.check(json.dumps(body).encode())


def test_a_request_that_holds_too_much_is_refused_unread() -> None:
    play = Play(POLICY, limits=ExchangeLimits(bounds=FEW))
    play.ask({"messages": [{"role": "user", "content": "x"}], "metadata": ["a"] * 20})
    assert play.finish.outcome == "refused"
    assert play.head.status == 413
    assert b"limit_texts" in play.client


def test_a_request_may_hold_fewer_texts_than_an_answer() -> None:
    play = Play(POLICY, limits=ExchangeLimits(request_bounds=Bounds(texts=20)))
    play.ask({"messages": [{"role": "user", "content": "x"}], "metadata": ["a"] * 20})
    assert play.head.status == 413
    assert b"limit_request_texts" in play.client
    play = Play(POLICY, limits=ExchangeLimits(request_bounds=Bounds(texts=20)))
    play.ask({"messages": [{"role": "user", "content": "x"}], "metadata": ["a"] * 2})
    assert play.upstream is not None


def test_an_answer_that_holds_too_much_is_a_fault() -> None:
    play = Play(POLICY, limits=ExchangeLimits(bounds=Bounds(texts=20)))
    play.ask({"messages": [{"role": "user", "content": "x"}]})
    head, *rest = chat_frames([{"content": "hello"}])
    play.stream([head, sse({"choices": [], "new": ["x"] * 30}), *rest])
    assert play.finish.outcome == "upstream_invalid_json"


def test_an_answer_has_no_more_texts_than_the_limit_however_many_frames_bring_them() -> None:
    play = Play(POLICY, limits=ExchangeLimits(bounds=Bounds(texts=20)))
    play.ask({"messages": [{"role": "user", "content": "x"}]})
    many = [sse({"choices": [], "new": f"text {at}"}) for at in range(30)]
    play.stream([*many, *chat_frames([{"content": "hello"}])])
    assert play.finish.outcome == "too_many_texts"
    assert isinstance(play.done[-1], Finish)


def test_a_body_that_is_no_object_has_no_lists_to_count() -> None:
    BOUNDS.check_tree([1], {"messages": ("messages",)})


@pytest.mark.parametrize(
    "tree", [{"a": 4111111111111111, "b": [4111111111111111]}, [[4111111111111111, 4111111111111111]]]
)
def test_long_numbers_count_as_texts_wherever_they_stand(tree: Any) -> None:
    Bounds(texts=2).check_places(tree)
    with pytest.raises(JsonFault):
        Bounds(texts=1).check_places(tree)
