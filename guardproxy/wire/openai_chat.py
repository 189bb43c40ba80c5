"""OpenAI Chat Completions: `POST /v1/chat/completions`, and what vLLM, llama.cpp, Ollama and others add to it.

Fields after the public API and the types of openai-python. A stream is data-only events, one choice's texts keyed by
its index, closed by `finish_reason` and `[DONE]`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from guardproxy.errors import DownstreamError
from guardproxy.events import Count, Event, Frame, Opaque, Text
from guardproxy.findings import Kind
from guardproxy.shapes import NO_SHAPES, Shape, Shapes
from guardproxy.wire import Decoder, Request, Seen
from guardproxy.wire.decoding import (
    Place,
    StreamDecoder,
    WholeDecoder,
    counts,
    edited_frame,
    events_of,
    indexed,
    is_delta,
    nothing,
)
from guardproxy.wire.echoes import withhold
from guardproxy.wire.requests import expect_list, expect_type, read_body
from guardproxy.wire.schemas import chat_shape_of, chat_shapes
from guardproxy.wire.sse import SseEvent, frame
from guardproxy.wire.strict import write
from guardproxy.wire.walk import (
    OPAQUE,
    STRUCTURE,
    TOKENS,
    UNMAPPED,
    Found,
    Leaf,
    Map,
    dotted,
    edited,
    is_word,
    listed,
    text,
    walk,
)

_ROLES: dict[str, Kind] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool_result",
    "function": "tool_result",
}
_JSON_ARGUMENTS = Leaf("json", "tool_arguments")


_BASE64 = re.compile(r"data:[^,\s]{0,200};base64,")


def _url(value: Any) -> Map:
    """What is in a `data:` URL can only be read where it is not base64."""
    return OPAQUE if isinstance(value, str) and _BASE64.match(value) else text("user")


_CACHE = {"type": STRUCTURE, "ttl": STRUCTURE}


def _part(kind: Kind) -> Map:
    def choose(value: Any) -> Map:
        return {
            "type": STRUCTURE,
            "text": text(kind),
            "refusal": text("refusal"),
            "image_url": lambda image: (
                {"url": _url, "detail": STRUCTURE} if isinstance(image, dict) else _url  # both forms are in use
            ),
            "input_audio": {"data": OPAQUE, "format": STRUCTURE},
            "file": {"file_data": OPAQUE, "file_id": STRUCTURE, "filename": text("metadata")},
            "cache_control": _CACHE,
        }

    return choose


def _content(kind: Kind) -> Map:
    return lambda value: [_part(kind)] if isinstance(value, list) else text(kind)


_CALL = {
    "index": STRUCTURE,
    "id": STRUCTURE,
    "type": STRUCTURE,
    "function": {"name": text("tool_arguments"), "arguments": _JSON_ARGUMENTS},
    "custom": {"name": text("tool_arguments"), "input": text("tool_arguments")},
}


def _texts_of(kind: Kind, content: Map) -> dict[str, Map]:
    return {
        "role": STRUCTURE,
        "content": content,
        "refusal": text("refusal"),
        "reasoning_content": text("reasoning"),
        "reasoning": text("reasoning"),
        "tool_calls": [_CALL],
        "function_call": {"name": text("tool_arguments"), "arguments": _JSON_ARGUMENTS},
    }


def _message(value: Any) -> Map:
    role = value.get("role") if isinstance(value, dict) else None
    kind = _ROLES.get(role, "unmapped") if isinstance(role, str) else "unmapped"
    return {
        **_texts_of(kind, _content(kind)),
        "name": text("metadata"),
        "tool_call_id": STRUCTURE,
        "audio": {"id": STRUCTURE},
        "cache_control": _CACHE,
    }


def _choice_of_tool(value: Any) -> Map:
    name = text("tool_definition")  # a tool's own name, which becomes the same as in its definition
    return {"type": STRUCTURE, "name": name, "function": {"name": name}} if isinstance(value, dict) else STRUCTURE


_REQUEST: dict[str, Map] = {
    **dict.fromkeys(
        (
            *("model", "stream", "n", "seed", "temperature", "top_p", "max_tokens", "max_completion_tokens"),
            *("frequency_penalty", "presence_penalty", "logprobs", "top_logprobs", "store", "parallel_tool_calls"),
            *("reasoning_effort", "verbosity", "service_tier", "prompt_cache_retention"),
        ),
        STRUCTURE,
    ),
    "messages": [_message],
    "tools": [
        {
            "type": STRUCTURE,
            "function": text("tool_definition"),
            "custom": text("tool_definition"),
            "cache_control": _CACHE,
        }
    ],
    "functions": text("tool_definition"),
    "tool_choice": _choice_of_tool,
    "function_call": _choice_of_tool,
    "response_format": {"type": STRUCTURE, "json_schema": text("tool_definition")},
    "prediction": {"type": STRUCTURE, "content": _content("assistant")},
    "modalities": [STRUCTURE],
    "logit_bias": text("metadata"),
    "audio": {"voice": STRUCTURE, "format": STRUCTURE},
    "stream_options": {"include_usage": STRUCTURE, "include_obfuscation": STRUCTURE},
    **dict.fromkeys(
        ("stop", "user", "metadata", "safety_identifier", "prompt_cache_key", "web_search_options", "moderation"),
        text("metadata"),
    ),
}


def _response(content: Map) -> dict[str, Map]:
    answer = {
        **_texts_of("assistant", content),
        "audio": {"id": STRUCTURE, "data": OPAQUE, "transcript": text("assistant"), "expires_at": STRUCTURE},
        "annotations": text("assistant"),
    }
    choice = {"index": STRUCTURE, "finish_reason": STRUCTURE, "message": answer, "delta": answer, "logprobs": TOKENS}
    words = ("id", "object", "created", "model", "system_fingerprint", "service_tier", "obfuscation")
    return {
        **dict.fromkeys(words, STRUCTURE),
        **dict.fromkeys(_TOKENS, TOKENS),
        "choices": [{**choice, **dict.fromkeys(_TOKENS, TOKENS)}],
        "error": text("error"),
        "usage": UNMAPPED,
    }


_TOKENS = ("token_ids", "prompt_token_ids", "prompt_logprobs")
_RESPONSE = _response(_content("assistant"))
_JSON_RESPONSE = _response(lambda value: [_part("assistant")] if isinstance(value, list) else Leaf("json", "assistant"))


def _counts_of(tree: Any) -> tuple[Count, ...]:
    """Where annotations say that they belong in the content."""
    return tuple(
        Count((*where, "start_index"), (*where, "end_index"), f"choices[{_index(choice)}].message.content")
        for number, choice in enumerate(_choices(tree))
        for name in ("message", "delta")
        if isinstance(answer := choice.get(name), dict) and "annotations" in answer
        for at, note in enumerate(listed(answer, "annotations"))
        if isinstance(note, dict) and isinstance(note.get("url_citation"), dict)
        for where in [("choices", number, name, "annotations", at, "url_citation")]
    )


def _notice(tree: Any, seen: Seen) -> None:
    if isinstance(tree.get("usage"), dict):
        seen.usage = counts(tree["usage"])
    if isinstance(tree.get("model"), str):
        seen.model = tree["model"]
    for choice in _choices(tree):
        if isinstance(choice.get("finish_reason"), str):
            seen.finish.append(choice["finish_reason"])


def _choices(tree: Any) -> list[dict[str, Any]]:
    choices = tree.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def _index(choice: dict[str, Any]) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def _is_plain(value: Any) -> bool:
    """Whether a value of a chunk's head may be said again by our own ending: what is not a word was text, maybe edited."""
    return is_word(value) if isinstance(value, str) else isinstance(value, int)


