"""A model's API that sends what no API should: no secret leaks, nothing is followed, every answer has a proper end."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.rawhttp import Answer, RawUpstream, post
from tests.e2e.rig import GUARD, KEY, NO_BREAKER, Proxy, serve

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
ESCAPED = "".join(f"\\u{ord(letter):04x}" for letter in KEY)


@pytest.fixture(scope="module")
def raw_upstream() -> Iterator[RawUpstream]:
    running = RawUpstream()
    yield running
    running.close()


@pytest.fixture
def model(raw_upstream: RawUpstream) -> RawUpstream:
    raw_upstream.requests.clear()
    return raw_upstream


@pytest.fixture(scope="module")
def proxy(raw_upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    running = serve(raw_upstream.url, tmp_path_factory.mktemp("hostile"), GUARD, *NO_BREAKER)
    yield running
    running.stop()


def ask(proxy: Proxy, path: str, *, stream: bool) -> Answer:
    tree = {"model": "m", "max_tokens": 9, "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
    return post(proxy.port, path, json.dumps(tree).encode())


def plain(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    named = [f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    head = "\r\n".join([f"HTTP/1.1 {status}", *named])
    return head.encode() + b"\r\n\r\n" + body


def sse(*parts: bytes | str, headers: str = "") -> bytes:
    body = b"".join(part if isinstance(part, bytes) else part.encode() for part in parts)
    return f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n{headers}\r\n".encode() + body


def delta(content: str, finish: str = "null") -> str:
    choice = f'{{"index":0,"delta":{{"content":"{content}"}},"finish_reason":{finish}}}'
    return f'{{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{choice}]}}'


HELLO = f"data: {delta('hello ')}\n\ndata: {delta('there')}\n\n"
FINISH = "data: " + delta("", '"stop"') + "\n\n"
END = f"{FINISH}data: [DONE]\n\n"
START = (
    'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant",'
    '"model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'
    'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
)
STOP = (
    'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
    '"usage":{"output_tokens":2}}\n\n'
    'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


def text_delta(text: str) -> str:
    return f'{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}'


def strings(tree: Any) -> Iterator[str]:
    """Every string of a JSON tree, keys included."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield key
            yield from strings(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from strings(value)


def assert_no_leak(answer: Answer) -> None:
    """The key is nowhere: not in the bytes, not in a decoded string, not in the deltas joined."""
    assert KEY.encode() not in answer.body
    joined = ""
    for line in answer.body.splitlines():
        data = line.removeprefix(b"data:").strip()
        try:
            tree = json.loads(data)
        except ValueError:
            continue
        for value in strings(tree):
            assert KEY not in value
        if isinstance(tree, dict):
            values = strings(tree.get("choices") or tree.get("delta"))
            joined += "".join(value for value in values if value not in ("index", "delta", "content", "type", "text"))
    assert KEY not in joined
    assert KEY not in joined.encode("ascii", "ignore").decode("unicode_escape", "ignore")


def data_of(answer: Answer) -> list[Any]:
    """The JSON of an SSE body's events."""
    lines = [line.removeprefix(b"data: ") for line in answer.body.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line) for line in lines]


def said(answer: Answer) -> str:
    return "".join(tree["choices"][0]["delta"].get("content") or "" for tree in data_of(answer) if tree.get("choices"))


def is_error(answer: Answer) -> bool:
    """A typed error: a 502, or an error event at the end of the stream."""
    if answer.status != 200:
        return answer.status == 502 and bool(answer.tree["error"]["message"])
    events = data_of(answer)
    return bool(events) and bool((events[-1].get("error") or {}).get("message"))


WELL_FORMED = {
    "crlf": f"data: {delta('hello ')}\r\n\r\ndata: {delta('there')}\r\n\r\n" + END,
    "cr": f"data: {delta('hello ')}\r\rdata: {delta('there')}\r\r" + END,
    "no space": f"data:{delta('hello ')}\n\ndata:{delta('there')}\n\n" + END,
    "byte order mark": f"\ufeffdata: {delta('hello ')}\n\ndata: {delta('there')}\n\n" + END,
    "comments and other fields": f": hi\n\nid: 7\nretry: 5\ndata: {delta('hello ')}\n: x\n\n: y\ndata: {delta('there')}\n\n"
    + END,
    "several data lines": f"data: {delta('hello ').replace(',', ',' + chr(10) + 'data: ', 2)}\n\ndata: {delta('there')}\n\n"
    + END,
    "no [DONE]": HELLO + FINISH,
    "more after [DONE]": HELLO + END + f"data: {delta(KEY)}\n\n",
}


