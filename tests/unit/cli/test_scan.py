"""`guardproxy scan`: texts from standard input and from files get the same results, in the order of their lines."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardproxy.cli import app, scan

POLICY = """
policy: p
checks: {word: {use: pattern, label: WORD, words: [plain]}}
rules: [{id: word, when: word, action: redact}]
"""


def run(*arguments: str | Path, stdin: str | bytes = "") -> tuple[int, str, str]:
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
    words = folder / "texts", folder / "c.txt", "--policies", folder / "p"
    assert run(*words, "--no-summary") == (1, out, "")
    code, again, said = run(*words, "--workers", "2")
    assert (code, again) == (1, out)
    assert said.splitlines() == [
        "21 texts: 14 redact, 7 pass",
        "check  label  findings  texts",
        "word   WORD   21        14",
        "rules that held: word (14)",
    ]


def test_without_findings_the_exit_code_is_0(folder: Path) -> None:
    (folder / "a.jsonl").write_text('{"text": "nothing"}')
    for arguments in ((folder / "a.jsonl",), ()):
        code, out, _ = run(*arguments, "--policies", folder / "p", stdin='{"text": "nothing"}\n')
        assert (code, json.loads(out)["id"]) == (0, None)


def test_a_line_without_a_text_is_named_after_the_results_before_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "PART_BYTES", 100)
    halves = ('{"text": "\\ud800"}', '{"id": NaN, "text": "x"}')
    for wrong in ("junk", '{"text": 1}', "[]", '"text"', "{}", "[" * 100_000, *halves):
        text = f"{rows(4)}{wrong}\n{rows(20, 4)}"
        (folder / "a.jsonl").write_text(text)
        code, out, err = run("--policies", folder / "p", stdin=text)
        assert (code, len(out.splitlines())) == (2, 4)
        assert err == 'guardproxy: line 9 is not a JSON object with a string "text"\n'
        assert run(folder / "a.jsonl", "--policies", folder / "p") == (
            2,
            out,
            f'guardproxy: {folder}/a.jsonl: line 9 is not a JSON object with a string "text"; '
            "--text takes the file as one plain text\n",
        )


def test_a_file_of_text_is_one_text(folder: Path) -> None:
    file = folder / "notes.txt"
    for text in ("a plain text\nof two lines", "{\n plain", "plain \u2028 \x85 \x0c plain", "plain", ""):
        file.write_text(text)
        code, out, err = run(file, "--policies", folder / "p")
        (row,) = map(json.loads, filter(None, out.split("\n")))
        assert (code, row["id"], len(row["findings"])) == ("plain" in text, str(file), text.count("plain"))
        if not row["findings"]:
            assert (row["text"], err) == (text, "1 text: 1 pass\n")
    file.write_text('\n{"text": "plain"}\n{"text": "two"}\n')
    assert len(run(file, "--policies", folder / "p")[1].splitlines()) == 2
    for stdin, words in (("", (file,)), (file.read_text(), ())):
        code, out, _ = run(*words, "--text", "--policies", folder / "p", stdin=stdin)
        (row,) = map(json.loads, out.splitlines())
        assert (code, row["findings"][0]["start"]) == (1, 11)
    file.write_bytes(b"\xff")
    assert run(file, "--policies", folder / "p") == (2, "", f"guardproxy: {file}: no text in UTF-8 (byte 0)\n")
    long = '{"text": "' + "plain " * 20_000 + '"}'  # a line longer than the start that is looked at
    file.write_text(long)
    assert json.loads(run(file, "--policies", folder / "p")[1])["id"] is None


def test_the_kind_of_a_text(folder: Path) -> None:
    (folder / "p" / "p.yaml").write_text(POLICY.replace("when: word", "on: [tool_result], when: word"))
    line = '{"text": "a plain text"}\n'
    assert run("--policies", folder / "p", stdin=line)[0] == 0  # no rule reads a user's message
    code, out, _ = run("--policies", folder / "p", "--kind", "tool_result", stdin=line)
    assert (code, json.loads(out)["decision"]) == (1, "redact")
    code, _, err = run("--policies", folder / "p", "--kind", "toolresult", stdin=line)
    assert (code, err.startswith("guardproxy: --kind is one of user, system, ")) == (2, True)


def test_bytes_that_are_no_text_are_named(folder: Path) -> None:
    policies = ("--policies", folder / "p")
    assert run(*policies, "--text", stdin=b"ab\xff") == (
        2,
        "",
        "guardproxy: standard input: no text in UTF-8 (byte 2)\n",
    )
    code, _, err = run(*policies, stdin=b'{"text": "x"}\n{"text": "\xff"}\n')
    assert (code, err) == (2, 'guardproxy: line 2 is not a JSON object with a string "text"\n')
    assert run(*policies, "--text", stdin="\ufeffplain é".encode())[0] == 1


def test_a_name_that_is_no_text_is_escaped_in_csv(folder: Path) -> None:
    file = folder / os.fsdecode(b"\xff.txt")
    file.write_text("plain")
    code, out, _ = run(file, "--policies", folder / "p", "--csv", folder / "o.csv")
    assert (code, json.loads(out)["id"]) == (1, str(file))
    assert "\\udcff.txt,redact" in (folder / "o.csv").read_text("utf-8")


def test_findings_as_csv(folder: Path) -> None:
    texts = [{"id": "=1+1", "text": "plain"}, {"id": {"a": [1]}, "text": "no"}, {"id": 'x, "y"', "text": "plain plain"}]
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    code, out, err = run("--policies", folder / "p", "--csv", folder / "o.csv", "--summary", stdin=lines)
    assert (code, len(out.splitlines()), err.splitlines()[0]) == (1, 3, "3 texts: 2 redact, 1 pass")
    assert list(csv.reader(io.StringIO((folder / "o.csv").read_text("utf-8")))) == [
        ["id", "decision", "rules", "check", "label", "start", "end", "score"],
        ["'=1+1", "redact", "word", "word", "WORD", "0", "5", "1.0"],
        ['{"a": [1]}', "pass", "", "", "", "", "", ""],
        ['x, "y"', "redact", "word", "word", "WORD", "0", "5", "1.0"],
        ['x, "y"', "redact", "word", "word", "WORD", "6", "11", "1.0"],
    ]
    assert run("--policies", folder / "p", "--summary", stdin="")[2] == "0 texts: nothing scanned\n"
    code, _, err = run("--policies", folder / "p", "--csv", folder / "gone" / "o.csv", stdin=lines)
    assert (code, "o.csv: No such file" in err) == (2, True)


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
