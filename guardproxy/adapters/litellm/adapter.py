"""LiteLLM's generic guardrail API: `POST {base}/beta/litellm_basic_guardrail_api`.

In: the texts of a request, or of an answer so far, with the messages, tools and tool calls that they come from. Out: the texts
to go on with, or `BLOCKED`.

A call about an answer does not say whether more of it follows, and LiteLLM shows all of the last answer's texts. So the texts
that are returned are those of an answer that ends here, and `stream_holdback_chars` is the part of them that a longer answer
may change. With `growing: true` in `additional_provider_specific_params`, a text that only its end makes a block is cut
before it, with the message of the block as the part that is held back; otherwise it is `BLOCKED`.

LiteLLM takes no tool calls of an answer back. A placeholder in them stays, and a call that a rule redacts blocks the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from guardproxy.adapters import chat
from guardproxy.adapters.chat import Said
from guardproxy.adapters.contract import Adapter, AdapterCall, AdapterVerdict
from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.wire.json import write

ROUTE = "POST /beta/litellm_basic_guardrail_api"
# About the call, not sent to a model. What LiteLLM adds in later releases is none of these, and is judged as an unknown field.
_ABOUT = frozenset(
    (
        *("input_type", "litellm_call_id", "litellm_trace_id", "litellm_version", "request_data", "request_headers"),
        "additional_provider_specific_params",
    )
)
_JUDGED = frozenset(("texts", "structured_messages", "images", "tools", "tool_calls", "model"))
_NOT_TAKEN_BACK = "a policy changes a part of the {} that LiteLLM does not take back"

Slot = tuple[int, int | None]
"""The place of a text: the number of its message, and that of its part."""


class LitellmGiven(msgspec.Struct, frozen=True):
    """What a call gave. `texts`: as in the call. `slots`: where each of them stands in the messages of the request.
    `structured`: how many of these messages the call has as messages. `is_growing`: whether more of the answer may follow."""

    texts: tuple[str, ...]
    slots: tuple[Slot, ...] = ()
    structured: int = 0
    is_growing: bool = False


class Litellm(Adapter):
    """LiteLLM's generic guardrail API."""

    name = "litellm"
    routes = (ROUTE,)

    def read(self, route: str, tree: Any, headers: Mapping[str, str]) -> AdapterCall:
        tree = chat.object_of(tree, "the body")
        texts = chat.list_of(tree.get("texts"), "texts", str, "texts")
        params = tree.get("additional_provider_specific_params")
        is_growing = isinstance(params, dict) and params.get("growing") is True
        unknown = {name: value for name, value in tree.items() if name not in _ABOUT | _JUDGED and value is not None}
        call_id = chat.text_of(tree.get("litellm_call_id"), "litellm_call_id")
        caller = write(tree.get("request_data")).decode()
        calls = chat.list_of(tree.get("tool_calls"), "tool_calls", dict, "objects")
        images = chat.list_of(tree.get("images"), "images", str, "texts")
        match tree.get("input_type"):
            case "request":
                messages = chat.list_of(tree.get("structured_messages"), "structured_messages", dict, "objects")
                every, slots = _messages(messages, texts, calls, images)
                tools = chat.list_of(tree.get("tools"), "tools", dict, "objects") or None
                request = chat.request_of(
                    every, model=chat.text_of(tree.get("model"), "model"), tools=tools, **_further(unknown)
                )
                given = LitellmGiven(tuple(texts), tuple(slots), len(messages))
                return AdapterCall(request=request, given=given, call_id=call_id, caller=caller)
            case "response":
                more = {**unknown, **({"images": chat.image_parts(images)} if images else {})}
                more |= {name: tree[name] for name in ("structured_messages", "tools") if tree.get(name)}
                said = Said(tuple(texts), tuple(calls), more)
                given = LitellmGiven(tuple(texts), is_growing=is_growing)
                return AdapterCall(said=said, given=given, call_id=call_id, caller=caller)
        raise DownstreamError(ErrorCode.INVALID_VALUE, "`input_type` must be `request` or `response`", "input_type")

    def write(self, call: AdapterCall, verdict: AdapterVerdict) -> dict[str, Any]:
        given: LitellmGiven = call.given
        if call.said is not None:
            return _answer(call.said, given, verdict)
        if verdict.is_blocked:
            return _blocked(verdict.message)
        return _request(call.request or {}, given, verdict.request)

    def asking(self, text: str, call_id: str) -> tuple[str, dict[str, Any]]:
        return ROUTE, _call("request", text, call_id, structured_messages=[chat.user(text)])

    def answering(self, text: str, call_id: str) -> tuple[str, dict[str, Any]] | None:
        return ROUTE, _call("response", text, call_id)

    def told(self, answer: Any, text: str) -> str | None:
        if answer["action"] == "BLOCKED":
            return None
        return str((answer.get("texts") or [text])[0])


def _call(input_type: str, text: str, call_id: str, **more: Any) -> dict[str, Any]:
    about = {"input_type": input_type, "litellm_call_id": call_id, "request_data": {}}
    return {**about, "texts": [text], "model": "scripted", **more}


def _further(unknown: Mapping[str, Any]) -> dict[str, Any]:
    """Unknown fields, as fields of the request that its format does not know either."""
    return {"litellm_unknown": dict(unknown)} if unknown else {}


