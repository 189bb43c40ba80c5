"""Verdicts of reviewers as labelled texts, and the commands that read them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from typer.testing import CliRunner

from guardproxy.audit import Record
from guardproxy.audit.record.document import RecordedSealing
from guardproxy.audit.record.entries import Reviewed
from guardproxy.cli import app
from guardproxy.reading.feedback import NO_EXCHANGE, NO_TEXTS
from guardproxy.reading.period import Period
from guardproxy.reading.reviewed import AT_ODDS, NO_PLACE, ReviewedTexts, reviewed_rows, verdicts_of
from tests.kit.logs import write_log
from tests.kit.records import plain_answer, plain_decision, plain_record, plain_text
from tests.kit.vectors import write_vectors


def exchange(name: str, text: str | None = "ask", *, held: bool = True, **members: Any) -> Record:
    asked = plain_text("m[0]", text, checks=("attack",))
    decided = (plain_decision(policy="p", rule="r", path="m[0]"),) if held else ()
    answer = plain_answer(plain_text("a", "said", kind="assistant"))
    return plain_record(answer, asked, id=name, decisions=decided, **members)


def said(
    name: str, verdict: str, by: str = "ann", at: float = 2.0, rule: str = "r", text: int | None = None
) -> Reviewed:
    about = {"policy": "p", "rule": rule} if rule else {}
    return Reviewed(v=3, at=at, engine="e", id=name, by=by, verdict=verdict, text=text, **about)  # type: ignore[arg-type]


def rows(folder: Path, chosen: ReviewedTexts | None = None) -> tuple[list[tuple[str, int, str]], dict[str, int]]:
    without: Counter[str] = Counter()
    lines = [json.loads(line) for line in reviewed_rows(folder, chosen or ReviewedTexts(), Counter(), without)]
    return [(row["id"], row["label"], row["text"]) for row in lines], {
        name: count for name, count in without.items() if count
    }


def test_each_verdict_gives_its_row(tmp_path: Path) -> None:
    names = [f"x{at}" for at in range(6)]
    write_log(tmp_path, "a", *(exchange(name, f"text {name}", held=name != "x3") for name in names))
    write_log(
        tmp_path,
        "operator",
        said("x0", "right"),
        said("x1", "false_alarm"),
        said("x2", "missed", text=1),
        said("x3", "right", rule=""),
        said("x4", "missed"),
        said("x5", "missed", text=7),
        said("gone", "right"),
    )
    found, without = rows(tmp_path)
    assert found == [("x0", 1, "text x0"), ("x1", 0, "text x1"), ("x2", 1, "said"), ("x3", 0, "text x3")]
    assert without == {NO_PLACE: 2, NO_EXCHANGE: 1}


def test_the_newest_verdict_of_a_person_counts_and_people_may_disagree(tmp_path: Path) -> None:
    write_log(tmp_path, "a", *(exchange(name) for name in ("x0", "x1", "x2", "x3")))
    write_log(
        tmp_path,
        "operator",
        said("x0", "false_alarm", at=1.0),
        said("x0", "right", at=2.0),
        said("x0", "missed", at=1.5),  # of a clock that was set back
        said("x1", "right"),
        said("x1", "false_alarm", by="bob"),
        said("x2", "right"),
        said("x2", "right", by="bob"),
        said("x3", "right", at=1.0),
        said("x3", "withdrawn", at=2.0),
    )
    assert rows(tmp_path) == ([("x0", 1, "ask"), ("x2", 1, "ask")], {AT_ODDS: 1})


def test_rows_are_chosen_by_rule_check_kind_and_period(tmp_path: Path) -> None:
    write_log(tmp_path, "a", exchange("x0"), exchange("x1"))
    write_log(tmp_path, "operator", said("x0", "right", at=5.0), said("x1", "missed", text=1, at=9.0))
    assert [row[0] for row in rows(tmp_path, ReviewedTexts(kind="assistant"))[0]] == ["x1"]
    assert [row[0] for row in rows(tmp_path, ReviewedTexts(rule="r", period=Period(8.0, 10.0)))[0]] == ["x1"]
    assert rows(tmp_path, ReviewedTexts(rule="other")) == ([], {})
    assert [row[0] for row in rows(tmp_path, ReviewedTexts(check="attack"))[0]] == ["x1"]


def test_texts_that_are_sealed_or_not_kept_have_no_row_unless_they_are_opened(tmp_path: Path) -> None:
    sealing = RecordedSealing(v=3, key="k", salt="00", members={})
    write_log(tmp_path, "a", exchange("x0", None), exchange("x1", None, sealed=sealing), exchange("x2"))
    write_log(tmp_path, "operator", said("x0", "right"), said("x1", "right"), said("x2", "right"))
    assert rows(tmp_path) == ([("x2", 1, "ask")], {NO_TEXTS: 2})
    opened = [
        json.loads(line)["text"]
        for line in reviewed_rows(
            tmp_path, ReviewedTexts(), Counter(), Counter(), lambda record: exchange(record.id, "opened")
        )
    ]
    assert opened == ["opened", "ask"]


def test_verdicts_outside_the_period_do_not_count() -> None:
    entries = [said("x0", "right", at=1.0), said("x1", "right", at=5.0)]
    assert set(verdicts_of(entries, Period(0.0, 2.0))) == {("x0", "p", "r")}


WORDS = [f"word{at}" for at in range(60)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of verdicts about attacks, of which those with a certain word are right."""
    chooser = Random(5)
    records, verdicts = [], []
    for at in range(400):
        chosen = chooser.choices(WORDS[1:], k=8)
        if at % 3 == 0:
            chosen[at % 8] = WORDS[0]
        records.append(exchange(f"x{at}", " ".join(chosen), conversation=f"c{at // 4}"))
        verdicts.append(said(f"x{at}", "false_alarm" if at % 3 else "right"))
    write_log(tmp_path / "audit", "a", *records)
    write_log(tmp_path / "audit", "operator", *verdicts)
    return tmp_path / "audit"


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_a_model_is_distilled_from_an_export(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_vectors(tmp_path / "vectors", WORDS)
    monkeypatch.setattr("guardproxy.inference.find", lambda name: folder)
    rows_file = tmp_path / "reviewed.jsonl"
    assert run("audit", "export", log, "--reviews", "--rule", "r", "--out", rows_file)[0] == 0
    assert len(rows_file.read_text().splitlines()) == 400
    code, out, err = run("model", "distil", rows_file, "--out", tmp_path / "mine", "--json")
    assert (code, err.splitlines()[-1]) == (0, f"wrote {tmp_path / 'mine'}"), err
    assert json.loads(out)["agreement"]["kappa"]["value"] > 0.8
    code, _, err = run("model", "distil", rows_file, "--out", tmp_path / "other", "--judge")
    assert (code, "a file has its labels in it" in err) == (2, True)


def test_thresholds_are_chosen_from_an_export(log: Path, tmp_path: Path) -> None:
    rows_file = tmp_path / "reviewed.jsonl"
    run("audit", "export", log, "--reviews", "--channel", "user", "--out", rows_file)
    few = "".join(rows_file.read_text().splitlines(keepends=True)[:60])
    rows_file.write_text(few)
    code, out, err = run("model", "calibrate", rows_file, "--fpr", "10%", "--json")
    assert code in (0, 1), err
    counted = json.loads(out)
    assert (counted["harmless"], counted["attacks"]) == (40, 20)


def test_wrong_use_of_the_export(log: Path, tmp_path: Path) -> None:
    for more in (("--format", "ocsf"), ("--feedback",)):
        assert run("audit", "export", log, "--reviews", *more, "--out", tmp_path / "x")[0] == 2
