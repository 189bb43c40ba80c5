"""Services over HTTP, against a real one on this machine: slow, broken, huge, redirecting, gone."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.errors import ConfigError, OptionError, RemoteCapacityError, RemoteError
from guardproxy.findings import Channel, Window
from guardproxy.inference.services import LIMIT_BYTES, Remotes, origin

USER = Channel("request", "user", "messages[0].content")


class Stub:
    """A service on a loop of its own. It does what the path says."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.peers: set[Any] = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._start(), self.loop).result(10)
        self.url = f"http://127.0.0.1:{self.port}"

    async def _start(self) -> int:
        app = web.Application()
        app.router.add_post("/{what}", self._answer)
        self.runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        return int(self.runner.addresses[0][1])

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        self.headers.append(dict(request.headers))
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        texts = self.asked[-1]["texts"]
        match request.match_info["what"]:
            case "fine":
                found = [{"start": 0, "end": 1, "label": "FIRST"}]
                return web.json_response({"results": [{"findings": found if one["text"] else []} for one in texts]})
            case "busy":
                return web.Response(status=503)
            case "slow":
                await asyncio.Event().wait()
            case "drips":
                response = web.StreamResponse()
                await response.prepare(request)
                while True:
                    await response.write(b" ")
                    await asyncio.sleep(0)  # a byte at each turn of the loop, without an end
            case "huge":
                return web.Response(body=b" " * (LIMIT_BYTES + 1))
            case "elsewhere":
                raise web.HTTPFound("/fine")
            case "broken":
                return web.Response(text="<html>")
            case "deep":
                return web.Response(text="[" * 100_000)
            case "list":
                return web.Response(text="[1]")
            case "cut":
                request.transport.close()
        return web.Response(status=500)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.runner.cleanup(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    running = Stub()
    yield running
    running.close()


@pytest.fixture
def remotes(stub: Stub) -> Iterator[Remotes]:
    found = Remotes([stub.url], {stub.url: "secret"})
    yield found
    found.close()


Ask = Callable[..., Any]


@pytest.fixture
def ask(stub: Stub, remotes: Remotes) -> Ask:
    def one(what: str, timeout_s: float = 10, text: str = "a falcon") -> Any:
        return remotes(f"{stub.url}/{what}", timeout_s).submit([{"check": "dlp", "text": text}]).result(20)

    return one


def test_it_is_asked_as_documented_over_one_connection(stub: Stub, ask: Ask) -> None:
    stub.asked.clear()
    stub.peers.clear()
    for _ in range(3):
        assert ask("fine") == [{"findings": [{"start": 0, "end": 1, "label": "FIRST"}]}]
    assert stub.asked == [{"version": 1, "check": "dlp", "texts": [{"text": "a falcon"}]}] * 3
    assert stub.headers[-1]["Authorization"] == "Bearer secret"
    assert len(stub.peers) == 1


@pytest.mark.parametrize(
    ("what", "timeout_s", "said"),
    [
        ("slow", 0.1, "TimeoutError"),
        ("drips", 0.1, "TimeoutError"),
        ("huge", 10, "more than 4194304 bytes"),
        ("elsewhere", 10, "status 302"),
        ("broken", 10, "did not answer with `results`"),
        ("deep", 10, "did not answer with `results`"),
        ("list", 10, "did not answer with `results`"),
        ("cut", 10, "the service failed: "),
        ("error", 10, "status 500"),
    ],
)
def test_what_is_no_answer_is_a_failure(
    what: str, timeout_s: float, said: str, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RemoteError, match=said):
        ask(what, timeout_s)
    (logged,) = [one for one in caplog.records if one.message == "a remote check failed"]
    assert logged.host.startswith("127.0.0.1:")  # type: ignore[attr-defined]
    assert "falcon" not in str(vars(logged))


@pytest.mark.parametrize(("what", "timeout_s", "shortage"), [("slow", 0.1, "late"), ("busy", 10, "queue_full")])
def test_a_service_that_gives_no_answer_has_no_capacity(what: str, timeout_s: float, shortage: str, ask: Ask) -> None:
    with pytest.raises(RemoteCapacityError) as raised:
        ask(what, timeout_s)
    assert raised.value.shortage.value == shortage


@pytest.mark.parametrize("what", ["broken", "error", "elsewhere", "huge"])
def test_a_wrong_answer_is_a_failure_of_the_check(what: str, ask: Ask) -> None:
    with pytest.raises(RemoteError) as raised:
        ask(what, 10)
    assert not isinstance(raised.value, RemoteCapacityError)


def test_a_service_that_is_gone_is_a_failure() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{probe.getsockname()[1]}"
    remotes = Remotes([gone])
    with pytest.raises(RemoteError, match="ClientConnectorError"):
        remotes(gone, 5).submit([{"check": "dlp", "text": "a"}]).result(20)
    remotes.close()


def test_a_check_asks_it(stub: Stub, remotes: Remotes) -> None:
    check = build("http", "dlp", {"url": f"{stub.url}/fine"}, Resources(remote=remotes))
    (scan,) = check.scan([Window(USER, "\ud800 lone")])
    assert [(one.start, one.end, one.label) for one in scan.findings] == [(0, 1, "FIRST")]
    assert stub.asked[-1]["texts"][0]["text"] == "\ud800 lone"


def test_a_host_that_is_not_allowed_is_refused_with_what_to_do() -> None:
    remotes = Remotes(["dlp.example", "https://other.example:8443"])
    assert remotes("https://dlp.example/check", 1).url == "https://dlp.example/check"
    assert remotes("https://DLP.example:443/check", 1)
    for url, said in (
        ("https://evil.example/check", "--remote-check-host evil.example"),
        ("https://dlp.example:444/", "--remote-check-host dlp.example:444"),
        ("http://dlp.example/", "--remote-check-host http://dlp.example"),
        ("https://other.example/", "--remote-check-host other.example"),
    ):
        with pytest.raises(OptionError, match=said):
            remotes(url, 1)
    remotes.close()


@pytest.mark.parametrize("allowed", ["", "http://", "ftp://a", "a/b", "a:port", "user@a", "https://a?b"])
def test_what_is_no_host(allowed: str) -> None:
    with pytest.raises(ConfigError, match="a host must be like"):
        origin(allowed)


def test_origins() -> None:
    assert origin("dlp.example") == ("https", "dlp.example", 443)
    assert origin("http://127.0.0.1:9") == ("http", "127.0.0.1", 9)
    assert json.dumps(origin("[::1]:9")) == '["https", "::1", 9]'
