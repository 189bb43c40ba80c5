"""Gemini generateContent: what its requests, answers and streams hold, and what a stop or an edit makes of them."""

from __future__ import annotations

import base64
import json
from random import Random
from typing import Any

import pytest

from guardproxy import testing
from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.events import End, Event, Fault, Opaque, Text
from guardproxy.testing import guarding
from guardproxy.testing.formats import Promise
from guardproxy.testing.guarding import RIGHT, SCHEMA, VALUE, WRONG
from guardproxy.wire.contract.request_facts import statement_of
from guardproxy.wire.contract.turns import Call, ModelTurn
from guardproxy.wire.contract.writing import Prompt, Reply
from guardproxy.wire.formats.gemini_generate import turns
from guardproxy.wire.formats.gemini_generate.codec import ARRAYS, CODEC
from guardproxy.wire.formats.gemini_generate.contract import CONTRACT, ROUTES
from guardproxy.wire.json.opaque import NOT_KEPT
from guardproxy.wire.registry import installed
from tests.kit.media import PNG, SIGNATURE
from tests.kit.play import sse
from tools import fuzzing

PATH = "/v1beta/models/m:generateContent"
STREAM = "/v1beta/models/m:streamGenerateContent"
URL_SAFE = base64.urlsafe_b64encode(base64.b64decode(SIGNATURE)).decode()


def kinds(found: list[Event]) -> dict[str, str]:
    return {event.channel.path: event.channel.kind for event in found if isinstance(event, Text) and not event.key}


def texts(found: list[Event]) -> dict[str, str]:
    out: dict[str, str] = {}
    for event in found:
        if isinstance(event, Text) and not event.again and not event.key:
            out[event.channel.path] = out.get(event.channel.path, "") + event.text
    return out


def opaque(found: list[Event]) -> dict[str, str]:
    return {
        ".".join(map(str, path)): media
        for event in found
        if isinstance(event, Opaque)
        for path, media in zip(event.uninspected, event.media, strict=True)
    }


def request(tree: Any, path: str = PATH) -> list[Event]:
    return CODEC.read_request(path, "", json.dumps(tree).encode()).events()


def refused(tree: Any, path: str = PATH) -> str | None:
    with pytest.raises(DownstreamError) as caught:
        request(tree, path)
    assert caught.value.status == 400
    return caught.value.field


def stream(*trees: Any, guarded: bool = False) -> list[Event]:
    decoder = CODEC.decoder(streamed=True, failed=False, limit_bytes=10_000, guarded=guarded)
    return [event for tree in trees for event in decoder.feed(sse(tree))] + decoder.end()


def answer(tree: Any, *, guarded: bool = False) -> list[Event]:
    decoder = CODEC.decoder(streamed=False, failed=False, limit_bytes=10_000, guarded=guarded)
    decoder.feed(json.dumps(tree).encode())
    return decoder.end()


