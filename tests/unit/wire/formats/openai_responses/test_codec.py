"""The Responses format: the texts of requests and answers, its errors, and the ending of an answer that a rule stops."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.errors import DownstreamError
from guardproxy.events import Event, Frame, Opaque, Text
from guardproxy.findings import Channel
from guardproxy.wire.formats.openai_responses.codec import CODEC
from guardproxy.wire.json import is_plain_key
from tests.kit.media import PNG, SIGNATURE
from tests.kit.play import events
from tests.kit.responses import response_frames


def kinds(found: Any) -> dict[str, str]:
    """The kinds of texts by path, without keys that look like the names of fields."""
    texts = (event for event in found if isinstance(event, Text) and not (event.key and is_plain_key(event.text)))
    return {event.channel.path: event.channel.kind for event in texts}


def opaque(found: Any) -> dict[str, str]:
    return {
        ".".join(map(str, path)): media
        for event in found
        if isinstance(event, Opaque)
        for path, media in zip(event.uninspected, event.media, strict=True)
    }


def read(given: Any = "hi", **more: Any) -> list[Event]:
    return CODEC.read_request("", "", json.dumps({"model": "c", "input": given, **more}).encode()).events()


def decode(tree: Any, *, guarded: bool = False, failed: bool = False) -> list[Event]:
    decoder = CODEC.decoder(streamed=False, failed=failed, limit_bytes=99_999, guarded=guarded)
    return [*decoder.feed(json.dumps(tree).encode()), *decoder.end()]


def test_a_request_says_its_model_and_whether_it_streams() -> None:
    body = b'{"model": "c", "stream": true, "input": "hi"}'
    request = CODEC.read_request("", "", body)
    assert (request.model, request.stream, request.frame.data) == ("c", True, body)
    request = CODEC.read_request("", "", b'{"previous_response_id": "resp_1"}')
    assert (request.model, request.stream, kinds(request.events())) == ("", False, {})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], None),
        ({"model": 5}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"store": 1}, "store"),
        ({"input": 5}, "input"),
        ({"input": ["hi"]}, "input[0]"),
        ({"input": [{"role": 5}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
        ({"tools": [5]}, "tools[0]"),
        ({"instructions": 5}, "instructions"),
        ({"input": "hi", "background": True}, "background"),
    ],
)
def test_a_wrong_request_is_refused_with_its_field(body: Any, field: str | None) -> None:
    with pytest.raises(DownstreamError) as caught:
        CODEC.read_request("", "", json.dumps(body).encode())
    assert caught.value.field == field


def test_the_texts_of_a_request() -> None:
    items = [
        {"role": "developer", "content": "a"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "b"}]},
        {"role": "stranger", "content": "c"},
        {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "refusal", "refusal": "d"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "e"}]},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": '{"g": 1}'},
        {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "h"}]},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "i"},
        {"type": "mcp_approval_response", "approval_request_id": "call_3", "approve": True, "reason": "j"},
        {"type": "item_reference", "id": "msg_2"},
        {"type": "something_new", "text": "k"},
    ]
    found = read(
        items,
        instructions="l",
        prompt={"id": "call_4", "version": "2", "variables": {"city": "m", "two words": "n"}},
        text={"format": {"type": "json_schema", "name": "o", "schema": {"type": "object"}}, "verbosity": "low"},
        metadata={"team": "p"},
        previous_response_id="resp_1",
        conversation={"id": "resp_2"},
        user="q",
        store=False,
        include=["reasoning.encrypted_content"],
        new_field="r",
    )
    assert kinds(found) == {
        "input[0].content": "system",
        "input[1].content[0].text": "user",
        "input[2].content": "user",
        "input[2].role": "metadata",
        "input[3].content[0].refusal": "refusal",
        "input[4].summary[0].text": "reasoning",
        "input[5].name": "tool_arguments",
        "input[5].arguments": "tool_arguments",
        "input[6].output[0].text": "tool_result",
        "input[7].output": "tool_result",
        "input[8].reason": "user",
        "input[10].type": "metadata",
        "input[10].text": "unmapped",
        "instructions": "system",
        "prompt.variables.city": "user",
        "prompt.variables.two words#key": "metadata",
        "prompt.variables.two words": "user",
        "text.format.name": "tool_definition",
        "text.format.schema.type": "tool_definition",
        "metadata.team": "metadata",
        "user": "metadata",
        "new_field": "unmapped",
    }


def test_content_that_no_check_can_read() -> None:
    url = f"data:image/png;base64,{PNG}"
    parts = [
        {"type": "input_image", "image_url": url, "detail": "low"},
        {"type": "input_file", "file_data": f"data:application/pdf;base64,{PNG}", "filename": "a.pdf"},
        {"type": "input_image", "file_id": "file_1"},
    ]
    items = [
        {"role": "user", "content": parts},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SIGNATURE},
        {"type": "compaction", "encrypted_content": SIGNATURE},
    ]
    found = read(items)
    assert opaque(found) == {
        "input.0.content.0.image_url": "image",
        "input.1.encrypted_content": "encrypted",
        "input.2.encrypted_content": "encrypted",
    }
    assert kinds(found)["input[0].content[1].file_data"] == "user", "a file that is none is text"


def test_integers_that_stand_for_a_text() -> None:
    (item,) = (event for event in read(input_ids=[1, 2, 3]) if isinstance(event, Opaque))
    assert item.media == ("token_ids",)


def test_credentials_of_tools_are_not_text() -> None:
    secrets = [{"domain": "a.example", "name": "KEY", "value": "s3cret"}]
    network = {"type": "allowlist", "allowed_domains": ["a.example"], "domain_secrets": secrets}
    container = {"type": "auto", "network_policy": network}
    tools = [
        {"type": "mcp", "server_label": "a", "authorization": "s3cret", "headers": {"X-Key": "s3cret"}},
        {"type": "code_interpreter", "container": container},
        {"type": "shell", "environment": {**container, "type": "container_auto"}},
        {"type": "function", "name": "f", "authorization": "no credential"},
    ]
    found = read(tools=tools)
    assert opaque(found) == {
        "tools.0.authorization": "secret",
        "tools.0.headers.X-Key": "secret",
        "tools.1.container.network_policy.domain_secrets.0.value": "secret",
        "tools.2.environment.network_policy.domain_secrets.0.value": "secret",
    }
    assert not any(event.text == "s3cret" for event in found if isinstance(event, Text))
    assert kinds(found)["tools[3].authorization"] == "tool_definition"


ANSWER: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_700_000_000,
    "status": "completed",
    "model": "gpt-5",
    "instructions": "a",
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "b"}]},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [
                {
                    "type": "output_text",
                    "text": "c",
                    "annotations": [
                        {"type": "url_citation", "title": "d", "url": "e", "start_index": 0, "end_index": 1},
                        {"type": "file_citation", "file_id": "file_1", "filename": "f", "index": 1},
                    ],
                }
            ],
        },
        {"type": "mcp_call", "id": "call_1", "name": "g", "server_label": "h", "arguments": '"i"', "output": "j"},
        {"type": "mcp_list_tools", "id": "call_2", "server_label": "h", "tools": [{"name": "k", "input_schema": {}}]},
        {"type": "code_interpreter_call", "id": "call_3", "code": "l", "outputs": [{"type": "logs", "logs": "m"}]},
    ],
    "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "output_tokens_details": {"note": "n"}},
    "tools": [{"type": "mcp", "server_label": "h", "authorization": "s3cret"}],
}


def test_the_texts_of_an_answer() -> None:
    found = decode(ANSWER)
    assert kinds(found) == {
        "model": "metadata",
        "instructions": "system",
        "output[0].summary[0].text": "reasoning",
        "output[1].content[0].text": "assistant",
        "output[1].content[0].annotations[0].title": "assistant",
        "output[1].content[0].annotations[0].url": "assistant",
        "output[1].content[0].annotations[1].filename": "assistant",
        "output[2].name": "tool_arguments",
        "output[2].server_label": "tool_arguments",
        "output[2].arguments": "tool_arguments",
        "output[2].output": "tool_result",
        "output[3].server_label": "tool_definition",
        "output[3].tools[0].name": "tool_definition",
        "output[4].code": "tool_arguments",
        "output[4].outputs[0].logs": "tool_result",
        "usage.output_tokens_details.note": "unmapped",
        "tools[0].server_label": "tool_definition",
    }
    assert opaque(found) == {"tools.0.authorization": "secret"}


def test_the_facts_of_an_answer() -> None:
    decoder = CODEC.decoder(streamed=False, failed=False, limit_bytes=99_999)
    decoder.feed(json.dumps(ANSWER).encode())
    decoder.end()
    assert decoder.seen.model == "gpt-5"
    assert decoder.seen.finish == ["completed"]
    assert CODEC.contract.tokens(decoder.seen.usage) == (3, 4)


def test_an_edit_of_an_answer() -> None:
    found = decode(ANSWER)
    (text,) = (event for event in found if isinstance(event, Text) and event.text == "c")
    tree = json.loads(CODEC.edited(text.frame, [(text, "new")]))
    assert tree["output"][1]["content"][0]["text"] == "new"
    assert tree["output"][0] == ANSWER["output"][0]


def test_an_answer_whose_text_is_json() -> None:
    request = {"input": "hi", "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}}}
    shapes = CODEC.read_request("", "", json.dumps(request).encode()).shapes
    decoder = CODEC.decoder(streamed=False, failed=False, limit_bytes=99_999, shapes=shapes)
    decoder.feed(json.dumps(ANSWER).encode())
    (text,) = (
        event
        for event in decoder.end()
        if isinstance(event, Text) and event.channel.kind == "assistant" and event.path[-1] == "text"
    )
    assert text.encoded
    assert text.shape is shapes.answer


def test_errors() -> None:
    assert json.loads(CODEC.error(400, "invalid_type", "wrong", "input")) == {
        "error": {"message": "wrong", "type": "invalid_request_error", "param": "input", "code": "invalid_type"}
    }
    ((name, tree),) = events(CODEC.error_event("upstream_truncated", "cut"))
    assert name == tree["type"] == "error"
    assert tree["error"]["code"] == tree["code"] == "upstream_truncated"
    decoder = CODEC.decoder(streamed=True, failed=False, limit_bytes=99_999)
    for data in response_frames("response.output_text", ["ab", "cd"])[:5]:
        for found in decoder.feed(data):
            if isinstance(found, (Text, Opaque)):
                decoder.sent(found.frame)
    ((_, numbered),) = events(CODEC.error_event("upstream_truncated", "cut", decoder))
    assert (tree["sequence_number"], numbered["sequence_number"]) == (0, 5)
    (text, *_) = (event for event in decode({"error": {"message": "m"}}, failed=True) if isinstance(event, Text))
    assert text.channel == Channel("response", "error", "error.message")


def test_the_opening_and_the_ending_of_an_answer_of_which_nothing_was_sent() -> None:
    decoder = CODEC.decoder(streamed=True, failed=False, limit_bytes=99)
    data = CODEC.opening("m") + CODEC.filtered(decoder, "stopped")
    (_, first), (_, last) = events(data)
    assert (first["type"], first["response"]["model"], first["sequence_number"]) == ("response.created", "m", 0)
    assert (last["type"], last["response"]["status"], last["sequence_number"]) == (
        "response.incomplete",
        "incomplete",
        1,
    )
    assert last["response"]["incomplete_details"] == {"reason": "content_filter"}


def test_a_cut_leaves_out_the_end_of_the_answer() -> None:
    frames = sent(response_frames("response.output_text", ["ab", "cd"]))
    assert CODEC.cut(frames[-1], []) == b""
    done = next(frame for frame in frames if frame.event == "response.output_item.done")
    ((_, tree),) = events(CODEC.cut(done, []))
    assert tree["item"]["status"] == "incomplete"


def sent(frames: list[bytes]) -> list[Frame]:
    """The decoded frames of a stream."""
    decoder = CODEC.decoder(streamed=True, failed=False, limit_bytes=99_999)
    found = [event for data in frames for event in decoder.feed(data)]
    return list({id(event.frame): event.frame for event in found if isinstance(event, (Text, Opaque))}.values())


def test_an_edit_drops_what_tells_the_length_of_the_old_text() -> None:
    (frame,) = sent(
        [
            b'data: {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "secret", '
            b'"logprobs": [{"token": "secret", "logprob": -1}], "obfuscation": "xxxx"}\n\n'
        ]
    )
    text = Text(Channel("response", "assistant", "output[0].content[0].text"), "secret", frame, ("delta",))
    ((_, tree),) = events(CODEC.edited(frame, [(text, "")]))
    assert tree == {
        "type": "response.output_text.delta",
        "output_index": 0,
        "content_index": 0,
        "delta": "",
        "logprobs": [],
    }