_DONE = b"data: [DONE]\n\n"


@dataclass(slots=True)
class ChatDecoder(StreamDecoder):
    """A stream of chat chunks."""

    head: dict[str, Any] = field(default_factory=dict)
    shown: set[int] = field(default_factory=set)  # choices that the client has seen begin, and not end
    _unfinished: set[int] = field(default_factory=set)  # choices that began and are not in `_finished`
    _finished: set[int] = field(default_factory=set)
    _calls: dict[str, str] = field(default_factory=dict)  # places of tool calls -> the tools' names

    def how(self, tree: Any) -> Map:
        return _JSON_RESPONSE if self.shapes.answer else _RESPONSE

    def shape_of(self, tree: Any, found: Found, place: Place) -> Shape | None:
        if place.kind == "tool_arguments":
            call, _, last = place.path.rpartition(".")
            if last == "name":
                self._calls[call] = found.text
            elif last == "arguments" and call in self._calls:  # its name came before
                return self.shapes.tool(self._calls[call])
        return chat_shape_of(self.shapes, tree, found)

    def counts_of(self, tree: Any) -> tuple[Count, ...]:
        return _counts_of(tree)

    def place(self, tree: Any, found: Found) -> Place:
        path = indexed(tree, found.path)
        run = dotted(path[:2]) if path[0] == "choices" else str(path[0])
        named = tuple("message" if step == "delta" else step for step in path)
        return Place(found.leaf.kind, dotted(named), run, is_delta(path, ""))

    def special(self, event: SseEvent) -> list[Event] | None:
        if event.data is None or event.data.strip() != b"[DONE]":
            return None
        self.complete = True
        self.over()
        return [*self.close_all(), Opaque(Frame(_DONE, streamed=True, terminal=True))]

    def after(self, tree: Any) -> list[Event]:
        _notice(tree, self.seen)
        events: list[Event] = []
        for choice in _choices(tree):
            if choice.get("finish_reason"):
                self._finished.add(_index(choice))
                self._unfinished.discard(_index(choice))
                events += self.close_run(f"choices[{_index(choice)}]")
            elif _index(choice) not in self._finished:
                self._unfinished.add(_index(choice))
            self.complete = not self._unfinished
        if tree.get("error"):
            self.complete = True
            events += self.close_all()
        if not self.head and tree.get("id"):
            self.head = {key: tree[key] for key in ("id", "object", "created", "model") if _is_plain(tree.get(key))}
        return events

    def sent(self, frame: Frame) -> None:
        for choice in _choices(frame.tree) if isinstance(frame.tree, dict) else []:
            (self.shown.discard if choice.get("finish_reason") else self.shown.add)(_index(choice))


