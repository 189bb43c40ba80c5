"""agentgateway's webhook: its calls, and its three actions."""

from __future__ import annotations

import copy
from typing import Any

from guardproxy.adapters import AdapterVerdict
from guardproxy.adapters.agentgateway import Agentgateway
from guardproxy.adapters.agentgateway.adapter import REQUEST, RESPONSE

GATEWAY = Agentgateway()
MESSAGES = [{"role": "system", "content": "s"}, {"role": "user", "content": "a secret"}]
CHOICES = [{"message": {"role": "assistant", "content": "a secret"}}]


def asked(messages: list[Any] = MESSAGES, *, more: Any = None, **headers: str) -> Any:
    tree = {"body": {"messages": messages}, **(more or {})}
    return GATEWAY.read(REQUEST, tree, {name.replace("_", "-"): value for name, value in headers.items()})


def said(**headers: str) -> Any:
    tree = {"body": {"choices": CHOICES}}
    return GATEWAY.read(RESPONSE, tree, {name.replace("_", "-"): value for name, value in headers.items()})


def changed(tree: Any, *path: Any, to: Any) -> Any:
    out = copy.deepcopy(tree)
    node = out
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = to
    return out


def test_headers_name_the_call_and_its_client() -> None:
    call = asked(x_guardproxy_call="id", x_guardproxy_caller="ada")
    assert (call.call_id, call.caller) == ("id", "ada")
    assert "stream" not in call.request
    assert said(x_guardproxy_call="id", x_guardproxy_caller="ada").call_id == "id"
    assert asked(x_guardproxy_stream="true").request["stream"] is True


def test_unknown_fields_are_judged() -> None:
    assert asked(more={"new": "secret"}).request["webhook_unknown"] == {"new": "secret"}
    answer = GATEWAY.read(RESPONSE, {"body": {"choices": CHOICES, "new": 1}}, {}).answer
    assert "webhook_unknown" in (answer or {})


def test_what_passes_passes() -> None:
    call = asked()
    assert GATEWAY.write(call, AdapterVerdict(request=call.request)) == {"action": {"reason": "no policy objects"}}
    answer = said()
    verdict = AdapterVerdict(request=call.request, answer=answer.answer)
    assert "body" not in GATEWAY.write(answer, verdict)["action"]


def test_an_edit_masks_all_messages_again() -> None:
    call = asked()
    edited = changed(call.request, "messages", 1, "content", to="a [X]")
    action = GATEWAY.write(call, AdapterVerdict(request=edited))["action"]
    assert action["body"] == {"messages": [MESSAGES[0], {"role": "user", "content": "a [X]"}]}
    assert "status_code" not in action


def test_an_edited_answer_masks_all_choices_again() -> None:
    call = said()
    edited = changed(call.answer, "choices", 0, "message", "content", to="a [X]")
    verdict = AdapterVerdict(request={"messages": []}, answer=edited)
    action = GATEWAY.write(call, verdict)["action"]
    assert action["body"] == {"choices": [{"message": {"role": "assistant", "content": "a [X]"}}]}


def test_a_mask_of_a_stream_is_a_rejection() -> None:
    call = said()
    edited = changed(call.answer, "choices", 0, "message", "content", to="a [X]")
    asked_stream = AdapterVerdict(request={"messages": [], "stream": True}, answer=edited)
    assert GATEWAY.write(call, asked_stream)["action"]["status_code"] == 403
    streamed = said(x_guardproxy_stream="true")
    plain = AdapterVerdict(request={"messages": []}, answer=edited)
    assert GATEWAY.write(streamed, plain)["action"]["status_code"] == 403
    assert "status_code" not in GATEWAY.write(streamed, AdapterVerdict(request={}, answer=call.answer))["action"]


def test_what_does_not_come_back_is_a_rejection() -> None:
    call = asked()
    for edited in (
        changed(call.request, "messages", 1, "role", to="tool"),
        changed(call.request, "messages", to=MESSAGES[:1]),
        {**call.request, "new": "x"},
    ):
        assert GATEWAY.write(call, AdapterVerdict(request=edited))["action"]["status_code"] == 403
    answer = said()
    edited = changed(answer.answer, "choices", 0, "finish_reason", to="length")
    assert GATEWAY.write(answer, AdapterVerdict(request={}, answer=edited))["action"]["status_code"] == 403
    assert GATEWAY.write(call, AdapterVerdict(request={**call.request, "model": "other"}))["action"] == {
        "body": {"messages": MESSAGES},
        "reason": "a policy redacts a value",
    }


def test_a_block_says_why() -> None:
    action = GATEWAY.write(asked(), AdapterVerdict(is_blocked=True, message="no"))["action"]
    assert action == {"body": "no", "status_code": 403, "reason": "no"}


def test_what_its_user_gets() -> None:
    assert GATEWAY.told({"action": {"reason": ""}}, "a") == "a"
    assert GATEWAY.told({"action": {"status_code": 403, "body": "no"}}, "a") is None
    assert GATEWAY.told({"action": {"body": {"messages": [{"content": "b"}]}}}, "a") == "b"
    assert GATEWAY.told({"action": {"body": {"choices": CHOICES}}}, "a") == "a secret"
