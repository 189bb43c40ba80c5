"""No value that a check reported as sensitive stands in a record, and each record replays exactly.

Random requests and answers of both formats, whole and streamed, are cut anywhere, end in every way, and are scanned late, under
policies that redact, flag, block, restore and only watch. The record goes through a log before it is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.errors import ErrorCode
from guardproxy.exchange.exchange import Exchange
from guardproxy.exchange.gate.gate import CHECK_ERROR
from guardproxy.exchange.inputs.setting import ExchangeLimits
from guardproxy.exchange.inputs.transcript import (
    Aborted,
    DataReceived,
    DownstreamGone,
    Finish,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    UpstreamFailed,
)
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.redaction.placeholders import RESTORE
from guardproxy.wire.json.text import view
from tests.kit.play import CHAT, MESSAGES, Play, chat_frames, cut, events, message_frames, mint, policy_set, sse
from tests.kit.records import members, replay, through_log
from tests.kit.responses import GROWING, RESPONSES, growing, stream

MAIL = "jo@ab.io"
OTHER = "al@cd.com"
CODE = "K-12345"
CARD = "4111222233334444"
SEEN = "S-777"

CHECKS = r"""
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\.(io|com)"]}
  code: {use: pattern, label: CODE, patterns: ["\\bK-[0-9]{4,8}\\b"]}
  card: {use: pattern, label: CARD, patterns: ["\\b[0-9]{16}\\b"]}
  seen: {use: pattern, label: SEEN, patterns: ["\\bS-[0-9]{3}\\b"]}
  bad:  {use: pattern, label: BAD, words: [forbidden thing]}
"""
POLICIES = {
    "usual": "policy: usual"
    + CHECKS
    + """
rules:
  - {id: mail, on: request, when: mail, action: redact, restore: true}
  - {id: card, when: card, action: redact}
  - {id: code, on: response, when: code, action: redact}
  - {id: seen, when: seen, action: flag}
  - {id: bad, on: response, when: bad, action: block}
""",
    "strict": "policy: strict"
    + CHECKS
    + """
rules:
  - {id: mail, when: mail, action: redact}
  - {id: card, when: card, action: redact, restore: true}
  - {id: both, when: code and seen, action: block}
  - {id: quiet, when: code, action: redact, mode: shadow}
  - {id: bad, when: bad, action: block}
unmapped: refuse
""",
    "masking": "policy: masking"
    + CHECKS
    + """
rules:
  - {id: mail, when: mail, action: redact, operators: {MAIL: {type: mask, chars_to_mask: 3}}}
  - {id: card, when: card, action: redact, operators: {DEFAULT: redact}}
  - {id: code, on: response, when: code, action: redact, operators: {CODE: hash, SEEN: {type: replace, new_value: X}}}
  - {id: seen, when: seen, action: redact, operators: {SEEN: {type: replace, new_value: X}}}
""",
    "watching": "policy: watching"
    + CHECKS
    + """
rules:
  - {id: mail, on: [user, metadata, assistant], when: mail, action: redact, mode: shadow}
  - {id: seen, when: seen or card, action: flag}
  - {id: bad, on: user, when: bad, action: block}
