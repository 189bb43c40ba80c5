"""agentgateway's guardrail webhook: `POST /request` and `POST /response`.

In: the role and the text of each message, or of each choice of an answer. Out: an action: pass, mask (with all messages or
choices again) or reject. The kinds of an action have no name of their own; its members tell them apart.

The calls have no name, so the header `x-guardproxy-call` gives them one, and `x-guardproxy-caller` names the client.
agentgateway ignores a mask of a stream and sends what it masks: with the header `x-guardproxy-stream: true`, in this call or
in that about the request, a mask of an answer is a rejection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardproxy.adapters import chat
from guardproxy.adapters.contract import Adapter, AdapterCall, AdapterVerdict

REQUEST = "POST /request"
RESPONSE = "POST /response"
STREAM_HEADER = "x-guardproxy-stream"
STATUS = 403
_NOT_TAKEN_BACK = "a policy changes a part of the {} that agentgateway does not take back"
_STREAMED = "a policy redacts a value in a stream, where agentgateway takes no edits back"


class Agentgateway(Adapter):
    """agentgateway's guardrail webhook."""

    name = "agentgateway"
    routes = (REQUEST, RESPONSE)

    def read(self, route: str, tree: Any, headers: Mapping[str, str]) -> AdapterCall:
        body = chat.object_of(chat.object_of(tree, "the body").get("body"), "body")
        field = "messages" if route == REQUEST else "choices"
        items = chat.list_of(body.get(field, 0), f"body.{field}", dict, "objects")
        unknown = {name: value for name, value in tree.items() if name != "body"}
        unknown |= {name: value for name, value in body.items() if name != field}
        more = {"webhook_unknown": unknown} if unknown else {}
        call_id, caller = headers.get(chat.CALL_HEADER, ""), headers.get(chat.CALLER_HEADER, "")
        is_streamed = headers.get(STREAM_HEADER) == "true"
        if route == REQUEST:
            request = chat.request_of(items, stream=is_streamed or None, **more)
            return AdapterCall(request=request, call_id=call_id, caller=caller)
        choices = [{"finish_reason": "stop", **item, "index": number} for number, item in enumerate(items)]
        return AdapterCall(answer={"choices": choices, **more}, call_id=call_id, caller=caller, given=is_streamed)

    def write(self, call: AdapterCall, verdict: AdapterVerdict) -> dict[str, Any]:
        if verdict.is_blocked:
            return _rejected(verdict.message)
        if call.answer is None:
            before, after = call.request or {}, verdict.request
            if not _differ_in_content(before, after, "messages"):
                return _rejected(_NOT_TAKEN_BACK.format("request"))
            masked = {"messages": [_message(message) for message in after["messages"]]}
        else:
            before, after = call.answer, verdict.answer
            if not _differ_in_content(before, after, "choices"):
                return _rejected(_NOT_TAKEN_BACK.format("answer"))
            masked = {"choices": [{"message": _message(choice["message"])} for choice in after["choices"]]}
        if before == after:
            return {"action": {"reason": "no policy objects"}}
        if call.answer is not None and (call.given or verdict.request.get("stream") is True):
            return _rejected(_STREAMED)
        return {"action": {"body": masked, "reason": "a policy redacts a value"}}

    def asking(self, text: str, call_id: str) -> tuple[str, dict[str, Any]]:
        return REQUEST, {"body": {"messages": [chat.user(text)]}}

    def answering(self, text: str, call_id: str) -> tuple[str, dict[str, Any]] | None:
        return RESPONSE, {"body": {"choices": [{"message": {"role": "assistant", "content": text}}]}}

    def told(self, answer: Any, text: str) -> str | None:
        action = answer["action"]
        if "status_code" in action:
            return None
        body = action.get("body", {})
        messages = body.get("messages") or [choice["message"] for choice in body.get("choices", ())]
        return str(messages[0]["content"]) if messages else text


def _differ_in_content(before: Mapping[str, Any], after: Mapping[str, Any], field: str) -> bool:
    """Whether two bodies differ in the content of their messages at most: more does not come back. A policy chooses no model
    here."""
    if len(before[field]) != len(after[field]):
        return False
    plain = [{**body, "model": "", field: [_without_content(item) for item in body[field]]} for body in (before, after)]
    return plain[0] == plain[1]


def _without_content(item: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(message := item.get("message"), dict):
        return {**item, "message": {**message, "content": ""}}
    return {**item, "content": ""}


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    return {"role": message.get("role", ""), "content": message.get("content") or ""}


def _rejected(message: str) -> dict[str, Any]:
    return {"action": {"body": message, "status_code": STATUS, "reason": message}}
