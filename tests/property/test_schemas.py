"""The answer that the client gets fits the schema of the request, whatever a rule removes from it: for each format, for tool
arguments and JSON answers, whole and streamed, for every operator and every cut. Values in a past call are restored. Each
record replays exactly."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.policy.deciding.evaluate import PolicySet
from tests.kit.play import (
    CHAT,
    MESSAGES,
    Play,
    chat_frames,
    chat_texts,
    cut,
    message_frames,
    message_texts,
    mint,
    pieces,
)
from tests.kit.play import policy_set as read
from tests.kit.records import replay, through_log

CODE = "K-12345"
MAIL = "jo@ab.io"
SITE = "https://k.example/?by=jo@ab.io"
CARD = 4111222233334444
OPERATORS = {
    "placeholder": "placeholder",
    "redact": "redact",
    "replace": "{type: replace, new_value: GONE}",
    "hash": "hash",
    "mask": "{type: mask, chars_to_mask: 2}",
}
POLICY = r"""
policy: test
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\.io"]}
  code: {use: pattern, label: CODE, patterns: ["\\bK-[0-9]{4,8}\\b"]}
  card: {use: pattern, label: CARD, patterns: ["\\b[0-9]{16}\\b"]}
rules:
  - {id: mail, on: request, when: mail, action: redact}
  - {id: rest, on: response, when: code or card, action: redact, operators: {DEFAULT: OPERATOR}}
