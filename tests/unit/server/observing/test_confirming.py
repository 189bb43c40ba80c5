"""The webhook for calls that wait for a person: what it gets, when it is asked again, and what its answer does."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from msgspec.structs import replace

from guardproxy.config import Config
from guardproxy.server.observing.confirming import LIMIT_TRIES, ConfirmObserver, Webhook
from tests.kit.confirming import Notebook, begun, run
from tests.unit.exchange.memory.test_approvals import CHAT, PAY, answer

HOOK = "https://hooks.example/secret-path"


class Reviews:
    """Takes what the observer does. `message`: what is to be sent."""

    def __init__(self, message: tuple[bytes, str] | None = (b"{}", "t=1,v1=x")) -> None:
        self.found = message
        self.asked: list[tuple[str, str]] = []
        self.answers: list[tuple[str, str, bytes]] = []

    async def message(self, name: str, key: str) -> tuple[bytes, str] | None:
        self.asked.append((name, key))
        return self.found

    async def answered(self, name: str, host: str, data: bytes) -> bool:
        self.answers.append((name, host, data))
        return True


class Hook:
    """Answers with these statuses; an exception is raised."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, bytes, str]] = []

    def __call__(self, url: str, body: bytes, signature: str) -> tuple[int, bytes]:
        self.sent.append((url, body, signature))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer, b"yes"


def observer(
    loop: asyncio.AbstractEventLoop, reviews: Reviews, hook: Hook, pauses: list[float] | None = None
) -> ConfirmObserver:
    settings = Config.of(confirm_webhook=HOOK, confirm_key="secret").observability
    return ConfirmObserver(settings, reviews, loop, hook, (pauses if pauses is not None else []).append)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    running = asyncio.new_event_loop()
    thread = Thread(target=running.run_forever)
    thread.start()
    yield running
    running.call_soon_threadsafe(running.stop)
    thread.join()
    running.close()


BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
RECORD = run(begun(), Notebook(), BODY, answer(CHAT, [PAY], streamed=False)).record
ID = RECORD.decisions[0].confirmation


def test_only_calls_that_wait_are_told(loop: asyncio.AbstractEventLoop) -> None:
    told = observer(loop, Reviews(), Hook())
    assert told.wants(RECORD)
    approved = replace(RECORD, decisions=(replace(RECORD.decisions[0], approved_by="ann"),))
    assert not told.wants(approved)
    assert not told.wants(replace(RECORD, decisions=()))


def test_the_webhook_gets_the_call_and_its_answer_decides(loop: asyncio.AbstractEventLoop) -> None:
    reviews, hook, pauses = Reviews(), Hook(OSError(), 503, 200), list[float]()
    told = observer(loop, reviews, hook, pauses)
    told.finished(RECORD)
    assert reviews.asked == [(ID, "secret")]
    assert hook.sent == [(HOOK, b"{}", "t=1,v1=x")] * 3
    assert reviews.answers == [(ID, "hooks.example", b"yes")]
    assert len(pauses) == 2


def test_a_webhook_that_does_not_answer_decides_nothing(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    reviews = Reviews()
    told = observer(loop, reviews, Hook(*[302] * LIMIT_TRIES))
    with caplog.at_level(logging.WARNING):
        told.finished(RECORD)
    assert reviews.answers == []
    assert "webhook not reached" in caplog.text
    assert "secret-path" not in caplog.text


def test_a_call_that_was_decided_meanwhile_is_not_told(loop: asyncio.AbstractEventLoop) -> None:
    reviews, hook = Reviews(None), Hook()
    told = observer(loop, reviews, hook)
    told.finished(RECORD)
    assert (hook.sent, reviews.answers) == ([], [])


def test_a_fault_leaves_the_call_waiting(loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture) -> None:
    told = observer(loop, Reviews(), Hook(RuntimeError("broken")))
    told.finished(RECORD)
    assert "confirmation not asked for" in caplog.text


@pytest.mark.parametrize("signed", ["t=1,v1=x", ""])
def test_a_message_is_posted_with_its_signature_and_redirects_are_not_followed(signed: str) -> None:
    seen: list[tuple[str, str | None, bytes]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, self.headers["x-guardproxy-signature"], body))
            self.send_response(302)
            self.send_header("Location", "/other")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"no")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/hook?a=1"
        assert Webhook()(url, b"{}", signed) == (302, b"no")
        with pytest.raises(ssl.SSLError):
            Webhook()(url.replace("http:", "https:"), b"{}", signed)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert seen == [("/hook?a=1", signed or None, b"{}")]
