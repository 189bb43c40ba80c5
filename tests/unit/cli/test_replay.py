"""`guardproxy replay`: what it prints, in which order, and its exit codes."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardproxy.audit.record.document import ENTRY_VERSION
from guardproxy.audit.shipping.intents import closing
from guardproxy.cli import app, replay
from guardproxy.library import load
from tests.kit.logs import write_log
from tests.kit.pages import PageReader
from tests.kit.play import Play, chat_frames
from tests.kit.records import plain_intent

POLICY = """
policy: simple
checks: {word: {use: pattern, label: WORD, words: [plain]}}
rules:
  - {id: word, when: word, action: flag}
"""


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["replay", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, keep in (("old", "redacted"), ("none", "none")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "p.yaml").write_text(f"{POLICY}audit: {{keep: {keep}}}\n")
        play = Play(load(tmp_path / name)).ask({"model": "m", "messages": [{"role": "user", "content": "plain"}]})
        play.stream(chat_frames([{"content": "a <b>plain</b> word"}]))
        write_log(tmp_path / f"audit-{name}", "a", play.finish.record)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "p.yaml").write_text(POLICY.replace("when: word", "on: request, when: word"))
    (tmp_path / "check").mkdir()
    (tmp_path / "check" / "p.yaml").write_text(POLICY.replace("[plain]", "[other]"))
    return tmp_path


def test_under_the_recorded_policies_nothing_differs(folder: Path) -> None:
    code, out, _ = run(folder / "audit-old", "--policies", folder / "old")
    assert (code, out.splitlines()[-1]) == (0, "1 identical, 0 different, 0 cannot be told, 0 not replayable")


def test_a_reader_of_the_rows_may_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(value: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(replay, "say_json", gone)
    code, _, err = run(folder / "audit-old", "--policies", folder / "old", "--json")
    assert (code, "Broken pipe" in err) == (1, False)


def test_changes_are_listed_by_exchange_and_by_rule_and_written_as_a_page(folder: Path) -> None:
    page = folder / "page.html"
    code, out, _ = run(folder / "audit-old", "--policies", folder / "new", "--report", page)
    lines = out.splitlines()
    assert code == 1
    assert lines[-3:] == [
        "rule          action  it               exchanges",
        "simple: word  flag    holds no longer  1",
        "0 identical, 1 different, 0 cannot be told, 0 not replayable",
    ]
    read = PageReader(page.read_text("utf-8"))
    assert read.open == []
    assert "simple: word holds no longer" in read.text
    assert "b" not in {tag for tag, _ in read.tags}
    told = [line for line in lines if line.startswith("replayed under")]
    assert told[0].startswith("replayed under simple (word): sha256:")
    assert lines[lines.index(told[0]) + 1] == "nothing that clients or models get would change"


def test_differing_checks_are_said_first(folder: Path) -> None:
    code, out, _ = run(folder / "audit-old", "--policies", folder / "check")
    assert code == 1
    first, second = out.splitlines()[:2]
    assert "1 exchange was recorded by" in first
    assert second.startswith("the check `word` differs from the check of 1 exchanges: its options, its library")
    _, out, err = run(folder / "audit-old", "--policies", folder / "check", "--json")
    assert err.startswith(first)
    assert json.loads(out)["verdict"] == "cannot be told", "a masked value has not vanished"


def test_records_without_texts_are_named(folder: Path) -> None:
    write_log(folder / "audit-none", "a", closing(plain_intent("x2"), 3.0, "e", "killed"))
    code, out, _ = run(folder / "audit-none", "--policies", folder / "old")
    lines = out.splitlines()[-3:]
    assert (code, lines[-1]) == (0, "1 identical, 0 different, 0 cannot be told, 1 not replayable")
    assert "id identical, on findings alone: the record keeps no text of the request" in out.splitlines()
    page = folder / "page.html"
    assert run(folder / "audit-none", "--policies", folder / "new", "--report", page)[0] == 1
    assert "on findings alone different" in PageReader(page.read_text("utf-8")).text


def test_wrong_use(folder: Path) -> None:
    assert run(folder / "gone") == (2, "", f"guardproxy: {folder}/gone: no log here\n")
    assert run(folder / "audit-old", "--policies", folder / "gone")[0] == 2
    code, _, err = run(folder / "audit-old", "--policies", folder / "old", "--report", folder)
    assert (code, err) == (2, f"guardproxy: {folder}: Is a directory\n")
    log = folder / "audit-old" / "a.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"v":%d' % ENTRY_VERSION, b'"v":9'))
    assert run(folder / "audit-old", "--policies", folder / "old")[0] == 2