def chunk(*parts: Any, finish: str = "", index: int = 0, **more: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": list(parts), "role": "model"}, "index": index, **more}
    return {"candidates": [{**candidate, "finishReason": finish} if finish else candidate]}


def part(number: int, rest: str = "text", candidate: int = 0) -> str:
    return f"candidates[{candidate}].content.parts[{number}].{rest}"


# Requests.


def test_the_texts_of_a_request() -> None:
    turn = [
        {"text": "a b"},
        {"inlineData": {"mimeType": "image/png", "data": PNG, "displayName": "c d"}},
        {"fileData": {"mimeType": "text/plain", "fileUri": "https://e.example/f g"}},
        {"functionResponse": {"name": "tool", "response": {"result": "h i"}, "parts": [{"inlineData": {"data": PNG}}]}},
    ]
    said = [
        {"text": "j k", "thought": True, "thoughtSignature": SIGNATURE},
        {"functionCall": {"name": "tool", "args": {"a": "l m"}}},
        {"executableCode": {"language": "PYTHON", "code": "n o"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "p q"}},
        {"toolCall": {"toolType": "GOOGLE_MAPS", "args": {"a": "r s"}}},
        {"toolResponse": {"toolType": "GOOGLE_MAPS", "response": {"a": "t u"}}},
    ]
    found = request(
        {
            "contents": [
                {"parts": turn},
                {"role": "model", "parts": said},
                {"role": "other", "parts": [{"text": "v w"}]},
            ],
            "systemInstruction": {"parts": [{"text": "x y"}]},
            "labels": {"team": "a z"},
            "generationConfig": {"stopSequences": ["b z"], "responseMimeType": "application/json", "topK": 4},
            "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["c z"]}},
        }
    )
    assert kinds(found) == {
        "contents[0].parts[0].text": "user",
        "contents[0].parts[1].inlineData.displayName": "metadata",
        "contents[0].parts[2].fileData.fileUri": "user",
        "contents[0].parts[3].functionResponse.name": "tool_result",
        "contents[0].parts[3].functionResponse.response.result": "tool_result",
        "contents[1].parts[0].text": "reasoning",
        "contents[1].parts[1].functionCall.name": "tool_arguments",
        "contents[1].parts[1].functionCall.args.a": "tool_arguments",
        "contents[1].parts[2].executableCode.code": "tool_arguments",
        "contents[1].parts[3].codeExecutionResult.output": "tool_result",
        "contents[1].parts[4].toolCall.args.a": "tool_arguments",
        "contents[1].parts[5].toolResponse.response.a": "tool_result",
        "contents[2].role": "metadata",
        "contents[2].parts[0].text": "user",
        "systemInstruction.parts[0].text": "system",
        "labels.team": "metadata",
        "generationConfig.stopSequences[0]": "metadata",
        "toolConfig.functionCallingConfig.allowedFunctionNames[0]": "tool_definition",
    }
    assert opaque(found) == {
        "contents.0.parts.1.inlineData.data": "image",
        "contents.0.parts.3.functionResponse.parts.0.inlineData.data": "image",
        "contents.1.parts.0.thoughtSignature": "signature",
    }


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("cachedContents/4l1x0ubbk3h2", {"cachedContent": "file"}),
        (NOT_KEPT, {"cachedContent": "file"}),
        ("cachedContents/4111222233334444", {}),
        ("call mara", {}),
        ({"a": "b c"}, {}),
    ],
)
def test_content_that_the_upstream_holds_is_listed(name: Any, found: dict[str, str]) -> None:
    events = request({"contents": [], "cachedContent": name})
    assert opaque(events) == found
    assert bool(texts(events)) != bool(found)


def test_both_spellings_are_read() -> None:
    found = request(
        {
            "contents": {"parts": {"function_call": {"name": "t", "args": {"a": "a b"}}}, "role": "model"},
            "system_instruction": {"parts": {"text": "c d"}},
            "generation_config": {"stop_sequences": ["e f"]},
            "tools": {"function_declarations": [{"name": "t", "description": "g h"}]},
            "cached_content": "cachedContents/i",
        }
    )
    assert kinds(found) == {
        "contents.parts.function_call.name": "tool_arguments",
        "contents.parts.function_call.args.a": "tool_arguments",
        "system_instruction.parts.text": "system",
        "generation_config.stop_sequences[0]": "metadata",
        "tools.function_declarations[0].name": "tool_definition",
        "tools.function_declarations[0].description": "tool_definition",
    }
    assert [event.text for event in found if isinstance(event, Text) and event.unmapped] == []


@pytest.mark.parametrize(
    ("tree", "field"),
    [
        ({"systemInstruction": {}, "system_instruction": {}}, "systemInstruction"),
        ({"contents": [{"parts": [{"inlineData": {}, "inline_data": {}}]}]}, "contents[0].parts[0].inlineData"),
        ({"generationConfig": {"topK": 1, "top_k": 2}}, "generationConfig.topK"),
        ({"tools": [{"functionDeclarations": [{"parametersJsonSchema": {}, "parameters_json_schema": {}}]}]}, None),
    ],
)
def test_a_field_in_both_spellings_is_refused(tree: Any, field: str | None) -> None:
    assert refused({"contents": [{"parts": []}], **tree}) in (
        field,
        "tools[0].functionDeclarations[0].parametersJsonSchema",
    )


