"""`guardproxy limits`, as an operator runs it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import jsonschema_rs
import pytest
from typer.testing import CliRunner, Result

from guardproxy.cli import app

FILE = """\
[[limit]]
name = "requests"
unit = "requests"
rate = "600/1m"

[[limit]]
name = "large"
unit = "tokens"
budget = "1000/day"
models = ["gpt-5*"]
tenants = ["acme"]
"""
REQUESTS = "requests: 600 requests at once, then 600 in 60 s, all together"
LARGE = "large: 1,000 tokens a day, all together"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "limits.toml").write_text(FILE)
    return tmp_path / "limits.toml"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["limits", *map(str, arguments)])


def test_a_right_file_is_listed(file: Path) -> None:
    done = run("lint", file)
    assert (done.exit_code, done.stdout.splitlines()) == (0, [REQUESTS, LARGE, "2 limits, no errors"])
    assert json.loads(run("lint", file, "--json").stdout) == {"ok": True, "limits": [REQUESTS, LARGE], "prices": 0}
    file.write_text(FILE.partition("\n\n")[0])
    assert run("lint", file).stdout.endswith("1 limit, no errors\n")


def test_a_wrong_file_says_what_is_wrong(file: Path) -> None:
    file.write_text(FILE.replace("600/1m", "many"))
    done = run("lint", file)
    assert (done.exit_code, "limits.toml: the limit `requests`: `rate` must be" in done.stdout) == (1, True)
    assert not json.loads(run("lint", file, "--json").stdout)["ok"]
    assert run("explain", file).exit_code == 2
    done = run("lint", file.with_name("nowhere.toml"))
    assert (done.exit_code, "no such file or directory" in done.stdout) == (1, True)


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ([], [REQUESTS]),
        (["--model", "gpt-5-mini"], [REQUESTS]),
        (["--model", "gpt-5-mini", "--tenant", "acme"], [REQUESTS, LARGE]),
        (["--model", "claude", "--tenant", "acme"], [REQUESTS]),
    ],
)
def test_the_limits_of_a_request_are_listed(file: Path, options: list[str], lines: list[str]) -> None:
    assert run("explain", file, *options).stdout.splitlines() == lines
    assert json.loads(run("explain", file, "--json", *options).stdout) == lines


def test_a_request_that_nothing_counts(file: Path) -> None:
    file.write_text("")
    assert run("explain", file, "--route", "POST /v1/messages").stdout == "no limit counts this request\n"


def test_the_schema_accepts_the_file_and_no_typo() -> None:
    schema = json.loads(run("schema").stdout)
    assert jsonschema_rs.is_valid(schema, tomllib.loads(FILE))
    assert not jsonschema_rs.is_valid(schema, tomllib.loads(FILE.replace("budget", "buget")))