@pytest.mark.parametrize("name", WELL_FORMED)
def test_streams_that_the_format_allows(name: str, model: RawUpstream, proxy: Proxy) -> None:
    model.answer = sse(WELL_FORMED[name])
    answer = ask(proxy, CHAT, stream=True)
    assert said(answer) == "hello there"
    assert not is_error(answer)
    assert answer.body.endswith(b"data: [DONE]\n\n") or name == "no [DONE]"
    assert_no_leak(answer)


BROKEN: dict[str, bytes | str] = {
    "empty": "",
    "only comments": ": hi\n\n",
    "cut in an event": f"data: {delta('hello')}\n\ndata: {delta(KEY)}"[:-20],
    "cut after an event": f"data: {delta('hello')}\n\n",
    "an event without its blank line": f"data: {delta('hello')}\n\ndata: {delta(KEY)}\n",
    "no json": f"data: {delta('hello')}\n\ndata: {KEY}\n\n",
    "two documents": f"data: {delta('hello')}\n\ndata: {delta(KEY)}{delta(KEY)}\n\n" + END,
    "duplicate keys": 'data: {"choices":[{"index":0,"delta":{"content":"SECRET"}}],"choices":[]}\n\n'.replace(
        "SECRET", KEY
    )
    + END,
    "not a number": 'data: {"choices":[{"index":0,"delta":{"content":"SECRET"}}],"x":NaN}\n\n'.replace("SECRET", KEY)
    + END,
    "a list": f'data: ["{KEY}"]\n\n' + END,
    "a string": f'data: "{KEY}"\n\n' + END,
    "deep": "data: " + "[" * 50_000 + "]" * 50_000 + "\n\n" + END,
    "not utf-8": b'data: {"choices":[{"index":0,"delta":{"content":"' + KEY.encode() + b'\xff"}}]}\n\n',
    "lone surrogate": 'data: {"choices":[{"index":0,"delta":{"content":"SECRET\\ud800"}}]}\n\n'.replace("SECRET", KEY)
    + END,
    "an event of 70 MB": b"data: " + b"x" * 70_000_000,
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_streams_leak_nothing_and_end_with_an_error(name: str, model: RawUpstream, proxy: Proxy) -> None:
    model.answer = sse(BROKEN[name])
    answer = ask(proxy, CHAT, stream=True)
    assert_no_leak(answer)
    assert is_error(answer), answer.body[-500:]
    assert len(model.requests) == 1
    assert len(answer.body) < 100_000


def arguments(*fragments: str) -> str:
    """A stream of one tool call."""
    frames = ""
    for fragment in fragments:
        call = {"index": 0, "function": {"name": "f", "arguments": fragment}}
        frames += f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'tool_calls': [call]}}]})}\n\n"
    return frames + END


