"""Bodies that repeat one part many times, and the work of an exchange for each of them. The tests of cost and the benchmark of
growth use them.

Work is counted, not timed: `calls` are calls of functions in Python and C. `chars` are the characters that pass through
functions whose work is inside of the interpreter (windows, slices of texts, masks, paths, JSON). Both are the same in every
run. A field of a format joins by its map; a body of another kind joins `REQUESTS` or `ANSWERS`.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol
from unittest.mock import patch

from guardproxy.exchange.gate.gate import Job
from guardproxy.exchange.gate.lanes import LaneText
from guardproxy.exchange.inputs.transcript import (
    DataReceived,
    Finish,
    Input,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    RunScans,
    Scanned,
    SendUpstream,
)
from guardproxy.exchange.record import masking as masked
from guardproxy.findings import Scan
from guardproxy.redaction import mask, values
from guardproxy.server.driving.offload import is_short, is_small
from guardproxy.wire import Prompt, Reply
from guardproxy.wire.decoding import decoding
from guardproxy.wire.formats.anthropic_messages import field_map as anthropic_messages_map
from guardproxy.wire.formats.ollama_chat import field_map as ollama_chat_map
from guardproxy.wire.formats.ollama_embed import field_map as ollama_embed_map
from guardproxy.wire.formats.ollama_embed.writer import author as ollama_embed
from guardproxy.wire.formats.ollama_generate import field_map as ollama_generate_map
from guardproxy.wire.formats.openai_chat import field_map as openai_chat_map
from guardproxy.wire.formats.openai_completions import field_map as openai_completions_map
from guardproxy.wire.formats.openai_completions.writer import author as openai_completions
from guardproxy.wire.formats.openai_inputs import field_map as openai_inputs_map
from guardproxy.wire.formats.openai_inputs.contract import EMBEDDINGS, MODERATIONS
from guardproxy.wire.formats.openai_inputs.writer import author as openai_inputs
from guardproxy.wire.formats.openai_responses import field_map as openai_responses_map
from guardproxy.wire.json import dotted, read, replacing
from guardproxy.wire.json.walk import reach
from tests.kit.gemini import GEMINI, chunk, gemini_frames, partial_args
from tests.kit.ollama import GENERATE, OLLAMA, line_frames
from tests.kit.play import CHAT, MESSAGES, Play, chat_frames, message_frames, policy_set, sse
from tests.kit.responses import RESPONSES, growing, response_frames, stream

POLICY = """
policy: cost
match: {}
checks:
  pii: {use: pii, entities: [EMAIL_ADDRESS, CREDIT_CARD, US_SSN, IP_ADDRESS]}
  secrets: {use: secrets}
  order: {use: pattern, patterns: ['order-[0-9]{4}', 'v{1,20}']}
rules:
  - {id: out, on: request, when: pii or secrets or order, action: redact, restore: true}
  - {id: back, on: response, when: pii or secrets or order, action: redact}