def test_names_that_a_user_chooses_are_no_spellings() -> None:
    args = {"userId": "a", "user_id": "b"}
    schema = {"type": "object", "properties": {"userId": {}, "user_id": {}}}
    request(
        {
            "contents": [{"parts": [{"functionCall": {"name": "t", "args": args}}]}],
            "tools": [{"functionDeclarations": [{"name": "t", "parameters": schema}]}],
        }
    )


@pytest.mark.parametrize(
    ("tree", "field"),
    [
        ({}, "contents"),
        ({"contents": "hi"}, "contents"),
        ({"contents": [], "generationConfig": []}, "generationConfig"),
        ({"contents": [], "generation_config": {"candidate_count": 0.5}}, "generationConfig.candidate_count"),
        ({"contents": [], "generationConfig": {"candidateCount": 1000}}, "generationConfig.candidateCount"),
        ({"contents": [], "model": "models/another"}, "model"),
        ({"generateContentRequest": {"contents": [], "model": "another"}}, "generateContentRequest.model"),
        ({"requests": [{"content": {}, "model": "models/m"}, {"model": 7}]}, "requests[1].model"),
    ],
)
def test_a_wrong_field_is_named(tree: Any, field: str) -> None:
    assert refused(tree) == field


def test_credentials_of_tools_are_secret() -> None:
    key = "AI" + "zaSyD-0123456789abcdefghijklmnopqrstu"
    transport = {"url": "https://e.example", "headers": {"Authorization": f"Bearer {key}"}}
    found = request(
        {
            "contents": [],
            "tools": [
                {"exaAiSearch": {"apiKey": key}},
                {"parallel_ai_search": {"api_key": key}},
                {"mcpServers": [{"name": "s", "streamableHttpTransport": transport}]},
                {"retrieval": {"externalApi": {"authConfig": {"apiKeyConfig": {"apiKeyString": key}}}}},
                {"googleMaps": {"authConfig": {"oauthConfig": {"accessToken": key}}}},
            ],
        }
    )
    assert set(opaque(found).values()) == {"secret"}
    assert len(opaque(found)) == 5
    assert key not in json.dumps(texts(found))


def test_base64_in_the_alphabet_of_urls_is_content_too() -> None:
    assert "-" in URL_SAFE or "_" in URL_SAFE
    inline = {"mimeType": "image/png", "data": PNG.replace("+", "-").replace("/", "_")}
    found = request({"contents": [{"parts": [{"text": "a", "thoughtSignature": URL_SAFE}, {"inlineData": inline}]}]})
    assert set(opaque(found).values()) == {"signature", "image"}
    hidden = "call-mara-at-her-Home-number-In-the-evening-After-8"
    found = request({"contents": [{"parts": [{"text": "a", "thoughtSignature": hidden}]}]})
    assert texts(found)["contents[0].parts[0].thoughtSignature"].startswith(hidden)


def test_the_path_names_the_model_and_the_stream() -> None:
    body = b'{"contents": []}'
    for path, model, is_stream in (
        (PATH, "m", False),
        (STREAM, "m", True),
        ("/v1/models/gemini-2.5-flash-preview-09-2025:streamGenerateContent", "gemini-2.5-flash-preview-09-2025", True),
        ("/v1alpha/tunedModels/t-1:generateContent", "tunedModels/t-1", False),
    ):
        assert installed().codec_for(f"POST {path}") is CODEC
        read = CODEC.read_request(path, "", body)
        assert (read.model, read.stream) == (model, is_stream)
    assert CODEC.for_request(STREAM, "") is ARRAYS
    assert CODEC.for_request(STREAM, "alt=json") is ARRAYS
    assert CODEC.for_request(STREAM, "alt=sse") is CODEC
    assert CODEC.for_request(PATH, "") is CODEC
    for route in ("POST /v1beta/models/m:predict", "POST /v1beta/models/a/b:generateContent", "GET /v1beta/models/m"):
        assert installed().served(route) is None
    assert {route.rpartition(":")[2] for route in CONTRACT.unanswered} == {
        "countTokens",
        "embedContent",
        "batchEmbedContents",
    }
    assert set(ROUTES) >= CONTRACT.unanswered


