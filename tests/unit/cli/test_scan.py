"""`guardproxy scan`: texts from standard input and from files get the same results, in the order of their lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardproxy.cli import app, scan

POLICY = """
policy: p
checks: {word: {use: pattern, label: WORD, words: [plain]}}
rules: [{id: word, when: word, action: redact}]
"""


def run(*arguments: str | Path, stdin: str = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["scan", *map(str, arguments)], input=stdin)
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "p.yaml").write_text(POLICY)
    return tmp_path


def rows(count: int, start: int = 0) -> str:
    texts = ("a plain text", "nothing", "plain é plain")
    return "".join(
        json.dumps({"id": number, "text": texts[number % 3]}) + "\n\n" for number in range(start, start + count)
    )


def test_files_and_standard_input_have_the_same_results(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "PART_BYTES", 100)
    (folder / "texts").mkdir()
    (folder / "texts" / "a.jsonl").write_text(rows(9))
    (folder / "texts" / "b.jsonl").write_text(rows(9, 9))
    (folder / "c.txt").write_text(rows(3, 18))
    code, out, err = run("--policies", folder / "p", stdin=rows(21))
    assert (code, err) == (1, "")
    found = [json.loads(line) for line in out.splitlines()]
    assert [row["id"] for row in found] == list(range(21))
    assert found[0]["decision"] == "redact"
    assert found[0]["findings"] == [{"check": "word", "label": "WORD", "start": 2, "end": 7, "score": 1.0}]
    assert found[1] == {"id": 1, "decision": "pass", "rules": [], "findings": [], "text": "nothing"}
    assert run(folder / "texts", folder / "c.txt", "--policies", folder / "p") == (1, out, "")
    assert run(folder / "texts", folder / "c.txt", "--policies", folder / "p", "--workers", "2") == (1, out, "")


def test_without_findings_the_exit_code_is_0(folder: Path) -> None:
    (folder / "a.jsonl").write_text('{"text": "nothing"}')
    for arguments in ((folder / "a.jsonl",), ()):
        code, out, _ = run(*arguments, "--policies", folder / "p", stdin='{"text": "nothing"}\n')
        assert (code, json.loads(out)["id"]) == (0, None)


def test_a_line_without_a_text_is_named_after_the_results_before_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "PART_BYTES", 100)
    for wrong in ("junk", '{"text": 1}', "[]", '"text"', "{}", "[" * 100_000):
        text = f"{rows(4)}{wrong}\n{rows(20, 4)}"
        (folder / "a.jsonl").write_text(text)
        code, out, err = run("--policies", folder / "p", stdin=text)
        assert (code, len(out.splitlines())) == (2, 4)
        assert err == 'guardproxy: line 9 is not a JSON object with a string "text"\n'
        assert run(folder / "a.jsonl", "--policies", folder / "p") == (
            2,
            out,
            f'guardproxy: {folder}/a.jsonl: line 9 is not a JSON object with a string "text"\n',
        )


def test_wrong_use(folder: Path) -> None:
    assert run("--on", "both") == (2, "", "guardproxy: --on is request or response\n")
    code, _, err = run("--policies", folder / "gone")
    assert (code, "gone" in err) == (2, True)
    assert run(folder / "gone", "--policies", folder / "p") == (2, "", f"guardproxy: {folder}/gone: no file here\n")
    assert run("ftp://host/x", "--policies", folder / "p")[0] == 2
    code, _, err = run("--workers", "2", "--policies", folder / "p")
    assert (code, err) == (
        2,
        "guardproxy: standard input is scanned in one process: name files to use --engine or --workers\n",
    )
