"""The example of a declared format: an endpoint that guardproxy does not know, guarded by a policy file alone."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.rig import NO_BREAKER, ROOT, Proxy, serve

EXAMPLE = ROOT / "examples" / "declared-format"
ROUTE = "/acme/v1/talk"


class Acme(http.server.BaseHTTPRequestHandler):
    """An upstream that says what it was told last, in pieces of three characters."""

    bodies: list[Any] = []  # noqa: RUF012 - of the one server that runs

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.bodies.append(body)
        text = body["turns"][-1]["text"] if "turns" in body else body["ask"]
        lines: list[Any] = [{"id": "m-1", "part": {"text": text[at : at + 3]}} for at in range(0, len(text), 3)]
        if "cut short" not in text:
            lines.append({"last": True, "counts": {"in": 3, "out": 4}})
        whole = {"id": "m-1", "output": {"text": text, "state": "done"}, "counts": {"in": 3, "out": 4}}
        answer = lines if body.get("live") else [whole]
        data = "".join(json.dumps(line) + "\n" for line in answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/x-ndjson" if body.get("live") else "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy with the policy, before the endpoint."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Acme)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    policy = (EXAMPLE / "policy.yaml").read_text()
    running = serve(f"http://127.0.0.1:{server.server_port}", tmp_path_factory.mktemp("proxy"), policy, *NO_BREAKER)
    yield running
    running.stop()
    server.shutdown()
    server.server_close()
    thread.join()


def send(proxy: Proxy, path: str, body: Any) -> tuple[int, list[Any]]:
    """The status and the lines of an answer."""
    request = urllib.request.Request(proxy.url + path, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            status, data = response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            status, data = error.code, error.read()
    return status, [json.loads(line) for line in data.splitlines() if line.strip()]


def ask(proxy: Proxy, text: str, **more: Any) -> tuple[int, list[Any]]:
    return send(proxy, ROUTE, {"engine": "talker-1", "turns": [{"from": "user", "text": text}], **more})


def said(lines: list[Any]) -> str:
    return "".join(line.get("output", line.get("part", {})).get("text", "") for line in lines)


@pytest.mark.parametrize("live", [False, True])
def test_a_value_is_redacted_and_restored(proxy: Proxy, live: bool) -> None:
    status, lines = ask(proxy, "who leads Zanzibar?", live=live, novelty=["of Quokka"])
    assert (status, said(lines)) == (200, "who leads Zanzibar?")
    sent = Acme.bodies[-1]
    assert "[PROJECT_" in sent["turns"][0]["text"]
    assert "[PROJECT_" in sent["novelty"][0], "a field that nobody declared is read too"
    record = proxy.records()[-1]
    assert record["codec"].startswith("acme@")
    assert (record["model"], record["usage"]) == ("talker-1", {"prompt_tokens": 3, "answer_tokens": 4})


@pytest.mark.parametrize("live", [False, True])
def test_a_block_is_an_error_of_the_format(proxy: Proxy, live: bool) -> None:
    status, lines = ask(proxy, "an odd wo" + "rd, then Quok" + "ka", live=live)
    assert status == 200, "the request is redacted, so the model does not name the project"
    before = len(Acme.bodies)
    status, lines = send(proxy, ROUTE, {"turns": 5, "engine": 7})
    assert (status, len(Acme.bodies)) == (400, before)
    assert "engine" in lines[0]["fault"]["message"]


def test_a_stream_that_is_cut_off_ends_with_an_error(proxy: Proxy) -> None:
    _, lines = ask(proxy, "this is cut short", live=True)
    assert "before it was complete" in lines[-1]["fault"]["message"]


def test_other_routes_are_refused_until_a_reload_declares_them(proxy: Proxy) -> None:
    status, lines = send(proxy, "/acme/v1/other", {"ask": "Zanzibar"})
    assert status == 404
    assert "POST /acme/v1/talk" in str(lines)
    folder = proxy.audit.parent / "policies"
    more = """\
policy: other
formats:
  other:
    routes: ["POST /acme/v1/other"]
    request: {texts: {/ask: user}}
    answer: {texts: {/output/text: assistant}, structure: [/id, /output/state]}
    stream: {framing: none}
    error: /fault/message
rules: [{id: none, when: check_error, action: flag}]
"""
    (folder / "z.yaml").write_text(more)
    reload(proxy)
    status, lines = send(proxy, "/acme/v1/other", {"ask": "about Zanzibar"})
    assert (status, said(lines)) == (200, "about Zanzibar")
    (folder / "z.yaml").write_text(more.replace("/acme/v1/other", "/acme/v1/talk"))
    with pytest.raises(urllib.error.HTTPError) as caught:
        reload(proxy)
    assert b"the format `acme` reads this route, as `POST /acme/v1/talk`" in caught.value.read()
    assert send(proxy, "/acme/v1/other", {"ask": "x"})[0] == 200, "the set before stays in force"
    (folder / "z.yaml").unlink()
    reload(proxy)
    assert send(proxy, "/acme/v1/other", {"ask": "x"})[0] == 404


def reload(proxy: Proxy) -> None:
    request = urllib.request.Request(f"{proxy.admin_url}/reload", method="POST")
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.status == 200


def test_records_are_replayed_with_the_policy(proxy: Proxy, tmp_path: Any) -> None:
    ask(proxy, "who leads Zanzibar?", live=True)
    log = tmp_path / "audit"
    shutil.copytree(proxy.audit, log)
    command = [sys.executable, "-m", "guardproxy"]
    ran = subprocess.run(
        [*command, "replay", str(log), "--policies", str(EXAMPLE)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    ran = subprocess.run(
        [*command, "policy", "test", str(EXAMPLE)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, "3 passed" in ran.stdout) == (0, True), ran.stdout + ran.stderr
