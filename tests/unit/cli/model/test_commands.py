"""`guardproxy model evaluate` and `calibrate` with the shipped model: what is printed, what is saved, exit codes.

`export` is tested in workbench/test_export.py, where torch is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from guardproxy.cli import app
from guardproxy.inference.models import find, read
from tests.kit.plain_texts import ATTACKS

pytestmark = pytest.mark.heavy

OUTPUT = read(find("supervisor")).outputs[0]
HARMLESS = [
    "What is the capital of France?",
    "Write a function that sorts a list of {} numbers.",
    "Please summarize the minutes of meeting {}.",
    "How many eggs do I need for {} cakes?",
]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def rows(attacks: int, harmless: int) -> list[dict[str, Any]]:
    bad = [{"text": f"{ATTACKS[n % 3]} ({n})", "label": 1, "source": "game"} for n in range(attacks)]
    return bad + [
        {"text": HARMLESS[n % 4].format(n) + f" ({n})", "label": 0, "source": "chat"} for n in range(harmless)
    ]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["model", *arguments], catch_exceptions=False)


def test_evaluate_prints_a_table_and_saves_figures_and_plots(tmp_path: Path) -> None:
    data = write(tmp_path / "mine.jsonl", rows(6, 120))
    result = run("evaluate", data, "--out", str(tmp_path / "out"))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("supervisor ")
    assert any(line.startswith("game") and " 6 " in line for line in lines)
    assert any(line.startswith("chat") and " 120 " in line for line in lines)
    assert "120 harmless texts are too few for 0.1 % false positives" in result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"evaluation.json", "roc.png", "calibration.png"}
    saved = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert saved["digest"] == read(find("supervisor")).digest
    assert saved["attacks"]["game"]["recall_at"]["0.01"]["value"] > 0.5
    assert saved["attacks"]["game"]["recall_at"]["0.001"] is None
    again = run("evaluate", data, "--out", str(tmp_path / "out"), "--json", "--threshold", "0.999999")
    shown = json.loads(again.stdout)
    assert shown["threshold"] == "0.999999"
    assert shown["attacks"]["game"]["recall_at"] == saved["attacks"]["game"]["recall_at"]
    assert shown["attacks"]["game"]["found"]["value"] <= saved["attacks"]["game"]["found"]["value"]


def test_evaluate_reads_the_users_own_keys_and_names(tmp_path: Path) -> None:
    own = [{"body": row["text"], "class": ["benign", "jailbreak"][row["label"]]} for row in rows(2, 2)]
    data = write(tmp_path / "own.jsonl", own)
    keys = ("--text-key", "body", "--label-key", "class", "--positive", "jailbreak")
    shown = json.loads(run("evaluate", data, *keys, "--out", str(tmp_path), "--json").stdout)
    assert (shown["attacks"]["own"]["texts"], shown["harmless"]["own"]["texts"]) == (2, 2)
    wrong = run("evaluate", data, *keys[:5], "jailbrake")
    assert (wrong.exit_code, wrong.stderr) == (2, "guardproxy: no row has the label jailbrake\n")


def test_evaluate_of_harmless_texts_alone_draws_no_curve(tmp_path: Path) -> None:
    result = run("evaluate", write(tmp_path / "a.jsonl", rows(0, 3)), "--out", str(tmp_path / "out"))
    assert result.exit_code == 0
    assert "no row is labelled as an attack" in result.stderr
    assert not (tmp_path / "out" / "roc.png").exists()


def test_without_matplotlib_there_is_a_table_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("evaluate", write(tmp_path / "a.jsonl", rows(1, 3)), "--out", str(tmp_path / "out"))
    assert result.exit_code == 0
    assert "pip install 'guardproxy[plots]'" in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["evaluation.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bad.jsonl"], "bad.jsonl:2: not a line of JSON"),
        (["none.jsonl"], "none.jsonl cannot be read"),
        (["good.jsonl", "--model", "no-such"], "no model `no-such`"),
        (["good.jsonl", "--label", "injektion"], "the model has no label `injektion`"),
        (["good.jsonl", "--threshold", "7%"], "no operating point `7%`"),
        (["good.jsonl", "--threshold", "7"], "must be a number from 0 to 1"),
        (["good.jsonl", "--channel", "nobody"], "--channel is one of system, user"),
        (["good.jsonl", "--out", "good.jsonl/out"], "cannot be written"),
    ],
)
def test_evaluate_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("good.jsonl"), rows(1, 1))
    Path("bad.jsonl").write_text('{"text": "a", "label": 0}\nsecret\n')
    result = run("evaluate", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "secret" not in result.stderr


def test_calibrate_prints_the_lines_for_a_policy(tmp_path: Path) -> None:
    traffic = write(tmp_path / "traffic.jsonl", [{"text": row["text"]} for row in rows(0, 200)])
    result = run("calibrate", "--harmless", traffic, "--label", OUTPUT, "--fpr", "1%")
    assert result.exit_code == 0
    assert f"  {OUTPUT}: {{use: supervisor, model: supervisor, label: {OUTPUT}, threshold: 0." in result.stdout
    assert "traffic.jsonl:" in result.stdout
    shown = json.loads(run("calibrate", "--harmless", traffic, "--label", OUTPUT, "--fpr", "1%", "--json").stdout)
    (one,) = shown["outputs"]
    assert one["points"]["1%"]["harmless"]["value"] <= 0.01
    assert (shown["harmless"], shown["attacks"], one["fitted"]) == (200, 0, None)


def test_calibrate_writes_a_model_in_which_a_point_means_this_traffic(tmp_path: Path) -> None:
    data = write(tmp_path / "mine.jsonl", rows(60, 200))
    new = tmp_path / "mine"
    result = run("calibrate", data, "--label", OUTPUT, "--fpr", "5%", "--fpr", "1%", "--out", str(new))
    assert result.exit_code == 0
    assert "threshold: 1%}" in result.stdout
    assert "expected calibration error" in result.stdout
    asked = ("--model", str(new), "--label", OUTPUT)
    judged = run("evaluate", data, *asked, "--threshold", "1%", "--out", str(tmp_path / "out"), "--json")
    assert json.loads(judged.stdout)["harmless"]["chat"]["found"]["value"] <= 0.01
    points = read(new).points[OUTPUT]
    other = write(tmp_path / "other.jsonl", rows(0, 120))
    again = run("calibrate", "--harmless", other, *asked, "--fpr", "2%", "--in-place")
    assert again.exit_code == 0
    assert "1%" in again.stderr.split("note: ")[-1]
    assert "were not chosen again: they refer to the model's original traffic" in again.stderr
    now = read(new).points[OUTPUT]
    assert now == {**points, "2%": now["2%"]}


def test_calibrate_with_too_few_texts_writes_nothing_and_says_so(tmp_path: Path) -> None:
    data = write(tmp_path / "mine.jsonl", rows(0, 150))
    result = run(
        "calibrate",
        "--harmless",
        data,
        "--label",
        OUTPUT,
        "--fpr",
        "1%",
        "--fpr",
        "0.1%",
        "--out",
        str(tmp_path / "mine"),
    )
    assert result.exit_code == 1
    assert "150 harmless texts are too few for 0.1 %: give 1,000 or more" in result.stderr
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "thresholds need harmless texts: rows with a harmless label, --harmless FILE or --log DIR"),
        (["attacks.jsonl"], "thresholds need harmless texts"),
        (["good.jsonl", "--fpr", "0.01"], "--fpr is a share of harmless texts, like 1%"),
        (["good.jsonl", "--out", "x", "--in-place"], "give --out or --in-place, not both"),
        (["--log", "."], "no *.jsonl logs here"),
        (["good.jsonl", "--fpr", "50%", "--out", "data"], "data exists already"),
    ],
)
def test_calibrate_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "data")
    write(tmp_path / "data" / "good.jsonl", rows(1, 4))
    write(tmp_path / "data" / "attacks.jsonl", rows(1, 0))
    (tmp_path / "data" / "data").mkdir()
    if "." in arguments:
        monkeypatch.chdir(tmp_path / "data" / "data")
    result = run("calibrate", *arguments)
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