# Requests.


def _messages(
    messages: Sequence[dict[str, Any]], texts: Sequence[str], calls: Sequence[Any], images: Sequence[str]
) -> tuple[list[dict[str, Any]], list[Slot]]:
    """Returns the messages that hold everything of a call, and where each text stands in them. What the structured messages
    hold too is not judged twice."""
    every = list(messages)
    slots = list(_slots(messages))
    if [_at(messages, slot) for slot in slots] != list(texts):
        slots = [(len(every) + at, None) for at in range(len(texts))]
        every += [chat.user(text) for text in texts]
    shown = {str(_members(_members(part).get("image_url")).get("url")) for part in _parts(messages)}
    if missing := [image for image in images if image not in shown]:
        every.append(chat.user(chat.image_parts(missing)))
    told = {_told(call) for message in messages for call in message.get("tool_calls") or ()}
    if others := [call for call in calls if _told(call) not in told]:
        every.append({"role": "assistant", "content": None, "tool_calls": others})
    return every, slots


def _slots(messages: Sequence[Mapping[str, Any]]) -> Iterator[Slot]:
    """Yields the places of texts in messages, in the order in which LiteLLM lists them."""
    for number, message in enumerate(messages):
        content = message.get("content")
        if isinstance(content, str):
            yield number, None
        for at, part in enumerate(content if isinstance(content, list) else ()):
            if isinstance(part, dict) and part.get("text") is not None:
                yield number, at


def _at(messages: Sequence[Mapping[str, Any]], slot: Slot) -> Any:
    content = messages[slot[0]]["content"]
    return content if slot[1] is None else content[slot[1]]["text"]


def _parts(messages: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    for message in messages:
        content = message.get("content")
        yield from content if isinstance(content, list) else ()


def _told(call: Any) -> str:
    """What a tool call says, whatever else stands beside it."""
    function = _members(_members(call).get("function"))
    return str((function.get("name"), function.get("arguments")))


def _request(given_body: Mapping[str, Any], given: LitellmGiven, edited: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the answer about a request that passes, as the policies edited it."""
    before, after = given_body["messages"], edited["messages"]
    has_rest = {name: value for name, value in given_body.items() if name not in ("messages", "tools", "model")}
    rest = {name: value for name, value in edited.items() if name not in ("messages", "tools", "model")}
    if rest != has_rest:
        return _blocked(_NOT_TAKEN_BACK.format("request"))
    answer: dict[str, Any] = {"action": "NONE"}
    if after != before:
        is_only_text = len(before) == len(after) and before == _with_texts(after, before, given.slots)
        if is_only_text:
            answer["texts"] = [_at(after, slot) for slot in given.slots]
        elif given.structured and given.structured == len(before):
            answer["structured_messages"] = after
            if list(_slots(after)) == list(given.slots):
                answer["texts"] = [_at(after, slot) for slot in given.slots]
        else:
            return _blocked(_NOT_TAKEN_BACK.format("request"))
    if edited.get("tools") != given_body.get("tools"):
        answer["tools"] = edited.get("tools")
    return answer if len(answer) == 1 else {**answer, "action": "GUARDRAIL_INTERVENED"}


def _with_texts(
    messages: Sequence[Mapping[str, Any]], like: Sequence[Mapping[str, Any]], slots: Sequence[Slot]
) -> list[Mapping[str, Any]]:
    """Returns messages with the texts of others in some places, or as they are if a place is missing."""
    out = [dict(message) for message in messages]
    for number, at in slots:
        content = out[number].get("content")
        if at is None and isinstance(content, str):
            out[number]["content"] = _at(like, (number, at))
        elif at is not None and isinstance(content, list) and at < len(content) and isinstance(content[at], dict):
            parts = list(content)
            parts[at] = {**parts[at], "text": _at(like, (number, at))}
            out[number]["content"] = parts
    return list(out)


# Answers.


def _answer(said: Said, given: LitellmGiven, verdict: AdapterVerdict) -> dict[str, Any]:
    if verdict.is_blocked:
        if not (verdict.at_end and given.is_growing and given.texts):
            return _blocked(verdict.message)
        *others, last = verdict.open.texts
        ending = f"\n\n{verdict.message}" if last else verdict.message
        held = [0] * len(others) + [len(ending)]
        return {
            "action": "GUARDRAIL_INTERVENED",
            "texts": [*others, last + ending],
            "stream_holdback_chars": held,
        }
    now = verdict.said
    answers = [rule for rule in verdict.rules if rule.direction == "response"]  # the request is judged once more
    acts = any(rule.acts and ".tool_calls[" in rule.path for rule in answers)
    if acts or now.more != said.more:
        return _blocked(_NOT_TAKEN_BACK.format("answer"))
    # What is settled never changes, so a longer answer begins with it too.
    held = [len(text) - len(shown) for text, shown in zip(now.texts, verdict.open.texts, strict=True)]
    answer: dict[str, Any] = {"action": "NONE"}
    if now.texts != given.texts:
        answer = {"action": "GUARDRAIL_INTERVENED", "texts": list(now.texts)}
    return {**answer, "stream_holdback_chars": held} if any(held) else answer


def _blocked(message: str) -> dict[str, Any]:
    return {"action": "BLOCKED", "blocked_reason": message}


def _members(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
