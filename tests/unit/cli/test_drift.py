"""`guardproxy drift`: what it prints and writes, and its exit codes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardproxy.cli import app, drift
from tests.kit.logs import write_log
from tests.kit.records import plain_record, plain_text

DAY_S = datetime(2026, 1, 30, 9, tzinfo=UTC).timestamp()


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["drift", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two days: on the second, another model is asked, and the texts are longer."""
    folder = tmp_path / "audit"
    text, long = plain_text(text="x" * 20), plain_text(text="x" * 900)
    first = (plain_record(None, text, id=f"a{number}", at=DAY_S + number) for number in range(60))
    second = (
        plain_record(None, long, id=f"b{number}", at=DAY_S + 86_400 + number, model="\x1b[31m") for number in range(60)
    )
    write_log(folder, "a", *first, *second)
    return folder


def test_the_last_day_against_the_day_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = run(folder)
    lines = out.splitlines()
    assert (code, err) == (1, "")
    assert lines[0].startswith("2026-01-31 against 2026-01-30: 2 measures shifted much, 0 moderately; ")
    assert lines[1].split()[:3] == ["measure", "shift", "PSI"]
    assert {line.split("  ")[0] for line in lines[2:]} == {"model", "characters of a request"}
    assert "\x1b" not in out
    monkeypatch.setattr(drift, "_SHOWN", 1)
    assert run(folder)[1].splitlines()[-1] == "and 1 more; --report and --json have all of them"


def test_json_has_every_measure(folder: Path) -> None:
    code, out, _ = run(folder, "--json")
    rows = {row["measure"]: row for row in map(json.loads, out.splitlines())}
    assert code == 1
    assert rows["model"]["verdict"] == "large"
    assert rows["characters of a request"]["ks"] == 1.0
    assert rows["route"] == {
        **{"measure": "route", "verdict": "stable", "psi": 0.0, "chance": None, "ks": None},
        **{"before": rows["route"]["before"], "after": rows["route"]["before"], "counts": [60, 60]},
    }


def test_a_saved_baseline_outlives_the_log(folder: Path, tmp_path: Path) -> None:
    saved, page, metrics = tmp_path / "b.json", tmp_path / "d.html", tmp_path / "d.prom"
    assert run(folder, "--to", "2026-01-30", "--save", saved)[:2] == (0, f"{saved}: 60 exchanges of 2026-01-30\n")
    code, out, _ = run(folder, "--to", "2026-01-30", "--baseline", saved, "--report", page, "--metrics", metrics)
    assert (code, out.splitlines()[0][:38]) == (0, "2026-01-30 against the baseline in b.j")
    assert len(out.splitlines()) == 1
    assert "Drift: " in page.read_text()
    assert 'guardproxy_drift_psi{measure="model"} 0' in metrics.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit", "b.json", "d.html", "d.prom"]
    assert run(folder, "--baseline", saved)[0] == 1


def test_wrong_use(folder: Path, tmp_path: Path) -> None:
    assert run(folder, "--from", "x") == (
        2,
        "",
        "guardproxy: --from: expected a day like 2026-01-31 or an hour like 2026-01-31T12:00\n",
    )
    assert run(folder, "--to", "2026-01-30")[2].startswith("guardproxy: the log has no exchanges of 2026-01-29")
    assert run(folder, "--baseline", tmp_path / "no")[2].endswith("no: No such file or directory\n")
    assert run(tmp_path)[2] == "guardproxy: the log has no exchanges\n"
    (tmp_path / "b.json").write_bytes(b"{}")
    assert run(folder, "--baseline", tmp_path / "b.json")[0] == 2
    both = run(folder, "--baseline", tmp_path / "b.json", "--baseline-to", "2026-01-30")
    assert both[2] == "guardproxy: give either --baseline or the days of a baseline\n"


def test_lines_that_cannot_be_read_are_counted(folder: Path) -> None:
    with (folder / "a.jsonl").open("ab") as log:
        log.write(b"{}\nnothing\n")
    assert "lines could not be read" in run(folder)[2]
