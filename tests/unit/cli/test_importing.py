"""`guardproxy import litellm`: its report, its files, its exit codes."""

from __future__ import annotations

import json
import re
import shlex
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
    assert re.fullmatch(r"\d+ taken, \d+ changed, \d+ not possible \(the result lacks \d+ of these\)", lines[-1])


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
    assert (told["losses"], told["guards"]) == (0, False)
    assert told["files"] == ["guardproxy.toml", "policies/route-m.yaml"]
    assert told["notes"][0]["line"] == 1


GOOD = """
model_list: [{model_name: m, litellm_params: {model: gpt-5, temperature: 0.2, rpm: 5}, model_info: {id: x, mode: chat}}]
litellm_settings: {drop_params: true, success_callback: [langfuse], set_verbose: false}
general_settings: {database_url: x, alerting: [slack]}
router_settings: {routing_strategy: simple-shuffle}
environment_variables: {A: b}
"""


@pytest.mark.parametrize(
    ("more", "losses"),
    [
        ("", 0),
        ("guardrails: [{guardrail_name: g, litellm_params: {guardrail: hide-secrets, mode: pre_call}}]", 0),
        ("guardrails: [{guardrail_name: g, litellm_params: {guardrail: own.Guard, mode: pre_call}}]", 1),
        ("mcp_servers: {a: b}", 1),
        ("no_such_key: 1", 1),
    ],
)
def test_the_exit_code_is_0_if_the_result_lacks_nothing(tmp_path: Path, more: str, losses: int) -> None:
    (tmp_path / "l.yaml").write_text(GOOD + more)
    code, said = run(str(tmp_path / "l.yaml"))
    assert code == bool(losses)
    assert ("the result lacks" in said) == bool(losses)


def test_a_result_that_guards_nothing_says_so_and_can_be_mended(tmp_path: Path) -> None:
    (tmp_path / "l.yaml").write_text(GOOD)
    out = tmp_path / "the result"
    code, said = run(str(tmp_path / "l.yaml"), "--out", str(out))
    assert (code, "guards nothing" in said) == (0, True)
    (command,) = re.findall(r"Add one: (guardproxy .*)", said)
    assert CliRunner().invoke(app, shlex.split(command)[1:]).exit_code == 0
    assert (out / "policies" / "default.yaml").exists()
    (command,) = re.findall(r"check it: (guardproxy .*)", said)
    checked = CliRunner().invoke(app, shlex.split(command)[1:])
    assert (checked.exit_code, "default" in checked.output) == (0, True)
    (tmp_path / "l.yaml").write_text(
        GOOD + "guardrails: [{guardrail_name: g, litellm_params: {guardrail: hide-secrets, mode: logging_only}}]"
    )
    assert "guards nothing" in run(str(tmp_path / "l.yaml"))[1], "it only watches"
    (tmp_path / "l.yaml").write_text("litellm_settings: {drop_params: true}")
    assert "guards nothing" not in run(str(tmp_path / "l.yaml"))[1], "the shipped policy holds"


@pytest.mark.parametrize("text", [None, "a: ["])
def test_a_file_that_cannot_be_read(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "l.yaml").write_text(text)
    code, said = run(str(tmp_path / "l.yaml"))
    assert (code, said.startswith("guardproxy: ")) == (2, True)
