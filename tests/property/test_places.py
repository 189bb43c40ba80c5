"""Tests every place of every format: a value there is found, recorded as not inspected, withheld, or refused.

The places come from the maps of the formats, so a new field of a map is tested without a change here. Each place gets values
that a check knows, in several shapes: as text, as a key, as numbers, in objects and arrays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import pytest

from guardproxy.exchange.inputs.transcript import DataReceived, ResponseEnded, ResponseStarted, SendUpstream
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.wire.contract.writing import Prompt, Reply
from guardproxy.wire.decoding.json_codec import JsonCodec
from guardproxy.wire.formats.anthropic_messages import field_map as anthropic_messages_map
from guardproxy.wire.formats.gemini_generate.field_case import camel
from guardproxy.wire.formats.gemini_generate.writer import author as gemini
from guardproxy.wire.formats.openai_completions.writer import author as completions
from guardproxy.wire.formats.openai_responses import events as openai_responses_events
from guardproxy.wire.framing import ndjson
from guardproxy.wire.json.walk import MapLeaf
from guardproxy.wire.registry import codecs
from tests.kit.media import SIGNATURE
from tests.kit.ollama import GENERATE, OLLAMA
from tests.kit.play import CHAT, MESSAGES, Play, policy_set, sse
from tests.kit.records import members
from tests.kit.responses import RESPONSES

POLICY = """
policy: places
checks:
  value:
    use: pattern
    patterns:
      - '\\b[0-9](?: ?[0-9]){15}\\b'
      - '[a-z]+@[a-z]+\\.[a-z]+'
      - '\\bAKIA[0-9A-Z]{16}\\b'
      - '\\+[0-9]{10,12}\\b'