"""
POLICIES = policy_set(POLICY)
COUNTS_SCANS = True
LOOP_CALLS = 30_000  # measured: so many calls take about 5 ms

Body = Callable[[int], Any]
Answer = tuple[str, list[bytes]]


@dataclass
class Work:
    """The work of an exchange. `on_loop`: the calls of the longest step that the server runs on its event loop."""

    calls: int = 0
    chars: int = 0
    on_loop: int = 0


@dataclass
class _Counter:
    calls: int = 0
    chars: int = 0

    def see(self, frame: Any, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            self.calls += 1


@contextmanager
def _counted(counter: _Counter) -> Iterator[None]:
    """Counts the characters that pass through functions whose work is not visible as calls."""

    def counting(function: Callable[..., Any], size: Callable[..., int]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            result = function(*args, **named)
            counter.chars += size(result, *args)
            return result

        return call

    part, find = LaneText.part, values.ValueMatcher.find
    with (
        patch.object(LaneText, "part", counting(part, lambda out, *_: len(out))),
        patch.object(values.ValueMatcher, "find", counting(find, lambda out, it, text: len(text))),
        patch.object(masked, "mask", counting(mask, lambda out, text, *_: len(text))),
        patch.object(decoding, "dotted", counting(dotted, lambda out, *_: len(out))),
        patch.object(decoding, "read", counting(read, lambda out, data: len(data))),
        patch.object(replacing, "reach", counting(reach, lambda out, node, path: len(path))),
    ):
        yield


def _scans(jobs: Iterable[Job]) -> tuple[Scan, ...]:
    return tuple(job.check.scan([job.window])[0] for job in jobs)


@dataclass
class Meter:
    """Plays one exchange, scans included, and counts."""

    route: str = CHAT
    counted: bool = True  # else the exchange is played without being looked at
    counter: _Counter = field(default_factory=_Counter)
    work: Work = field(default_factory=Work)

    def __post_init__(self) -> None:
        self.play = Play(POLICIES, self.route, receipts=True)
        self.play.tell = self._tell  # type: ignore[method-assign]

    def _tell(self, event: Input) -> list[Any]:
        exchange = self.play.exchange
        short = is_short(event, exchange)
        commands: list[Any] = self._step(partial(exchange.receive, event), on_loop=short)
        for command in commands:
            if isinstance(command, RunScans):
                self.play.pending = command
            elif isinstance(command, Finish):
                self._step(partial(getattr, command, "record"), on_loop=is_small(exchange))
                self._step(lambda: None, on_loop=True)
        self.play.done += commands
        return commands

    def _step(self, step: Callable[[], Any], *, on_loop: bool) -> Any:
        if not self.counted:
            return step()
        before = self.counter.calls
        sys.setprofile(self.counter.see)
        try:
            return step()
        finally:
            sys.setprofile(None)
            if on_loop:
                self.work.on_loop = max(self.work.on_loop, self.counter.calls - before)

    def scan(self) -> None:
        while self.play.pending:
            jobs, self.play.pending = self.play.pending.jobs, None
            self.counter.chars += sum(len(job.window.text) for job in jobs)
            scanning = partial(_scans, jobs)
            self._tell(Scanned(self._step(scanning, on_loop=False) if COUNTS_SCANS else scanning()))

    def run(self, body: bytes, answer: Answer | None = None) -> Work:
        gc.disable()
        try:
            with _counted(self.counter):
                self._tell(RequestReceived(body))
                self.scan()
                if any(isinstance(command, SendUpstream) for command in self.play.done):
                    media, chunks = answer or PLAIN[self.route]
                    self._tell(ResponseStarted(200, media))
                    for chunk in chunks:
                        self._tell(DataReceived(chunk))
                        self.scan()
                    self._tell(ResponseEnded())
                    self.scan()
        finally:
            gc.enable()
        assert self.play.exchange.is_over
        self.work.calls, self.work.chars = self.counter.calls, self.counter.chars
        return self.work


STREAM, LINES, JSON = "text/event-stream", "application/x-ndjson", "application/json"
EMBED = ollama_embed.ROUTE
COMPLETIONS = openai_completions.ROUTE


def _vectors(count: int, **more: Any) -> bytes:
    asked = {"model": "m", "input": [str(at) for at in range(count)], "dimensions": 16, **more}
    return json.dumps(openai_inputs.unanswered(EMBEDDINGS, asked, "1")).encode()


PLAIN: Mapping[str, Answer] = {
    CHAT: (STREAM, chat_frames([{"content": "Fine."}])),
    MESSAGES: (STREAM, message_frames([("text", ["Fine."])])),
    RESPONSES: (STREAM, response_frames("response.output_text", ["Fine."])),
    COMPLETIONS: (STREAM, openai_completions.chunks([{"text": "Fine."}], {})),
    EMBEDDINGS: (JSON, [_vectors(1)]),
    OLLAMA: (LINES, line_frames(OLLAMA, "content", ["Fine."])),
    GENERATE: (LINES, line_frames(GENERATE, "response", ["Fine."])),
    EMBED: (JSON, [json.dumps(ollama_embed.unanswered(EMBED, {"input": ["a"]}, "1")).encode()]),
    GEMINI: (STREAM, gemini_frames(["Fine."])),
}
LINE = "some words " * 10  # checks look back a thousand characters: of more text, each costs the same
USER = {"role": "user", "content": "hello there"}


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [USER], **more}


def messages(**more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 9, "messages": [USER], **more}


def responses(**more: Any) -> dict[str, Any]:
    return {"model": "m", "input": [USER], **more}


def strings(n: int) -> list[str]:
    return [f"some text {number}" for number in range(n)]


def mails(n: int) -> list[str]:
    return [f"user{number}@example.com" for number in range(n)]


def keys(n: int) -> dict[str, Any]:
    return {f"a key {number}": number for number in range(n)}


def nested(n: int, leaf: Any = "deep text") -> Any:
    return leaf if n <= 0 else {"in": nested(n - 1, leaf)}


def completion(**more: Any) -> dict[str, Any]:
    return {"model": "m", "prompt": "hello there", **more}


def embedding(**more: Any) -> dict[str, Any]:
    return {"model": "m", "input": "hello there", **more}


# Identifiers of a known shape and identifiers of three characters are no texts. Those of calls are texts of one length: else
# the first hundred would cost less than the next.
CALL_ID = "the call "


def _call(arguments: str, n: int = 1) -> dict[str, Any]:
    calls = [
        {"id": f"{CALL_ID}{at:05}", "type": "function", "function": {"name": "send", "arguments": arguments}}
        for at in range(n)
    ]
    return chat(messages=[USER, {"role": "assistant", "content": None, "tool_calls": calls}])


def _tool(number: int) -> dict[str, Any]:
    properties = {"to": {"type": "string", "description": "who"}}
    parameters = {"type": "object", "properties": properties}
    return {
        "type": "function",
        "function": {"name": f"t{number}", "description": "does it", "parameters": parameters},
    }


_EMAIL_TOOL = {
    "type": "function",
    "function": {
        "name": "send",
        "parameters": {
            "type": "object",
            "properties": {"to": {"type": "array", "items": {"type": "string", "format": "email"}}},
        },
    },
}


def _ollama_calls(n: int) -> list[dict[str, Any]]:
    return [{"function": {"name": "send", "arguments": {"to": mail}}} for mail in mails(n)]


def contents(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": list(parts)}], **more}


REQUESTS: dict[str, tuple[str, Body]] = {
    "gemini contents": (GEMINI, lambda n: {"contents": [{"parts": [{"text": text}]} for text in strings(n)]}),
    "gemini parts": (GEMINI, lambda n: contents(*({"text": text} for text in strings(n)))),
    "gemini calls": (GEMINI, lambda n: contents(*([{"functionCall": {"name": "t", "args": {"to": "you"}}}] * n))),
    "gemini functions": (
        GEMINI,
        lambda n: contents(
            {"text": "hi"}, tools=[{"functionDeclarations": [_tool(at)["function"] for at in range(n)]}]
        ),
    ),
    "chat messages": (CHAT, lambda n: chat(messages=[USER] * n)),
    "chat roles": (CHAT, lambda n: chat(messages=[{"role": f"role {at}", "content": "x"} for at in range(n)])),
    "chat message names": (CHAT, lambda n: chat(messages=[{**USER, "name": text} for text in strings(n)])),
    "chat parts": (
        CHAT,
        lambda n: chat(messages=[{"role": "user", "content": [{"type": "text", "text": t} for t in strings(n)]}]),
    ),
    "chat unknown parts": (
        CHAT,
        lambda n: chat(messages=[{"role": "user", "content": [{"type": "new", "x": t} for t in strings(n)]}]),
    ),
    "chat images": (
        CHAT,
        lambda n: chat(
            messages=[
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}] * n,
                }
            ]
        ),
    ),
    "chat unknown fields of a message": (CHAT, lambda n: chat(messages=[{**USER, "new": strings(n)}])),
    "chat tools": (CHAT, lambda n: chat(tools=[_tool(at) for at in range(n)])),
    "chat tool calls": (CHAT, partial(_call, '{"to": "you"}')),
    "chat tool results": (
        CHAT,
        lambda n: chat(messages=[USER, *({"role": "tool", "tool_call_id": "c", "content": t} for t in strings(n))]),
    ),
    "properties of a tool": (
        CHAT,
        lambda n: chat(tools=[{"type": "function", "function": {"name": "t", "parameters": {"properties": keys(n)}}}]),
    ),
    "keys": (CHAT, lambda n: chat(metadata=keys(n))),
    "keys with values to mask": (CHAT, lambda n: chat(metadata=dict.fromkeys(mails(n), 1))),
    "objects": (CHAT, lambda n: chat(metadata=[{"a key": text} for text in strings(n)])),
    "objects of one key": (CHAT, lambda n: chat(metadata=[{"the key": {"the key": "x"}}] * n)),
    "unknown keys": (CHAT, lambda n: chat(**{f"unknown {at}": at for at in range(n)})),
    "a long key": (CHAT, lambda n: chat(metadata={"k " * n: ["x"] * 10})),
    "long keys": (CHAT, lambda n: chat(metadata={"k " * 100 + str(at): "x" for at in range(n)})),
    "keys of dots": (CHAT, lambda n: chat(metadata={"a.b@c.de" * 10: {f"k {at}": "v" for at in range(n)}})),
    "nesting": (CHAT, lambda n: chat(metadata=nested(min(n, 90)))),
    "nests": (CHAT, lambda n: chat(metadata=[nested(20)] * n)),
    "numbers": (CHAT, lambda n: chat(metadata=[1234567890123 + at for at in range(n)])),
    "short numbers": (CHAT, lambda n: chat(metadata=list(range(n)))),
    "empty lists": (CHAT, lambda n: chat(metadata=[[]] * n)),
    "empty strings": (CHAT, lambda n: chat(metadata=[""] * n)),
    "text": (CHAT, lambda n: chat(messages=[{"role": "user", "content": "some words " * n}])),
    "text without spaces": (CHAT, lambda n: chat(messages=[{"role": "user", "content": "abcdefghi" * n}])),
    "quotes in text": (CHAT, lambda n: chat(messages=[{"role": "user", "content": '"' * 10 * n}])),
    "escapes in text": (CHAT, lambda n: chat(messages=[{"role": "user", "content": "\\\n\t" * 10 * n}])),
    "distinct addresses": (CHAT, lambda n: chat(messages=[{"role": "user", "content": " ".join(mails(n))}])),
    "messages of addresses": (CHAT, lambda n: chat(messages=[{"role": "user", "content": mail} for mail in mails(n)])),
    "the same address": (CHAT, lambda n: chat(messages=[{"role": "user", "content": "jo@ab.io " * n}])),
    "addresses in many texts": (CHAT, lambda n: chat(metadata=mails(n))),
    "values that hold each other": (
        CHAT,
        lambda n: chat(metadata=["v" * (at % 19 + 1) + " " for at in range(n)], user="v" * n),
    ),
    "addresses beside words": (CHAT, lambda n: chat(metadata=[*mails(n), *(f"word{at}" for at in range(n))])),
    "escapes in arguments": (CHAT, lambda n: _call('\\"' * 10 * n + " jo@ab.io")),
    "broken arguments": (CHAT, lambda n: _call('{"a": "' + '\\"' * 10 * n)),
    "brackets in arguments": (CHAT, lambda n: _call("[" * n + '"jo@ab.io"')),
    "strings in arguments": (CHAT, lambda n: _call(json.dumps(strings(n)))),
    "keys in arguments": (CHAT, lambda n: _call(json.dumps(keys(n)))),
    "numbers in arguments": (CHAT, lambda n: _call(json.dumps([1234567890123 + at for at in range(n)]))),
    "addresses in arguments": (CHAT, lambda n: _call(json.dumps({"to": mails(n)}))),
    "addresses in shaped arguments": (CHAT, lambda n: {**_call(json.dumps({"to": mails(n)})), "tools": [_EMAIL_TOOL]}),
    "deep addresses in arguments": (
        CHAT,
        lambda n: _call("[" * n + json.dumps(mails(n))[1:-1] + "]" * n),
    ),
    "one value in many leaves": (CHAT, lambda n: _call(json.dumps({"a": ["v" * 3] * n}))),
    "messages of blocks": (
        MESSAGES,
        lambda n: messages(messages=[{"role": "user", "content": [{"type": "text", "text": t} for t in strings(n)]}]),
    ),
    "messages of documents": (
        MESSAGES,
        lambda n: messages(
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": t}}
                        for t in mails(n)
                    ],
                }
            ]
        ),
    ),
    "messages of tool results": (
        MESSAGES,
        lambda n: messages(
            messages=[
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "t", "content": t} for t in strings(n)],
                }
            ]
        ),
    ),
    "messages of tool uses": (
        MESSAGES,
        lambda n: messages(
            messages=[
                USER,
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "t", "name": "send", "input": {"to": t}} for t in mails(n)],
                },
            ]
        ),
    ),
    "items of responses": (RESPONSES, lambda n: responses(input=[USER] * n)),
    "calls of responses": (
        RESPONSES,
        lambda n: responses(
            input=[
                {"type": "function_call", "call_id": f"{CALL_ID}{at:05}", "name": "send", "arguments": '{"to": "you"}'}
                for at in range(n)
            ]
        ),
    ),
    "prompts of addresses": (COMPLETIONS, lambda n: completion(prompt=mails(n))),
    "calls of Ollama": (OLLAMA, lambda n: chat(messages=[USER, {"role": "assistant", "tool_calls": _ollama_calls(n)}])),
    "inputs of addresses": (EMBEDDINGS, lambda n: embedding(input=mails(n))),
    "parts of inputs": (EMBEDDINGS, lambda n: embedding(input=[{"type": "text", "text": text} for text in mails(n)])),
    "tools of messages": (
        MESSAGES,
        lambda n: messages(
            tools=[{"name": f"t{at}", "description": "x y", "input_schema": {"type": "object"}} for at in range(n)]
        ),
    ),
}


def _fields() -> Iterator[tuple[str, tuple[str, Body]]]:
    """The fields of each format's request, each as the one that holds many strings. Of the fields that a format maps by the
    same object, and so reads by the same code, there is one."""
    for module, route, whole in (
        (openai_chat_map, CHAT, chat),
        (anthropic_messages_map, MESSAGES, messages),
        (openai_completions_map, COMPLETIONS, completion),
        (openai_inputs_map, EMBEDDINGS, embedding),
        (openai_responses_map, RESPONSES, responses),
        (ollama_chat_map, OLLAMA, chat),
        (ollama_generate_map, GENERATE, completion),
        (ollama_embed_map, EMBED, embedding),
    ):
        known: set[int] = set()
        for name, how in module.REQUEST.items():
            is_plain = name in (
                "tools",
                "functions",
                "instructions",
                "system",
            )  # which `_field` writes in a way of their own
            if not is_plain and id(how) in known:
                continue
            known.add(id(how))
            if name not in ("model", "stream", "n", "max_tokens", "messages", "background", "store"):
                yield f"{module.__name__.split('.')[-2]} {name}", (route, _field(whole, str(name)))


def _field(whole: Callable[..., Any], name: str) -> Body:
    if name in ("tools", "functions"):
        return lambda n: whole(**{name: [{"type": "function", "name": text} for text in strings(n)]})
    if name == "instructions":
        return lambda n: whole(**{name: [{"role": "developer", "content": text} for text in strings(n)]})
    if name == "system":
        return lambda n: whole(**{name: [{"type": "text", "text": text} for text in strings(n)]})
    return lambda n: whole(**{name: strings(n)})


FIELDS = dict(_fields())


def _chunk(choices: list[Any], **more: Any) -> bytes:
    return sse({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more})


def _delta(index: int, delta: Any, finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish}


def _choices(n: int, delta: Callable[[int], Any], rounds: int = 2) -> list[bytes]:
    """Many choices, their frames interleaved."""
    out = [_chunk([_delta(at, delta(turn))]) for turn in range(rounds) for at in range(n)]
    return [*out, *(_chunk([_delta(at, {}, "stop")]) for at in range(n)), b"data: [DONE]\n\n"]


def _calls(n: int, rounds: int = 2) -> list[bytes]:
    """Many tool calls, their frames interleaved."""
    begun = [
        {"index": at, "id": f"{CALL_ID}{at:05}", "type": "function", "function": {"name": "send"}} for at in range(n)
    ]
    parts = [{"index": at, "function": {"arguments": '{"a": "b'}} for at in range(n)] * rounds
    return chat_frames([{"tool_calls": [call]} for call in [*begun, *parts]], "tool_calls")


def _whole(**message: Any) -> bytes:
    answer = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return json.dumps(
        {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [answer]}
    ).encode()


def _tokens(words: Sequence[str]) -> list[bytes]:
    """A stream of tokens with their probabilities, each of which an edit replaces."""
    begin, parts = 5, []
    for word in (f"{word} " for word in words):
        lists = {"tokens": [word], "token_logprobs": [-1], "top_logprobs": [{word: -1}], "text_offset": [begin]}
        parts.append({"text": word, "logprobs": lists})
        begin += len(word)
    return openai_completions.chunks(parts, {"id": "c", "model": "m"})


def _token_body(words: Sequence[str]) -> bytes:
    prompt = Prompt("m", "hello", with_logprobs=True)
    return json.dumps(openai_completions.answer(prompt, Reply(" ".join(words)), "1")).encode()


def _scores(count: int) -> bytes:
    asked = {"input": [str(at) for at in range(count)]}
    return json.dumps(openai_inputs.unanswered(MODERATIONS, asked, "1")).encode()


def _cited(n: int) -> list[bytes]:
    """Texts to edit and annotations that count in them, in turns."""
    note = {
        "type": "url_citation",
        "url_citation": {"start_index": 1, "end_index": 3, "url": "https://a.io ", "title": "t "},
    }
    deltas: list[dict[str, Any]] = []
    for mail in mails(n):
        deltas += {"content": f"{LINE}{mail} "}, {"annotations": [note]}
    return chat_frames(deltas)


def _bytes(frames: list[bytes], size: int) -> list[bytes]:
    data = b"".join(frames)
    return [data[at : at + size] for at in range(0, len(data), size)]


def _gemini(*trees: Any) -> Answer:
    return STREAM, [sse(tree) for tree in (*trees, chunk({"text": ""}, finish="STOP"))]


def _grounded(n: int) -> Answer:
    """A text with values, and as many segments of it."""
    text = " ".join(f"ü {mail}" for mail in mails(n))
    supports = [{"segment": {"startIndex": 9 * at, "endIndex": 9 * at + 9, "text": "x"}} for at in range(n)]
    return _gemini(chunk({"text": text}), chunk({"text": ""}, groundingMetadata={"groundingSupports": supports}))


ANSWERS: dict[str, tuple[str, Callable[[int], Answer]]] = {
    "gemini frames": (GEMINI, lambda n: (STREAM, gemini_frames([LINE] * n))),
    "gemini parts in turn": (
        GEMINI,
        lambda n: _gemini(*(chunk({"text": LINE, "thought": bool(at % 2)}) for at in range(n))),
    ),
    "gemini calls": (
        GEMINI,
        lambda n: _gemini(*[chunk({"functionCall": {"name": "t", "args": {"to": "you"}}})] * n),
    ),
    "gemini arguments by paths": (
        GEMINI,
        lambda n: _gemini(*[chunk(partial_args("some words "))] * n, chunk({"functionCall": {}})),
    ),
    "gemini segments": (GEMINI, _grounded),
    "frames": (CHAT, lambda n: (STREAM, chat_frames([{"content": LINE}] * n))),
    "frames without spaces": (CHAT, lambda n: (STREAM, chat_frames([{"content": "abcdefghi"}] * (8 * n)))),
    "frames of one match": (CHAT, lambda n: (STREAM, chat_frames([{"content": "@" * 9}] * (8 * n)))),
    "bytes": (CHAT, lambda n: (STREAM, _bytes(chat_frames([{"content": LINE}] * n), 7))),
    "one frame": (CHAT, lambda n: (STREAM, chat_frames([{"content": "some words " * n}]))),
    "one frame in bytes": (CHAT, lambda n: (STREAM, _bytes(chat_frames([{"content": "words " * 20 * n}]), 64))),
    "frames of addresses": (CHAT, lambda n: (STREAM, chat_frames([{"content": f"{mail} "} for mail in mails(n)]))),
    "reasoning": (CHAT, lambda n: (STREAM, chat_frames([{"reasoning_content": LINE}] * n))),
    "choices": (CHAT, lambda n: (STREAM, _choices(n, lambda turn: {"content": LINE}))),
    "choices that reason": (CHAT, lambda n: (STREAM, _choices(n, lambda turn: {"reasoning": LINE}))),
    "calls": (CHAT, lambda n: (STREAM, _calls(n))),
    "arguments": (
        CHAT,
        lambda n: (
            STREAM,
            chat_frames(
                [
                    {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "s", "arguments": '{"a": "'}}]},
                    *([{"tool_calls": [{"index": 0, "function": {"arguments": "jo@ab.io "}}]}] * n),
                ]
            ),
        ),
    ),
    "a text beside a call": (
        CHAT,
        lambda n: (
            STREAM,
            chat_frames(
                [
                    {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "s", "arguments": '{"a": "'}}]},
                    *([{"content": LINE}] * n),
                ]
            ),
        ),
    ),
    "unknown fields of frames": (CHAT, lambda n: (STREAM, chat_frames([{"new": LINE + t} for t in strings(n)]))),
    "unknown fields beside frames": (
        CHAT,
        lambda n: (STREAM, [*(_chunk([], new=text) for text in strings(n)), *chat_frames([{"content": "x"}])]),
    ),
    "the same text again": (
        CHAT,
        lambda n: (STREAM, [*([_chunk([], new="to jo@ab.io")] * n), *chat_frames([{"content": "x"}])]),
    ),
    "annotations": (CHAT, lambda n: (STREAM, _cited(n))),
    "a body": (CHAT, lambda n: (JSON, [_whole(content="to jo@ab.io " * n)])),
    "a body in bytes": (CHAT, lambda n: (JSON, _bytes([_whole(content="some words " * n)], 7))),
    "a body of parts": (CHAT, lambda n: (JSON, [_whole(content=[{"type": "text", "text": t} for t in strings(n)])])),
    "a body of keys": (CHAT, lambda n: (JSON, [_whole(content="x", new=dict.fromkeys(mails(n), "y"))])),
    "a body of calls": (
        CHAT,
        lambda n: (
            JSON,
            [_whole(content=None, tool_calls=_call('{"to": "jo@ab.io"}', n)["messages"][1]["tool_calls"])],
        ),
    ),
    "parts of a completion": (COMPLETIONS, lambda n: (STREAM, openai_completions.chunks([{"text": LINE}] * n, {}))),
    "tokens of a completion": (COMPLETIONS, lambda n: (STREAM, _tokens(mails(n)))),
    "a completion of tokens": (COMPLETIONS, lambda n: (JSON, [_token_body(mails(n))])),
    "lines": (OLLAMA, lambda n: (LINES, line_frames(OLLAMA, "content", [LINE] * n))),
    "lines of calls": (
        OLLAMA,
        lambda n: (
            LINES,
            [
                *(ollama_embed.event({"message": {"tool_calls": [call]}, "done": False}) for call in _ollama_calls(n)),
                *line_frames(OLLAMA, "content", ["Fine."]),
            ],
        ),
    ),
    "vectors": (EMBEDDINGS, lambda n: (JSON, [_vectors(n)])),
    "coded vectors": (EMBEDDINGS, lambda n: (JSON, [_vectors(n, encoding_format="base64")])),
    "scores": (MODERATIONS, lambda n: (JSON, [_scores(n)])),
    "blocks": (MESSAGES, lambda n: (STREAM, message_frames([("text", [LINE])] * n))),
    "parts of a block": (MESSAGES, lambda n: (STREAM, message_frames([("text", [LINE] * n)]))),
    "calls of blocks": (MESSAGES, lambda n: (STREAM, message_frames([("tool", ['{"a": "jo@ab.io"}'])] * n))),
    "events of a text": (RESPONSES, lambda n: (STREAM, response_frames("response.output_text", [LINE] * n))),
    "events of a text to edit": (
        RESPONSES,
        lambda n: (STREAM, response_frames("response.output_text", [f"{LINE}{mail} " for mail in mails(n)])),
    ),
    "events of arguments": (
        RESPONSES,
        lambda n: (STREAM, response_frames("response.function_call_arguments", ['"', *(["jo@ab.io "] * n), '"'])),
    ),
    "items": (
        RESPONSES,
        lambda n: (STREAM, stream(*(growing("response.output_text", ["to jo@ab.io"], at) for at in range(n)))),
    ),
}


def _restored(n: int) -> bytes:
    return json.dumps({**_call(json.dumps({"to": mails(n)})), "tools": [_EMAIL_TOOL]}).encode()


def restoring(n: int, *, counted: bool = True) -> Work:
    """An answer that repeats every placeholder for the addresses of the request."""
    meter = Meter(counted=counted)
    stand = Play(POLICIES)
    stand.ask(_restored(n))
    said = stand.upstream["messages"][1]["tool_calls"][0]["function"]["arguments"]
    words = " ".join(json.loads(said)["to"]) if said.startswith("{") else said
    frames = chat_frames([{"content": words[at : at + 50]} for at in range(0, len(words), 50)])
    return meter.run(_restored(n), (STREAM, frames))


def _request(route: str, body: Body, n: int, *, counted: bool = True) -> Work:
    return Meter(route, counted).run(json.dumps(body(n)).encode())


def _answer(route: str, answer: Callable[[int], Answer], n: int, *, counted: bool = True) -> Work:
    asked = {
        CHAT: chat(stream=True),
        MESSAGES: messages(stream=True),
        COMPLETIONS: completion(stream=True),
        OLLAMA: chat(),
        RESPONSES: responses(stream=True),
    }.get(route, embedding())
    return Meter(route, counted).run(json.dumps(asked).encode(), answer(n))


class Shape(Protocol):
    """Plays an exchange whose repeated part is there `n` times."""

    def __call__(self, n: int, *, counted: bool = True) -> Work: ...


SHAPES: dict[str, Shape] = {
    **{name: partial(_request, *shape) for name, shape in {**REQUESTS, **FIELDS}.items()},
    **{f"answer: {name}": partial(_answer, *shape) for name, shape in ANSWERS.items()},
    "answer: what stands for addresses": restoring,
}
