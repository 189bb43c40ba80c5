from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardproxy.cli import app
from guardproxy.console import ROLES, load_logins


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["console", "login", *words])
    assert done.exit_code == code, done.output
    return done.output


def test_a_login_is_made_listed_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "new" / "logins.json"
    for role in ROLES:
        token = run("add", role, "--role", role, "--file", str(path)).strip()
        assert token.startswith("gpc_")
        assert token not in path.read_text()
        stored = load_logins(path).checked(role, token)
        assert stored is not None
        assert stored.login.role == role
        assert path.stat().st_mode & 0o777 == 0o600
    assert [row["name"] for row in json.loads(run("list", "--file", str(path), "--json"))] == list(ROLES)
    assert "auditor" in run("list", "--file", str(path))
    run("remove", "viewer", "--file", str(path))
    assert [stored.login.name for stored in load_logins(path).logins] == list(ROLES[1:])
    shown = json.loads(run("add", "ann", "--role", "viewer", "--file", str(path), "--json"))
    assert (shown["name"], shown["role"]) == ("ann", "viewer")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "ann", "--role", "boss"), "`boss` is no role"),
        (("add", "ann", "--role", "viewer"), "already"),
        (("add", "-", "--role", "viewer"), "cannot be a name"),
        (("add", "a b", "--role", "viewer"), "cannot be a name"),
        (("remove", "bob"), "no login `bob`"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    path = tmp_path / "logins.json"
    run("add", "ann", "--role", "viewer", "--file", str(path))
    before = path.read_bytes()
    assert said in run(*words, "--file", str(path), code=2)
    assert path.read_bytes() == before


def test_a_file_or_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "cannot write" in run("add", "ann", "--role", "viewer", "--file", str(tmp_path / "file" / "logins"), code=2)
    assert "cannot read" in run("list", "--file", str(tmp_path / "absent"), code=2)
    assert "chmod 600" in run("add", "ann", "--role", "viewer", "--file", str(tmp_path / "file"), code=2)
