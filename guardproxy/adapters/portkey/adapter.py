"""Portkey's webhook guardrail: `POST /portkey`, the path of which its configuration chooses.

In: the bodies of a request and of its answer, in the format of the client. Out: a verdict, and the edited body. The answer
comes with the request as policies edited it, which names the request that it was: equal edited requests have equal values.

Portkey sends no answer of a stream (its body is `null`), so the verdict about one is `false`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardproxy.adapters import chat
from guardproxy.adapters.contract import Adapter, AdapterCall, AdapterVerdict
from guardproxy.errors import DownstreamError, ErrorCode

ROUTE = "POST /portkey"
ROUTES: Mapping[str, str] = {
    "chatComplete": "POST /v1/chat/completions",
    "complete": "POST /v1/completions",
    "messages": "POST /v1/messages",
    "embed": "POST /v1/embeddings",
}
"""The routes of the formats of Portkey's types of requests."""
_KNOWN = frozenset(("request", "response", "provider", "requestType", "metadata", "eventType"))
_UNSEEN = "the answer of a stream is not sent to the guard"


class Portkey(Adapter):
    """Portkey's webhook guardrail."""

    name = "portkey"
    routes = (ROUTE,)
    error_is_verdict = True

    def read(self, route: str, tree: Any, headers: Mapping[str, str]) -> AdapterCall:
        tree = chat.object_of(tree, "the body")
        if unknown := sorted(tree.keys() - _KNOWN):
            raise DownstreamError(
                ErrorCode.UNMAPPED_FIELD, "the call has a field that this adapter does not know", unknown[0]
            )
        kind = tree.get("requestType")
        if not isinstance(kind, str) or kind not in ROUTES:
            raise DownstreamError(
                ErrorCode.INVALID_VALUE, f"`requestType` must be one of {', '.join(ROUTES)}", "requestType"
            )
        request = chat.object_of(chat.object_of(tree.get("request"), "request").get("json"), "request.json")
        caller = chat.canonical(tree.get("metadata")).decode()
        call = AdapterCall(route=ROUTES[kind], request=request, is_named_by_edit=True, caller=caller)
        match tree.get("eventType"):
            case "beforeRequestHook":
                return call
            case "afterRequestHook":
                answer = chat.object_of(tree.get("response"), "response").get("json")
                if answer is None:  # the request is judged once more, and the verdict says that nothing else was
                    return call.having(given=_UNSEEN)
                return call.having(answer=chat.object_of(answer, "response.json"))
        raise DownstreamError(ErrorCode.INVALID_VALUE, "`eventType` must be the name of a hook", "eventType")

    def write(self, call: AdapterCall, verdict: AdapterVerdict) -> dict[str, Any]:
        if verdict.is_blocked or call.given:
            return {"verdict": False, "data": {"reason": verdict.message or call.given}}
        side, before, after = "request", call.request, verdict.request
        if call.answer is not None:
            side, before, after = "response", call.answer, verdict.answer
        passed: dict[str, Any] = {"verdict": True}
        return passed if before == after else {**passed, "transformedData": {side: {"json": after}}}

    def error(self, code: str, message: str) -> dict[str, Any]:
        return {"verdict": False, "data": {"reason": message}, **super().error(code, message)}

    def asking(self, text: str, call_id: str) -> tuple[str, dict[str, Any]]:
        return ROUTE, _call("beforeRequestHook", {"model": "scripted", "messages": [chat.user(text)]}, {})

    def answering(self, text: str, call_id: str) -> tuple[str, dict[str, Any]] | None:
        message = {"role": "assistant", "content": text}
        answer = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        asked = {"model": "scripted", "messages": [chat.user(text.removeprefix("You wrote: "))]}
        return ROUTE, _call("afterRequestHook", asked, answer)

    def told(self, answer: Any, text: str) -> str | None:
        if not answer["verdict"]:
            return None
        edited = answer.get("transformedData", {})
        if "response" in edited:
            return str(edited["response"]["json"]["choices"][0]["message"]["content"])
        return str(edited["request"]["json"]["messages"][0]["content"]) if "request" in edited else text


def _call(event: str, request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    sides = {"request": {"json": request}, "response": {"json": answer}}
    return {**sides, "requestType": "chatComplete", "eventType": event, "metadata": {}}