class OpenAIChat:
    """The codec."""

    name = "openai_chat"
    provider = "openai"
    routes = ("POST /v1/chat/completions",)

    def read_request(self, body: bytes) -> Request:
        tree = read_body(body)
        expect_type(tree, "model", str)
        expect_type(tree, "stream", bool)
        expect_list(tree, "messages", required=True)
        expect_list(tree, "tools")
        expect_type(tree, "n", int)
        if not 1 <= (tree.get("n") or 1) <= 128:
            raise DownstreamError(400, "invalid_value", "`n` must be 1 to 128", "n")
        for number, message in enumerate(tree["messages"]):
            expect_type(message, "role", str, f"messages[{number}]", required=True)
            expect_type(message, "content", (str, list), f"messages[{number}]")
        whole, shapes = Frame(body, tree), chat_shapes(tree)
        return Request(
            tree.get("model") or "",
            bool(tree.get("stream")),
            whole,
            lambda: events_of(walk(tree, _REQUEST), whole, "request", partial(chat_shape_of, shapes)),
            shapes,
        )

    def decoder(
        self,
        *,
        streamed: bool,
        failed: bool,
        limit_bytes: int,
        read: bool = True,
        guarded: bool = False,
        shapes: Shapes = NO_SHAPES,
    ) -> Decoder:
        without = withhold if guarded else nothing
        if streamed:
            return ChatDecoder(limit_bytes, read, shapes, without)
        how = text("error") if failed else _JSON_RESPONSE if shapes.answer else _RESPONSE
        return WholeDecoder(how, _notice, limit_bytes, partial(chat_shape_of, shapes), read, without, _counts_of)

    def edited(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        return edited_frame(frame, _without_echoes(frame, texts))

    def cut(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        tree = _without_echoes(frame, texts)
        for choice in _choices(tree):
            choice["finish_reason"] = None
        tree.pop("usage", None)
        return edited_frame(frame, tree)

    def error(self, status: int, code: str, message: str, field: str | None = None) -> bytes:
        kind = "invalid_request_error" if status < 500 else "server_error"
        return write({"error": {"message": message, "type": kind, "param": field, "code": code}})

    def error_event(self, code: str, message: str) -> bytes:
        return frame(self.error(500, code, message)) + _DONE

    def filtered(self, decoder: Decoder, message: str) -> bytes:
        head = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": ""}
        shown: set[int] = {0}
        if isinstance(decoder, ChatDecoder):
            head |= decoder.head
            shown = decoder.shown or shown
        ending: dict[str, Any] = {"delta": {}, "logprobs": None, "finish_reason": "content_filter"}
        chunks = [frame(write({**head, "choices": [{"index": index, **ending}]})) for index in sorted(shown)]
        return b"".join(chunks) + _DONE


def _without_echoes(frame: Frame, texts: Sequence[tuple[Text, str]]) -> Any:
    """The edited tree, less what repeats the old text or its length: token probabilities, size padding."""
    found = [(Found(old.path, old.text, UNMAPPED, old.key, old.number), new) for old, new in texts]
    tree = edited(frame.tree, found)
    if texts and texts[0][0].channel.direction == "response":
        tree.pop("obfuscation", None)
        for choice in _choices(tree):
            choice.pop("token_ids", None)
            if choice.get("logprobs"):
                choice["logprobs"] = None
    return tree


CODEC = OpenAIChat()