def test_requests_for_counts_and_vectors() -> None:
    whole = {
        "model": "models/m",
        "contents": [{"parts": [{"text": "a b"}]}],
        "systemInstruction": {"parts": [{"text": "c d"}]},
    }
    found = request({"generateContentRequest": whole}, "/v1beta/models/m:countTokens")
    assert kinds(found)["generateContentRequest.systemInstruction.parts[0].text"] == "system"
    item = {"model": "models/m", "content": {"parts": [{"text": "a b"}]}, "taskType": "RETRIEVAL_QUERY", "title": "e f"}
    found = request({"requests": [item]}, "/v1beta/models/m:batchEmbedContents")
    assert kinds(found) == {
        "requests[0].model": "metadata",
        "requests[0].content.parts[0].text": "user",
        "requests[0].title": "user",
    }
    assert opaque(answer({"embedding": {"values": [0.5, -1, 2]}})) == {"embedding.values": "vectors"}
    assert kinds(answer({"embedding": {"values": ["a b"]}})) == {"embedding.values[0]": "unmapped"}
    assert kinds(answer({"totalTokens": 7, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}]})) == {}


def test_conditions_of_policies_read_every_spelling() -> None:
    function = {"functionDeclarations": [{"name": "f"}]}
    inner = {"contents": [{}, {}], "generation_config": {"max_output_tokens": 9}, "tools": [function]}
    for tree in (inner, {"generateContentRequest": inner}, {"generate_content_request": inner}):
        statement = statement_of(tree, CONTRACT.statements)
        assert (statement.max_tokens, statement.messages, statement.offered, statement.unclear) == (
            9,
            2,
            ("f",),
            frozenset(),
        )
    assert statement_of({"contents": {}, "tools": {"googleSearch": {}}}, CONTRACT.statements).unclear == {
        "messages",
        "tools",
    }


# Answers.


def test_the_texts_of_an_answer() -> None:
    grounding = {
        "webSearchQueries": ["a b"],
        "groundingChunks": [{"web": {"uri": "https://e.example/x y", "title": "c d"}}],
        "groundingSupports": [{"segment": {"endIndex": 3, "text": "g h"}, "groundingChunkIndices": [0]}],
        "searchEntryPoint": {"renderedContent": "<b>e f</b>"},
    }
    cited = {"citationSources": [{"startIndex": 0, "endIndex": 3, "uri": "https://e.example/i j", "license": "k l"}]}
    tree = chunk(
        {"text": "g h"}, finish="STOP", groundingMetadata=grounding, citationMetadata=cited, finishMessage="m n"
    )
    tree |= {
        "modelVersion": "gemini-x",
        "promptFeedback": {"blockReasonMessage": "o p"},
        "usageMetadata": {"totalTokenCount": 3},
    }
    assert kinds(answer(tree)) == {
        part(0): "assistant",
        "candidates[0].groundingMetadata.webSearchQueries[0]": "tool_arguments",
        "candidates[0].groundingMetadata.groundingChunks[0].web.uri": "tool_result",
        "candidates[0].groundingMetadata.groundingChunks[0].web.title": "tool_result",
        "candidates[0].groundingMetadata.groundingSupports[0].segment.text": "assistant",
        "candidates[0].groundingMetadata.searchEntryPoint.renderedContent": "tool_result",
        "candidates[0].citationMetadata.citationSources[0].uri": "assistant",
        "candidates[0].citationMetadata.citationSources[0].license": "assistant",
        "candidates[0].finishMessage": "refusal",
        "modelVersion": "metadata",
        "promptFeedback.blockReasonMessage": "refusal",
    }
    guarded = answer(tree, guarded=True)
    assert "candidates[0].groundingMetadata.groundingSupports[0].segment.text" not in kinds(guarded)