TOKEN: dict[str, Any] = {"token": KEY, "bytes": list(KEY.encode()), "logprob": -1}
LIKELY = {
    "choices": [
        {
            "index": 0,
            "delta": {"content": "a"},
            "logprobs": {"content": [{**TOKEN, "top_logprobs": [TOKEN]}], "refusal": None},
        }
    ]
}
SNEAKY = {
    "escaped": f"data: {delta(ESCAPED)}\n\n" + END,
    "escaped, in two frames": f"data: {delta(ESCAPED[:60])}\n\ndata: {delta(ESCAPED[60:])}\n\n" + END,
    "unknown field": f'data: {{"choices":[],"note":{{"deep":["{KEY}"]}}}}\n\n' + END,
    "unknown field, in two frames": f'data: {{"choices":[],"note":"{KEY[:9]}"}}\n\n'
    f'data: {{"choices":[],"note":"{KEY[9:]}"}}\n\n' + END,
    "a key": f'data: {{"choices":[],"{KEY}":1}}\n\n' + END,
    "an error object": f'data: {{"error":{{"message":"bad {KEY}","type":"x","code":null,"param":null}}}}\n\n',
    "unknown index": f'data: {{"choices":[{{"index":77,"delta":{{"content":"{KEY}"}}}}]}}\n\n' + END,
    "after the finish": f"{FINISH}data: {delta(KEY)}\n\ndata: [DONE]\n\n",
    "message in a chunk": f'data: {{"choices":[{{"index":0,"message":{{"content":"{KEY}"}}}}]}}\n\n' + END,
    "event name": f"event: {KEY}\ndata: {delta('hello')}\n\n" + END,
    "comment": f": {KEY}\n\ndata: {delta('hello')}\n\n" + END,
    "id": f"id: {KEY}\ndata: {delta('hello')}\n\n" + END,
    "name of a function": 'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function",'
    f'"function":{{"name":"{KEY}","arguments":"{{}}"}}}}]}}}}]}}\n\n' + END,
    "escaped twice in arguments": arguments(f'{{"k": "{ESCAPED}"}}'),
    "escaped slashes": f"data: {delta('a' + chr(92) + '/b ' + KEY)}\n\n" + END,
    "a refusal": f'data: {{"choices":[{{"index":0,"delta":{{"refusal":"{KEY}"}}}}]}}\n\n' + END,
    "reasoning": f'data: {{"choices":[{{"index":0,"delta":{{"reasoning_content":"{KEY}"}}}}]}}\n\n' + END,
    "other reasoning": f'data: {{"choices":[{{"index":0,"delta":{{"reasoning_content":"a","reasoning":"{KEY}"}}}}]}}\n\n'
    + END,
    "log probabilities": f"data: {json.dumps(LIKELY)}\n\n" + END,
    "token ids": f'data: {{"choices":[{{"index":0,"delta":{{"content":"a"}},"token_ids":{list(KEY.encode())}}}]}}\n\n'
    + END,
    "a transcript": f'data: {{"choices":[{{"index":0,"delta":{{"audio":{{"id":"a","transcript":"{KEY}"}}}}}}]}}\n\n'
    + END,
    "an argument key": arguments(f'{{"{KEY}": 1}}'),
    "an error as text": f'data: {{"error":"bad {KEY}","error_type":"generation"}}\n\n',
    "an error with a number": f'data: {{"object":"error","message":"bad {KEY}","code":400}}\n\n',
    "two ends": f"{HELLO}{FINISH}{FINISH}data: {delta(KEY)}\n\ndata: [DONE]\n\ndata: {delta(KEY)}\n\ndata: [DONE]\n\n",
    "a split inside an escape": arguments(f'{{"k": "{ESCAPED[:9]}', f'{ESCAPED[9:]}"}}'),
}


@pytest.mark.parametrize("name", SNEAKY)
def test_secrets_in_odd_places_of_a_stream(name: str, model: RawUpstream, proxy: Proxy) -> None:
    model.answer = sse(SNEAKY[name])
    assert_no_leak(ask(proxy, CHAT, stream=True))


SNEAKY_EVENTS = {
    "a ping with text": f"event: ping\ndata: {text_delta(KEY)}\n\n",
    "no event name": f"data: {text_delta(KEY)}\n\n",
    "another event name": f"event: message_stop\ndata: {text_delta(KEY)}\n\n",
    "an event name of its own": f"event: {KEY}\ndata: {text_delta('hello')}\n\n",
    "a block that starts full": 'event: content_block_start\ndata: {"type":"content_block_start","index":1,'
    f'"content_block":{{"type":"text","text":"{KEY}"}}}}\n\n',
    "a delta of an unknown type": 'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    f'"delta":{{"type":"new_delta","words":"{KEY}"}}}}\n\n',
    "an unknown event": f'event: new\ndata: {{"type":"new","words":"{KEY}"}}\n\n',
    "a delta for no block": f"event: content_block_delta\ndata: {text_delta(KEY).replace('0', '9', 1)}\n\n",
    "a citation": 'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"citations_delta",'
    f'"citation":{{"type":"char_location","cited_text":"{KEY}","document_index":0,"document_title":"{KEY}",'
    '"start_char_index":0,"end_char_index":2}}}\n\n',
    "an error": f'event: error\ndata: {{"type":"error","error":{{"type":"api_error","message":"bad {KEY}"}}}}\n\n',
    "stop details": 'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"refusal","stop_sequence":null,'
    f'"stop_details":{{"type":"refusal","category":null,"explanation":"{KEY}"}}}},"usage":{{"output_tokens":2}}}}\n\n',
    "a stop sequence": 'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"stop_sequence",'
    f'"stop_sequence":"{KEY}"}},"usage":{{"output_tokens":2}}}}\n\n',
}