""",
}


@cache
def policies(*names: str) -> PolicySet:
    return policy_set(*(POLICIES[name] for name in names))


SETS = [("usual",), ("strict",), ("watching",), ("masking",), ("usual", "strict"), ("usual", "masking")]

WORDS = st.sampled_from(
    [MAIL, OTHER, CODE, CARD, SEEN, "forbidden thing", mint("MAIL", MAIL), mint("CARD", CARD), " ", "é", "x", ".", "-",
     '"', "\\", "[", "]", "12", "K-", "\n", "{", "\U0001f600", "hello there"]
)  # fmt: skip
TEXTS = st.lists(WORDS, max_size=6).map("".join)
NUMBERS = st.sampled_from([int(CARD), -int(CARD), 5, 12345, 0.5, 1e300, 123456789])
LEAVES = TEXTS | NUMBERS | st.booleans() | st.none()
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.just("plain"), inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.dictionaries(TEXTS | st.sampled_from(["plain", "note"]), DOCUMENTS, max_size=3)
ARGUMENTS = st.builds(
    lambda tree, escaped, broken: json.dumps(tree, ensure_ascii=escaped)[: broken or None],
    OBJECTS,
    st.booleans(),
    st.none() | st.integers(1, 60),
)


SCHEMA = {
    "properties": {
        "plain": {"type": "string", "format": "email"},
        "note": {"anyOf": [{"enum": ["x"]}, {"type": "string", "maxLength": 20}, {"type": "integer", "maximum": 9}]},
        "hello there": {"type": "array", "items": {"pattern": "^[A-Z]-[0-9]{5}$"}},
    },
    "additionalProperties": {"type": "string", "format": "date"},
}


@st.composite
def chat_requests(draw: st.DrawFn) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": draw(TEXTS)}]
    for kind in draw(st.lists(st.sampled_from(["parts", "call", "result", "system"]), max_size=3)):
        match kind:
            case "parts":
                image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
                messages.append({"role": "user", "content": [{"type": "text", "text": draw(TEXTS)}, image]})
            case "call":
                function = {"name": "send", "arguments": draw(ARGUMENTS)}
                call = {"id": draw(st.sampled_from(["c1", CODE])), "type": "function", "function": function}
                messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
            case "result":
                messages.append({"role": "tool", "tool_call_id": "c1", "content": draw(TEXTS)})
            case "system":
                messages.append({"role": "system", "content": draw(TEXTS), "name": draw(TEXTS)})
    body: dict[str, Any] = {"model": draw(st.sampled_from(["m", CODE, MAIL])), "messages": messages}
    if draw(st.booleans()):
        body |= {"metadata": draw(OBJECTS)}
    if draw(st.booleans()):
        body |= {draw(st.sampled_from(["new_field", MAIL])): draw(DOCUMENTS)}
    if draw(st.booleans()):
        body |= {"tools": [{"type": "function", "function": {"name": "send", "parameters": SCHEMA}}]}
    if draw(st.booleans()):
        body |= {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}}
    return body


@st.composite
def message_requests(draw: st.DrawFn) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": draw(TEXTS)}]
    for kind in draw(st.lists(st.sampled_from(["image", "use", "result", "search", "thinking"]), max_size=3)):
        match kind:
            case "image":
                blocks.append(
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
                )
            case "use":
                blocks.append({"type": "tool_use", "id": "t1", "name": "send", "input": draw(OBJECTS)})
            case "result":
                content = [{"type": "text", "text": draw(TEXTS)}]
                blocks.append({"type": "tool_result", "tool_use_id": "t1", "content": content})
            case "search":
                found = {**draw(OBJECTS), "encrypted_content": "AAAA"}
                blocks.append({"type": "web_search_tool_result", "tool_use_id": "t1", "content": [found]})
            case "thinking":
                blocks.append({"type": "thinking", "thinking": draw(TEXTS), "signature": "AAAA"})
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": blocks}], "system": draw(TEXTS)}
    if draw(st.booleans()):
        body |= {"tools": [{"name": "send", "input_schema": draw(st.sampled_from([SCHEMA, {}])), **draw(OBJECTS)}]}
    if draw(st.booleans()):
        body |= {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
    return body


USAGE = st.fixed_dictionaries({"input_tokens": st.just(3)}, optional={"note": TEXTS, MAIL: st.just(1), "big": NUMBERS})


@st.composite
def chat_answers(draw: st.DrawFn, streamed: bool) -> list[bytes]:
    finish = draw(st.sampled_from(["stop", "tool_calls", MAIL, CODE]))
    extra = draw(st.just({}) | st.fixed_dictionaries({"provider": TEXTS}))
    if not streamed:
        message: dict[str, Any] = {"role": "assistant", "content": draw(TEXTS), "reasoning_content": draw(TEXTS)}
        if draw(st.booleans()):
            call = {"id": "c", "type": "function", "function": {"name": "send", "arguments": draw(ARGUMENTS)}}
            message["tool_calls"] = [call]
        if draw(st.booleans()):
            message["extra"] = draw(DOCUMENTS)
        choices = [{"index": 0, "message": message, "finish_reason": finish}]
        answer = {"id": "c", "model": draw(st.sampled_from(["m", OTHER])), "choices": choices, "usage": draw(USAGE)}
        return [json.dumps({**answer, **extra}).encode()]
    deltas: list[dict[str, Any]] = []
    for name in draw(st.lists(st.sampled_from(["content", "reasoning_content", "tool", "extra", "list"]), max_size=4)):
        for part in draw(st.lists(TEXTS, max_size=3)):
            match name:
                case "tool":
                    piece = {"index": 0, "id": "c", "type": "function", "function": {"name": "send", "arguments": part}}
                    deltas.append({"tool_calls": [piece]})
                case "list":
                    deltas.append({"content": "", "thoughts": [{"text": part, "n": draw(NUMBERS)}]})
                case _:
                    deltas.append({name: part})
    frames = chat_frames(deltas, finish)
    if extra:
        frames = [sse({**json.loads(one[6:]), **extra}) if one.startswith(b"data: {") else one for one in frames]
    return [*frames[:-1], sse({"id": "c", "choices": [], "usage": draw(USAGE)}), frames[-1]]


@st.composite
def message_answers(draw: st.DrawFn, streamed: bool) -> list[bytes]:
    if not streamed:
        content: list[dict[str, Any]] = [
            {"type": "thinking", "thinking": draw(TEXTS), "signature": "AAAA"},
            {"type": "text", "text": draw(TEXTS)},
        ]
        if draw(st.booleans()):
            content.append({"type": "tool_use", "id": "t", "name": "send", "input": draw(OBJECTS)})
        answer = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": content,
                  "stop_reason": "end_turn", "stop_sequence": draw(TEXTS), "usage": draw(USAGE)}  # fmt: skip
        return [json.dumps(answer).encode()]
    blocks = []
    for kind in draw(st.lists(st.sampled_from(["text", "thinking", "tool"]), max_size=3)):
        parts = [draw(ARGUMENTS)] if kind == "tool" else draw(st.lists(TEXTS, max_size=3))
        blocks.append((kind, parts))
    frames = message_frames(blocks)
    if draw(st.booleans()):
        frames.insert(2, sse({"type": draw(st.sampled_from(["new_event", MAIL])), "about": draw(DOCUMENTS)}))
    return frames


@st.composite
def response_requests(draw: st.DrawFn) -> dict[str, Any]:
    items: list[dict[str, Any]] = [{"role": "user", "content": draw(TEXTS)}]
    for kind in draw(st.lists(st.sampled_from(["parts", "call", "result", "reasoning", "new"]), max_size=3)):
        match kind:
            case "parts":
                items.append({"role": "user", "content": [{"type": "input_text", "text": draw(TEXTS)}]})
            case "call":
                items.append({"type": "function_call", "call_id": "c", "name": "send", "arguments": draw(ARGUMENTS)})
            case "result":
                items.append({"type": "function_call_output", "call_id": "c", "output": draw(TEXTS)})
            case "reasoning":
                summary = {"type": "summary_text", "text": draw(TEXTS)}
                items.append({"type": "reasoning", "summary": [summary], "encrypted_content": "AAAA"})
            case "new":
                items.append({"type": "new", "about": draw(DOCUMENTS)})
    body: dict[str, Any] = {"model": "m", "input": draw(st.just(items) | TEXTS), "instructions": draw(TEXTS)}
    if draw(st.booleans()):
        tool = {"type": "function", "name": "send", "parameters": draw(st.sampled_from([SCHEMA, {}])), **draw(OBJECTS)}
        remote = {"type": "mcp", "server_label": draw(TEXTS), "authorization": MAIL, "headers": {"x-key": draw(TEXTS)}}
        body |= {"tools": [tool, remote], "metadata": draw(OBJECTS)}
    if draw(st.booleans()):
        body |= {"text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}}
    return body


@st.composite
def response_answers(draw: st.DrawFn, streamed: bool) -> list[bytes]:
    echo = draw(st.just({}) | st.fixed_dictionaries({"instructions": TEXTS, "provider": TEXTS}))
    bases = [base for base in GROWING if base != "response.shell_call_command"]
    inner = []
    for at, base in enumerate(draw(st.lists(st.sampled_from(bases), max_size=3))):
        parts = [draw(ARGUMENTS)] if base.endswith("arguments") else draw(st.lists(TEXTS, max_size=3))
        inner.append(list(growing(base, parts, at)))
    frames = stream(*inner)
    if not streamed:
        (_, last) = list(events(b"".join(frames)))[-1]
        return [json.dumps({**last["response"], **echo, "usage": draw(USAGE)}).encode()]
    if echo:
        (_, first) = next(events(frames[0]))
        frames[0] = sse({**first, "response": {**first["response"], **echo}}, first["type"])
    if draw(st.booleans()):
        frames.insert(2, sse({"type": draw(st.sampled_from(["new_event", MAIL])), "about": draw(DOCUMENTS)}))
    return frames


MADE: dict[str, tuple[Any, Any]] = {
    CHAT: (chat_requests, chat_answers),
    MESSAGES: (message_requests, message_answers),
    RESPONSES: (response_requests, response_answers),
}


@dataclass(frozen=True)
class Case:
    """One possible exchange. `end`: how it ends; `after`: the number of chunks before that."""

    route: str
    sets: tuple[str, ...]
    request: dict[str, Any]
    chunks: list[bytes]
    streamed: bool
    waits: list[bool]
    end: str
    after: int
    status: int = 200
    held_chars: int = 2_000_000
    failing: bool = field(default=False)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    route = draw(st.sampled_from(list(MADE)))
    streamed = draw(st.booleans())
    requests, answers = MADE[route]
    frames = draw(answers(streamed))
    data = b"".join(frames)
    chunks = cut(data, draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return Case(
        route,
        draw(st.sampled_from(SETS)),
        draw(requests()),
        chunks,
        streamed,
        draw(st.lists(st.booleans(), max_size=len(chunks) + 1)),
        draw(st.sampled_from(["whole", "whole", "whole", "truncated", "gone", "failed", "aborted", "html", "never"])),
        draw(st.integers(0, len(chunks))),
        draw(st.sampled_from([200, 200, 200, 429])),
        draw(st.sampled_from([2_000_000, 2_000_000, 8])),
    )


def perform(case: Case) -> Play:
    play = Play(policies(*case.sets), case.route, ExchangeLimits(held_chars=case.held_chars))
    play.tell(RequestReceived(json.dumps(case.request).encode(), at_s=1.0, unix_s=1.0))
    if case.end == "gone" and case.waits[:1] == [True]:
        play.tell(DownstreamGone())
        return play
    play.scan()
    if play.exchange.is_over:
        return play
    if case.end == "never":
        play.tell(UpstreamFailed(ErrorCode.UPSTREAM_UNREACHABLE, "no connection to the upstream"))
        return play
    media = "text/html" if case.end == "html" else "text/event-stream" if case.streamed else "application/json"
    play.tell(ResponseStarted(case.status, media))
    for number, chunk in enumerate(case.chunks if case.end == "whole" else case.chunks[: case.after]):
        play.tell(DataReceived(chunk))
        if case.waits[number : number + 1] != [True]:
            play.scan()
    match case.end:
        case "gone":
            play.tell(DownstreamGone())
        case "failed":
            play.tell(UpstreamFailed(ErrorCode.UPSTREAM_FAILED, "the upstream closed the connection"))
        case "aborted":
            play.tell(Aborted(ErrorCode.TIMEOUT, "the exchange took too long"))
        case _:
            play.tell(ResponseEnded())
    play.scan()
    return play


def sensitive(exchange: Exchange) -> set[str]:
    """Every value that a check found."""
    return {
        lane.text.view.text[one.start : one.end] if lane.text.view else "".join(lane.text.parts)[one.start : one.end]
        for side in exchange.sides.values()
        for lane in side.gate.lanes.every
        for one in lane.progress.findings
        if one.label != CHECK_ERROR and one.check != RESTORE
    }


def strings(tree: Any) -> Iterator[str]:
    """Every string, key and number of a tree; JSON in strings also unescaped."""
    if isinstance(tree, dict):
        for key, child in tree.items():
            yield key
            yield from strings(child)
    elif isinstance(tree, list):
        for child in tree:
            yield from strings(child)
    elif isinstance(tree, str):
        yield tree
        if "\\" in tree:
            yield view(tree).text
    elif isinstance(tree, (int, float)) and not isinstance(tree, bool):
        yield str(tree) if isinstance(tree, int) else f"{tree:.0f}"


@given(case=cases())
def test_no_value_that_a_check_found_stands_in_the_record(case: Case) -> None:
    play = perform(case)
    written = list(strings(members(play.finish.record)))
    for value in sensitive(play.exchange):
        for text in written:
            assert value not in text


@given(case=cases())
def test_what_was_not_scanned_to_the_end_stands_in_no_record(case: Case) -> None:
    """Tests the record of a client that left while its request was scanned, and of a client whose text must not be kept."""
    play = Play(policies(*case.sets), case.route)
    play.tell(RequestReceived(json.dumps(case.request).encode()))
    if play.pending:
        play.tell(DownstreamGone())
        for text in strings(members(play.finish.record)):
            for value in (MAIL, OTHER, CARD, SEEN):  # a code has the shape of a word and may be a model's name
                assert value not in text


@given(case=cases())
def test_a_record_replays_identically(case: Case) -> None:
    play = perform(case)
    record = through_log(play.finish.record)
    again = replay(record, policies(*case.sets))
    if again.verdict == "not replayable":
        unread = record.outcome == "refused" or record.request.body is None
        assert unread or any(text.text is None for text in record.response.texts)
        return
    assert again.differences == ()
    assert again.verdict == "identical"
    assert again.rescanned == ()


def test_a_key_that_holds_two_values_replays() -> None:
    """Operators replace values with constants, but a key gets a placeholder of its own, which belongs to the key."""
    key = MAIL + MAIL
    call = {"index": 0, "function": {"name": "send", "arguments": json.dumps({key: 1})}}
    request = {"model": "m", "messages": [{"role": "user", "content": ""}], "metadata": {key: None}}
    play = perform(Case(CHAT, ("masking",), request, chat_frames([{"tool_calls": [call]}]), True, [], "whole", 0))
    assert replay(through_log(play.finish.record), policies("masking")).verdict == "identical"


@pytest.mark.parametrize("end", ["whole", "truncated", "gone", "failed", "aborted", "html", "never"])
def test_every_ending_replays(end: str) -> None:
    """The strategies reach each ending with a record that can be replayed."""
    frames = chat_frames([{"content": f"to {mint('MAIL', MAIL)} and {CODE}."}, {"content": " More."}])
    request = {"model": "m", "messages": [{"role": "user", "content": f"I am {MAIL}, card {CARD}"}]}
    play = perform(Case(CHAT, ("usual",), request, frames, True, [], end, 3))
    assert isinstance(play.done[-1], Finish)
    assert replay(through_log(play.finish.record), policies("usual")).verdict == "identical"


def test_the_order_of_members_survives_the_log() -> None:
    """The log sorts keys; a rule with `and` decides at the text that comes last."""
    tool = {"name": "send", "input_schema": {"properties": {}}, "jo@ab.io": "K-12345", "": "S-777"}
    request = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": ""}], "tools": [tool]}
    end = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    case = Case("POST /v1/messages", ("strict",), request, [end], True, [], "whole", 0, 200, 2_000_000, False)
    record = through_log(perform(case).finish.record)
    assert len(record.decisions) == 3
    assert replay(record, policies("strict")).differences == ()


def test_a_word_of_the_protocol_that_repeats_a_value_replays_identically() -> None:
    """The mask in such a word has no brackets; the request holds the same value, and its mask has them."""
    request = {"model": "m", "messages": [{"role": "user", "content": CODE}]}
    choice = {"index": 0, "delta": {}, "finish_reason": CODE}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    chunks = [b"data: " + json.dumps(chunk).encode() + b"\n\n", b"data: [DONE]\n\n"]
    case = Case("POST /v1/chat/completions", ("usual",), request, chunks, True, [], "whole", 0)
    record = through_log(perform(case).finish.record)
    assert record.response.texts[0].findings
    assert replay(record, policies("usual")).differences == ()
