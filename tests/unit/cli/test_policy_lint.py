"""`guardproxy policy lint` and `schema`, as a reviewer and a pipeline run them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from guardproxy.cli import app
from guardproxy.policy.file.document_schema import schema

RIGHT = "policy: p\nchecks: {w: {use: pattern, words: [x]}}\nrules: [{id: r, when: w, action: flag}]\n"
NOTED = RIGHT.replace("words: [x]", "patterns: ['x.*']")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p.yaml").write_text(RIGHT)
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["policy", *map(str, arguments)])


def test_right_policies_are_counted(folder: Path) -> None:
    done = run("lint", folder)
    assert (done.exit_code, done.output) == (0, "1 policy, no errors\n")


def test_notes_are_printed_and_fail_where_that_is_wanted(folder: Path) -> None:
    (folder / "q.yaml").write_text(NOTED.replace("policy: p", "policy: q") + "tenants: {acme: {on_error: block}}\n")
    done = run("lint", folder)
    assert done.exit_code == 0
    assert "q.yaml:2:39: note: pattern 1 sets no bound" in done.output
    assert done.output.endswith("2 policies, no errors, 1 note\n")
    assert run("lint", folder, "--strict").exit_code == 1


def test_warnings_are_counted_apart(folder: Path) -> None:
    (folder / "p.yaml").write_text(RIGHT + "vars: {a: 1, b: 2}\n")
    assert run("lint", folder).output.endswith("1 policy, no errors, 2 warnings\n")


def test_errors_fail(folder: Path) -> None:
    (folder / "p.yaml").write_text(RIGHT.replace("flag", "flog"))
    done = run("lint", folder, "--coverage")
    assert done.exit_code == 1
    assert (
        done.output == f"{folder}/p.yaml:3:34: unknown word `flog`; did you mean `flag`? "
        "(expected one of flag, redact, drop_chunk, retry, confirm, block)\n"
    )


def test_coverage_is_a_table(folder: Path) -> None:
    lines = run("lint", folder, "--coverage").output.splitlines()
    assert lines[0].split() == ["format", "direction", "kind", "checks"]
    assert lines[1].split() == ["openai_chat", "request", "system", "p/w"]


def test_all_of_it_as_json(folder: Path) -> None:
    (folder / "p.yaml").write_text(NOTED)
    said = json.loads(run("lint", folder, "--json", "--coverage").output)
    assert (said["ok"], said["policies"], said["errors"]) == (True, 1, [])
    (note,) = said["notes"]
    assert (note["line"], note["column"], note["weight"], note["code"]) == (2, 39, "note", "option")
    assert note["file"] == f"{folder}/p.yaml"
    assert said["coverage"][0]["checks"] == [{"policy": "p", "check": "w", "shadow": False, "always": True}]
    assert json.loads(run("lint", folder, "--json", "--strict").output)["ok"] is False
    (folder / "p.yaml").write_text("policy: p\n")
    assert json.loads(run("lint", folder, "--json").output)["errors"] == [
        {"file": f"{folder}/p.yaml", "line": 1, "column": 1, "message": "`rules` is missing"}
    ]


def test_the_schema_is_printed_or_written(tmp_path: Path) -> None:
    assert json.loads(run("schema").output) == schema()
    assert run("schema", "--out", tmp_path / "s.json").output == ""
    assert json.loads((tmp_path / "s.json").read_text("utf-8")) == schema()


def test_tenants_of_client_keys_are_known(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    keys = tmp_path_factory.mktemp("keys")
    config = keys / "guardproxy.toml"
    config.write_text(f"client_keys = {json.dumps(str(keys))}\n")
    (folder / "p.yaml").write_text(RIGHT + "match: {tenants: [acme]}\n")
    assert CliRunner().invoke(app, ["keys", "create", str(keys), "ann", "--tenant", "acme"]).exit_code == 0
    assert run("lint", folder, "--config", config).exit_code == 0
    (folder / "p.yaml").write_text(RIGHT + "match: {tenants: [akme]}\n")
    assert "did you mean `acme`" in run("lint", folder, "--config", config).output
    (keys / "keys.json").write_text("{")
    done = run("lint", folder, "--config", config)
    assert (done.exit_code, "keys.json: Input data was truncated" in done.stderr) == (2, True)


COSTLY = (
    RIGHT + "limits: [{name: money, unit: cost, budget: 5/day}]\ntests: [{name: t, request: x, expect: {rule: r}}]\n"
)


def test_a_limit_of_costs_without_prices_is_an_error_of_lint_and_test(folder: Path, tmp_path: Path) -> None:
    (folder / "p.yaml").write_text(COSTLY)
    (tmp_path / "priced.toml").write_text('[price."*"]\ninput = 1\noutput = 2\n')
    (tmp_path / "unpriced.toml").write_text("")
    (tmp_path / "proxy.toml").write_text(f'limits = "{tmp_path}/priced.toml"\n')
    (tmp_path / "table.toml").write_text('prices = "genai-prices"\n')
    said = (
        f"{folder}/p.yaml:4:1: the limit `money` counts costs, and no model has a price: add `prices` to the policy, or"
    )
    for command, code in (("lint", 1), ("test", 2)):
        for unpriced in ((), ("--limits", tmp_path / "unpriced.toml")):
            done = run(command, folder, *unpriced)
            assert (done.exit_code, said in done.output) == (code, True), done.output
        for given in (("--prices", "genai-prices"), ("--limits", tmp_path / "priced.toml")):
            assert run(command, folder, *given).exit_code == 0
        assert run(command, folder, "--limits", tmp_path / "none.toml").exit_code == 2
        assert run(command, folder, "--prices", "mine").exit_code == 2
    for settings in ("proxy.toml", "table.toml"):
        assert run("lint", folder, "--config", tmp_path / settings).exit_code == 0
    assert run("lint", folder, "--config", tmp_path / "none.toml").exit_code == 2
    told = json.loads(run("lint", folder, "--json").output)
    assert told["errors"][0]["line"] == 4
