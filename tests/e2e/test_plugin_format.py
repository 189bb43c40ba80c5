"""The example of a wire format: built as a wheel, installed into an empty folder, and guarded by a proxy from there."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.rig import ROOT, Proxy, serve
from tests.e2e.sites import run, wheel_site

EXAMPLE = ROOT / "examples" / "plugin-format"
ROUTE = "/acme/models/talker-1:talk"
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


class Echo(http.server.BaseHTTPRequestHandler):
    """An upstream that says what it was told last, in pieces of three characters."""

    bodies: list[Any] = []  # noqa: RUF012 - of the one server that runs
    paths: list[str] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.bodies.append(body)
        self.paths.append(self.path)
        text = body["turns"][-1]["text"]
        lines = [{"text": text[at : at + 3]} for at in range(0, len(text), 3)] + [{"end": "done"}]
        answer = lines if body.get("stream") else [{"text": text, "end": "done", "usage": {"in": 1, "out": 2}}]
        data = "".join(json.dumps(line) + "\n" for line in answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/x-ndjson" if body.get("stream") else "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed."""
    return wheel_site(EXAMPLE, tmp_path_factory.mktemp("plugin"))


@pytest.fixture(scope="module")
def proxy(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy with the package, before an upstream of the format."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    patch = pytest.MonkeyPatch()
    patch.setattr("tests.e2e.rig.PLUGINS", str(site))
    running = serve(
        f"http://127.0.0.1:{server.server_port}",
        tmp_path_factory.mktemp("proxy"),
        (EXAMPLE / "policy.yaml").read_text(),
        *("--receipts", "on"),
    )
    yield running
    running.stop()
    patch.undo()
    server.shutdown()
    server.server_close()
    thread.join()


def ask(proxy: Proxy, text: str, path: str = ROUTE, **more: Any) -> tuple[int, list[Any]]:
    """The status and the lines of an answer."""
    body = json.dumps({"turns": [{"from": "user", "text": text}], **more}).encode()
    request = urllib.request.Request(proxy.url + path, body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            status, data = response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            status, data = error.code, error.read()
    return status, [json.loads(line) for line in data.splitlines() if line.strip()]


@pytest.mark.parametrize("stream", [False, True])
def test_a_value_is_redacted_and_restored(proxy: Proxy, stream: bool) -> None:
    status, lines = ask(proxy, "who leads Zanzibar?", stream=stream)
    assert status == 200
    assert "".join(line.get("text", "") for line in lines) == "who leads Zanzibar?"
    assert lines[-1]["end"] == "done"
    assert Echo.paths[-1] == ROUTE
    assert "Zanzibar" not in str(Echo.bodies[-1])
    assert "[PROJECT_" in Echo.bodies[-1]["turns"][0]["text"]


@pytest.mark.parametrize("stream", [False, True])
def test_the_schema_of_a_request_is_applied(proxy: Proxy, stream: bool) -> None:
    status, lines = ask(proxy, '{"age": 4}', stream=stream, answer_schema=SCHEMA)
    assert (status, "".join(line.get("text", "") for line in lines)) == (200, '{"age": 4}')
    status, lines = ask(proxy, '{"age": "x"}', stream=stream, answer_schema=SCHEMA)
    assert (status, [line["error"]["code"] for line in lines]) == (400, ["content_filter"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/acme/models/talker-1:listen", 404),
        ("/acme/models/a/b:talk", 404),
        ("/acme/models/078-05-1120:talk", 404),
        (f"{ROUTE}?x=1", 400),
    ],
)
def test_other_paths_are_refused_in_the_format(proxy: Proxy, path: str, status: int) -> None:
    found, lines = ask(proxy, "hello", path)
    assert found == status
    assert set(lines[0]["error"]) == {"code", "message"}


def test_the_record_names_pattern_and_path(proxy: Proxy) -> None:
    ask(proxy, "a text for the record")
    record = proxy.records()[-1]
    assert (record["route"], record["path"], record["codec"]) == (
        "POST /acme/models/{model}:talk",
        ROUTE,
        "acme_talk",
    )


def test_its_policy_and_its_own_tests_pass(site: Path) -> None:
    assert "plug-in `acme_talk` (guardproxy.wire) of acme-talk 1.0" in run(site, "-m", "guardproxy", "--version").stdout
    ran = run(site, "-m", "guardproxy", "policy", "test", str(EXAMPLE / "policy.yaml"))
    assert (ran.returncode, "2 passed" in ran.stdout) == (0, True), ran.stdout + ran.stderr
    ran = run(
        site, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(EXAMPLE / "test_acme_talk.py")
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_record_can_be_replayed(site: Path, proxy: Proxy) -> None:
    ask(proxy, "who leads Zanzibar?", stream=True)
    proxy.records()
    ran = run(site, "-m", "guardproxy", "replay", str(proxy.audit), "--policies", str(EXAMPLE / "policy.yaml"))
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_without_a_contract_nothing_starts(site: Path, tmp_path: Path) -> None:
    copy = tmp_path / "site"
    shutil.copytree(site, copy)
    code = copy / "acme_talk" / "codec.py"
    code.write_text(code.read_text().replace("    contract = CONTRACT\n", ""))
    command = ["-m", "guardproxy", "serve", "--upstream", "http://127.0.0.1:9", "--audit", str(tmp_path / "audit")]
    ran = run(copy, *command, "--port", "0", "--admin-port", "0")
    assert ran.returncode == 2
    said = "the plug-in `acme_talk` (guardproxy.wire) of acme-talk 1.0 is not a wire format: it has no contract"
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
