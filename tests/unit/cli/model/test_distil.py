"""`guardproxy model distil`: what it prints and writes, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner, Result

from guardproxy.audit import Judged
from guardproxy.cli import app
from tests.kit.logs import write_log
from tests.kit.records import plain_answer, plain_record, plain_text
from tests.kit.vectors import write_vectors

WORDS = [f"word{at}" for at in range(60)]


@pytest.fixture(autouse=True)
def vectors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = write_vectors(tmp_path / "vectors", WORDS)
    monkeypatch.setattr("guardproxy.inference.find", lambda name: folder)


def judged_log(folder: Path, count: int) -> str:
    """A log of answers with scores; those with a certain word are bad."""
    chooser = Random(5)
    entries = []
    about = {"v": 3, "engine": "e", "at": 2.0, "upstream": "u", "model": "m", "ms": 900.0, "policy": "p", "rubric": "r"}
    for at in range(count):
        words = chooser.choices(WORDS[1:], k=8)
        if at % 3 == 0:
            words[at % 8] = WORDS[0]
        answer = plain_text("choices[0].message.content", " ".join(words), kind="assistant")
        entries += [
            plain_record(
                plain_answer(answer), id=f"x{at}", route="POST /v1/chat/completions", conversation=f"c{at // 4}"
            ),
            Judged(id=f"x{at}", scale=(1, 5), score=1 if at % 3 == 0 else 5, **about),  # type: ignore[arg-type]
        ]
    write_log(folder, "a", *entries)
    return str(folder)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A log with enough labels."""
    return judged_log(tmp_path_factory.mktemp("log"), 330)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["model", "distil", *arguments], catch_exceptions=False)


def test_it_prints_how_the_classifier_agrees_and_writes_its_folder(log: str, tmp_path: Path) -> None:
    out = tmp_path / "helpful"
    result = run(log, "--judge", "--out", str(out))
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("helpful: fitted to ")
    assert "conversations, held out of 83" in lines[1]
    assert lines[2].startswith("verdicts as the labels")
    assert "the log has no price for these labels, so what the classifier saves is not known" in lines
    assert "a verdict took 900 ms on average" in lines
    assert lines[-1] == "  helpful: {use: supervisor, model: helpful, label: helpful}"
    assert f"wrote {out}" in result.stderr
    assert (out / "model.onnx").is_file()


def test_json_has_the_report(log: str, tmp_path: Path) -> None:
    out = tmp_path / "helpful"
    result = run(log, "--judge", "--out", str(out), "--label", "BAD", "--json")
    found = json.loads(result.stdout)
    assert (found["label"], found["folder"]) == ("BAD", str(out))
    assert found["agreement"]["agreed"]["value"] > 0.9
    assert found["points"]["agree"] == found["threshold"]


def test_too_few_labels_exit_with_1_and_say_what_is_missing(tmp_path: Path) -> None:
    out = tmp_path / "new"
    result = run(judged_log(tmp_path / "log", 60), "--judge", "--out", str(out))
    assert result.exit_code == 1
    assert "too few labelled texts: 20 found in" in result.stderr
    assert not out.exists()


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    log = tmp_path / "log"
    sealed = plain_text("messages[0].content", None, checks=("legal",))
    write_log(log, "a", plain_record(None, sealed, sealed, id="x"))
    result = run(str(log), "--check", "legal", "--out", str(tmp_path / "new"))
    assert "left out: 2 because the text is sealed or not kept" in result.stderr
    assert result.exit_code == 1


@pytest.mark.parametrize("more", [[], ["--check", "legal", "--judge"], ["--judge", "--feedback"]])
def test_labels_come_from_one_source(tmp_path: Path, more: list[str]) -> None:
    result = run(judged_log(tmp_path / "log", 9), "--out", str(tmp_path / "new"), *more)
    assert result.exit_code == 2
    assert "give one of --check NAME, --judge and --feedback" in result.stderr


def test_a_folder_that_exists_and_one_without_a_log_are_wrong_use(tmp_path: Path) -> None:
    log = judged_log(tmp_path / "log", 9)
    assert run(log, "--judge", "--out", str(tmp_path)).exit_code == 2
    assert run(str(tmp_path / "none"), "--judge", "--out", str(tmp_path / "new")).exit_code == 2
