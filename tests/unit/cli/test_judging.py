"""`guardproxy policy test --judge` with a scripted judge: what it prints, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner

from guardproxy.cli import app
from tests.kit.asked import asked_about

POLICY = """
policy: graded
checks: {word: {use: pattern, words: [x]}}
rules: [{id: look, when: word, action: flag}]
judge: {upstream: grader, model: strict, rubric: r}
"""
CASES = [("fine 5", True), ("fine 4", True), ("poor 1", False), ("poor 2", False)]


class Handler(BaseHTTPRequestHandler):
    """Answers with the number at the end of the answer that it judges."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        code, text = asked_about(body["messages"][1]["content"])
        score = int(json.loads(text)["answer"].split()[-1])
        said = json.dumps({"code": code, "reason": "r", "answer": score})
        data = json.dumps({"choices": [{"message": {"role": "assistant", "content": said}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def run(folder: Path, cases: list[tuple[str, bool]], *more: str) -> tuple[int, str, str]:
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "policy.yaml").write_text(POLICY)
    lines = (json.dumps({"request": "q", "answer": answer, "good": good}) for answer, good in cases)
    (folder / "cases.jsonl").write_text("\n".join(lines))
    words = ["policy", "test", str(folder / "policies"), "--judge", str(folder / "cases.jsonl"), *more]
    result = CliRunner().invoke(app, words)
    return result.exit_code, result.stdout, result.stderr


def test_a_judge_that_agrees(tmp_path: Path, url: str) -> None:
    code, out, _ = run(tmp_path, CASES, "--upstream", f"grader={url}")
    assert code == 0
    assert "kappa                           1.00  (1.00 to 1.00, 4 cases)" in out
    assert "differs" not in out


def test_a_judge_that_does_not_agree(tmp_path: Path, url: str) -> None:
    cases = [*CASES, ("wrong 5", False), ("odd 9", True)]
    code, out, _ = run(tmp_path, cases, "--upstream", f"grader={url}", "--kappa", "0.9")
    assert code == 1
    assert "no score for 1 cases" in out
    assert "line 5: labelled bad, score 5" in out
    code, out, _ = run(tmp_path, cases, "--upstream", f"grader={url}", "--json")
    (judge,) = json.loads(out)["judges"]
    assert (code, judge["failed"], judge["true_positive"]["share"]) == (0, 1, 1.0)
    assert judge["differing"] == [
        {"case": "line 5", "good": False, "score": 5},
        {"case": "line 6", "good": True, "score": "no_score"},
    ]


def test_labels_of_one_kind_prove_nothing(tmp_path: Path, url: str) -> None:
    code, out, _ = run(tmp_path, CASES[:2], "--upstream", f"grader={url}")
    assert (code, "kappa                           not defined (2 cases)" in out) == (1, True)


def test_wrong_use(tmp_path: Path, url: str) -> None:
    upstream = f"grader={url}"
    assert run(tmp_path, CASES, "--upstream", url)[2].endswith("give --upstream grader=URL\n")
    assert "holds no case" in run(tmp_path, [], "--upstream", upstream)[2]
    (tmp_path / "other.yaml").write_text(POLICY.partition("judge:")[0])
    words = ["policy", "test", str(tmp_path / "other.yaml"), "--judge", str(tmp_path / "cases.jsonl")]
    result = CliRunner().invoke(app, words)
    assert (result.exit_code, "no policy has a section `judge`" in result.stderr) == (2, True)
    words[2:] = [str(tmp_path / "policies"), "--judge", str(tmp_path / "no.jsonl")]
    assert "No such file" in CliRunner().invoke(app, words).stderr
    (tmp_path / "no.jsonl").write_bytes(b"\xff")
    assert "not UTF-8" in CliRunner().invoke(app, words).stderr
