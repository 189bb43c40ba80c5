"""The stages of a set of rules: only what a policy asks for, in the declared order, and collected once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.exchange import (
    DataReceived,
    Exchange,
    Finish,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    SendUpstream,
)
from guardproxy.exchange.phases.stages import Stages, stages_of
from guardproxy.gateway.clients import KnownClient
from guardproxy.policy import BoundRules
from tests.kit import media
from tests.kit.play import policy_set, setting

WATCH = "rules: [{id: watch, when: check_error, action: flag}]\n"
ALWAYS = ["_FieldRefusal", "_OpaqueRefusal"]


def bound(text: str) -> BoundRules:
    return policy_set(f"policy: p\n{text}").bind("POST /v1/chat/completions", "m", "")


def named(stages: Stages) -> dict[str, list[str]]:
    """The names of the stages at each moment that has some."""
    every = {
        moment: [type(stage).__name__ for stage in found] for moment, found in zip(Stages._fields, stages, strict=True)
    }
    return {moment: names for moment, names in every.items() if names}


WORD = (
    "checks: {word: {use: pattern, words: [falcon]}}\n"
    "rules: [{id: r, on: request.tool_result, when: word, action: drop_chunk}]\n"
)
GROUNDED = "checks: {facts: {use: grounded}}\nrules: [{id: r, on: response, when: facts, action: flag}]\n"
SHAPE = (
    "checks: {shape: {use: json_schema, schema: from_request}}\n"
    "rules: [{id: r, on: response, when: shape, action: retry, attempts: 1, then: block}]\n"
)


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        (WATCH, {"read": ALWAYS}),
        (
            f"unmapped: refuse\n{WATCH}",
            {"answer": ["_UnmappedRefusal"], "read": [ALWAYS[0], "_UnmappedRefusal", ALWAYS[1]]},
        ),
        (f"opaque: refuse\n{WATCH}", {"answer": ["_OpaqueRefusal"], "read": ALWAYS}),
        ("set: {store: false}\n", {"read": ALWAYS, "built": ["_FieldChanges"]}),
        ("refuse: [store]\n", {"read": ALWAYS}),
        ("cache: {mode: exact}\n", {"read": ALWAYS, "written": ["_CacheKey"]}),
        ("route: {models: {a: b}}\n", {"answer": ["_Failover"], "read": ALWAYS, "taken": ["_Route"]}),
        (
            "prompt: {prepend: Be brief.}\nset: {store: false}\n",
            {
                "answer": ["_PromptText"],
                "read": ["_PromptBegin", *ALWAYS],
                "edited": ["_PromptMarks"],
                "built": ["_FieldChanges", "_PromptText"],
            },
        ),
        (WORD, {"read": ALWAYS, "decided": ["ChunkStage"]}),
        (GROUNDED, {"read": ALWAYS, "edited": ["SourceStage"]}),
        (SHAPE, {"answer": ["_FormTexts"], "read": ALWAYS}),
    ],
)
def test_only_what_a_policy_asks_for_is_a_stage(text: str, stages: dict[str, list[str]]) -> None:
    assert named(stages_of(bound(text))) == stages


def test_the_stages_of_rules_are_collected_once() -> None:
    rules = bound(WATCH)
    assert stages_of(rules) is stages_of(rules)


CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
ANSWER = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE]}
IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": media.IMAGE_URL}}]}]
SOUND = [{**CHOICE, "message": {"role": "assistant", "content": None, "audio": {"id": "a", "data": media.WAV}}}]


def ended(policy: str, asked: dict[str, Any], answer: dict[str, Any] | None = None) -> str:
    """How an exchange ends: `sent` if the request was sent and there is no answer."""
    exchange = Exchange(setting(policy_set(f"policy: p\n{policy}")))
    message = {"role": "user", "content": "hello"}
    last = exchange.receive(RequestReceived(json.dumps({"model": "m", "messages": [message], **asked}).encode()))[-1]
    if isinstance(last, SendUpstream) and answer is not None:
        exchange.receive(ResponseStarted(200, "application/json"))
        body = {**ANSWER, **answer}
        last = [*exchange.receive(DataReceived(json.dumps(body).encode())), *exchange.receive(ResponseEnded())][-1]
    assert isinstance(last, (SendUpstream, Finish))
    return "sent" if isinstance(last, SendUpstream) else last.outcome


@pytest.mark.parametrize(
    ("policy", "asked", "answer", "outcome"),
    [
        (f"unmapped: refuse\n{WATCH}", {"x_new": "a text"}, None, "refused"),
        (f"unmapped: refuse\n{WATCH}", {}, {"x_new": "a text"}, "unmapped_field"),
        (f"unmapped: refuse\n{WATCH}", {}, {}, "answered"),
        (f"opaque: refuse\n{WATCH}", {"messages": IMAGE}, None, "refused"),
        (f"opaque: refuse\n{WATCH}", {}, {"choices": SOUND}, "opaque_content"),
        (f"opaque: refuse\n{WATCH}", {}, {}, "answered"),
        (f"opaque: {{audio: refuse}}\n{WATCH}", {"messages": IMAGE}, None, "sent"),
        (WATCH, {"messages": IMAGE}, {"choices": SOUND}, "answered"),
        (WATCH, {"chat_template": "x"}, None, "refused"),
        (f"allow_fields: [chat_template]\n{WATCH}", {"chat_template": "x"}, None, "sent"),
        (f"refuse: [store]\n{WATCH}", {"store": True}, None, "refused"),
        (f"refuse: [store]\n{WATCH}", {"store": False}, None, "sent"),
        (f"refuse: [store]\nmode: shadow\n{WATCH}", {"store": True}, None, "sent"),
    ],
)
def test_a_stage_refuses_what_a_policy_refuses(
    policy: str, asked: dict[str, Any], answer: dict[str, Any] | None, outcome: str
) -> None:
    assert ended(policy, asked, answer) == outcome


UNREAD = "rules: [{id: watch, when: check_error, action: flag}]\n"
READ = (
    "checks: {word: {use: pattern, words: [falcon]}}\nrules: [{id: words, on: response, when: word, action: block}]\n"
)
WHEN = "route: {simple: {upstream: cheap, chars: 9, when: 'request.max_tokens == 7 && request.messages == 1'}}\n"


def asked(policy: str, text: str = "hello", **more: Any) -> str:
    """The upstream that a request goes to."""
    body = {"model": "m", "max_tokens": 7, "messages": [{"role": "user", "content": text}]}
    exchange = Exchange(setting(policy_set(f"policy: p\n{policy}"), **more))
    (command,) = exchange.receive(RequestReceived(json.dumps(body).encode()))
    assert isinstance(command, SendUpstream)
    return command.target


@pytest.mark.parametrize("rules", [UNREAD, READ])
@pytest.mark.parametrize(("text", "upstream"), [("hello", "cheap"), ("hello, you there", "")])
def test_measures_and_facts_are_those_of_the_request(rules: str, text: str, upstream: str) -> None:
    assert asked(rules + WHEN, text) == upstream


def test_the_clients_of_a_tenant_are_apart() -> None:
    places = ", ".join(f"{{upstream: u{number}}}" for number in range(9))
    route = f"{UNREAD}route: {{upstreams: [{places}], sticky: client}}\n"
    found = {asked(route, client=KnownClient(f"c{number}")) for number in range(20)}
    assert len(found) > 3
    assert len({asked(route, id=f"x{number}", client=KnownClient("c")) for number in range(9)}) == 1
