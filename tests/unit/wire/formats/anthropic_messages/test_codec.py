"""The Messages format: what its requests, answers and streams hold, and what a stop or an error makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.errors import DownstreamError
from guardproxy.events import End, Event, Fault, Frame, Opaque, Text
from guardproxy.findings import Channel
from guardproxy.wire.formats.anthropic_messages.codec import CODEC, MessagesDecoder
from guardproxy.wire.json.walk import is_plain_key
from tests.kit.media import PNG, SIGNATURE
from tests.kit.play import events, message_frames, sse


def kinds(found: Any) -> dict[str, str]:
    """Path -> kind of every text, but for keys that look like the names of fields."""
    texts = (event for event in found if isinstance(event, Text) and not (event.key and is_plain_key(event.text)))
    return {event.channel.path: event.channel.kind for event in texts}


def keys(found: Any) -> list[str]:
    """The keys that are text."""
    return [event.text for event in found if isinstance(event, Text) and event.key]


def opaque(found: Any) -> list[str]:
    return [".".join(map(str, path)) for event in found if isinstance(event, Opaque) for path in event.uninspected]


def read(content: Any = "hi", **more: Any) -> list[Event]:
    body = {"model": "c", "max_tokens": 5, "messages": [{"role": "user", "content": content}], **more}
    return CODEC.read_request("", "", json.dumps(body).encode()).events()


def test_a_request_says_its_model_and_whether_it_streams() -> None:
    body = b'{"model": "c", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
    got = CODEC.read_request("", "", body)
    assert (got.model, got.stream, got.frame.data) == ("c", True, body)
    got = CODEC.read_request("", "", b'{"messages": [{"role": "user", "content": "hi"}]}')
    assert (got.model, got.stream) == ("", False)


def test_wrong_requests_are_refused() -> None:
    for body in (
        b"[]",
        b'{"messages": [{"role": "user"}]}',
        b'{"messages": [{"role": "user", "content": ""}], "tools": [5]}',
    ):
        with pytest.raises(DownstreamError):
            CODEC.read_request("", "", body)


def test_what_a_request_holds() -> None:
    found = read(
        system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        tools=[{"name": "f", "type": "custom", "input_schema": {"type": "object"}, "x y": {"z": "w"}}],
        tool_choice={"type": "tool", "name": "f"},
        metadata={"user_id": "u"},
        stop_sequences=["x"],
        thinking={"type": "enabled", "budget_tokens": 5},
        output_config={"effort": "low", "format": {"type": "json_schema"}},
        mcp_servers=[{"url": "https://a.example"}],
    )
    assert kinds(found) == {
        "system[0].text": "system",
        "messages[0].content": "user",
        "tool_choice.name": "tool_definition",
        "tools[0].name": "tool_definition",
        "tools[0].input_schema.type": "tool_definition",
        "tools[0].x y#key": "tool_definition",
        "tools[0].x y.z": "tool_definition",
        "metadata.user_id": "metadata",
        "stop_sequences[0]": "metadata",
        "output_config.format.type": "tool_definition",
        "mcp_servers[0].url": "tool_definition",
    }
    assert kinds(read(system="s"))["system"] == "system"
    body = b'{"messages": [{"role": "new", "content": "x"}, {"role": "assistant", "content": "y"}]}'
    assert set(kinds(CODEC.read_request("", "", body).events()).values()) == {"user", "assistant"}


@pytest.mark.parametrize(
    ("block", "expected", "hidden"),
    [
        ({"type": "text", "text": "t", "citations": [{"cited_text": "c"}]},
         {"text": "user", "citations[0].cited_text": "user"}, []),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}, {}, ["source.data"]),
        ({"type": "image", "source": {"type": "url", "url": "https://a.example"}}, {"source.url": "user"}, []),
        ({"type": "document", "title": "t", "source": {"type": "text", "data": "d"}},
         {"title": "document", "source.data": "document"}, []),
        ({"type": "document", "source": {"type": "content", "content": "d"}}, {"source.content": "document"}, []),
        ({"type": "document", "source": "x"}, {"source": "document"}, []),
        ({"type": "search_result", "title": "t", "source": "s"}, {"title": "document", "source": "document"}, []),
        ({"type": "thinking", "thinking": "t", "signature": SIGNATURE}, {"thinking": "reasoning"}, ["signature"]),
        ({"type": "redacted_thinking", "data": SIGNATURE}, {}, ["data"]),
        ({"type": "tool_use", "id": "i", "name": "n", "input": {"a": "b"}},
         {"name": "tool_arguments", "input.a": "tool_arguments"}, []),
        ({"type": "tool_result", "tool_use_id": "i", "content": [{"type": "text", "text": "t"}]},
         {"content[0].text": "tool_result"}, []),
        ({"type": "tool_result", "tool_use_id": "i", "content": "t"}, {"content": "tool_result"}, []),
        ({"type": "web_search_tool_result", "content": [{"title": "t", "encrypted_content": SIGNATURE, "encrypted x y": "z"}]},
         {"content[0].title": "tool_result", "content[0].encrypted x y": "tool_result",
          "content[0].encrypted x y#key": "tool_result"},
         ["content.0.encrypted_content"]),
        ({"type": "new", "about": "a"}, {"about": "user"}, []),
        ({"type": 5}, {}, []),
        ("just a string", {"": "user"}, []),
    ],
)  # fmt: skip
def test_the_blocks_of_a_message(block: Any, expected: dict[str, str], hidden: list[str]) -> None:
    found = read([block])
    start = "messages[0].content[0]"
    assert {path.removeprefix(start).lstrip("."): kind for path, kind in kinds(found).items()} == expected
    assert opaque(found) == [f"messages.0.content.0.{path}" for path in hidden]


def test_keys_are_text_but_for_the_words_of_the_format() -> None:
    schema = {"type": "object", "properties": {"mara": {"type": "string", "description": "who"}}, "required": ["mara"]}
    tools = [{"name": "send", "input_schema": schema}]
    block = {"type": "tool_use", "id": "t", "name": "send", "input": {"mara": {"type": 1, "jo": 2}}}
    assert keys(read([block], tools=tools, metadata={"user_id": "u", "ann": "x"})) == ["mara", "jo", "mara", "ann"]


def test_a_whole_answer_and_an_error() -> None:
    decoder = CODEC.decoder(streamed=False, failed=False, limit_bytes=1000)
    answer = {"type": "message", "model": "c", "content": [{"type": "text", "text": "t"}], "stop_reason": "end_turn",
              "stop_sequence": "s", "usage": {"input_tokens": 1, "note": "x"}}  # fmt: skip
    decoder.feed(json.dumps(answer).encode())
    assert kinds(decoder.end()) == {
        "content[0].text": "assistant",
        "stop_sequence": "assistant",
        "usage.note": "unmapped",
    }
    assert (decoder.seen.model, decoder.seen.finish, decoder.seen.usage) == ("c", ["end_turn"], {"input_tokens": 1})
    decoder = CODEC.decoder(streamed=False, failed=True, limit_bytes=1000)
    decoder.feed(b'{"type": "error", "error": {"type": "x", "message": "m", "details": {"a": "b"}}, "request_id": "r"}')
    assert kinds(decoder.end()) == {"error.message": "error", "error.details.a": "error"}


def feed(*trees: dict[str, Any], name: str | None = None) -> tuple[MessagesDecoder, list[Event]]:
    decoder = MessagesDecoder(10**6)
    return decoder, [event for tree in trees for event in decoder.feed(sse(tree, name or str(tree.get("type"))))]


def delta(index: Any, **its: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": its}


def test_a_text_is_one_channel_from_its_start_to_its_stop() -> None:
    decoder, found = feed(
        {"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": "a"}},
        delta(2, type="text_delta", text="b"),
        delta(3, type="input_json_delta", partial_json='{"x'),
        {"type": "content_block_stop", "index": 2},
        {"type": "message_stop"},
    )
    assert [(event.channel.path, event.text, event.encoded) for event in found if isinstance(event, Text)] == [
        ("content[2].text", "a", False),
        ("content[2].text", "b", False),
        ("content[3].input", '{"x', True),
    ]
    assert [event.channel.path for event in found if isinstance(event, End)] == ["content[2].text", "content[3].input"]
    assert decoder.feed(sse({"type": "ping"}, "ping")) == decoder.end() == []


def test_what_the_events_hold() -> None:
    _, found = feed(
        {"type": "message_start", "message": {"id": "m", "content": [{"type": "text", "text": "t"}]}, "x": "y"},
        {"type": "ping", "x": "y"},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "tool_use", "name": "n", "input": {"a": "b"}},
        },
        delta(0, type="citations_delta", citation={"cited_text": "c"}),
        delta(0, type="signature_delta", signature=SIGNATURE),
        delta(0, type="news_delta", news="n"),
        {"type": "content_block_delta", "index": 0, "delta": "d"},
        {"type": "message_delta", "delta": {"stop_sequence": "s", "container": {"id": "i"}}, "usage": {"x": "y"}},
        {"type": "news", "text_delta": {"more": "m"}},
        {"no": "type"},
        {"type": 5, "a": "b"},
    )
    assert kinds(found) == {
        "content[0].text": "assistant",
        "x": "unmapped",
        "ping.x": "unmapped",
        "content[0].name": "tool_arguments",
        "content[0].input.a": "tool_arguments",
        "content[0].citation.cited_text": "assistant",
        "content[0].type": "unmapped",
        "content[0].news": "unmapped",
        "content[0].delta": "unmapped",
        "stop_sequence": "assistant",
        "container.id": "metadata",
        "news.type": "metadata",
        "news.text_delta.more": "unmapped",
        ".no": "unmapped",
        ".a": "unmapped",
    }
    assert opaque(found) == ["delta.signature"]


@pytest.mark.parametrize(
    ("kind", "name"), [("ping", "ping"), ("new_event", "new_event"), ("x\ndata: y", None), ("", None), (5, None)]
)
def test_the_events_name_is_its_type_when_that_is_a_word(kind: Any, name: str | None) -> None:
    _, found = feed({"type": kind}, name="lies")
    (frame,) = {event.frame for event in found if isinstance(event, (Text, Opaque))}
    assert frame.event == name
    assert frame.data.startswith(f"event: {name}\n".encode() if name else b"data: ")
    assert b"lies" not in frame.data


def test_a_stream_needs_its_end() -> None:
    for last in ({"type": "message_stop"}, {"type": "error", "error": {"message": "x"}}):
        decoder, found = feed(delta(0, type="text_delta", text="a"), last)
        assert [event.frame.terminal for event in found if isinstance(event, (Text, Opaque))] == [False, True]
        assert decoder.end() == []
    decoder, _ = feed({"type": "message_delta", "delta": {"stop_reason": "end_turn"}})
    (fault,) = decoder.end()
    assert isinstance(fault, Fault)
    assert fault.code == "upstream_truncated"


def test_what_a_stream_says_of_itself() -> None:
    decoder, _ = feed(
        {"type": "message_start", "message": {"model": "c", "usage": {"input_tokens": 3}}},
        {"type": "message_start", "message": 5},
        {"type": "message_delta", "delta": 5, "usage": {"output_tokens": 4, "note": "x"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    )
    assert decoder.seen.usage == {"input_tokens": 3, "output_tokens": 4}
    assert (decoder.seen.model, decoder.seen.finish) == ("c", ["end_turn"])


def sent(decoder: MessagesDecoder, *trees: dict[str, Any]) -> None:
    for tree in trees:
        decoder.sent(Frame(b"", tree, str(tree["type"]), streamed=True))


def test_the_stop_of_a_stream_closes_what_was_shown() -> None:
    decoder = MessagesDecoder(100)
    sent(
        decoder,
        {"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1, "note": "x"}}},
        {"type": "content_block_start", "index": 1},
        {"type": "content_block_start", "index": "odd"},
        {"type": "content_block_start", "index": 2},
        {"type": "content_block_stop", "index": 1},
        {"type": "content_block_stop", "index": 9},
        {"type": "ping"},
    )
    shown = list(events(CODEC.filtered(decoder, "because")))
    assert [name for name, _ in shown] == ["content_block_stop", "content_block_stop", "message_delta", "message_stop"]
    assert [tree["index"] for _, tree in shown[:2]] == [0, 2]
    assert shown[2][1] == {
        "type": "message_delta",
        "delta": {
            "stop_reason": "refusal",
            "stop_sequence": None,
            "stop_details": {"type": "refusal", "category": None, "explanation": "because"},
        },
        "usage": {"input_tokens": 3, "output_tokens": 1},
    }
    sent(decoder, {"type": "message_start", "message": {"usage": 5}}, {"type": "message_start", "message": 5})
    assert decoder.shown_usage == {}
    whole = CODEC.decoder(streamed=False, failed=False, limit_bytes=10)
    assert [name for name, _ in events(CODEC.filtered(whole, "because"))] == ["message_delta", "message_stop"]


def test_the_last_frame_before_a_stop_ends_nothing() -> None:
    tree = delta(0, type="text_delta", text="a b")
    frame = Frame(b"", tree, "content_block_delta", streamed=True)
    change = [(Text(Channel("response", "assistant", "x"), "a b", frame, ("delta", "text")), "a")]
    ((name, cut),) = events(CODEC.cut(frame, change))
    assert (name, cut["delta"]["text"]) == ("content_block_delta", "a")
    assert CODEC.cut(Frame(b"", {}, "message_delta", streamed=True), []) == b""
    assert CODEC.cut(Frame(b"", {}, "message_stop", streamed=True), []) == b""
    assert CODEC.edited(Frame(b"", {"a": 1}), []) == b'{"a":1}'


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (401, "authentication_error"), (413, "request_too_large"), (415, "invalid_request_error"),
     (429, "rate_limit_error"), (502, "api_error"), (504, "timeout_error"), (529, "overloaded_error")],
)  # fmt: skip
def test_errors_in_the_dialect(status: int, kind: str) -> None:
    assert json.loads(CODEC.error(status, "c", "m", "f")) == {
        "type": "error",
        "error": {"type": kind, "message": "m (c)"},
    }


def test_an_error_in_a_stream() -> None:
    ((name, tree),) = events(CODEC.error_event("c", "m"))
    assert (name, tree["error"]) == ("error", {"type": "api_error", "message": "m (c)"})


def test_the_support_of_these_tests_is_a_stream() -> None:
    decoder = MessagesDecoder(1000)
    found = [event for frame in message_frames([("text", ["a"])]) for event in decoder.feed(frame)]
    assert decoder.complete
    assert not any(isinstance(event, Fault) for event in found)
