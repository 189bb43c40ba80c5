"""`guardproxy import litellm`: its report, its files, its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardproxy.cli import app

FILE = Path(__file__).parents[3] / "examples" / "import" / "litellm.yaml"


def run(*arguments: str) -> tuple[int, str]:
    ran = CliRunner().invoke(app, ["import", "litellm", *arguments])
    return ran.exit_code, ran.output


def test_the_report_names_line_and_result() -> None:
    code, said = run(str(FILE))
    assert code == 1
    lines = said.splitlines()
    assert lines[0] == f"{FILE}:3: taken: model_list[0].model_name: the match of the policy `route-gpt-4o`"
    assert lines[-1].endswith("not possible")


def test_files_are_written_once(tmp_path: Path) -> None:
    code, said = run(str(FILE), "--out", str(tmp_path / "new"))
    assert code == 1
    assert (tmp_path / "new" / "policies" / "presidio-pii.yaml").exists()
    assert "written to" in said
    code, said = run(str(FILE), "--out", str(tmp_path / "new"))
    assert (code, "exists already" in said) == (2, True)


def test_json(tmp_path: Path) -> None:
    (tmp_path / "l.yaml").write_text("model_list: [{model_name: m, litellm_params: {model: gpt-5}}]")
    code, said = run(str(tmp_path / "l.yaml"), "--json")
    assert code == 0
    told = json.loads(said)
    assert told["counts"] == {"taken": 2}
    assert told["files"] == ["guardproxy.toml", "policies/route-m.yaml"]
    assert told["notes"][0]["line"] == 1


@pytest.mark.parametrize("text", [None, "a: ["])
def test_a_file_that_cannot_be_read(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "l.yaml").write_text(text)
    code, said = run(str(tmp_path / "l.yaml"))
    assert (code, said.startswith("guardproxy: ")) == (2, True)