rules: [{id: seen, when: value, action: redact}]
"""
CARD = 4111222233334444
PARTS = [4111, 2222, 3333, 4444]
IDS = [106, 111, 64, 97, 98, 46, 105, 111, 10, 106, 111]  # more than a few integers can stand for a text
TEXTS = [str(CARD), "jo@ab.io", "AKIAIOSFODNN7EXAMPLE", "+12125550123"]
SHAPES: dict[str, Any] = {
    **{f"text {text}": text for text in TEXTS},
    "sentence": f"so {CARD}!",
    "number": CARD,
    "negative": -CARD,
    "exponent": float(CARD),
    "fraction": 41112222.33334444,
    "row": PARTS,
    "row of texts": [str(part) for part in PARTS],
    "row of arrays": [[part] for part in PARTS],
    "object of numbers": dict(zip("abcd", PARTS, strict=True)),
    "objects": [{"n": part} for part in PARTS],
    "in an object": {"a": str(CARD)},
    "in an array": ["x", str(CARD)],
    "deeper": [{"a": [[{"b": str(CARD)}]]}],
    "key": {str(CARD): 1},
    "word of the format as key": {"type": str(CARD), "id": str(CARD), "text": str(CARD)},
    "null beside": [None, str(CARD)],
    "ids": IDS,
    "data URL": f"data:text/plain,{CARD}",
    "false image": f"data:image/png;base64,{CARD}",
}
ROLES = ("system", "developer", "user", "assistant", "tool", "function", "somebody")
TYPES = (
    *("text", "image", "document", "search_result", "thinking", "redacted_thinking", "tool_use", "server_tool_use"),
    *("tool_result", "web_search_tool_result", "mcp_tool_use", "container_upload", "image_url", "input_audio", "file"),
    *(
        "mid_conv_system",
        "novelty",
        "text_delta",
        "input_json_delta",
        "thinking_delta",
        "signature_delta",
        "base64",
        "url",
    ),
    *("citations_delta", "content"),
    *("input_text", "input_file", "summary_text", "reasoning", "function_call", "function_call_output", "mcp_call"),
    *("function", "mcp", "code_interpreter", "namespace"),
)
DEEPEST = 4
EVERY = 5
EVERY_OF = {gemini.ROUTE: 21}  # its contents have the same parts in every role

Build = Callable[[Any], Any]
Case = tuple[str, Build, Any]


def probes() -> list[Any]:
    """Values by which maps choose the map of the places below them."""
    return ["x", [{"type": "text"}], {}, *({"role": role} for role in ROLES), *({"type": kind} for kind in TYPES)]


def cases(how: Any, build: Build, at: str = "", depth: int = 0) -> Iterator[Case]:
    """Each place of a map: its name, how to build a tree with a value there, and how the place is read."""
    if depth > DEEPEST:
        return
    if callable(how):
        seen: set[str] = set()
        for probe in probes():
            chosen = how(probe)
            while callable(chosen):  # as the walk does
                chosen = chosen(probe)
            mark = shape(chosen)
            if mark not in seen:
                seen.add(mark)
                frame = probe if isinstance(probe, dict) else {}
                yield from below(chosen, frame, build, f"{at}<{next(iter(frame.values()), '')}>", depth)
    else:
        yield from below(how, {}, build, at, depth)


def shape(how: Any) -> str:
    """An identity of a map that does not call the functions in it."""
    if isinstance(how, dict):
        return "{" + ",".join(f"{key}:{shape(child)}" for key, child in how.items()) + "}"
    return f"[{shape(how[0])}]" if isinstance(how, list) else "()" if callable(how) else _shown(how)


_shown = cache(repr)  # of the leaves of a map, which are few and stand in it many times


def below(how: Any, frame: dict[str, Any], build: Build, at: str, depth: int) -> Iterator[Case]:
    if isinstance(how, dict):
        for key, child in how.items():
            if isinstance(key, str) and (camel(key) == key or camel(key) not in how):  # the spellings have one map
                into: Build = lambda value, key=key: build({**frame, key: value})  # type: ignore[misc] # noqa: E731
                yield from cases(child, into, f"{at}.{key}", depth + 1)
        yield f"{at}.novelty", lambda value: build({**frame, "novelty": value}), None
        for name in ("prompt_token_ids", "input_ids", "context", "prompt"):
            yield f"{at}.{name}", lambda value, name=name: build({**frame, name: value}), None  # type: ignore[misc]
        yield f"{at} itself", build, None
    elif isinstance(how, list):
        yield f"{at} itself", build, None
        yield from cases(how[0], lambda value: build([value]), f"{at}[]", depth + 1)
    elif isinstance(how, MapLeaf):
        yield at, build, how
    else:
        yield from cases(how, build, at, depth + 1)


def some(found: Iterable[Any], name: str, route: str = "") -> Iterator[Any]:
    """Every fifth place, with another start for each shape, because all places would take minutes."""
    first, every = list(SHAPES).index(name), EVERY_OF.get(route, EVERY)
    return (case for number, case in enumerate(found) if (number + first) % every == 0)


@cache
def below_top(route: str, *, answers: bool) -> list[Case]:
    """The places of a whole request or answer, which also has the fields that it needs."""
    how, plain = ANSWERS[route] if answers else REQUESTS[route]
    build: Build = lambda value: {**plain, **value} if isinstance(value, dict) else value  # noqa: E731
    return list(cases(how, build, depth=FIRST_DEPTH.get(route, 0)))


@cache
def rules() -> PolicySet:
    return policy_set(POLICY)


def says(data: str) -> bool:
    """Whether a text holds one of the values, in one piece or in parts."""
    bare = re.sub(r"[^0-9a-zA-Z@+.-]", "", data)
    digits = re.sub(r"[^0-9]", "", data)
    return str(CARD) in digits or str(IDS)[1:-1].replace(" ", "") in data or any(text in bare for text in TEXTS[1:])


_AGAIN = ("instructions", "generateContentRequest", "requests", "content")


def without_items(how: Any) -> Any:
    """A map without the fields that hold what others hold: items of Responses, and contents of Gemini."""
    if not isinstance(how, dict):
        return how
    again = _AGAIN if "contents" in how else _AGAIN[:1]
    return {key: child for key, child in how.items() if camel(str(key)) not in again}


FIRST_DEPTH = {RESPONSES: -1}  # items are one step deeper than messages
FORMATS = [codec for codec in codecs() if isinstance(codec, JsonCodec)]
REQUESTS: dict[str, tuple[Any, dict[str, Any]]] = {
    codec.author.ROUTE: (without_items(codec.grammar.request), codec.author.request(Prompt("m", "hi")))
    for codec in FORMATS
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("route", REQUESTS)
def test_every_place_of_a_request(route: str, name: str) -> None:
    passed = []
    for at, build, _ in some(below_top(route, answers=False), name, route):
        tree = build(deepcopy(SHAPES[name]))
        if not isinstance(tree, dict):
            continue
        for message in tree["messages"] if isinstance(tree.get("messages"), list) else []:
            if isinstance(message, dict) and "n" not in message:
                message.setdefault("role", "user")
                message.setdefault("content", "hi")
        play = Play(rules(), route).ask(tree)
        sent = any(isinstance(command, SendUpstream) for command in play.done)
        record = members(play.exchange.record("sent upstream" if sent else "refused"))
        if sent and says(json.dumps(play.upstream, separators=(",", ":"))) and not listed(record["request"]):
            passed.append(at)
        if says(json.dumps([record["request"], record["model"]], separators=(",", ":"))):
            passed.append(f"{at} in the record")
    assert passed == []


def listed(side: dict[str, Any]) -> bool:
    """Whether the record lists a place as not inspected."""
    assert len(side["uninspected"]) == len(side["uninspected_kinds"])
    return bool(side["uninspected"]) and "" not in side["uninspected_kinds"]


ANSWERS: dict[str, tuple[Any, dict[str, Any]]] = {
    codec.author.ROUTE: (without_items(codec.grammar.answer), codec.author.answer(Prompt("m", "hi"), Reply("hi"), "1"))
    for codec in FORMATS
}


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "ids"])
@pytest.mark.parametrize("route", ANSWERS)
def test_every_place_of_an_answer(route: str, name: str) -> None:
    passed = []
    for at, build, _ in some(below_top(route, answers=True), name, route):
        tree = build(deepcopy(SHAPES[name]))
        if isinstance(tree, dict):
            passed += said(route, at, json.dumps(tree).encode(), "application/json")
    assert passed == []


def said(route: str, at: str, data: bytes, media: str) -> list[str]:
    play = Play(rules(), route).ask(REQUESTS[route][1])
    play.tell(ResponseStarted(200, media))
    play.tell(DataReceived(data))
    play.scan()
    play.tell(ResponseEnded())
    play.scan()
    response = play.record["response"]
    if says(play.client.decode()) and not listed(response):
        return [at]
    return [f"{at} in the record"] if says(json.dumps(response, separators=(",", ":"))) else []


LAST_CHOICES: dict[str, dict[str, Any]] = {CHAT: {"delta": {}}, completions.ROUTE: {"text": ""}}
LINES = (OLLAMA, GENERATE)  # lines of JSON, each like an answer
LAST_CANDIDATE = {"candidates": [{"finishReason": "STOP"}]}


@cache
def event_cases() -> list[tuple[str, str, Build]]:
    """The places of streams, each between the frames that begin and end it."""
    return list(_event_cases())


def _event_cases() -> Iterator[tuple[str, str, Build]]:
    for route in LAST_CHOICES:
        for at, build, _ in cases(ANSWERS[route][0], lambda value: {"id": "c", **value}):
            if "message" not in at:
                yield route, at, build
    for route in LINES:
        for at, build, _ in cases(ANSWERS[route][0], lambda value: value):
            yield route, at, build
    for at, build, _ in list(cases(ANSWERS[gemini.ROUTE][0], lambda value: value))[::4]:
        yield gemini.ROUTE, at, build
    for route, maps in (
        (MESSAGES, anthropic_messages_map.TEXT_EVENTS),
        (RESPONSES, openai_responses_events.TEXT_EVENTS),
    ):
        for kind, how in maps.items():
            if kind in openai_responses_events.WHOLE or kind == "response.output_item.added":
                continue  # its places are those of an answer and of `response.output_item.done`
            frame = {"type": kind, "index": 0}
            for at, build, _ in cases(how, lambda value, frame=frame: {**frame, **value}):  # type: ignore[misc]
                yield route, f"{kind}{at}", build


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "ids"])
def test_every_place_of_a_stream(name: str) -> None:
    passed = []
    for route, at, build in some(event_cases(), name):
        try:
            tree = build(deepcopy(SHAPES[name]))
        except TypeError:  # the whole frame is not an object
            continue
        if route in LINES:
            data = ndjson.frame(json.dumps(tree).encode()) + ndjson.frame(b'{"done":true}')
        elif route in LAST_CHOICES:
            last = {"id": "c", "choices": [{"index": 0, **LAST_CHOICES[route], "finish_reason": "stop"}]}
            data = sse(tree) + sse(last) + b"data: [DONE]\n\n"
        elif route == gemini.ROUTE:
            data = sse(tree) + sse(LAST_CANDIDATE)
        else:
            end = "message_stop" if route == MESSAGES else "response.completed"
            kind = tree["type"] if isinstance(tree.get("type"), str) else "x"
            data = sse(tree, kind) + sse({"type": end}, end)
        passed += said(route, at, data, "application/x-ndjson" if route in LINES else "text/event-stream")
    assert passed == []


def test_the_maps_are_walked() -> None:
    """The list of places is long and holds known examples."""
    for route, least in ((CHAT, 200), (MESSAGES, 200), (RESPONSES, 400)):
        names = [at for at, _, _ in below_top(route, answers=False)]
        assert len(names) > least
        assert any(at.endswith(".text") for at in names)
    hows = {leaf.how for how, _ in REQUESTS.values() for _, _, leaf in cases(how, lambda value: value) if leaf}
    assert {"text", "json", "structure", "name", "opaque"} <= hows
    assert SIGNATURE