def test_facts_of_an_answer() -> None:
    decoder = CODEC.decoder(streamed=True, failed=False, limit_bytes=10_000)
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 5, "note": "a b"}
    for tree in (
        chunk({"text": "a"}),
        chunk({"text": "b"}, finish="STOP") | {"usageMetadata": usage, "modelVersion": "v"},
    ):
        decoder.feed(sse(tree))
    assert decoder.seen.usage == {"promptTokenCount": 3, "candidatesTokenCount": 5}
    assert (decoder.seen.model, decoder.seen.finish) == ("v", ["STOP"])
    assert CONTRACT.tokens(decoder.seen.usage) == (3, 5)


def test_the_parts_of_a_stream_are_numbered_over_all_frames() -> None:
    call = {"functionCall": {"name": "t", "args": {"a": "x"}}}
    found = stream(
        chunk({"text": "think", "thought": True}),
        chunk({"text": "ing", "thought": True}, {"text": "He"}),
        chunk({"text": "llo"}),
        chunk({"text": "", "thoughtSignature": SIGNATURE}),
        chunk(call, call),
        chunk(call, {"text": "so"}, finish="STOP"),
    )
    assert texts(found) == {
        part(0): "thinking",
        part(1): "Hello",
        part(2, "functionCall.name"): "t",
        part(2, "functionCall.args.a"): "x",
        part(3, "functionCall.name"): "t",
        part(3, "functionCall.args.a"): "x",
        part(4, "functionCall.name"): "t",
        part(4, "functionCall.args.a"): "x",
        part(5): "so",
    }
    ends = [event.channel.path for event in found if isinstance(event, End) and not event.channel.path.endswith("#key")]
    assert len(ends) == len(set(ends)) == 9
    frames = {id(event.frame): event.frame for event in found if isinstance(event, (Text, Opaque))}.values()
    assert [path for frame in frames for path, _ in frame.calls or ()] == [
        part(number, "functionCall.args") for number in (2, 3, 4)
    ]


def test_candidates_have_texts_of_their_own() -> None:
    found = stream(
        {"candidates": [*chunk({"text": "a"}, index=1)["candidates"], *chunk({"text": "b"})["candidates"]]},
        chunk({"text": "c"}, index=1, finish="STOP"),
        chunk({"text": "d"}, finish="STOP"),
    )
    assert texts(found) == {part(0, candidate=1): "ac", part(0): "bd"}


def partial(path: str, **given: Any) -> dict[str, Any]:
    return {"functionCall": {"partialArgs": [{"jsonPath": path, **given}], "willContinue": True}}


def test_arguments_that_come_by_their_paths() -> None:
    found = stream(
        chunk({"functionCall": {"name": "t", "willContinue": True}}),
        chunk(partial("$.to", stringValue="jo", willContinue=True)),
        chunk(partial("$.to", stringValue="hn")),
        chunk(partial("$.rooms[0].name", stringValue="a")),
        chunk(partial("$.rooms[1]['n']", numberValue=2)),
        chunk({"functionCall": {}}),
        chunk({"text": ""}, finish="STOP"),
    )
    values = {path: text for path, text in texts(found).items() if path.endswith("stringValue")}
    assert values == {
        part(0, "functionCall.partialArgs[0].stringValue"): "john",
        part(0, "functionCall.partialArgs[1].stringValue"): "a",
    }
    (given,) = [
        frame.calls
        for frame in {id(event.frame): event.frame for event in found if isinstance(event, (Text, Opaque))}.values()
        if frame.calls
    ]
    assert given[0][0] == part(0, "functionCall.args")
    assert json.loads(given[0][1]) == {"to": "john", "rooms": [{"name": "a"}, {"n": 2}]}