@pytest.mark.parametrize("name", SNEAKY_EVENTS)
def test_secrets_in_odd_events_of_an_anthropic_stream(name: str, model: RawUpstream, proxy: Proxy) -> None:
    model.answer = sse(START, SNEAKY_EVENTS[name], STOP)
    answer = ask(proxy, MESSAGES, stream=True)
    assert_no_leak(answer)
    for block in answer.body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "data" in fields:
            assert fields["event"] == json.loads(fields["data"])["type"], "two clients must not see two events"


# Events out of their order.
BLOCK = START.partition("\n\n")[2]
TEXT = f"event: content_block_delta\ndata: {text_delta(KEY)}\n\n"
DISORDERED = {
    "before the start": TEXT + START + STOP,
    "two starts": START + START + TEXT + STOP,
    "after the end of its block": START + STOP.partition("event: message_delta")[0] + TEXT + STOP,
    "a block twice": START + BLOCK + TEXT + STOP,
    "after the end": START + STOP + TEXT + STOP,
    "two ends": START + TEXT + STOP + STOP,
    "an end alone": STOP,
    "an index that is not a number": START + TEXT.replace('"index":0', '"index":"0"') + STOP,
    "a negative index": START + TEXT.replace('"index":0', '"index":-1') + STOP,
    "a huge index": START + TEXT.replace('"index":0', '"index":99999999999999999999') + STOP,
}


@pytest.mark.parametrize("name", DISORDERED)
def test_events_out_of_order_leak_nothing(name: str, model: RawUpstream, proxy: Proxy) -> None:
    model.answer = sse(DISORDERED[name])
    answer = ask(proxy, MESSAGES, stream=True)
    assert_no_leak(answer)
    assert is_error(answer) or answer.body.count(b"event: message_stop") == 1, "the stream ends once"


RESPONSES = "/v1/responses"


def item(text: str) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}


def response(status: str, *items: dict[str, Any], **more: Any) -> dict[str, Any]:
    named = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "parallel_tool_calls": True}
    return {**named, "status": status, "output": list(items), "tools": [], "tool_choice": "auto", **more}


PLACE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
CREATED: dict[str, Any] = {"type": "response.created", "response": response("in_progress")}
ADDED: dict[str, Any] = {"type": "response.output_item.added", "output_index": 0, "item": {**item(""), "content": []}}
COMPLETED: dict[str, Any] = {"type": "response.completed", "response": response("completed", item("hello"))}
LATE: dict[str, list[dict[str, Any]]] = {
    "text done": [{"type": "response.output_text.done", **PLACE, "text": KEY}, COMPLETED],
    "part done": [{"type": "response.content_part.done", **PLACE, "part": item(KEY)["content"][0]}, COMPLETED],
    "part added": [{"type": "response.content_part.added", **PLACE, "part": item(KEY)["content"][0]}, COMPLETED],
    "item done": [{"type": "response.output_item.done", "output_index": 0, "item": item(KEY)}, COMPLETED],
    "item added whole": [{"type": "response.output_item.added", "output_index": 1, "item": item(KEY)}, COMPLETED],
    "completed": [{"type": "response.completed", "response": response("completed", item(KEY))}],
    "incomplete": [{"type": "response.incomplete", "response": response("incomplete", item(KEY))}],
    "failed": [
        {
            "type": "response.failed",
            "response": response("failed", error={"code": "server_error", "message": f"bad {KEY}"}),
        }
    ],
    "echoed instructions": [{**COMPLETED, "response": response("completed", instructions=KEY, metadata={"a": KEY})}],
    "a refusal": [{"type": "response.refusal.done", **PLACE, "refusal": KEY}, COMPLETED],
    "a summary": [
        {
            "type": "response.reasoning_summary_text.done",
            "item_id": "rs_1",
            "output_index": 0,
            "summary_index": 0,
            "text": KEY,
        },
        COMPLETED,
    ],
    "arguments": [
        {
            "type": "response.function_call_arguments.done",
            "item_id": "fc_1",
            "output_index": 0,
            "arguments": f'{{"a":"{KEY}"}}',
        },
        COMPLETED,
    ],
    "a transcript": [{"type": "response.audio.transcript.delta", "delta": KEY}, COMPLETED],
    "an unknown event": [{"type": "response.x_new", "words": KEY}, COMPLETED],
}


@pytest.mark.parametrize("name", LATE)
def test_a_secret_in_an_event_that_repeats_texts(name: str, model: RawUpstream, proxy: Proxy) -> None:
    events = [CREATED, ADDED, *LATE[name]]
    model.answer = sse(*(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events))
    body = json.dumps({"model": "m", "stream": True, "input": "hello"}).encode()
    answer = post(proxy.port, RESPONSES, body)
    assert answer.status == 200
    assert_no_leak(answer)


