"""The Chat Completions format: what its requests, answers and streams hold, and what a stop or an error makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.errors import DownstreamError
from guardproxy.events import End, Event, Frame, Opaque, Text
from guardproxy.findings import Channel
from guardproxy.wire.formats.openai_chat.codec import CODEC, ChatDecoder
from guardproxy.wire.json.walk import is_plain_key
from tests.kit.media import IMAGE_URL, PDF, WAV
from tests.kit.play import chat_frames, events, sse

CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "send", "arguments": '{"a": 1}'}}


def kinds(found: Any) -> dict[str, str]:
    """Path -> kind of every text, but for keys that look like the names of fields."""
    texts = (event for event in found if isinstance(event, Text) and not (event.key and is_plain_key(event.text)))
    return {event.channel.path: event.channel.kind for event in texts}


def keys(found: Any) -> list[str]:
    """The keys that are text."""
    return [event.text for event in found if isinstance(event, Text) and event.key]


def request(**more: Any) -> dict[str, str]:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}
    return kinds(CODEC.read_request("", "", json.dumps(body).encode()).events())


def texts(frame: Frame, *changes: tuple[tuple[str | int, ...], str, str]) -> list[tuple[Text, str]]:
    channel = Channel("response", "assistant", "x")
    return [(Text(channel, old, frame, path), new) for path, old, new in changes]


def test_keys_are_text_but_for_the_words_of_the_format() -> None:
    schema = {"type": "object", "properties": {"mara": {"type": "string", "description": "who"}}}
    tools = [{"type": "function", "function": {"name": "send", "parameters": schema}}]
    body = {"messages": [{"role": "user", "content": "hi", "jo": 1}], "tools": tools, "metadata": {"ann": "x"}}
    assert keys(CODEC.read_request("", "", json.dumps(body).encode()).events()) == ["jo", "mara", "ann"]


def test_a_request_says_its_model_and_whether_it_streams() -> None:
    body = b'{"model": "gpt", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
    read = CODEC.read_request("", "", body)
    assert (read.model, read.stream, read.frame.data) == ("gpt", True, body)
    read = CODEC.read_request("", "", b'{"messages": [{"role": "user"}]}')
    assert (read.model, read.stream) == ("", False)
    assert [type(event) for event in read.events()] == [Opaque]


@pytest.mark.parametrize(
    ("role", "kind"),
    [("system", "system"), ("developer", "system"), ("user", "user"), ("assistant", "assistant"), ("tool", "tool_result"),
     ("function", "tool_result"), ("new", "user")],
)  # fmt: skip
def test_a_role_is_a_kind(role: str, kind: str) -> None:
    content = [{"type": "text", "text": "hi"}]
    found = request(messages=[{"role": role, "content": "hi", "name": "n"}, {"role": role, "content": content}])
    found.pop("messages[1].content[0].type", None)  # whose role is not known may say anything there
    assert found == {"messages[0].content": kind, "messages[0].name": "metadata", "messages[1].content[0].text": kind}


def test_what_a_request_holds() -> None:
    assert request(
        tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        functions=[{"name": "g"}],
        tool_choice={"type": "function", "function": {"name": "f"}},
        function_call="auto",
        prediction={"type": "content", "content": "p"},
        response_format={"type": "json_schema", "json_schema": {"name": "s"}},
        stop=["x"],
        user="u",
        metadata={"a": "b"},
        logit_bias={"17": 1},
        n=2,
        seed=10**12,
        new="x",
    ) == {
        "messages[0].content": "user",
        "tool_choice.function.name": "tool_definition",
        "tools[0].function.name": "tool_definition",
        "tools[0].function.parameters.type": "tool_definition",
        "functions[0].name": "tool_definition",
        "prediction.content": "assistant",
        "response_format.json_schema.name": "tool_definition",
        "stop[0]": "metadata",
        "user": "metadata",
        "metadata.a": "metadata",
        "logit_bias.17#key": "metadata",
        "seed": "metadata",
        "new": "unmapped",
    }


def test_the_parts_of_a_message() -> None:
    image = IMAGE_URL
    content = [
        {"type": "image_url", "image_url": {"url": image, "detail": "low"}},
        {"type": "image_url", "image_url": image},
        {"type": "image_url", "image_url": "https://a.example/b"},
        {"type": "image_url", "image_url": {"url": "data:text/plain,hello"}},
        {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
        {"type": "file", "file": {"file_data": PDF, "file_id": "f", "filename": "n"}},
        {"type": "refusal", "refusal": "no"},
        "just a string",
    ]
    body = {"messages": [{"role": "user", "content": content}]}
    found = CODEC.read_request("", "", json.dumps(body).encode()).events()
    assert kinds(found) == {
        "messages[0].content[2].image_url": "user",
        "messages[0].content[3].image_url.url": "user",
        "messages[0].content[5].file.filename": "metadata",
        "messages[0].content[6].refusal": "refusal",
        "messages[0].content[7]": "user",
    }
    (opaque,) = [event for event in found if isinstance(event, Opaque)]
    assert [path[3:] for path in opaque.uninspected] == [
        (0, "image_url", "url"),
        (1, "image_url"),
        (4, "input_audio", "data"),
        (5, "file", "file_data"),
    ]


def test_wrong_requests_are_refused() -> None:
    for body in (b"[]", b'{"messages": [{"role": "user", "content": 5}]}', b'{"messages": [{"role": "u"}], "n": 129}'):
        with pytest.raises(DownstreamError):
            CODEC.read_request("", "", body)


def test_a_whole_answer_and_an_error() -> None:
    decoder = CODEC.decoder(streamed=False, failed=False, limit_bytes=1000)
    message = {"role": "assistant", "content": "hi", "tool_calls": [CALL]}
    answer = {
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}, 5],
        "usage": {"cost": 1},
    }
    decoder.feed(json.dumps(answer).encode())
    assert kinds(decoder.end()) == {
        "choices[0].message.content": "assistant",
        "choices[0].message.tool_calls[0].function.name": "tool_arguments",
        "choices[0].message.tool_calls[0].function.arguments": "tool_arguments",
    }
    assert (decoder.seen.model, decoder.seen.finish, decoder.seen.usage) == ("m", ["stop"], {"cost": 1})
    decoder = CODEC.decoder(streamed=False, failed=True, limit_bytes=1000)
    decoder.feed(b'{"error": {"message": "x", "code": "y"}, "choices": 5, "finish_reason": 7}')
    assert kinds(decoder.end()) == {"error.message": "error", "error.code": "error"}


def stream(*trees: dict[str, Any], done: bool = True) -> tuple[ChatDecoder, list[Event]]:
    decoder = ChatDecoder(10**6)
    found = [event for tree in trees for event in decoder.feed(sse(tree))]
    return decoder, found + (decoder.feed(b"data: [DONE]\n\n") if done else decoder.end())


def faults(found: list[Event]) -> list[str]:
    return [event.code for event in found if hasattr(event, "code")]


def chunk(index: int | None, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{**({} if index is None else {"index": index}), "delta": delta, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("trees", "complete"),
    [
        ([], False),
        ([chunk(0, content="a")], False),
        ([chunk(0, "stop")], True),
        ([chunk(0, "stop"), chunk(1, content="b")], False),
        ([chunk(0, "stop"), chunk(1, content="b"), chunk(1, "stop")], True),
        ([chunk(0, "stop"), chunk(0)], True),
        ([chunk(0, content="a"), {"error": {"message": "x"}}], True),
        ([chunk(0, "stop"), {"choices": [], "usage": {}}], True),
        ([chunk(None, content="a"), chunk(None, "stop")], True),
    ],
)
def test_when_a_stream_is_complete(trees: list[dict[str, Any]], complete: bool) -> None:
    assert faults(stream(*trees, done=False)[1]) == ([] if complete else ["upstream_truncated"])
    assert faults(stream(*trees)[1]) == [], "`[DONE]` says so anyway"


def test_what_ends_when() -> None:
    decoder, found = stream(chunk(0, content="a"), chunk(1, content="b"), chunk(0, "stop"))
    assert [event.channel.path for event in found if isinstance(event, End)] == [
        "choices[0].message.content",
        "choices[1].message.content",
    ]
    last = found[-1]
    assert isinstance(last, Opaque)
    assert last.frame.terminal
    assert decoder.feed(sse(chunk(0, content="late"))) == []


def test_the_stop_of_a_stream_ends_what_was_shown() -> None:
    decoder, _ = stream()
    assert [
        tree if tree == "[DONE]" else tree["choices"] for _, tree in events(CODEC.filtered(decoder, "because"))
    ] == [
        [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "content_filter"}],
        "[DONE]",
    ]
    head = {"id": "c", "object": "chat.completion.chunk", "created": 5, "model": "m", "more": "x"}
    decoder, _ = stream({**head, **chunk(0)}, {**head, "id": "other", **chunk(1)})
    for tree in ({**head, **chunk(0)}, chunk(3), chunk(3, "stop")):
        decoder.sent(Frame(b"", tree))
    decoder.sent(Frame(b"data: [DONE]\n\n"))
    decoder.sent(Frame(b"", {"choices": 5}))
    (first, _) = [tree for _, tree in events(CODEC.filtered(decoder, "because"))]
    assert {key: first[key] for key in ("id", "object", "created", "model")} == {
        key: head[key] for key in ("id", "object", "created", "model")
    }
    assert first["choices"][0]["index"] == 0
    whole = CODEC.decoder(streamed=False, failed=False, limit_bytes=10)
    assert b"content_filter" in CODEC.filtered(whole, "because")


def test_a_head_that_is_text_is_not_said_again() -> None:
    decoder, _ = stream({"id": "to jo@ab.io", "object": "x y", "created": "z z", "model": 5, **chunk(0)})
    decoder.sent(Frame(b"", {"id": "to jo@ab.io", "object": "x y", "created": "z z", "model": 5, **chunk(0)}))
    assert decoder.head == {"model": 5}


def test_an_edit_takes_out_what_repeats_the_text() -> None:
    choice = {"index": 0, "delta": {"content": "a"}, "logprobs": {}, "token_ids": [1]}
    tree = {"choices": [{**choice, "logprobs": {"content": [1]}}], "obfuscation": "xx", "usage": {"x": 1}}
    frame = Frame(b"", tree, streamed=True)
    change = texts(frame, (("choices", 0, "delta", "content"), "a", "b"))
    ((_, edited),) = events(CODEC.edited(frame, change))
    assert edited == {"choices": [{"index": 0, "delta": {"content": "b"}, "logprobs": None}], "usage": {"x": 1}}
    ((_, cut),) = events(
        CODEC.cut(Frame(b"", {**tree, "choices": [{**choice, "finish_reason": "stop"}]}, streamed=True), change)
    )
    assert cut == {"choices": [{"index": 0, "delta": {"content": "b"}, "logprobs": {}, "finish_reason": None}]}
    body = {"messages": [{"role": "user", "content": "a"}], "obfuscation": "x", "choices": [{"logprobs": [1]}]}
    asked = Channel("request", "user", "x")
    one = Text(asked, "a", Frame(b"", body), ("messages", 0, "content"))
    kept = json.loads(CODEC.edited(Frame(b"", body), [(one, "b")]))
    assert kept == {**body, "messages": [{"role": "user", "content": "b"}]}, "a request has no echoes"
    assert json.loads(CODEC.edited(Frame(b"", body), [])) == body


def test_errors_in_the_dialect() -> None:
    assert json.loads(CODEC.error(400, "c", "m", "f")) == {
        "error": {"message": "m", "type": "invalid_request_error", "param": "f", "code": "c"}
    }
    assert json.loads(CODEC.error(502, "c", "m"))["error"]["type"] == "server_error"
    (error, done) = [tree for _, tree in events(CODEC.error_event("c", "m"))]
    assert (error["error"]["code"], done) == ("c", "[DONE]")


def test_the_support_of_these_tests_is_a_stream() -> None:
    found = [event for frame in chat_frames([{"content": "a"}]) for event in ChatDecoder(1000).feed(frame)]
    assert not faults(found)