"""


@cache
def rules(operator: str) -> PolicySet:
    return read(POLICY.replace("OPERATOR", OPERATORS[operator]))


SCHEMA: dict[str, Any] = {
    "type": "object",
    "$defs": {"address": {"type": "string", "format": "email"}, "kind": {"enum": [CODE, "b"]}},
    "properties": {
        "to": {"$ref": "#/$defs/address"},
        "maybe": {"anyOf": [{"$ref": "#/$defs/address"}, {"type": "null"}]},
        "all": {"type": "array", "items": {"$ref": "#/$defs/address"}},
        "url": {"type": "string", "format": "uri"},
        "id": {"type": "string", "format": "uuid"},
        "day": {"type": "string", "format": "date"},
        "code": {"type": "string", "pattern": "^[A-Z]-[0-9]{4,8}$"},
        "short": {"type": "string", "maxLength": 12},
        "long": {"type": "string", "maxLength": 90},
        "kind": {"$ref": "#/$defs/kind"},
        "small": {"type": "integer", "maximum": 99},
        "n": {"type": "integer"},
        "free": {"type": "string"},
        CODE: {"type": "string"},
    },
}


def date(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\d", text) is not None


def address(text: str) -> bool:
    return re.fullmatch(r"[^@\s\[\]]+@[a-z]+(\.[a-z]+)+", text) is not None


HOLDS: dict[str, Any] = {
    "to": address,
    "maybe": lambda value: value is None or address(value),
    "all": lambda value: all(map(address, value)),
    "url": lambda text: re.fullmatch(r"https?://[a-z.]+/[^\s\[\]]*", text) is not None,
    "id": lambda text: bool(UUID(text)),
    "day": date,
    "code": lambda text: re.fullmatch(r"[A-Z]-[0-9]{4,8}", text) is not None,
    "short": lambda text: len(text) <= 12,
    "long": lambda text: len(text) <= 90,
    "kind": lambda text: text in (CODE, "b"),
    "small": lambda number: number <= 99,
    "n": lambda number: isinstance(number, int),
    "free": lambda text: isinstance(text, str),
    CODE: lambda text: isinstance(text, str),
}
DIRTY: dict[str, Any] = {
    "to": f"{CODE}@b.example",
    "maybe": f"{CODE}@b.example",
    "all": ["a@b.example", f"{CODE}@b.example"],
    "url": f"https://a.example/{CODE}",
    "id": f"{CODE}",  # what a model says is not always what it was asked for
    "day": CODE,
    "code": CODE,
    "short": CODE,
    "long": f"{'x ' * 40}{CODE}",
    "n": CARD,
    "free": f"so {CODE}!",
    CODE: f"{CODE} {CARD}",
}
CLEAN: dict[str, Any] = {
    "to": "a@b.example",
    "maybe": None,
    "all": [],
    "url": "https://a.example/",
    "id": "12345678-1234-4234-8234-123456789abc",
    "day": "2026-11-25",
    "code": "B-1234",
    "short": "short",
    "long": "long",
    "kind": "b",
    "small": 9,
    "n": 5,
    "free": mint("MAIL", MAIL),
}


def ask(route: str, how: str) -> dict[str, Any]:
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": f"I am {MAIL}"}]}
    if route == CHAT and how == "tool":
        body["tools"] = [{"type": "function", "function": {"name": "send", "parameters": SCHEMA}}]
    elif route == CHAT:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    elif how == "tool":
        body |= {"max_tokens": 9, "tools": [{"name": "send", "input_schema": SCHEMA}]}
    else:
        body |= {"max_tokens": 9, "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
    return body


def streamed(route: str, how: str, parts: list[str]) -> list[bytes]:
    if route == MESSAGES:
        return message_frames([("tool" if how == "tool" else "text", parts)])
    if how == "text":
        return chat_frames([{"content": part} for part in parts])
    first = {"tool_calls": [{"index": 0, "id": "t", "type": "function", "function": {"name": "send", "arguments": ""}}]}
    return chat_frames([first, *({"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in parts)])


def whole(route: str, how: str, said: dict[str, Any]) -> bytes:
    text = json.dumps(said)
    if route == CHAT:
        call = {"id": "t", "type": "function", "function": {"name": "send", "arguments": text}}
        message = {"role": "assistant", "content": text} if how == "text" else {"content": None, "tool_calls": [call]}
        return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    use = {"type": "tool_use", "id": "t", "name": "send", "input": said}
    block = {"type": "text", "text": text} if how == "text" else use
    return json.dumps({"type": "message", "content": [block], "stop_reason": "end_turn", "usage": {}}).encode()


def got(route: str, how: str, play: Play, stream: bool) -> dict[str, Any]:
    """The text that the client reads."""
    found: Any
    if stream:
        texts = chat_texts(play.client) if route == CHAT else message_texts(play.client)
        found = texts["block0" if route == MESSAGES else "tool" if how == "tool" else "content0"]
    elif route == CHAT:
        message = json.loads(play.client)["choices"][0]["message"]
        found = message["content"] if how == "text" else message["tool_calls"][0]["function"]["arguments"]
    else:
        block = json.loads(play.client)["content"][0]
        found = block["text"] if how == "text" else block["input"]
    out: dict[str, Any] = json.loads(found) if isinstance(found, str) else found
    return out


def assert_replays(play: Play, policies: PolicySet) -> None:
    again = replay(through_log(play.finish.record), policies)
    assert (again.verdict, again.differences) == ("identical", ())


WAYS = [(route, how) for route in (CHAT, MESSAGES) for how in ("tool", "text")]


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize(("route", "how"), WAYS)
@given(
    dirty=st.sets(st.sampled_from(sorted(DIRTY)), min_size=1),
    fatal=st.sampled_from([None, None, {"kind": CODE}, {"small": CARD}]),
    stream=st.booleans(),
    cuts=st.lists(st.integers(1, 900), max_size=6),
)
def test_the_schema_holds_for_what_the_client_gets(
    operator: str, route: str, how: str, dirty: set[str], fatal: dict[str, Any] | None, stream: bool, cuts: list[int]
) -> None:
    said = {**CLEAN, **{name: DIRTY[name] for name in sorted(dirty)}, **(fatal or {})}
    text = json.dumps(said)
    play = Play(rules(operator), route).ask(ask(route, how))
    if stream:
        play.stream(cut(b"".join(streamed(route, how, pieces(text, cuts))), [place * 3 for place in cuts]))
    else:
        play.stream([whole(route, how, said)], media="application/json")
    assert_replays(play, rules(operator))
    assert str(CARD) not in play.client.decode()
    if fatal:
        assert play.finish.outcome == "blocked_response", "nothing can stand there, so nothing is sent"
        assert CODE not in play.client.decode()
        return
    assert play.finish.outcome == "answered"
    client = got(route, how, play, stream)
    assert list(client) == list(said), "keys that the schema names stay"
    assert {name for name, value in client.items() if not HOLDS[name](value)} == set()
    assert CODE not in json.dumps(list(client.values()))
    assert client["free"] == MAIL or "free" in dirty
    clean = {name: value for name, value in said.items() if name not in dirty and name != "free"}
    assert {name: client[name] for name in clean} == clean
    if stream:
        other = Play(rules(operator), route).ask(ask(route, how)).stream(streamed(route, how, [text]))
        assert got(route, how, other, stream=True) == client
        assert other.record["response"]["texts"] == play.record["response"]["texts"]


@pytest.mark.parametrize("route", [CHAT, MESSAGES])
@given(
    fields=st.sets(
        st.sampled_from(["to", "maybe", "all", "url", "id", "day", "code", "short", "long", "free"]), min_size=1
    ),
    value=st.sampled_from([MAIL, "al@cd.io"]),
)
def test_what_a_past_call_held_comes_back(route: str, fields: set[str], value: str) -> None:
    """The model gets stand-ins that fit the schema of the tool. Where it repeats them, the client gets its own values back."""
    said = {name: SITE if name == "url" else [value] if name == "all" else value for name in sorted(fields)}
    body = ask(route, "tool")
    if route == CHAT:
        call = {"id": "t", "type": "function", "function": {"name": "send", "arguments": json.dumps(said)}}
        body["messages"] += [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "ok"}]
    else:
        use = {"type": "tool_use", "id": "t", "name": "send", "input": said}
        result = {"type": "tool_result", "tool_use_id": "t", "content": "ok"}
        body["messages"] += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    play = Play(rules("placeholder"), route).ask(body)
    last = play.upstream["messages"][1]
    sent = json.loads(last["tool_calls"][0]["function"]["arguments"]) if route == CHAT else last["content"][0]["input"]
    assert MAIL not in json.dumps(sent)
    assert value not in json.dumps(sent)
    for name in fields & {"to", "maybe", "all", "url", "id"}:
        assert HOLDS[name](sent[name])
    assert Play(rules("placeholder"), route).ask(body).upstream == play.upstream, "the same in every turn"
    for stream in (False, True):
        played = Play(rules("placeholder"), route).ask(body)
        if stream:
            played.stream(streamed(route, "tool", pieces(json.dumps(sent), range(1, 400, 7))))
        else:
            played.stream([whole(route, "tool", sent)], media="application/json")
        assert got(route, "tool", played, stream) == said
        assert_replays(played, rules("placeholder"))
    other = Play(rules("placeholder"), route).ask(ask(route, "tool"))
    other.stream([whole(route, "tool", sent)], media="application/json")
    unknown = {name: one for name, one in sent.items() if MAIL not in json.dumps(said[name]) or name == "url"}
    for name, one in unknown.items():
        assert got(route, "tool", other, stream=False)[name] == one, "nobody else's stand-in is restored"
