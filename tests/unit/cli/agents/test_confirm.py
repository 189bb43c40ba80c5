"""`guardproxy confirm`, as an operator runs it, against an admin port."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from guardproxy.cli import app
from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.observing.status import ReviewDoors, admin_app
from guardproxy.server.processes.probes import AdminPort
from tests.kit.raw_server import raw_server
from tests.kit.serving import listening

CALL = {
    **{"id": "0123456789ab-0123456789abcdef", "tool": "pay", "server": "bank", "shown": '{"to":"x"}'},
    **{"policy": "asks", "rule": "ask", "client": "ann", "tenant": "acme"},
}
BARE = {**CALL, "tool": "", "server": "", "shown": "", "client": "", "tenant": ""}


class State:
    """A server with calls that wait. `calls`: them; `asked`: what it was asked to decide."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.calls = [CALL]
        self.asked: list[dict[str, str]] = []

    def liveness_errors(self) -> list[str]:
        return []

    def readiness_errors(self) -> list[str]:
        return []

    def version(self) -> dict[str, object]:
        return {}

    async def listed(self, query: dict[str, str]) -> dict[str, object]:
        found = [call for call in self.calls if query.get("id", call["id"]) == call["id"]]
        return {"ok": bool(found) or not query, "calls": found}

    async def decided(self, query: dict[str, str]) -> dict[str, object]:
        self.asked.append(query)
        if query["id"] != CALL["id"]:
            return {"ok": False, "error": "no call waits"}
        return {"ok": True, "decision": query["decision"], "call": CALL}


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture(params=["", "secret"], ids=["open", "with a key"])
def url(state: State, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    reviews = ReviewDoors(state.listed, state.decided, request.param)
    port = AdminPort(admin_app(state, reviews=reviews), [listening()])
    if request.param:
        monkeypatch.setenv("GUARDPROXY_CONFIRM_KEY", request.param)
    yield f"http://127.0.0.1:{port.port}"
    port.close()


def run(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["confirm", "--admin", url, *arguments])


def test_what_waits_is_listed(state: State, url: str) -> None:
    done = run(url, "--list")
    assert (done.exit_code, done.stdout) == (0, f'{CALL["id"]}  bank/pay {{"to":"x"}}, for ann, by rule asks/ask\n')
    assert run(url, CALL["id"], "--list").exit_code == 0
    assert run(url, "other", "--list").exit_code == 1
    assert json.loads(run(url, "--json").stdout)["calls"] == [CALL]
    state.calls = [BARE]
    words = "(tool not shown) (arguments not kept), for a client without a name, by rule asks/ask"
    assert run(url).stdout.endswith(f"  {words}\n")
    state.calls = []
    assert run(url).stdout == "no call waits\n"
    assert state.asked == []


def test_a_call_is_approved_or_denied(state: State, url: str) -> None:
    done = run(url, CALL["id"], "--by", "ann")
    assert done.exit_code == 0
    assert done.stdout.startswith("approved, once, within 15 minutes: bank/pay")
    assert run(url, CALL["id"], "--deny").stdout.startswith("denied: ")
    assert [asked["decision"] for asked in state.asked] == ["approve", "deny"]
    assert (state.asked[0]["by"], bool(state.asked[1]["by"])) == ("ann", True)
    unknown = run(url, "other")
    assert (unknown.exit_code, unknown.stdout) == (1, "no call waits\n")
    assert json.loads(run(url, CALL["id"], "--json").stdout)["ok"]


@pytest.mark.parametrize("url", ["secret"], indirect=True)
@pytest.mark.parametrize("key", ["", "other", "\xff"])
def test_a_wrong_key_decides_nothing(state: State, url: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDPROXY_CONFIRM_KEY", key)
    done = run(url, CALL["id"])
    assert done.exit_code == 2
    assert "GUARDPROXY_CONFIRM_KEY" in done.stderr
    assert state.asked == []


def test_a_proxy_that_does_not_answer_is_told() -> None:
    with listening() as socket:
        port = socket.getsockname()[1]
    done = run(f"http://127.0.0.1:{port}")
    assert (done.exit_code, "does not answer" in done.stderr) == (2, True)
    done = run("file:///etc/passwd")
    assert (done.exit_code, "expected a URL" in done.stderr) == (2, True)


def test_a_web_page_decides_nothing(state: State, url: str) -> None:
    import urllib.error
    import urllib.request

    request = urllib.request.Request(
        f"{url}/confirmations?id=x", method="POST", headers={"Origin": "https://evil.example"}
    )
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=10)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{url}/elsewhere", timeout=10)
    assert state.asked == []


@pytest.mark.parametrize("body", [b"[]", b"{}", b"7"])
def test_another_server_is_told(body: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    with raw_server(answer) as (url, _):
        done = run(url)
    assert (done.exit_code, "no admin port" in done.stderr) == (2, True)


def test_the_key_is_sent_to_no_other_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDPROXY_CONFIRM_KEY", "secret")
    with raw_server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}") as (other, asked):
        moved = f"HTTP/1.1 302 Found\r\nlocation: {other}\r\ncontent-length: 0\r\n\r\n".encode()
        with raw_server(moved) as (url, _):
            assert run(url).exit_code == 2
    assert asked == []
