"""LiteLLM's calls, and what it gets back."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.adapters import AdapterVerdict, FiredRule, Said
from guardproxy.adapters.litellm import Litellm
from guardproxy.adapters.litellm.adapter import ROUTE, LitellmGiven

LITELLM = Litellm()
CALL = {"id": "call_1", "type": "function", "function": {"name": "send", "arguments": '{"to":"a"}'}}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def asked(**fields: Any) -> Any:
    return LITELLM.read(ROUTE, {"input_type": "request", **fields}, {})


def said(*texts: str, **fields: Any) -> Any:
    return LITELLM.read(ROUTE, {"input_type": "response", "texts": list(texts), **fields}, {})


def edited(call: Any, old: str, new: str) -> Any:
    """The verdict of an exchange that replaces a text everywhere."""

    def replaced(node: Any) -> Any:
        match node:
            case dict():
                return {key: replaced(child) for key, child in node.items()}
            case list():
                return [replaced(child) for child in node]
            case str():
                return node.replace(old, new)
        return node

    return LITELLM.write(call, AdapterVerdict(request=replaced(call.request)))


def test_texts_of_messages_are_judged_once() -> None:
    messages = [
        user("a"),
        user([{"type": "text", "text": "b"}, "odd", {"type": "image_url", "image_url": {"url": "u"}}]),
    ]
    call = asked(texts=["a", "b"], structured_messages=messages, images=["u"], litellm_call_id="id")
    assert call.request["messages"] == messages
    assert call.call_id == "id"
    assert edited(call, "b", "B") == {"action": "GUARDRAIL_INTERVENED", "texts": ["a", "B"]}
    assert edited(call, "z", "Z") == {"action": "NONE"}


def test_texts_without_messages_are_messages_of_a_user() -> None:
    call = asked(texts=["a", "b"], model="m")
    assert call.request == {"model": "m", "messages": [user("a"), user("b")]}
    assert edited(call, "a", "A")["texts"] == ["A", "b"]


def test_texts_that_the_messages_do_not_hold_are_judged_too() -> None:
    call = asked(texts=["a", "hidden"], structured_messages=[user("a")])
    assert [message["content"] for message in call.request["messages"]] == ["a", "a", "hidden"]
    assert edited(call, "hidden", "X")["texts"] == ["a", "X"]


def test_tool_calls_and_images_that_the_messages_do_not_hold_are_judged_too() -> None:
    call = asked(texts=["a"], tool_calls=[CALL], images=["u"])
    assert call.request["messages"] == [
        user("a"),
        user([{"type": "image_url", "image_url": {"url": "u"}}]),
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
    ]
    assert edited(call, '"a"', "X")["action"] == "BLOCKED"


def test_an_edited_tool_call_comes_back_with_its_message() -> None:
    messages = [user("x"), {"role": "assistant", "content": None, "tool_calls": [CALL]}]
    call = asked(texts=["x"], structured_messages=messages, tool_calls=[CALL])
    answer = edited(call, '"a"', '"B"')
    assert answer["action"] == "GUARDRAIL_INTERVENED"
    assert answer["structured_messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"to":"B"}'
    assert answer["texts"] == ["x"]


def test_a_message_that_a_policy_adds_comes_back_where_messages_can() -> None:
    call = asked(texts=["x"], structured_messages=[user("x")])
    more = {**call.request, "messages": [{"role": "system", "content": "s"}, user("x")]}
    answer = LITELLM.write(call, AdapterVerdict(request=more))
    assert answer == {"action": "GUARDRAIL_INTERVENED", "structured_messages": more["messages"]}
    bare = asked(texts=["x"])
    assert LITELLM.write(bare, AdapterVerdict(request=more))["action"] == "BLOCKED"


@pytest.mark.parametrize("content", ["other", ["odd"], [], None])
def test_a_changed_form_of_a_message_is_no_changed_text(content: Any) -> None:
    call = asked(texts=["x"], structured_messages=[user([{"type": "text", "text": "x"}])])
    changed = {**call.request, "messages": [user(content)]}
    assert LITELLM.write(call, AdapterVerdict(request=changed))["structured_messages"] == [user(content)]


def test_edited_tools_come_back() -> None:
    call = asked(texts=["x"], tools=[{"type": "function", "function": {"name": "f", "description": "secret"}}])
    answer = edited(call, "secret", "S")
    assert answer["action"] == "GUARDRAIL_INTERVENED"
    assert answer["tools"][0]["function"]["description"] == "S"
    assert "texts" not in answer


def test_an_unknown_field_is_judged_and_cannot_be_edited() -> None:
    call = asked(texts=["x"], new_field={"a": "secret"}, litellm_version="1")
    assert call.request["litellm_unknown"] == {"new_field": {"a": "secret"}}
    assert edited(call, "secret", "S")["action"] == "BLOCKED"
    answer = said("x", new_field="secret")
    assert answer.said.more == {"new_field": "secret"}


def test_another_caller_is_another_caller() -> None:
    callers = {asked(texts=["x"], request_data=data).caller for data in ({}, {"user_api_key_hash": "a"}, None)}
    assert len(callers) == 3


def test_a_blocked_request_says_why() -> None:
    verdict = AdapterVerdict(is_blocked=True, message="no")
    assert LITELLM.write(asked(texts=["x"]), verdict) == {"action": "BLOCKED", "blocked_reason": "no"}


def test_an_answer_that_is_settled_passes() -> None:
    verdict = AdapterVerdict(said=Said(("abc",)), open=Said(("abc",)))
    assert LITELLM.write(said("abc"), verdict) == {"action": "NONE"}


def test_what_a_longer_answer_may_change_is_held_back() -> None:
    verdict = AdapterVerdict(said=Said(("abc", "d")), open=Said(("a", "d")))
    assert LITELLM.write(said("abc", "d"), verdict) == {"action": "NONE", "stream_holdback_chars": [2, 0]}
    changed = LITELLM.write(said("abX", "d"), verdict)
    assert changed["texts"] == ["abc", "d"]
    assert changed["stream_holdback_chars"] == [2, 0]


def test_a_block_that_only_the_end_makes() -> None:
    growing = {"additional_provider_specific_params": {"growing": True}}
    verdict = AdapterVerdict(is_blocked=True, at_end=True, message="no", open=Said(("b", "a")))
    assert LITELLM.write(said("b", "abc"), verdict)["action"] == "BLOCKED"
    answer = LITELLM.write(said("b", "abc", **growing), verdict)
    assert answer["texts"] == ["b", "a\n\nno"]
    assert answer["stream_holdback_chars"] == [0, len("\n\nno")]
    empty = AdapterVerdict(is_blocked=True, at_end=True, message="no", open=Said(("",)))
    assert LITELLM.write(said("abc", **growing), empty)["texts"] == ["no"]
    assert LITELLM.write(said(**growing), empty)["action"] == "BLOCKED"
    certain = AdapterVerdict(is_blocked=True, message="no", open=Said(("a",)))
    assert LITELLM.write(said("abc", **growing), certain)["action"] == "BLOCKED"


def test_an_edited_tool_call_of_an_answer_blocks_it_and_a_restored_one_stays() -> None:
    call = said("x", tool_calls=[CALL], images=["u"])
    assert call.said.more == {"images": [{"type": "image_url", "image_url": {"url": "u"}}]}
    other = AdapterVerdict(said=Said(("x",), (), call.said.more), open=Said(("x",)))
    assert LITELLM.write(call, other) == {"action": "NONE"}
    asked = FiredRule("p", "r", "L", "request", "messages[0].tool_calls[0].function.arguments", 1.0, True)
    of_request = AdapterVerdict(said=other.said, open=other.open, rules=(asked,))
    assert LITELLM.write(call, of_request) == {"action": "NONE"}
    rule = FiredRule("p", "r", "L", "response", "choices[0].delta.tool_calls[0].function.arguments", 1.0, True)
    redacted = AdapterVerdict(said=other.said, open=other.open, rules=(rule,))
    assert LITELLM.write(call, redacted)["action"] == "BLOCKED"
    assert LITELLM.write(call, AdapterVerdict(said=Said(("x",)), open=Said(("x",))))["action"] == "BLOCKED"


def test_what_its_user_gets() -> None:
    assert LITELLM.told({"action": "BLOCKED"}, "x") is None
    assert LITELLM.told({"action": "NONE"}, "x") == "x"
    assert LITELLM.told({"action": "GUARDRAIL_INTERVENED", "texts": ["y"]}, "x") == "y"


def test_what_a_call_gave_is_kept_for_its_answer() -> None:
    assert said("x").given == LitellmGiven(("x",))