def test_collecting_arguments_changes_no_frame() -> None:
    """The tree of a frame is written if a text of it is edited, and shares its parts with the trees of frames like it."""

    def call(path: str) -> dict[str, Any]:
        partial = [
            {"jsonPath": path, "boolValue": True},
            {"jsonPath": "$.n", "boolValue": {}},
            {"jsonPath": "$.n.m", "boolValue": False},
        ]
        return chunk({"functionCall": {"args": {"a": {}}, "partialArgs": partial}})

    trees = [call("$.a.b"), call("$.a.c"), chunk({"text": ""}, finish="STOP")]
    found = stream(*trees)
    frames = {id(event.frame): event.frame for event in found if isinstance(event, (Text, Opaque))}.values()
    assert [frame.tree for frame in frames] == trees
    given = [text for frame in frames for _, text in frame.calls or ()]
    assert list(map(json.loads, given)) == [{"a": {key: True}, "n": {"m": False}} for key in "bc"]


@pytest.mark.parametrize(("age", "outcome"), [(41, "answered"), ("old", "blocked_response")])
def test_a_rule_judges_arguments_that_come_by_their_paths(age: Any, outcome: str) -> None:
    asked = CODEC.author.request(Prompt("m", "hi", tools={"grow": SCHEMA}))
    given = {"numberValue": age} if isinstance(age, int) else {"stringValue": age}
    trees = [
        chunk({"functionCall": {"name": "grow", "willContinue": True}}),
        chunk(partial("$.age", **given)),
        chunk({"functionCall": {}}),
        chunk({"text": ""}, finish="STOP"),
    ]
    for codec, data in ((CODEC, b"".join(map(sse, trees))), (ARRAYS, json.dumps(trees).encode())):
        for size in (1, len(data)):
            run = guarding.run(codec, "{id: s, on: response, when: any, action: block}", asked)
            run.answer([data[at : at + size] for at in range(0, len(data), size)], streamed=True)
            assert run.outcome == outcome


@pytest.mark.parametrize("path", ["to", "$", "$.a[2]", "$..a", "$.a[x]", ""])
def test_arguments_whose_paths_cannot_be_followed_fit_no_schema(path: str) -> None:
    found = stream(
        chunk(partial(path, stringValue="x")), chunk({"functionCall": {}}), chunk({"text": ""}, finish="STOP")
    )
    (given,) = [event.frame.calls for event in found if isinstance(event, Opaque) and event.frame.calls]
    assert given[0][1] == "?"


@pytest.mark.parametrize(
    "trees",
    [
        [],
        [{}],
        [{"usageMetadata": {"totalTokenCount": 1}}],
        [chunk({"text": "a"})],
        [chunk({"text": "a"}, finish="FINISH_REASON_UNSPECIFIED")],
        [chunk({"text": "a"}, finish="STOP"), chunk({"text": "b"}, index=1)],
    ],
)
def test_a_stream_without_its_end_is_cut_off(trees: list[Any]) -> None:
    assert stream(*trees)[-1] == Fault(ErrorCode.UPSTREAM_TRUNCATED, "the answer ended before it was complete")


def test_a_stream_that_is_complete() -> None:
    for trees in (
        [chunk({"text": "a"}, finish="STOP"), chunk({"text": "b"})],
        [{"promptFeedback": {"blockReason": "SAFETY"}}],
        [{"candidates": [{"finishReason": "NEW_REASON"}]}],
        [{"error": {"code": 500, "message": "a b", "status": "INTERNAL"}}, {"x": "not read"}],
    ):
        assert not [event for event in stream(*trees) if isinstance(event, Fault)]
    text_after_the_end = stream(chunk({"text": "a"}, finish="STOP"), chunk({"text": "b"}))
    assert texts(text_after_the_end) == {part(0): "ab"}