ANSWERS: dict[str, bytes] = {
    "empty": plain(b""),
    "null": plain(b"null"),
    "a list": plain(b"[]"),
    "not json": plain(f"sorry {KEY}".encode()),
    "cut": plain(b'{"choices":[{"index":0,"message":{"content":"' + KEY.encode()),
    "two documents": plain(b"{}" + b"{}"),
    "duplicate keys": plain(f'{{"choices":[{{"message":{{"content":"{KEY}"}}}}],"choices":[]}}'.encode()),
    "short body": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{}",
    "bad chunk": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
    "no http": b"\x00\x01\x02",
    "nothing": b"",
    "brotli": plain(b"{}", "Content-Encoding: br"),
    "unknown encoding": plain(b"{}", "Content-Encoding: foo"),
    "zstd": plain(b"{}", "Content-Encoding: zstd"),
    "broken gzip": plain(b"no gzip", "Content-Encoding: gzip"),
    "gzip that was cut": plain(gzip.compress(KEY.encode() * 100)[:-9], "Content-Encoding: gzip"),
    "gzip with a wrong checksum": plain(gzip.compress(b'{"choices":[]}')[:-8] + b"\x00" * 8, "Content-Encoding: gzip"),
    "a header of control bytes": plain(b"{}", "X-A: \x00"),
    "a bare line end in a header": plain(b"{}", "X-A: a\rB: c"),
    "text": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
    "no type": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "deep": plain(b"[" * 50_000 + b"]" * 50_000),
}


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize("name", ANSWERS)
def test_plain_answers_that_cannot_be_read(name: str, path: str, model: RawUpstream, proxy: Proxy) -> None:
    model.answer = ANSWERS[name]
    answer = ask(proxy, path, stream=False)
    assert answer.status == 502, answer
    assert answer.tree["error"]["message"]
    assert_no_leak(answer)


@pytest.mark.parametrize("stream", [False, True])
def test_a_redirect_is_not_followed(stream: bool, model: RawUpstream, proxy: Proxy) -> None:
    model.answer = plain(b"{}", f"Location: {model.url}/elsewhere", status="307 Temporary Redirect")
    answer = ask(proxy, CHAT, stream=stream)
    assert len(model.requests) == 1
    assert answer.status == 502
    assert "location" not in answer.headers


def test_cookies_and_server_names_stay_behind(model: RawUpstream, proxy: Proxy) -> None:
    good = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": []}
    model.answer = plain(
        json.dumps(good).encode(), "Set-Cookie: a=b", "Server: model", "Alt-Svc: x", "x-request-id: r1"
    )
    answer = ask(proxy, CHAT, stream=False)
    assert answer.status == 200
    assert answer.headers["x-request-id"] == "r1"
    for name in ("set-cookie", "alt-svc"):
        assert name not in answer.headers
    assert answer.headers.get("server") != "model"
    ask(proxy, CHAT, stream=False)
    assert b"cookie" not in model.requests[1].lower()


def test_an_answer_compressed_without_being_asked(model: RawUpstream, proxy: Proxy) -> None:
    tree = {"choices": [{"index": 0, "message": {"role": "assistant", "content": KEY}, "finish_reason": "stop"}]}
    model.answer = plain(gzip.compress(json.dumps(tree).encode()), "Content-Encoding: gzip")
    answer = ask(proxy, CHAT, stream=False)
    assert answer.status in (200, 502)
    assert answer.tree
    assert_no_leak(answer)


def test_absurd_delays_are_not_passed_on(model: RawUpstream, proxy: Proxy) -> None:
    """An SDK would sleep as long as it is told to."""
    model.answer = plain(
        b'{"error":{"message":"slow down","type":"x","param":null,"code":null}}',
        "Retry-After: 4294967",
        "retry-after-ms: nan",
        status="429 Too Many Requests",
    )
    answer = ask(proxy, CHAT, stream=False)
    assert answer.status == 429
    assert "retry-after" not in answer.headers
    assert "retry-after-ms" not in answer.headers


def test_the_proxy_is_well_afterwards(model: RawUpstream, proxy: Proxy) -> None:
    model.answer = sse(f"data: {delta('fine')}\n\n" + END)
    assert said(ask(proxy, CHAT, stream=True)) == "fine"
    assert "Traceback" not in proxy.log.read_text()
