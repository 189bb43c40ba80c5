"""`guardproxy tools`, as an operator runs it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from guardproxy.cli import app
from tests.kit.raw_server import raw_server

SEND = {"name": "send", "description": "Sends a mail.", "inputSchema": {"type": "object"}}
SEARCH = {"name": "search", "description": "Searches.", "inputSchema": {"type": "object"}}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def listing(*tools: Any) -> Path:
    path = Path("list.json")
    path.write_text(json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": list(tools)}}))
    return path


def run(*words: str | Path, code: int = 0, given: str | None = None) -> Result:
    result = CliRunner().invoke(app, ["tools", *map(str, words), "--pins", "pins.json"], input=given)
    assert result.exit_code == code, result.output
    return result


def test_pin_then_change_then_approve() -> None:
    assert "mail/send: pinned" in run("pin", listing(SEND, SEARCH), "--server", "mail").output
    assert "2 tools" in run("list").output
    assert "no tool differs" in run("diff", "list.json", "--server", "mail").output
    changed = listing({**SEND, "description": "Sends a mail.\u200b"})
    told = run("diff", changed, "--server", "mail", code=1).output
    assert "mail/send: changed since it was approved" in told
    assert "mail/search: is pinned and no longer offered" in told
    assert "changed" in run("pin", changed, "--server", "mail", code=1).output
    run("approve", changed, "--server", "mail", "--tool", "send")
    rows = json.loads(run("diff", changed, "--server", "mail", "--json", code=1).output)
    assert [row["tool"] for row in rows] == ["search"]
    assert json.loads(run("list", "--json").output)[0]["tool"] == "search"


def test_the_tools_of_a_request_and_of_standard_input() -> None:
    body = {"model": "m", "messages": [], "tools": [{"type": "function", "function": {"name": "send"}}]}
    assert "send: pinned" in run("pin", "-", given=json.dumps(body)).output
    assert "nothing to pin" in run("pin", "-", given=json.dumps(body)).output
    assert "1 tool" in run("list").output
    copy = {"tools": [{"name": "SEND"}]}
    assert "near copy of another tool: send" in run("diff", "-", given=json.dumps(copy), code=1).output
    run("approve", "-", "--all", given=json.dumps(copy))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pin", "nothing.json"), "cannot read nothing.json"),
        (("pin", "broken.json"), "not JSON"),
        (("pin", "empty.json"), "has no tools"),
        (("list",), "does not exist"),
        (("approve", "list.json"), "--tool, or use --all"),
        (("approve", "list.json", "--tool", "other"), "offers no tool `other`"),
        (("pin", "http://127.0.0.1:9/mcp"), "cannot ask"),
        (("pin", "http://127.0.0.1:9/mcp", "--header", "x"), "expected `Name: value`"),
    ],
)
def test_wrong_use(words: tuple[str, ...], said: str) -> None:
    listing(SEND)
    Path("broken.json").write_text("{")
    Path("empty.json").write_text("{}")
    assert said in run(*words, code=2).output


def test_pins_that_cannot_be_read_or_written() -> None:
    Path("pins.json").write_text("{}")
    assert "not a file of pins" in run("list", code=2).output
    Path("pins.json").unlink()
    Path("pins.json").mkdir()
    assert "cannot read pins.json" in run("list", code=2).output
    Path("pins.json").rmdir()
    Path(".pins.json.new").mkdir()
    assert "cannot write pins.json" in run("pin", listing(SEND), code=2).output


@contextmanager
def server(*pages: Any) -> Iterator[str]:
    """A server of MCP with these answers to `tools/list`, the first plain, the others as streams."""
    left = list(pages)

    class Speaker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer: Any = {"jsonrpc": "2.0", "id": message.get("id"), "result": {}}
            if message["method"] == "tools/list":
                assert (self.headers["mcp-session-id"], self.headers["x-key"]) == ("s1", "k")
                page = left.pop(0)
                answer = page if isinstance(page, (str, list)) else {**answer, "result": page}
            is_stream = message["method"] == "tools/list" and len(left) < len(pages) - 1
            body = answer if isinstance(answer, str) else json.dumps(answer)
            self.send_response(202 if "id" not in message else 200)
            self.send_header("content-type", "text/event-stream" if is_stream else "application/json")
            self.send_header("mcp-session-id", "s1")
            self.end_headers()
            if "id" in message:
                self.wfile.write((f"event: message\ndata: {body}\n\n" if is_stream else body).encode())

        def log_message(self, *words: Any) -> None:
            """Prints nothing."""

    with HTTPServer(("127.0.0.1", 0), Speaker) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}/mcp"
        finally:
            listening.shutdown()
            thread.join()


def test_the_tools_of_a_server_page_by_page() -> None:
    with server({"tools": [SEND], "nextCursor": "2"}, {"tools": [SEARCH]}) as url:
        told = run("pin", url, "--server", "mail", "--header", "x-key: k").output
    assert "mail/send: pinned" in told
    assert "mail/search: pinned" in told


@pytest.mark.parametrize(("page", "said"), [([], "gives no list"), ("{", "does not answer in JSON")])
def test_a_server_that_gives_no_list(page: Any, said: str) -> None:
    with server(page) as url:
        assert said in run("pin", url, "--header", "x-key: k", code=2).output


def test_a_key_is_sent_to_no_other_address() -> None:
    with raw_server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}") as (other, asked):
        moved = f"HTTP/1.1 302 Found\r\nlocation: {other}\r\ncontent-length: 0\r\n\r\n".encode()
        with raw_server(moved) as (url, _):
            assert "302" in run("pin", url, "--header", "authorization: Bearer k", code=2).output
    assert asked == []


@pytest.mark.parametrize("answer", [b"", b"no HTTP\r\n\r\n"])
def test_an_answer_that_is_broken_is_told(answer: bytes) -> None:
    with raw_server(answer) as (url, _):
        assert "cannot ask" in run("pin", url, code=2).output


def test_a_header_that_cannot_be_sent_is_told() -> None:
    assert "cannot ask" in run("pin", "http://127.0.0.1:9/", "--header", "x: a\nb", code=2).output