def test_an_answer_is_not_continued_in_another_request() -> None:
    for guarded, reason in ((False, "CONTINUATION"), (True, "OTHER")):
        found = stream(chunk({"text": "a"}, finish="CONTINUATION", continuationToken=SIGNATURE), guarded=guarded)
        (frame,) = {id(event.frame): event.frame for event in found if isinstance(event, (Text, Opaque))}.values()
        assert frame.tree["candidates"][0]["finishReason"] == reason
        assert (SIGNATURE.encode() in frame.data) == (not guarded)


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [
        (["He", "llo"], True),
        (["He", "lp"], False),
        (["Hello", 5], False),
        ([], False),
    ],
)
def test_log_probabilities_stay_if_they_say_the_text(chosen: list[Any], kept: bool) -> None:
    entries = [{"token": token, "tokenId": 7, "logProbability": -0.5} for token in chosen]
    others = [{"candidates": [entry, {"token": "secret", "logProbability": -2}]} for entry in entries]
    found = answer(
        chunk({"text": "Hello"}, finish="STOP", logprobsResult={"chosenCandidates": entries, "topCandidates": others}),
        guarded=True,
    )
    (frame,) = {id(event.frame): event.frame for event in found if isinstance(event, Text)}.values()
    shown = frame.tree["candidates"][0]["logprobsResult"]
    assert (shown is not None) == kept
    assert b"secret" not in frame.data
    if kept:
        assert shown["chosenCandidates"][0] == {"token": "He", "logProbability": -0.5}
        assert shown["topCandidates"][0]["candidates"][1] == {"token": "", "logProbability": -2}


# Endings and errors.


def test_errors_are_those_of_google() -> None:
    tree = json.loads(CODEC.error(400, "invalid_type", "a message", "contents"))["error"]
    assert (tree["code"], tree["status"], tree["message"]) == (400, "INVALID_ARGUMENT", "a message")
    assert [detail.get("reason") or detail["fieldViolations"] for detail in tree["details"]] == [
        "invalid_type",
        [{"field": "contents", "description": "a message"}],
    ]
    words = {
        status: json.loads(CODEC.error(status, "x", "y"))["error"]["status"]
        for status in (404, 413, 429, 502, 503, 504)
    }
    assert list(words.values()) == [
        *("NOT_FOUND", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED"),
    ]


def test_the_time_to_wait_stands_in_the_details_of_an_error() -> None:
    body = CONTRACT.with_wait(CODEC.error(429, "rate_limit_exceeded", "too much"), 7)
    plain, wait = json.loads(body)["error"]["details"]
    assert plain["reason"] == "rate_limit_exceeded"
    assert wait == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}


def test_a_stop_is_an_error_in_the_stream() -> None:
    decoder = CODEC.decoder(streamed=True, failed=False, limit_bytes=10_000)
    ending = CODEC.filtered(decoder, "a message")
    assert ending.startswith(b'data: {"error":{"code":400,"message":"a message"')
    late = CODEC.error_event(ErrorCode.UPSTREAM_TRUNCATED, "cut", decoder)
    assert json.loads(late.removeprefix(b"data: "))["error"]["code"] == 502
    assert CODEC.comment("a receipt") == b""
    assert b":" not in CODEC.keep_alive()


# Arrays.


STREAMED: list[Promise] = [
    promise
    for promise in testing.promises(ARRAYS)
    if promise not in (guarding.edits_answers, guarding.applies_schemas, guarding.judges_calls, guarding.asks_again)
]


@pytest.mark.parametrize("promise", STREAMED)
def test_arrays_keep_the_promises_of_streams(promise: Promise) -> None:
    promise(ARRAYS)


def test_no_bytes_break_the_promises_of_arrays() -> None:
    for seed in range(60):
        fuzzing.fuzz_stream(ARRAYS, Random(seed))


def said(reply: Reply) -> list[bytes]:
    return list(ARRAYS.author.frames(Prompt("m", "hi", stream=True), reply, "1", list))


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_an_edited_array_is_an_array(size: int) -> None:
    for action in ("redact", "block"):
        run = guarding.run(
            ARRAYS, f"{{id: r, on: response, when: name, action: {action}}}", CODEC.author.request(Prompt("m", "hi"))
        )
        data = b"".join(said(Reply(f"about {VALUE} now", calls=(Call("t", json.dumps({"a": VALUE})),))))
        run.answer([data[at : at + size] for at in range(0, len(data), size)], streamed=True)
        elements = json.loads(run.client)
        assert VALUE not in json.dumps(elements)
        assert ("error" in elements[-1]) == (action == "block")


