"""Requests that no SDK sends: refused in the dialect of the route, nothing sent to the model, a record written."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.e2e.rawhttp import Answer, exchange, post
from tests.e2e.rig import MAIL, Proxy, Upstream

GOOD = {"model": "scripted", "messages": [{"role": "user", "content": "hello"}]}
ROUTES = pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
OTHER_ROUTES = pytest.mark.parametrize(
    "path", ["/v1/responses", "/v1/completions", "/v1/embeddings", "/v1/moderations"]
)


def assert_refused(proxy: Proxy, answer: Answer, path: str, *statuses: int) -> None:
    """A 4xx in the dialect of the route, and a record of it."""
    assert answer.status in statuses, answer
    assert answer.headers["content-type"].startswith("application/json")
    error = answer.tree["error"]
    assert isinstance(error["message"], str)
    assert error["message"]
    assert error["type"]
    if path == "/v1/messages":
        assert answer.tree["type"] == "error"
    else:
        assert set(error) >= {"message", "type", "param", "code"}
    assert_recorded(proxy, answer)


def assert_recorded(proxy: Proxy, answer: Answer) -> None:
    """The log has one record of this answer, which says that nothing was sent."""
    found = [record for record in proxy.records() if record["id"] == answer.headers["x-guardproxy-id"]]
    assert len(found) == 1
    assert found[0]["outcome"] == "refused"
    assert found[0]["status"] == answer.status


BODIES: dict[str, bytes] = {
    "empty": b"",
    "not json": b"hello",
    "cut": json.dumps(GOOD).encode()[:-3],
    "two documents": json.dumps(GOOD).encode() * 2,
    "null": b"null",
    "a list": b"[]",
    "a string": b'"hello"',
    "a number": b"7",
    "no messages": b'{"model":"scripted"}',
    "messages of the wrong type": b'{"model":"scripted","messages":"hello"}',
    "a message of the wrong type": b'{"model":"scripted","messages":["hello"]}',
    "duplicate messages": b'{"model":"scripted","messages":[{"role":"user","content":"a"}],'
    b'"messages":[{"role":"user","content":"b"}]}',
    "duplicate content": b'{"model":"scripted","messages":[{"role":"user","content":"a","content":"b"}]}',
    "duplicate model": b'{"model":"scripted","model":"other","messages":[{"role":"user","content":"a"}]}',
    "duplicate stream": b'{"model":"scripted","stream":false,"stream":true,"messages":[{"role":"user","content":"a"}]}',
    "5,000 digits": b'{"model":"scripted","messages":[{"role":"user","content":"a"}],"seed":' + b"9" * 5000 + b"}",
    "byte order mark": b"\xef\xbb\xbf" + json.dumps(GOOD).encode(),
    "duplicate by escape": b'{"model":"scripted","messages":[{"role":"user","content":"a","c\\u006fntent":"b"}]}',
    "not a number": b'{"model":"scripted","messages":[{"role":"user","content":"a"}],"temperature":NaN}',
    "infinity": b'{"model":"scripted","messages":[{"role":"user","content":"a"}],"temperature":1e999}',
    "lone surrogate": b'{"model":"scripted","messages":[{"role":"user","content":"\\ud800"}]}',
    "not utf-8": b'{"model":"scripted","messages":[{"role":"user","content":"\xff\xfe"}]}',
    "overlong utf-8": b'{"model":"scripted","messages":[{"role":"user","content":"\xc0\xaf"}]}',
    "utf-16": json.dumps(GOOD).encode("utf-16"),
    "deep lists": b'{"model":"scripted","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"model":"scripted","messages":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    "deep and cut": b"[" * 100_000,
    "stream of the wrong type": b'{"model":"scripted","messages":[{"role":"user","content":"a"}],"stream":"yes"}',
}


@ROUTES
@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body(name: str, path: str, upstream: Upstream, guarding: Proxy) -> None:
    answer = post(guarding.port, path, BODIES[name])
    assert_refused(guarding, answer, path, 400)
    assert upstream.journal.all() == []


# Bodies that no format reads: what is wrong with them does not depend on its fields.
NO_FORMAT = [
    *(
        "empty",
        "not json",
        "cut",
        "two documents",
        "null",
        "a list",
        "a string",
        "a number",
        "not a number",
        "infinity",
    ),
    *(
        "lone surrogate",
        "not utf-8",
        "overlong utf-8",
        "utf-16",
        "deep lists",
        "deep objects",
        "deep and cut",
        "5,000 digits",
    ),
    *("byte order mark", "duplicate model", "duplicate stream", "duplicate by escape"),
]


@OTHER_ROUTES
def test_a_bad_body_in_other_formats(path: str, upstream: Upstream, guarding: Proxy) -> None:
    for name in NO_FORMAT:
        assert_refused(guarding, post(guarding.port, path, BODIES[name]), path, 400)
    assert upstream.journal.all() == []


def test_a_number_goes_on_to_the_digit(upstream: Upstream, guarding: Proxy) -> None:
    """A mail is replaced in the same body, so it is written anew."""
    digits = b"123456789012345678901234567890"
    text = f"I am {MAIL}".encode()
    body = b'{"model":"scripted","seed":%s,"messages":[{"role":"user","content":"%s"}]}' % (digits, text)
    assert post(guarding.port, "/v1/chat/completions", body).status == 200
    (received,) = upstream.journal.all()
    assert digits in received.body
    assert MAIL.encode() not in received.body


LOOKALIKES: dict[str, dict[str, Any]] = {
    "another case": {"Messages": [{"role": "user", "content": MAIL}]},
    "a space behind": {"content ": MAIL},
    "nul in a key": {"content\u0000": MAIL},
    "as a key": {MAIL: 1},
    "deep in a new field": {"x": [{"y": [[MAIL]]}]},
    "documents": {"documents": [{"title": "a", "text": MAIL}]},
}


@ROUTES
@pytest.mark.parametrize("name", LOOKALIKES)
def test_a_field_that_looks_like_another_is_guarded(name: str, path: str, upstream: Upstream, guarding: Proxy) -> None:
    tree = {**GOOD, "max_tokens": 9, **LOOKALIKES[name]}
    answer = post(guarding.port, path, json.dumps(tree).encode())
    assert answer.status in (200, 400)
    assert all(MAIL not in json.dumps(received.tree) for received in upstream.journal.all())


@ROUTES
def test_ten_thousand_tools(path: str, upstream: Upstream, guarding: Proxy) -> None:
    body = json.dumps({**GOOD, "tools": [{"type": "function", "function": {"name": "f"}}] * 10_000}).encode()
    assert_refused(guarding, post(guarding.port, path, body), path, 413)
    assert upstream.journal.all() == []


def test_a_description_of_one_megabyte(upstream: Upstream, guarding: Proxy) -> None:
    words = ("an ordinary word " * 62_000)[:1_000_000] + MAIL
    tools = [{"type": "function", "function": {"name": "f", "description": words}}]
    assert post(guarding.port, "/v1/chat/completions", json.dumps({**GOOD, "tools": tools}).encode()).status == 200
    (received,) = upstream.journal.all()
    assert MAIL not in received.body.decode()


@ROUTES
@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-7", "application/jsonx"],
)
def test_an_unknown_content_type(content_type: str, path: str, upstream: Upstream, guarding: Proxy) -> None:
    answer = post(guarding.port, path, json.dumps(GOOD).encode(), content_type=content_type)
    assert_refused(guarding, answer, path, 415)
    assert upstream.journal.all() == []


@ROUTES
@pytest.mark.parametrize("encoding", ["foo", "gzip, gzip", "gzip, br"])
def test_an_unknown_content_encoding(encoding: str, path: str, upstream: Upstream, guarding: Proxy) -> None:
    answer = post(guarding.port, path, json.dumps(GOOD).encode(), content_encoding=encoding)
    assert_refused(guarding, answer, path, 415)
    assert upstream.journal.all() == []


@ROUTES
@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_an_encoding_that_the_http_parser_refuses(
    encoding: str, path: str, upstream: Upstream, guarding: Proxy
) -> None:
    """Before any route is known, so without a dialect."""
    answer = post(guarding.port, path, json.dumps(GOOD).encode(), content_encoding=encoding)
    assert answer.status in (400, 415)
    assert answer.tree["error"]["message"]
    assert upstream.journal.all() == []


@ROUTES
def test_broken_compression(path: str, upstream: Upstream, guarding: Proxy) -> None:
    for body in (b"not gzip at all", gzip.compress(json.dumps(GOOD).encode())[:-40]):
        answer = post(guarding.port, path, body, content_encoding="gzip")
        assert_refused(guarding, answer, path, 400, 415)
    assert upstream.journal.all() == []


@ROUTES
def test_a_body_beyond_the_limit(path: str, upstream: Upstream, guarding: Proxy) -> None:
    announced = post(guarding.port, path, b"", content_length=str(10**10))
    assert_refused(guarding, announced, path, 413)
    bomb = gzip.compress(b" " * 100_000_000)
    assert_refused(guarding, post(guarding.port, path, bomb, content_encoding="gzip"), path, 400, 413, 415)
    assert upstream.journal.all() == []


@pytest.mark.parametrize(
    "path",
    [
        "/v1/other",
        "/v1/files",
        "/v1/batches",
        "/v1/messages/batches",
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1/../v1/chat/completions",
        "/v1/%63hat/completions",
        "/V1/chat/completions",
    ],
)
def test_an_unknown_route(path: str, upstream: Upstream, guarding: Proxy) -> None:
    answer = post(guarding.port, path, json.dumps(GOOD).encode())
    assert answer.status in (400, 404)
    assert_recorded(guarding, answer)
    assert upstream.journal.all() == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "HEAD"])
def test_another_method(method: str, upstream: Upstream, guarding: Proxy) -> None:
    answer = post(guarding.port, "/v1/chat/completions", b"", method=method)
    assert 400 <= answer.status < 500
    assert_recorded(guarding, answer)
    assert upstream.journal.all() == []


RAW: dict[str, bytes] = {
    "two lengths": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
    b"Content-Length: 6\r\n\r\nhello",
    "length and chunked": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "signed length": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
    "compressed transfer": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n"
    b"Content-Type: application/json\r\nConnection: close\r\n\r\n0\r\n\r\n",
    **{
        f"length {length!r}": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: "
        + length
        + b"\r\n\r\nabc"
        for length in (b"3_0", b"0x3", b"-3", "\u0663".encode(), b"3, 3", b"")
    },
    **{
        f"chunk size {size!r}": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\nabc\r\n0\r\n\r\n"
        for size in (b"FFFFFFFFFFFFFFFFF", b"-3", b"0x3", b"3 3", b"", b"g")
    },
    "transfer encoding of http/1.0": b"POST /v1/chat/completions HTTP/1.0\r\nHost: x\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare line feeds": b"POST /v1/chat/completions HTTP/1.1\nHost: x\n\n",
    "carriage return in a header": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
    "h2c": b"GET /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
    "space before the colon": b"POST /v1/chat/completions HTTP/1.1\r\nHost : x\r\n\r\n",
    "folded header": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    "header of control bytes": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nA: \x00\x1b\r\n\r\n",
    "absolute target elsewhere": b"POST http://192.0.2.1/v1/other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    b"Content-Length: 0\r\n\r\n",
    "upgrade": b"GET /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
}


@pytest.mark.parametrize("name", RAW)
def test_a_hostile_head(name: str, upstream: Upstream, guarding: Proxy) -> None:
    answer = exchange(guarding.port, RAW[name])
    assert 400 <= answer.status < 500
    assert answer.tree["error"]["message"]
    assert b"\x1b" not in answer.body
    assert upstream.journal.all() == []


CHUNKED = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def test_a_body_in_chunks_of_one_byte(upstream: Upstream, guarding: Proxy) -> None:
    body = json.dumps(GOOD).encode()
    data = CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in body + b" " * 100_000) + b"0\r\n\r\n"
    assert exchange(guarding.port, data, 60).status == 200


def test_ten_megabytes_of_chunk_extensions(upstream: Upstream, guarding: Proxy) -> None:
    body = json.dumps(GOOD).encode()
    data = CHUNKED + b"%x;%s\r\n%s\r\n0\r\n\r\n" % (len(body), b"a=b;" * 2_500_000 + b"a=b", body)
    assert exchange(guarding.port, data, 60).status in (200, 400, 413)
    assert post(guarding.port, "/v1/chat/completions", body).status == 200


def test_trailers_go_nowhere(upstream: Upstream, guarding: Proxy) -> None:
    body = json.dumps(GOOD).encode()
    trailer = b"Authorization: Bearer trailing\r\nHost: elsewhere\r\nX-Trailing: yes\r\n"
    answer = exchange(guarding.port, CHUNKED + b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, trailer))
    assert answer.status in (200, 400)
    for entry in upstream.journal.all():
        assert "trailing" not in str(entry.headers).lower()


def test_a_refused_head_is_not_quoted(upstream: Upstream, guarding: Proxy) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer quoted\x00\r\n\r\n"
    answer = exchange(guarding.port, head)
    assert answer.status == 400
    assert b"quoted" not in answer.body
    assert answer.tree["error"]["message"]


def test_a_client_cannot_name_the_headers_to_be_removed(upstream: Upstream, guarding: Proxy) -> None:
    answer = post(
        guarding.port,
        "/v1/chat/completions",
        json.dumps(GOOD).encode(),
        connection="close, authorization, x-mine",
        authorization="Bearer test",
        x_mine="kept from the model",
    )
    assert answer.status in (200, 400)
    for entry in upstream.journal.all():
        assert "x-mine" not in entry.headers
        assert "connection" not in entry.headers or "x-mine" not in entry.headers["connection"]


def test_refusals_leave_the_proxy_well(upstream: Upstream, guarding: Proxy) -> None:
    answer = post(guarding.port, "/v1/chat/completions", json.dumps(GOOD).encode())
    assert answer.status == 200
    assert answer.tree["choices"][0]["message"]["content"] == "You wrote: hello"


@pytest.mark.parametrize("query", ["card=4111111111111111", "beta=true&note=hello", "api-version=4111111111111111"])
def test_a_query_that_no_check_sees_is_refused(upstream: Upstream, guarding: Proxy, query: str) -> None:
    answer = post(guarding.port, f"/v1/chat/completions?{query}", json.dumps(GOOD).encode())
    assert answer.status == 400
    assert answer.tree["error"]["code"] == "invalid_query"
    assert upstream.journal.all() == []


@pytest.mark.parametrize("query", ["beta=true", "api-version=2024-10-21", "api-version=2025-01-01-preview&beta=true"])
def test_a_query_that_sdks_send_goes_on(upstream: Upstream, guarding: Proxy, query: str) -> None:
    assert post(guarding.port, f"/v1/chat/completions?{query}", json.dumps(GOOD).encode()).status == 200
