"""The codec of MCP: texts of both directions, ids of events, and how the proxy refuses a message."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

import pytest

from guardproxy.audit import Record
from guardproxy.errors import DownstreamError
from guardproxy.events import Frame, Opaque, Text
from guardproxy.exchange import (
    DataReceived,
    Exchange,
    Finish,
    Input,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    SendData,
    SendHead,
    SendUpstream,
)
from guardproxy.exchange.player import each, play
from guardproxy.testing.formats import OF_MODELS, PROMISES, Promise
from guardproxy.testing.material import read_answer
from guardproxy.wire.contract.request_facts import statement_of
from guardproxy.wire.formats.mcp.codec import CODEC
from guardproxy.wire.formats.mcp.contract import DELETE, GET, POST
from guardproxy.wire.framing.sse import KEEP_ALIVE, SseCutter
from tests.kit.play import policy_set, setting
from tests.kit.records import replay, through_log

VERSION = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
RULES = """\
policy: p
checks: {word: {use: pattern, label: WORD, words: [quokka]}}
rules: [{id: r, on: PLACES, when: word, action: ACTION}]
"""


def message(method: str, params: Any, ident: Any = 7) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": ident, "method": method, "params": params}


def call(text: str = "hello", **more: Any) -> dict[str, Any]:
    return message("tools/call", {"name": "say", "arguments": {"text": text}, **more})


def result(**fields: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "result": fields}


def said(text: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}]}


def event(tree: Any, head: str = "") -> bytes:
    return f"{head}data: {json.dumps(tree, separators=(',', ':'))}\n\n".encode()


def texts(tree: Any) -> set[tuple[str, str, str]]:
    """The kind, the path and the text of each text of a request."""
    events = CODEC.read_request("/mcp/s", "", json.dumps(tree).encode()).events()
    return {(text.channel.kind, text.channel.path, text.text) for text in events if isinstance(text, Text)}


def answered(tree: Any) -> set[tuple[str, str, str]]:
    """The same of an answer."""
    read = read_answer(CODEC, [json.dumps(tree).encode()], streamed=False)
    assert not read.fault
    return {(channel.kind, channel.path, text) for channel, text in read.texts.items()}


class Played:
    """An exchange with a server of tools."""

    def __init__(self, body: Any, action: str = "block", route: str = POST) -> None:
        places = "[response]" if action.startswith("retry") else "[request, response]"
        policies = self.policies = policy_set(RULES.replace("PLACES", places).replace("ACTION", action))
        codec = CODEC.for_request("/mcp/s", "")
        self.exchange = Exchange(setting(policies, route, "/mcp/s", codec=codec))
        self.done: list[Any] = []
        self.tell(RequestReceived(json.dumps(body).encode() if body else b""))

    def tell(self, *inputs: Input) -> Played:
        self.done += play(self.exchange, inputs, each(lambda job: job.check.scan([job.window])[0]))
        return self

    def answer(self, parts: Iterable[bytes], media: str = "text/event-stream", status: int = 200) -> Played:
        return self.tell(ResponseStarted(status, media), *map(DataReceived, parts), ResponseEnded())

    @property
    def upstream(self) -> list[bytes]:
        return [command.body for command in self.done if isinstance(command, SendUpstream)]

    @property
    def status(self) -> int:
        return next(command.status for command in self.done if isinstance(command, SendHead))

    @property
    def client(self) -> bytes:
        return b"".join(command.data for command in self.done if isinstance(command, (SendData, Finish)))

    @property
    def record(self) -> Record:
        return through_log(next(command.record for command in self.done if isinstance(command, Finish)))

    @property
    def outcome(self) -> str:
        return next(command.outcome for command in self.done if isinstance(command, Finish))


# Texts.


@pytest.mark.parametrize(
    ("tree", "kind", "path"),
    [
        (call("WORD here"), "tool_arguments", "params.arguments.text"),
        (message("tools/call", {"name": "WORD here"}), "tool_arguments", "params.name"),
        (
            message("prompts/get", {"name": "p", "arguments": {"a": "WORD here"}}),
            "tool_arguments",
            "params.arguments.a",
        ),
        (message("resources/read", {"uri": "file:///WORD here"}), "tool_arguments", "params.uri"),
        (message("resources/subscribe", {"uri": "file:///WORD here"}), "tool_arguments", "params.uri"),
        (
            message("completion/complete", {"ref": {}, "argument": {"name": "a", "value": "WORD here"}}),
            "user",
            "params.argument.value",
        ),
        (message("initialize", {"clientInfo": {"name": "WORD here"}}), "metadata", "params.clientInfo.name"),
        (message("tools/list", {"cursor": "WORD here"}), "metadata", "params.cursor"),
        (message("tools/list", {"_meta": {"note": "WORD here"}}), "metadata", "params._meta.note"),
        (message("x/unknown", {"a": {"b": "WORD here"}}), "unmapped", "params.a.b"),
        (result(action="accept", content={"name": "WORD here"}), "user", "result.content.name"),
        (
            result(role="assistant", content={"type": "text", "text": "WORD here"}),
            "assistant",
            "result.content.text",
        ),
        (result(roots=[{"uri": "file:///", "name": "WORD here"}]), "metadata", "result.roots[0].name"),
        (
            call(inputResponses={"k": {"action": "accept", "content": {"a": "WORD here"}}}),
            "user",
            "params.inputResponses.k.content.a",
        ),
        (
            {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "WORD here"}},
            "metadata",
            "error.message",
        ),
    ],
)
def test_the_texts_of_a_message(tree: Any, kind: str, path: str) -> None:
    found = {(its, at) for its, at, text in texts(tree) if "WORD here" in text}
    assert found == {(kind, path)}


@pytest.mark.parametrize(
    ("tree", "kind", "path"),
    [
        (result(**said("WORD here")), "tool_result", "result.content[0].text"),
        (result(structuredContent={"a": ["WORD here"]}), "tool_result", "result.structuredContent.a[0]"),
        (result(tools=[{"name": "t", "description": "WORD here"}]), "tool_definition", "result.tools[0].description"),
        (
            result(tools=[{"name": "t", "inputSchema": {"properties": {"a": {"description": "WORD here"}}}}]),
            "tool_definition",
            "result.tools[0].inputSchema.properties.a.description",
        ),
        (result(instructions="WORD here"), "tool_definition", "result.instructions"),
        (result(contents=[{"uri": "a:b", "text": "WORD here"}]), "tool_result", "result.contents[0].text"),
        (result(completion={"values": ["WORD here"]}), "tool_result", "result.completion.values[0]"),
        (
            message("sampling/createMessage", {"systemPrompt": "WORD here", "messages": []}),
            "tool_result",
            "params.systemPrompt",
        ),
        (message("elicitation/create", {"message": "WORD here"}), "tool_result", "params.message"),
        (
            message("notifications/message", {"level": "info", "data": {"a": "WORD here"}}),
            "tool_result",
            "params.data.a",
        ),
        (
            result(inputRequests={"k": {"method": "elicitation/create", "params": {"message": "WORD here"}}}),
            "tool_result",
            "result.inputRequests.k.params.message",
        ),
        (result(x_new={"a": "WORD here"}), "unmapped", "result.x_new.a"),
        ({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "WORD here"}}, "error", "error.message"),
    ],
)
def test_the_texts_of_an_answer(tree: Any, kind: str, path: str) -> None:
    found = {(its, at) for its, at, text in answered(tree) if "WORD here" in text}
    assert found == {(kind, path)}


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        (result(contents=[{"uri": "a:b", "blob": "aGVsbG8gdGhlcmU="}]), "hello there"),
        (result(contents=[{"uri": "a:b", "mimeType": "text/plain", "blob": "aGVsbG8gdGhlcmU="}]), "hello there"),
        (result(contents=["hello there", {"text": "x"}]), "hello there"),
        (result(content=[{"type": "image", "mimeType": "image/png", "data": "hello there"}]), "hello there"),
        (result(content="hello there"), "hello there"),
        (result(messages=["hello there", {"content": "x"}]), "hello there"),
        (result(inputRequests="hello there"), "hello there"),
        (result(nextCursor="aGVsbG8gdGhlcmU="), "hello there"),
        ({"jsonrpc": "2.0", "id": 1, "result": "hello there"}, "hello there"),
        (result(content=["hello there", {"type": "x_new", "of": "x"}]), "hello there"),
        (result(content=[{"type": "x_new", "of": {"a": "hello there"}}]), "hello there"),
        (result(_meta="hello there"), "hello there"),
    ],
)
def test_a_text_at_an_odd_place_is_read(tree: Any, found: str) -> None:
    assert any(found in text for _, _, text in answered(tree))


def test_an_image_is_not_read_and_says_so() -> None:
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(128, 228))).decode()
    tree = result(content=[{"type": "image", "mimeType": "image/png", "data": png}])
    read = read_answer(CODEC, [json.dumps(tree).encode()], streamed=False)
    assert (read.media, list(read.texts)) == ({"image"}, [])


@pytest.mark.parametrize(
    "promise", [promise for promise in PROMISES if promise in OF_MODELS and promise.__module__.endswith("formats")]
)
def test_the_promises_about_streams_hold_too(promise: Promise) -> None:
    promise(CODEC)


def test_a_known_message_has_no_text_of_the_protocol() -> None:
    tree = message("tools/list", {"_meta": {**VERSION, "progressToken": 3}})
    assert texts(tree) == set()
    assert answered(result(resultType="complete", ttlMs=0, cacheScope="private", tools=[])) == set()


# Requests that are refused.


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'[{"jsonrpc":"2.0","method":"ping","id":1}]', "a batch of messages is not accepted"),
        (b'{"jsonrpc":"1.0","method":"ping","id":1}', "JSON-RPC 2.0"),
        (b'{"jsonrpc":"2.0","id":1}', "exactly one of `method`, `result` and `error`"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}', "exactly one of"),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', "JSON-RPC 2.0"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', "`params` must be an object"),
        (b'{"jsonrpc":"2.0","id":1,"Method":"ping","method":"a"}', "`Method` must be written as `method`"),
    ],
)
def test_what_is_no_single_message_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(DownstreamError) as raised:
        CODEC.read_request("/mcp/s", "", body)
    assert words in str(raised.value)


def test_an_error_names_the_message() -> None:
    codec: Any = CODEC.for_request("/mcp/s", "")
    with pytest.raises(DownstreamError) as raised:
        codec.read_request("/mcp/s", "", json.dumps({**call(), "result": {}}).encode())
    status, body = codec.own_answer(raised.value.status, raised.value.code, str(raised.value))
    assert status == 400
    assert json.loads(body)["id"] == 7
    assert json.loads(body)["error"]["code"] == -32600
    assert json.loads(CODEC.error(503, "no_capacity", "later"))["id"] is None
    assert json.loads(CODEC.error(503, "no_capacity", "later"))["error"]["code"] == -32011
    assert json.loads(CODEC.error(404, "unknown_route", "what"))["error"]["code"] == -32601
    assert json.loads(CODEC.error(502, "upstream_failed", "what"))["error"]["code"] == -32603


# Blocks.


@pytest.mark.parametrize(
    ("body", "route", "frames"),
    [
        (call("a quokka"), POST, []),
        (call(), POST, [result(**said("a quokka"))]),
        (call(), POST, [message("ping", {}), result(**said("hi"))]),
        (message("resources/read", {"uri": "file:///quokka"}), POST, []),
        ({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"reason": "quokka"}}, POST, []),
        (result(action="accept", content={"a": "hi"}), POST, [result()]),
        (None, GET, [message("elicitation/create", {"message": "hello there"})]),
        (None, GET, [message("elicitation/create", {"message": "a quokka"})]),
    ],
)
@pytest.mark.parametrize("action", ["block", "redact", "flag", "retry"])
def test_a_record_is_replayed(body: Any, route: str, frames: list[Any], action: str) -> None:
    played = Played(body, action, route)
    if played.upstream:
        played.answer(map(event, frames))
    assert replay(played.record, played.policies).verdict == "identical"


@pytest.mark.parametrize("is_modern", [False, True])
def test_a_blocked_call_is_a_failed_tool(is_modern: bool) -> None:
    more: Any = {"_meta": VERSION} if is_modern else {}
    for played in (
        Played(call("a quokka", **more)),
        Played(call(**more)).answer([json.dumps(result(**said("a quokka"))).encode()], "application/json"),
    ):
        answer = json.loads(played.client)
        assert played.status == 200
        assert answer["id"] == 7
        assert answer["result"]["isError"] is True
        assert "The call was not allowed" in answer["result"]["content"][0]["text"]
        assert answer["result"].get("resultType") == ("complete" if is_modern else None)
        assert "quokka" not in played.client.decode()
        assert played.outcome.startswith("blocked_")


@pytest.mark.parametrize("then", ["block", "fallback, fallback: {model: other}"])
def test_a_result_that_a_rule_would_have_again_is_blocked(then: str) -> None:
    played = Played(call(), f"retry, attempts: 3, then: {then}").answer([event(result(**said("a quokka")))])
    assert (len(played.upstream), played.outcome) == (1, "blocked_response")


def test_another_blocked_request_is_an_error_with_its_id() -> None:
    played = Played(message("resources/read", {"uri": "file:///quokka"}, "own-id"))
    answer = json.loads(played.client)
    assert (played.status, answer["id"], answer["error"]["code"]) == (200, "own-id", -32010)
    assert played.upstream == []


def test_a_blocked_notification_or_answer_is_no_answer() -> None:
    for tree in (
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"reason": "quokka"}},
        result(action="accept", content={"a": "quokka"}),
    ):
        played = Played(tree)
        assert (played.status, json.loads(played.client)["id"]) == (400, None)


def test_a_block_amid_a_stream_is_the_answer() -> None:
    progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "message": "half"}}
    played = Played(call()).answer([event(progress), event(result(**said("a quokka")))])
    sent = [json.loads(each.data) for each in SseCutter(1 << 20).feed(played.client) if each.data]
    assert sent[0] == progress
    assert sent[1]["result"]["isError"] is True
    assert played.outcome == "blocked_response"
    prompt = {"role": "user", "content": {"type": "text", "text": "a quokka"}}
    other = Played(message("prompts/get", {"name": "p"})).answer([event(progress), event(result(messages=[prompt]))])
    assert json.loads(SseCutter(1 << 20).feed(other.client)[-1].data or b"")["error"]["code"] == -32010


def test_a_redacted_result_is_the_rest_of_the_result() -> None:
    played = Played(call(), "redact").answer([event(result(**said("a quokka b"), isError=False), "id: 5\n")])
    assert played.client.startswith(b"id: 5\ndata: ")
    tree = json.loads(SseCutter(1 << 20).feed(played.client)[0].data or b"")
    assert tree["result"]["isError"] is False
    assert tree["result"]["content"][0]["text"].startswith("a [WORD_")


def tool(name: str, description: str = "Says a text") -> dict[str, Any]:
    return {"name": name, "description": description, "inputSchema": {"type": "object"}}


@pytest.mark.parametrize(
    ("method", "key"),
    [
        ("tools/list", "tools"),
        ("prompts/list", "prompts"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
    ],
)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_blocked_entry_is_left_out_of_its_list(method: str, key: str, is_streamed: bool) -> None:
    entries = [tool("a"), tool("b", "has a quokka"), tool("c"), tool("quokka", "and a quokka")]
    tree = result(**{key: entries, "nextCursor": "ab"})
    data = event(tree, "id: 9\n") if is_streamed else json.dumps(tree).encode()
    media = "text/event-stream" if is_streamed else "application/json"
    played = Played(message(method, {})).answer([data], media)
    shown = SseCutter(1 << 20).feed(played.client)[0].data if is_streamed else played.client
    assert json.loads(shown or b"") == result(**{key: [entries[0], entries[2]], "nextCursor": "ab"})
    assert played.outcome == "answered"
    assert replay(played.record, played.policies).verdict == "identical"
    sent = [text.path for text in played.record.response.texts if text.released]
    assert {path.partition(".")[2].partition(".")[0] for path in sent} == {f"{key}[0]", f"{key}[2]", "nextCursor"}
    beside = {**tree, "result": {**tree["result"], "_meta": {"note": "quokka"}}}
    assert Played(message(method, {})).answer([json.dumps(beside).encode()], "application/json").outcome == (
        "blocked_response"
    )


def test_the_value_of_a_result_has_the_edits_of_its_text() -> None:
    value = {"note": "a quokka b"}
    text = '{"note": "a \\u0071uokka b"}'
    tree = result(**{**said(text), "structuredContent": value})
    played = Played(call(), "redact").answer([json.dumps(tree).encode()], "application/json")
    shown = json.loads(played.client)["result"]
    assert "uokka" not in played.client.decode()
    assert json.loads(shown["content"][0]["text"]) == shown["structuredContent"]


# Answers without a body, and streams.


def test_a_notification_is_answered_without_a_body() -> None:
    tree = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    played = Played(tree).answer([], "application/octet-stream", 202)
    assert (played.status, played.client, played.outcome) == (202, b"", "answered")
    assert Played(tree).answer([], "application/json", 200).outcome == "answered"
    assert Played(call()).answer([], "application/json", 202).outcome == "answered"
    dropped = Played(tree).answer([b"quokka"], "text/plain", 202)
    assert (dropped.status, dropped.client, dropped.outcome) == (202, b"", "answered")
    ended = Played(None, route=DELETE).answer([b"quokka"], "text/html", 200)
    assert (ended.status, ended.client, ended.outcome) == (200, b"", "answered")
    assert Played(tree).answer([], "text/plain", 200).outcome == "upstream_content_type"


def test_an_event_keeps_its_id() -> None:
    head = "id: 1f2e-7\nretry: 1500\n"
    frames = [event(None, head).replace(b"null", b""), event(message("ping", {}), "id: a_b\n"), event(result())]
    played = Played(call()).answer([b"".join(frames)])
    assert played.client == b"".join(frames)
    secret = event(message("ping", {}), "id: mara@example.com\nretry: soon\n")
    assert Played(call()).answer([secret, event(result())]).client == event(message("ping", {})) + event(result())
    other = b"event: x\n" + event(message("ping", {}))
    assert Played(call()).answer([other, event(result())]).client.startswith(b"event: other\n")


def test_a_stream_that_is_cut_is_a_fault_unless_it_can_be_resumed() -> None:
    progress = message("ping", {})
    cut = Played(call()).answer([event(progress)])
    assert cut.outcome == "upstream_truncated"
    assert json.loads(SseCutter(1 << 20).feed(cut.client)[-1].data or b"")["error"]["code"] == -32603
    resumable = Played(call()).answer([event(progress, "id: 1\n")])
    assert (resumable.outcome, resumable.client) == ("answered", event(progress, "id: 1\n"))


def test_the_stream_of_the_server_has_no_end_of_its_own() -> None:
    frames = [event(message("ping", {})), event(result(**said("hi")))]
    played = Played(None, route=GET).answer(frames)
    assert (played.outcome, played.client) == ("answered", b"".join([KEEP_ALIVE, *frames]))  # the head does not wait
    assert played.upstream == [b""]
    blocked = Played(None, route=GET).answer([*frames, event(message("elicitation/create", {"message": "quokka"}))])
    last = json.loads(SseCutter(1 << 20).feed(blocked.client)[-1].data or b"")
    assert (last["method"], last["params"]["level"]) == ("notifications/message", "error")
    assert "quokka" not in blocked.client.decode()


# Facts.


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("params.arguments.a.b[0]", "params.name"),
        ("params.arguments.a#key", "params.name"),
        ("params.arguments", "params.name"),
        ("result.content[2].input.x", "result.content[2].name"),
        ("result.content.input", "result.content.name"),
        ("params.uri", ""),
    ],
)
def test_arguments_lead_to_the_name_of_their_tool(path: str, name: str) -> None:
    assert CODEC.contract.name_path(path) == name


def test_a_call_states_its_tool() -> None:
    fields = CODEC.contract.statements
    assert statement_of(call(), fields).tools == statement_of(call(), fields).offered == ("say",)
    assert statement_of(message("prompts/get", {"name": "say"}), fields).tools == ()
    assert statement_of(message("tools/call", {"name": 5}), fields).tools == ()
    assert statement_of(call(), fields).models == ()
    assert CODEC.contract.acts(call())
    assert CODEC.contract.demand(call()).tools is None
    assert CODEC.contract.calls.is_call(call(), "params")
    assert not CODEC.contract.calls.is_call(message("prompts/get", {}), "params")


@pytest.mark.parametrize(
    ("condition", "applies"),
    [
        ('request.server == "s" && request.operation == "tools/call"', True),
        ('"say" in request.tools', True),
        ('request.path == "/mcp/{server}" && !request.stream', True),
        ('request.server == "other"', False),
        ('request.operation.startsWith("resources/")', False),
        ('"other" in request.tools', False),
    ],
)
def test_conditions_of_policies_see_the_server_the_method_and_the_tool(condition: str, applies: bool) -> None:
    rules = RULES.replace("PLACES", "[request]").replace("ACTION", "block")
    policies = policy_set(f"{rules}match: {{when: '{condition}'}}\n")
    exchange = Exchange(setting(policies, POST, "/mcp/s", codec=CODEC.for_request("/mcp/s", "")))
    scan = each(lambda job: job.check.scan([job.window])[0])
    done = play(exchange, [RequestReceived(json.dumps(call("a quokka")).encode())], scan)
    assert any(isinstance(command, Finish) for command in done) is applies


def test_a_section_for_models_does_nothing_to_a_message() -> None:
    rules = RULES.replace("PLACES", "[request, response]").replace("ACTION", "block")
    more = """\
allow: {models: [gpt-5]}
deny: {models: [gpt-4]}
cache: {mode: exact, ttl_s: 60, tools: true}
route: {upstreams: [{upstream: other, model: big}]}
prompt: {prepend: Be kind.}
"""
    policies = policy_set(rules + more)
    exchange = Exchange(setting(policies, POST, "/mcp/s", codec=CODEC.for_request("/mcp/s", "")))
    body = json.dumps(call()).encode()
    sent = play(exchange, [RequestReceived(body)], each(lambda job: job.check.scan([job.window])[0]))
    (command,) = [command for command in sent if isinstance(command, SendUpstream)]
    assert (command.body, command.target, command.cache) == (body, "", None)
    assert exchange.routing == ()


def test_a_message_has_the_fields_of_messages() -> None:
    assert CODEC.without_end(Frame(b""), {}) is None
    (opaque,) = CODEC.read_request("/mcp/s", "", b"").events()
    assert isinstance(opaque, Opaque)
    assert CODEC.keep_alive() == b":\n\n"
    assert CODEC.opening("m") == b""
