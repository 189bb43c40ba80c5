"""Clients that are slow, many or greedy: bounded time, bounded memory, and room left for the others."""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.e2e.rawhttp import exchange, parsed, post
from tests.e2e.rig import PASS, Proxy, Upstream

GOOD = json.dumps({"model": "scripted", "messages": [{"role": "user", "content": "hello"}]}).encode()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
ROUTES = pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])


@pytest.fixture(scope="module")
def quick(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that waits for a second at most. Less would refuse what a busy machine sends late."""
    from tests.e2e.rig import serve

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GUARDPROXY_BODY_GRACE_S", "1")
        patch.setenv("GUARDPROXY_LIMIT_BODY_RATE", "1000000")
        patch.setenv("GUARDPROXY_TIMEOUT_HEAD_S", "1")
        patch.setenv("GUARDPROXY_LIMIT_EXCHANGES", "3")
        proxy = serve(shared_upstream.url, tmp_path_factory.mktemp("quick"), PASS)
    yield proxy
    proxy.stop()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=60)


def rest(client: socket.socket) -> bytes:
    """Everything until the proxy closes the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := client.recv(65536):
            received += piece
    return received


def value(proxy: Proxy, name: str) -> float:
    """A metric without labels."""
    with urllib.request.urlopen(f"{proxy.admin_url}/metrics", timeout=60) as answer:
        found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found, name
    return float(found[1])


def wait_value(proxy: Proxy, name: str, holds: Callable[[float], bool]) -> None:
    """Returns when the metric has a value for which `holds` is true."""
    pause = threading.Event()
    for _ in range(600):
        if holds(seen := value(proxy, name)):
            return
        pause.wait(0.05)
    pytest.fail(f"{name} is still {seen}")


# Slow clients.


@ROUTES
def test_a_body_that_stalls_is_refused_in_the_dialect_and_closed(path: str, quick: Proxy) -> None:
    with connect(quick) as client:
        client.sendall(HEAD.replace(b"/v1/chat/completions", path.encode()) + b"Content-Length: 10000\r\n\r\n{")
        answer = parsed(rest(client))
    assert answer.status == 408
    assert answer.headers["connection"] == "close"
    assert answer.tree["error"]["message"]
    assert (answer.tree.get("type") == "error") == (path == "/v1/messages")


def test_a_body_below_the_least_rate_is_refused_though_it_keeps_coming(quick: Proxy) -> None:
    """Every byte is sent as soon as the one before has arrived: far less than a megabyte a second."""
    with connect(quick) as client:
        client.settimeout(0.02)
        client.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
        received = b""
        for _ in range(1000):
            try:
                client.sendall(b" ")
                received += client.recv(65536)
                break
            except TimeoutError:
                continue
        client.settimeout(60)
        received += rest(client)
    assert parsed(received).status == 408


def test_slow_bodies_take_no_slot_of_an_exchange(quick: Proxy) -> None:
    """Many more than there are slots."""
    with ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(connect(quick))
            client.sendall(HEAD + b"Content-Length: 10000\r\n\r\n{")
        assert post(quick.port, "/v1/chat/completions", GOOD).status == 200


@pytest.mark.parametrize("first", [b"P", b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nA: b"])
def test_a_head_that_does_not_end_is_closed(first: bytes, quick: Proxy) -> None:
    with connect(quick) as client:
        client.sendall(first)
        assert parsed(rest(client)).status == 408


def test_a_head_that_follows_an_answer_is_closed_too(quick: Proxy) -> None:
    with connect(quick) as client:
        client.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD)
        received = b""
        while b'"finish_reason"' not in received:
            received += client.recv(65536)
        client.sendall(b"GET")
        assert b"HTTP/1.1 408" in rest(client)


# Capacity.


@ROUTES
def test_too_many_exchanges_are_refused_at_once_and_may_be_sent_again(
    path: str, quick: Proxy, upstream: Upstream
) -> None:
    hang = json.dumps(
        {"model": "scripted", "max_tokens": 9, "messages": [{"role": "user", "content": "hang early"}]}
    ).encode()
    wait_value(quick, "guardproxy_open_exchanges", lambda count: count == 0)  # those of earlier tests may still end
    with ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(connect(quick))
            client.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(hang) + hang)
        upstream.journal.wait(lambda entries: len(entries) == 3 and entries)
        answer = post(quick.port, path, hang)
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert "x-should-retry" not in answer.headers
    assert "no_capacity" in answer.body.decode()
    assert (answer.tree.get("type") == "error") == (path == "/v1/messages")


def test_connections_are_bounded_and_idle_ones_make_room(
    proxy_with: Callable[..., Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARDPROXY_LIMIT_CONNECTIONS", "40")
    proxy = proxy_with(PASS)
    with ExitStack() as stack:
        idle = [stack.enter_context(connect(proxy)) for _ in range(200)]
        answers = [post(proxy.port, "/v1/chat/completions", GOOD).status for _ in range(5)]
        wait_value(proxy, "guardproxy_open_connections", lambda count: count <= 40)
        assert idle
    assert 200 in answers
    assert post(proxy.port, "/v1/chat/completions", GOOD).status == 200


def test_busy_connections_of_one_address_are_refused_beyond_its_share(
    proxy_with: Callable[..., Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a request under way, so none can make room."""
    monkeypatch.setenv("GUARDPROXY_LIMIT_CONNECTIONS", "20")
    proxy = proxy_with(PASS)
    with ExitStack() as stack:
        for number in range(60):
            client = stack.enter_context(connect(proxy))
            with suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(HEAD + b"Content-Length: 10\r\n\r\n{")
            if number < 16:  # a connection whose request has not been seen yet would make room
                wait_value(proxy, "guardproxy_held_body_bytes", lambda held, least=number: held > least)  # type: ignore[misc]
        with connect(proxy) as refused:
            answer = parsed(rest(refused))
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.tree["error"]["code"] == "no_capacity"
        # An address alone gets four fifths. Those that are refused close once they are told so.
        wait_value(proxy, "guardproxy_open_connections", lambda count: count == 16)


def test_bodies_are_bounded_in_total(proxy_with: Callable[..., Proxy], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDPROXY_LIMIT_BODY_BYTES", "1000000")
    monkeypatch.setenv("GUARDPROXY_LIMIT_BODIES_BYTES", "2000000")
    proxy = proxy_with(PASS)
    with ExitStack() as stack:
        for _ in range(6):
            client = stack.enter_context(connect(proxy))
            client.sendall(HEAD + b"Content-Length: 500000\r\n\r\n" + b" " * 400_000)
        wait_value(proxy, "guardproxy_held_body_bytes", lambda held: held >= 1_200_000)
        answer = post(proxy.port, "/v1/chat/completions", b" " * 900_000)
        assert value(proxy, "guardproxy_held_body_bytes") <= 2_000_000
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
    assert post(proxy.port, "/v1/chat/completions", GOOD).status == 200


# Compression.

BOMB = b'{"model":"scripted","messages":[' + b'"a",' * 250_000 + b'"a"]}'


@ROUTES
@pytest.mark.parametrize(
    "packed",
    [
        ("gzip", gzip.compress(BOMB)),
        ("deflate", zlib.compress(BOMB)),
        ("deflate", zlib.compress(BOMB)[2:-4]),
        ("gzip", gzip.compress(b" " * 50_000) * 40),
    ],
    ids=["gzip", "zlib", "bare deflate", "many members"],
)
def test_a_bomb_is_refused_while_it_is_unpacked(path: str, packed: tuple[str, bytes], guarding: Proxy) -> None:
    coding, body = packed
    answer = post(guarding.port, path, body, content_encoding=coding)
    assert answer.status == 413
    assert "compression_ratio" in answer.body.decode()
    assert (answer.tree.get("type") == "error") == (path == "/v1/messages")


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", gzip.compress(GOOD), 200),
        ("gzip", gzip.compress(GOOD[:20]) + gzip.compress(GOOD[20:]), 200),
        ("deflate", zlib.compress(GOOD), 200),
        ("deflate", zlib.compress(GOOD)[2:-4], 200),
        ("gzip", gzip.compress(gzip.compress(GOOD)), 400),
        ("gzip", gzip.compress(GOOD)[:-1], 400),
        ("gzip", gzip.compress(GOOD) + b"rest", 400),
        ("deflate", zlib.compress(GOOD) + b"rest", 400),
        ("gzip", zlib.compress(GOOD), 400),
        ("gzip", b"", 400),
        ("br", b"anything", 415),
        ("zstd", b"anything", 415),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,  # gzip writes the time into a body
)
def test_codings(coding: str, body: bytes, status: int, guarding: Proxy) -> None:
    assert post(guarding.port, "/v1/chat/completions", body, content_encoding=coding).status == status


# Versions, expectations, half-closed connections.


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/0.9", "HTTP/1.5", "HTTP/3.0"])
def test_another_version_of_http_is_answered_in_ours(version: str, guarding: Proxy) -> None:
    data = HEAD.replace(b"HTTP/1.1", version.encode()) + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD
    with connect(guarding) as client:
        client.sendall(data)
        received = rest(client)
    assert received.startswith(b"HTTP/1.1 505 ")
    assert parsed(received).tree["error"]["code"] == "http_version"
    assert parsed(received).headers["connection"] == "close"


def test_a_client_that_waits_with_its_body_is_told_to_send_it(guarding: Proxy) -> None:
    with connect(guarding) as client:
        client.sendall(HEAD + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(GOOD))
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(GOOD)
        assert parsed(rest(client)).status == 200


def test_a_refused_head_is_not_told_to_send_its_body(guarding: Proxy) -> None:
    head = HEAD.replace(b"application/json", b"text/plain")
    with connect(guarding) as client:
        client.sendall(head + b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n")
        received = rest(client)
    assert received.startswith(b"HTTP/1.1 415 ")


def test_a_client_that_shuts_down_its_sending_side_has_left(guarding: Proxy, upstream: Upstream) -> None:
    """TCP does not tell it from a close: the call to the model ends, and the record says so."""
    body = GOOD.replace(b"hello", b"hang early")
    gone = [record["outcome"] for record in guarding.records()].count("client_closed")
    with connect(guarding) as client:
        client.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        upstream.journal.wait(lambda entries: entries)
        client.shutdown(socket.SHUT_WR)
        assert rest(client) == b""
        upstream.journal.wait(lambda entries: [entry for entry in entries if entry.ended == "gone"])
    assert exchange(guarding.port, b"GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").status == 404
    guarding.wait_records(lambda records: [record["outcome"] for record in records].count("client_closed") == gone + 1)
