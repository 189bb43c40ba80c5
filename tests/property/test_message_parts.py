"""A text that is split into the parts of a message is treated like the whole text: in every format, at every place, in requests
and in plain answers, and again in the replay of its record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.exchange.gate.joining import FILLER
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import build_checks, parse
from guardproxy.redaction.placeholders import PLACEHOLDER
from guardproxy.wire import Prompt, codecs
from guardproxy.wire.registry import installed
from tests.kit.pii import People
from tests.kit.play import Play
from tests.kit.records import replay

Texts = Sequence[str]
POLICY = """
policy: parts
checks:
  pii: {use: pii, entities: [EMAIL_ADDRESS, CREDIT_CARD, US_SSN, IBAN_CODE, PHONE_NUMBER]}
  secrets: {use: secrets}
  word: {use: pattern, label: WORD, words: [quokka project]}
rules:
  - {id: gone, on: [request, response], when: pii or secrets, action: redact, restore: true}
  - {id: stop, on: [request, response], when: word, action: block}
formats:
  acme:
    routes: [POST /acme/talk]
    request: {texts: {/turns/*/parts/*/text: by_role, /notes/*/text: user, /shelf/*/books/*/page: tool_result}, role: from}
    answer: {texts: {/outputs/*/pieces/*/text: assistant}}
    stream: {framing: none}
    error: /fault
"""
VALUES = {
    "mail": "alice.smith@example.com",
    "card": "4111 1111 1111 1111",
    "ssn": "078-05-1120",
    "iban": "DE89 3704 0044 0532 0130 00",
    "key": "AKIA" + "Q3EGRNKIYWS5TLBD",
    "phone": "+49 30 901820",
}


def content(texts: Texts, kind: str = "text") -> list[dict[str, str]]:
    return [{"type": kind, "text": text} for text in texts]


def chat(**message: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [message]}


def messages(content: Any, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 9, "messages": [{"role": role, "content": content}], **more}


def answer_of_chat(texts: Texts) -> dict[str, Any]:
    message = {"role": "assistant", "content": content(texts)}
    return {"id": "x", "choices": [{"index": 0, "finish_reason": "stop", "message": message}], "model": "m"}


def responses(content: Any, **item: Any) -> dict[str, Any]:
    return {"model": "m", "input": [{"role": "user", "content": content, **item}]}


def answer_of_responses(texts: Texts) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    item = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": parts}
    return {"id": "r", "object": "response", "status": "completed", "model": "m", "output": [item]}


def gemini(texts: Texts) -> list[dict[str, str]]:
    return [{"text": text} for text in texts]


def answer_of_gemini(texts: Texts) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": gemini(texts)}, "finishReason": "STOP"}]}


def mcp(**result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "result": result}


CHAT, MESSAGES, RESPONSES = "POST /v1/chat/completions", "POST /v1/messages", "POST /v1/responses"
GEMINI, MODERATIONS, ACME = "POST /{version}/models/{model}:generateContent", "POST /v1/moderations", "POST /acme/talk"
MCP = "POST /mcp/{server}"
IMAGE = {"type": "image_url", "image_url": {"url": "https://a.example/cat.png"}}
REQUESTS: Mapping[str, tuple[str, Callable[[Texts], dict[str, Any]]]] = {
    "chat user": (CHAT, lambda texts: chat(role="user", content=content(texts))),
    "chat system": (CHAT, lambda texts: chat(role="developer", content=content(texts))),
    "chat tool": (CHAT, lambda texts: chat(role="tool", tool_call_id="c", content=content(texts))),
    "chat strings": (CHAT, lambda texts: chat(role="user", content=list(texts))),
    "chat mixed": (CHAT, lambda texts: chat(role="user", content=[*content(texts[:1]), IMAGE, *content(texts[1:])])),
    "chat new role": (CHAT, lambda texts: chat(role="critic", content=content(texts))),
    "messages user": (MESSAGES, lambda texts: messages(content(texts))),
    "messages assistant": (MESSAGES, lambda texts: messages(content(texts), "assistant")),
    "messages system": (MESSAGES, lambda texts: messages("hi", system=content(texts))),
    "messages tool": (
        MESSAGES,
        lambda texts: messages([{"type": "tool_result", "tool_use_id": "t", "content": content(texts)}]),
    ),
    "messages document": (
        MESSAGES,
        lambda texts: messages([{"type": "document", "source": {"type": "content", "content": content(texts)}}]),
    ),
    "messages search": (
        MESSAGES,
        lambda texts: messages([{"type": "search_result", "source": "s", "title": "t", "content": content(texts)}]),
    ),
    "mcp sampling": (MCP, lambda texts: mcp(role="assistant", model="m", content=content(texts))),
    "responses user": (RESPONSES, lambda texts: responses(content(texts, "input_text"))),
    "responses strange items": (RESPONSES, lambda texts: {"model": "m", "input": content(texts, "input_text")}),
    "responses tool": (
        RESPONSES,
        lambda texts: {
            "model": "m",
            "input": [{"type": "function_call_output", "call_id": "c", "output": content(texts, "input_text")}],
        },
    ),
    "responses shell": (
        RESPONSES,
        lambda texts: {
            "model": "m",
            "input": [
                {"type": "shell_call_output", "call_id": "c", "output": [{"stdout": t, "stderr": "no"} for t in texts]}
            ],
        },
    ),
    "gemini user": (GEMINI, lambda texts: {"contents": [{"role": "user", "parts": gemini(texts)}]}),
    "gemini system": (
        GEMINI,
        lambda texts: {"contents": {"parts": {"text": "hi"}}, "system_instruction": {"parts": gemini(texts)}},
    ),
    "gemini tool": (
        GEMINI,
        lambda texts: {
            "contents": [
                {"parts": [{"functionResponse": {"name": "f", "response": {"content": content(texts)}}}]},
            ]
        },
    ),
    "moderations": (MODERATIONS, lambda texts: {"model": "m", "input": content(texts)}),
    "declared": (ACME, lambda texts: {"turns": [{"from": "user", "parts": gemini(texts)}]}),
    "declared flat": (ACME, lambda texts: {"notes": gemini(texts)}),
    "declared fixed": (ACME, lambda texts: {"shelf": [{"books": [{"page": text} for text in texts]}]}),
}
ANSWERS: Mapping[str, tuple[str, Callable[[Texts], dict[str, Any]]]] = {
    "chat": (CHAT, answer_of_chat),
    "messages": (MESSAGES, lambda texts: {"type": "message", "role": "assistant", "content": content(texts)}),
    "responses": (RESPONSES, answer_of_responses),
    "gemini": (GEMINI, answer_of_gemini),
    "mcp": (MCP, lambda texts: mcp(content=content(texts))),
    "declared": (ACME, lambda texts: {"outputs": [{"pieces": gemini(texts)}]}),
}
QUESTIONS: Mapping[str, Callable[[Texts], dict[str, Any]]] = dict(
    REQUESTS[name]
    for name in ("chat user", "messages user", "responses user", "gemini user", "mcp sampling", "declared")
)


@cache
def policies() -> PolicySet:
    parsed = (parse(POLICY, "parts.yaml"),)
    return PolicySet(parsed, build_checks(parsed, Resources(tagger=lambda name: People({}))), "sha256:p")


def asked(route: str, body: Mapping[str, Any]) -> Play:
    return Play(policies(), route).ask(body)


def answered(play: Play, body: Mapping[str, Any]) -> Play:
    media = play.exchange.setting.codec.contract.media.whole
    return play.stream([json.dumps(body).encode()], media=media)


def split(text: str, cuts: Sequence[int]) -> list[str]:
    """The parts of a text; none is empty."""
    places = sorted({cut for cut in cuts if 0 < cut < len(text)})
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


def strings(node: Any) -> Iterator[str]:
    """All strings of a body, in order."""
    if isinstance(node, str):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from strings(child)


def said(node: Any, shape: Any) -> str:
    """What a body says in the places in which `shape` has a text."""
    return "".join(mine for mine, other in zip(strings(node), strings(shape), strict=True) if other == "\0")


def rules_of(play: Play) -> set[str]:
    return {outcome.rule for outcome in play.exchange.outcomes}


cuts = st.lists(st.integers(1, 80), min_size=1, max_size=8)
texts = st.builds(
    lambda before, name, after: (f"{before}{VALUES[name]}{after}", VALUES[name]),
    st.sampled_from(["SSN ", "please use my SSN ", "a social security number\n"]),
    st.sampled_from(sorted(VALUES)),
    st.sampled_from(["", " and go on", "\nb", ", thanks"]),
)


@pytest.mark.parametrize("name", REQUESTS)
@given(texts, cuts)
def test_a_split_request_is_treated_like_the_whole(name: str, text: tuple[str, str], at: list[int]) -> None:
    (route, build), (whole, value) = REQUESTS[name], text
    parts = split(whole, at)
    once, in_parts = asked(route, build([whole])), asked(route, build(parts))
    assert rules_of(in_parts) == rules_of(once) == {"gone"}
    shape = build(["\0"] * len(parts))
    left = said(in_parts.upstream, shape)
    assert "".join(value.split()) not in "".join(left.split())
    marks = [PLACEHOLDER.search(mine) is not None for mine in (left, said(once.upstream, build(["\0"])))]
    assert marks == [True, True], "the placeholder stands in a single part"
    sent = [mine for mine, other in zip(strings(in_parts.upstream), strings(shape), strict=True) if other == "\0"]
    assert all(mine.strip() or not part.strip() for mine, part in zip(sent, parts, strict=True)), "no part is emptied"
    again = answered(in_parts, ANSWERS["chat"][1](["ok"])) if route == CHAT else None
    assert again is None or replay(again.finish.record, policies()).verdict == "identical"


@pytest.mark.parametrize("name", REQUESTS)
@given(cuts)
def test_a_split_word_blocks_a_request(name: str, at: list[int]) -> None:
    route, build = REQUESTS[name]
    play = asked(route, build(split("about the quokka project now", at)))
    assert (rules_of(play), play.finish.outcome) == ({"stop"}, "blocked_request")
    assert replay(play.finish.record, policies()).verdict == "identical"


@pytest.mark.parametrize("name", ANSWERS)
@given(texts, cuts)
def test_a_split_answer_is_treated_like_the_whole(name: str, text: tuple[str, str], at: list[int]) -> None:
    (route, build), (whole, value) = ANSWERS[name], text
    parts = split(whole, at)
    play = answered(asked(route, QUESTIONS[route](["hi"])), build(parts))
    assert rules_of(play) == {"gone"}
    left = said(json.loads(play.client), build(["\0"] * len(parts)))
    assert "".join(value.split()) not in "".join(left.split())
    assert PLACEHOLDER.search(left)
    assert replay(play.finish.record, policies()).verdict == "identical"


@pytest.mark.parametrize("name", ANSWERS)
@given(texts, cuts, cuts)
def test_a_value_comes_back_however_both_sides_split_it(
    name: str, text: tuple[str, str], at: list[int], again: list[int]
) -> None:
    (route, build), (whole, _) = ANSWERS[name], text
    parts = split(whole, at)
    play = asked(route, QUESTIONS[route](parts))
    told = said(play.upstream, QUESTIONS[route](["\0"] * len(parts)))
    echoed = split(told, again)
    answered(play, build(echoed))
    shown = said(json.loads(play.client), build(["\0"] * len(echoed)))
    assert shown.replace(FILLER, "") == whole.replace(FILLER, "")
    assert replay(play.finish.record, policies()).verdict == "identical"


def wants_json(route: str, *, stream: bool = False) -> dict[str, Any]:
    """A request for an answer in JSON."""
    codec = installed().codec_for(route)
    assert codec
    schema = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}
    return codec.author.request(Prompt("m", "hi", stream=stream, schema=schema))


@pytest.mark.parametrize("name", ["messages", "responses", "gemini"])
def test_a_split_answer_in_json_is_treated_like_the_whole(name: str) -> None:
    (route, build), whole = ANSWERS[name], json.dumps({"to": VALUES["mail"]})
    for at in range(1, len(whole)):
        parts = [whole[:at], whole[at:]]
        play = answered(asked(route, wants_json(route)), build(parts))
        assert rules_of(play) == {"gone"}
        left = said(json.loads(play.client), build(["\0"] * len(parts)))
        assert PLACEHOLDER.fullmatch(json.loads(left)["to"])
        assert replay(play.finish.record, policies()).verdict == "identical"


@pytest.mark.parametrize("name", REQUESTS)
def test_untouched_parts_pass_as_they_came(name: str) -> None:
    route, build = REQUESTS[name]
    body = json.dumps(build(["one ", "", "two", " ", "three"])).encode()
    play = Play(policies(), route).ask(body)
    assert play.upstream == json.loads(body)


@pytest.mark.parametrize("name", REQUESTS)
def test_parts_of_one_character_cost_as_many_characters(name: str) -> None:
    """The windows of all checks hold each character a bounded number of times."""
    route, build = REQUESTS[name]
    read: list[int] = []

    def chars(size: int) -> int:
        play = Play(policies(), route)
        body = build(list("a1 " * size))
        play.ask(body)
        read.clear()
        read.extend(
            len(job.window.text) for _, commands in play.told for each in commands for job in getattr(each, "jobs", ())
        )
        return sum(read)

    assert chars(80) < 2.2 * chars(40)


def test_every_format_that_has_parts_is_tried() -> None:
    tried = {route for route, _ in REQUESTS.values()}
    without = {"openai_completions", "openai_embeddings", "ollama_chat", "ollama_generate", "ollama_embed"}
    assert {codec.name for codec in codecs() if tried.isdisjoint(codec.routes)} <= without