def test_schemas_and_further_answers_of_arrays() -> None:
    asked = CODEC.author.request(Prompt("m", "hi", schema=SCHEMA))
    for text, outcome in ((RIGHT, "answered"), (WRONG, "blocked_response")):
        run = guarding.run(ARRAYS, "{id: s, on: response, when: any, action: block}", asked).answer(
            said(Reply(text)), streamed=True
        )
        assert run.outcome == outcome
        json.loads(run.client)
    run = guarding.run(ARRAYS, "{id: s, on: response, when: own, action: retry, attempts: 1}", asked)
    run.answer(said(Reply(WRONG)), streamed=True).answer(said(Reply(RIGHT)), streamed=True)
    assert (
        "".join(element["candidates"][0]["content"]["parts"][0]["text"] for element in json.loads(run.client)) == RIGHT
    )


@pytest.mark.parametrize("data", [b"[]", b"[{}]", b"[{}", b"data: {}\n\n", b"[1]", b"x"])
def test_an_array_without_an_answer_is_a_failure(data: bytes) -> None:
    run = guarding.run(
        ARRAYS, "{id: r, on: response, when: name, action: flag}", CODEC.author.request(Prompt("m", "hi"))
    )
    run.answer([data], streamed=True)
    assert run.outcome in (ErrorCode.UPSTREAM_TRUNCATED, ErrorCode.UPSTREAM_INVALID_JSON)
    tree = json.loads(run.client)
    assert "error" in (tree[-1] if isinstance(tree, list) else tree)


def test_an_object_in_place_of_an_array() -> None:
    request = CODEC.author.request(Prompt("m", "hi"))
    for tree, outcome in ((chunk({"text": "a"}, finish="STOP"), "answered"), ({"error": {"message": "b"}}, "answered")):
        run = guarding.run(ARRAYS, "{id: r, on: response, when: name, action: redact}", request)
        assert run.answer([json.dumps(tree).encode()], streamed=True).outcome == outcome
        assert json.loads(run.client) == tree
    run = guarding.run(ARRAYS, "{id: r, on: response, when: name, action: redact}", request)
    assert (
        run.answer([json.dumps(chunk({"text": "a"})).encode()], streamed=True).outcome == ErrorCode.UPSTREAM_TRUNCATED
    )
    assert "error" in json.loads(run.client)


# Further turns.


def test_further_turns() -> None:
    tree = {"contents": {"parts": {"text": "hi"}}, "system_instruction": {"parts": [{"text": "be brief"}]}}
    turn = ModelTurn("so", (Call("t", "{}"),))
    further = turns.further(tree, turn, "again")
    assert [content.get("role") for content in further["contents"]] == [None, "model", "user"]
    assert "`t`" in further["contents"][1]["parts"][0]["text"]
    assert turns.first_words(further) == "hi"
    assert (
        turns.first_words({"contents": [{"role": "model", "parts": [{"text": "x"}]}, {"parts": [{"text": ""}]}]}) == ""
    )
    assert turns.first_words([]) == ""


def test_a_request_for_another_model() -> None:
    batch = {"requests": [{"model": "models/m", "content": {}}]}
    path, tree = turns.with_model("/v1/models/m:batchEmbedContents", batch, "n")
    assert (path, tree["requests"][0]["model"]) == ("/v1/models/n:batchEmbedContents", "models/n")
    path, tree = turns.with_model(PATH, {"generateContentRequest": {"model": "models/m"}, "model": "models/m"}, "n")
    assert (tree["model"], tree["generateContentRequest"]["model"]) == ("models/n", "models/n")
    assert turns.model_of("/v1/models") == ""
