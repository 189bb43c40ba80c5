"""What Azure OpenAI adds to the formats of OpenAI."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.events import Opaque, Text
from guardproxy.exchange.inputs.transcript import SendUpstream
from guardproxy.wire import installed
from guardproxy.wire.formats.openai_chat.codec import CODEC
from guardproxy.wire.formats.openai_chat.field_map import RESPONSE
from guardproxy.wire.json import walk
from guardproxy.wire.request import azure
from guardproxy.wire.request.azure import DATA_SOURCES, model_of, with_model
from tests.kit.play import Play, chat_frames, policy_set, setting, sse

DEPLOYED = "POST /openai/deployments/{deployment}/chat/completions"
PATH = "/openai/deployments/gpt-4o/chat/completions"
RULES = (
    "checks: {bad: {use: pattern, words: [forbidden]}}\nrules: [{id: bads, on: response, when: bad, action: redact}]\n"
)
BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
SAFE = {"filtered": False, "severity": "safe"}
RESULTS = {
    **dict.fromkeys(("hate", "self_harm", "sexual", "violence"), SAFE),
    "jailbreak": {"filtered": False, "detected": False},
    "protected_material_code": {
        "filtered": False,
        "detected": True,
        "citation": {"URL": "https://a.example", "license": "MIT"},
    },
    "custom_blocklists": {"filtered": False, "details": [{"filtered": False, "id": "list"}]},
    "error": {"code": "content_filter_error", "message": "The contents are not filtered"},
}
FIRST = {
    **{"id": "", "object": "", "created": 0, "model": "", "choices": []},
    "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": RESULTS}],
}
NOTE = {
    **{"id": "", "object": "", "created": 0, "model": ""},
    "choices": [
        {
            "index": 0,
            "finish_reason": None,
            "content_filter_results": RESULTS,
            "content_filter_offsets": {"check_offset": 44, "start_offset": 44, "end_offset": 198},
        }
    ],
}


def ask(policy: str, path: str = PATH, more: dict[str, Any] | None = None, **body: Any) -> Play:
    play = Play(policy_set(policy), DEPLOYED)
    play.exchange = type(play.exchange)(setting(play.policies, DEPLOYED, path))
    return play.ask({**BODY, **body, **(more or {})})


@pytest.mark.parametrize(
    ("path", "tree", "model"),
    [
        (PATH, {}, "gpt-4o"),
        (PATH, {"model": "other"}, "gpt-4o"),
        ("/openai/v1/chat/completions", {"model": "other"}, "other"),
        ("/v1/chat/completions", {}, ""),
    ],
)
def test_the_deployment_is_the_model(path: str, tree: dict[str, Any], model: str) -> None:
    assert model_of(path, tree) == model


@pytest.mark.parametrize(
    ("path", "tree", "new_path", "new_tree"),
    [
        (PATH, {"x": 1}, "/openai/deployments/new/chat/completions", {"x": 1}),
        (PATH, {"model": "a"}, "/openai/deployments/new/chat/completions", {"model": "new"}),
        ("/openai/v1/chat/completions", {}, "/openai/v1/chat/completions", {"model": "new"}),
    ],
)
def test_another_model_is_another_deployment(
    path: str, tree: dict[str, Any], new_path: str, new_tree: dict[str, Any]
) -> None:
    assert with_model(path, tree, "new") == (new_path, new_tree)


@pytest.mark.parametrize("name", ["chat/completions", "completions", "embeddings"])
def test_both_forms_of_the_routes_are_read(name: str) -> None:
    formats = installed()
    assert [formats.codec_for(route) for route in azure.hosted_routes(name)] == [
        formats.codec_for(f"POST /v1/{name}")
    ] * 2
    read_by = formats.served(f"POST /openai/deployments/gpt-4o-2024-08-06/{name}")
    assert read_by is not None
    assert read_by.route.parameters == ("deployment",)


def test_a_policy_sees_the_deployment_and_the_model_of_the_body() -> None:
    block = "checks: {hi: {use: pattern, words: [hi]}}\nrules: [{id: r, when: hi, action: block}]\n"
    for models, model, stopped in (("gpt-4o", "", True), ("gpt-5", "gpt-5", True), ("gpt-5", "", False)):
        more: dict[str, Any] = {"model": model} if model else {}
        done = ask(f"policy: p\nmatch: {{models: [{models}]}}\n{block}", **more)
        assert (done.upstream is None) is stopped


@pytest.mark.parametrize(
    ("match", "applies"),
    [
        ('routes: ["POST /v1/chat/completions"]', True),
        ('routes: ["POST /openai/deployments/*"]', True),
        ('routes: ["POST /v1/completions"]', False),
        ("when: 'request.path == \"/v1/chat/completions\"'", True),
        ("when: 'request.route.startsWith(\"POST /openai/\")'", True),
        ("when: 'request.path == \"/v1/completions\"'", False),
    ],
)
def test_a_policy_for_a_route_holds_for_its_other_spellings(match: str, applies: bool) -> None:
    block = "checks: {hi: {use: pattern, words: [hi]}}\nrules: [{id: r, when: hi, action: block}]\n"
    assert (ask(f"policy: p\nmatch: {{{match}}}\n{block}").upstream is None) is applies


@pytest.mark.parametrize(
    ("route", "own"),
    [
        ("POST /openai/v1/responses", "POST /v1/responses"),
        ("POST /openai/responses", "POST /v1/responses"),
        (DEPLOYED, "POST /v1/chat/completions"),
        ("POST /anthropic/v1/messages", "POST /v1/messages"),
        ("POST /v1/messages", None),
        ("GET /acme/openai/v1/x", None),
    ],
)
def test_a_host_spells_a_route_in_its_own_way(route: str, own: str | None) -> None:
    assert azure.route_spellings(route) == ((route,) if own is None else (route, own))


def test_a_fallback_goes_to_another_deployment() -> None:
    retry = "{id: r, on: response, when: bad, action: retry, attempts: 1, then: fallback, fallback: {model: big}}"
    done = ask(f"policy: p\n{RULES.partition('rules')[0]}rules: [{retry}]")
    for _ in range(2):
        done.stream(chat_frames([{"content": "forbidden"}]))
    sent = [command for command in done.done if isinstance(command, SendUpstream)]
    assert [command.path for command in sent] == ["", "", "/openai/deployments/big/chat/completions"]


@pytest.mark.parametrize("tree", [FIRST, NOTE], ids=["prompt", "choice"])
def test_the_results_of_filters_are_known(tree: dict[str, Any]) -> None:
    leaves = list(walk(tree, RESPONSE, words=CODEC.contract.words))
    assert not [leaf for leaf in leaves if leaf.leaf.unmapped]
    assert {leaf.text for leaf in leaves if leaf.leaf.kind == "error"} == {
        "content_filter_error",
        "The contents are not filtered",
    }


def test_a_stream_with_notes_of_the_asynchronous_filter() -> None:
    done = ask(f"policy: p\n{RULES}")
    frames = chat_frames([{"content": "this is "}, {"content": "forb"}, {"content": "idden now"}])
    done.stream([sse(FIRST), *frames[:-2], sse(NOTE), *frames[-2:]])
    assert done.finish.outcome == "answered"
    assert b"forbidden" not in done.client
    assert b"prompt_filter_results" in done.client
    assert b"content_filter_offsets" not in done.client, "offsets count characters of the text before its edits"
    assert done.client.endswith(b"data: [DONE]\n\n")


def test_a_stream_that_ends_after_a_note_is_cut_off() -> None:
    done = ask(f"policy: p\n{RULES}")
    done.stream([sse(FIRST), *chat_frames([{"content": "hello"}])[:-2], sse(NOTE)])
    assert done.finish.outcome == "upstream_truncated"


@pytest.mark.parametrize("name", sorted(map(str, DATA_SOURCES)))
@pytest.mark.parametrize(
    "place",
    [
        {"authentication": {"type": "api_key", "key": "s3cret-value"}},
        {"authentication": {"type": "connection_string", "connection_string": "s3cret-value"}},
        {"embedding_dependency": {"type": "endpoint", "authentication": {"type": "api_key", "key": "s3cret-value"}}},
        {"key": "s3cret-value"},
    ],
)
def test_a_credential_of_a_data_source_is_passed_on_and_not_recorded(name: str, place: dict[str, Any]) -> None:
    source: dict[str, Any] = {
        "type": "azure_search",
        "parameters": {"endpoint": "https://a.example", "index_name": "docs", **place},
    }
    done = ask(
        "policy: p\nchecks: {all: {use: pattern, patterns: ['s3cret']}}\nrules: [{id: r, when: all, action: block}]",
        more={name: [source]},
    )
    assert done.upstream[name] == [source]
    done.stream(chat_frames([{"content": "hello"}]))
    assert "s3cret-value" not in json.dumps(done.record)
    refused = ask(f"policy: p\nopaque: {{secret: refuse}}\n{RULES}", more={name: [source]})
    assert refused.record["error"]["code"] == "opaque_content"


def test_the_documents_of_an_answer_are_results_of_tools() -> None:
    context = {"citations": [{"content": "forbidden", "title": "a", "url": "https://a.example"}], "intent": '["hi"]'}
    tree = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x", "context": context}}]}
    decoder = CODEC.decoder(streamed=False, failed=False, limit_bytes=10_000)
    events = [*decoder.feed(json.dumps(tree).encode()), *decoder.end()]
    kinds = {event.text: event.channel.kind for event in events if isinstance(event, Text)}
    assert (kinds["forbidden"], kinds["x"]) == ("tool_result", "assistant")
    assert not any(isinstance(event, Opaque) and event.uninspected for event in events)
