"""`guardproxy keys`, as an operator runs it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from guardproxy.audit.storage.disk import Disk
from guardproxy.cli import app
from guardproxy.gateway.clients import Clients, read_client_file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["keys", *map(str, arguments)])


def made(*arguments: object) -> str:
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def clients(folder: Path) -> Clients:
    path = folder / "keys.json"
    return Clients(read_client_file(path.read_bytes(), str(path)))


def test_a_key_is_printed_once_and_works(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "keys"
    key = made("create", folder, "ann", "--tenant", "acme", "--model", "gpt-*", "--model", "o3", "--policy", "strict")
    client = clients(folder).client(key, datetime.now(UTC).timestamp())
    assert client is not None
    assert (client.name, client.tenant, client.models, client.policies) == ("ann", "acme", ("gpt-*", "o3"), ("strict",))
    path = folder / "keys.json"
    assert key[16:] not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in folder.iterdir()) == ["keys.json"]


def test_a_key_for_programs_is_json(tmp_path: Path) -> None:
    made_key = json.loads(made("create", tmp_path, "ann", "--json"))
    assert made_key["client"] == "ann"
    assert clients(tmp_path).client(made_key["key"], datetime.now(UTC).timestamp())


def test_a_list_shows_the_state_of_each_key(tmp_path: Path) -> None:
    made("create", tmp_path, "ann", "--expires", "90d")
    second = made("rotate", tmp_path, "ann", "--grace", "0s")
    made("create", tmp_path, "bob", "--tenant", "acme", "--policy", "strict")
    made("revoke", tmp_path, "bob")
    lines = [line.split() for line in made("list", tmp_path).splitlines()]
    assert lines[0] == ["client", "tenant", "key", "state", "created", "expires", "models", "policies"]
    assert [(line[0], line[1], line[3]) for line in lines[1:]] == [
        ("ann", "ann", "expired"),
        ("ann", "ann", "active"),
        ("bob", "acme", "revoked"),
    ]
    assert lines[2][2] == second[:15]
    assert lines[3][-1] == "strict"
    tree = json.loads(made("list", tmp_path, "--json"))
    assert [client["name"] for client in tree["clients"]] == ["ann", "bob"]


def test_one_key_or_all_are_revoked(tmp_path: Path) -> None:
    first, second = made("create", tmp_path, "ann"), made("rotate", tmp_path, "ann")
    now_s = datetime.now(UTC).timestamp()
    made("revoke", tmp_path, "ann", "--key", first[:15])
    assert [clients(tmp_path).client(key, now_s) is not None for key in (first, second)] == [False, True]
    made("revoke", tmp_path, "ann")
    assert clients(tmp_path).client(second, now_s) is None


@pytest.mark.parametrize(
    ("when", "days"), [("90d", 90), ("48h", 2), ("1440m", 1), ("86400s", 1), ("2999-01-31T00:00:00+01:00", None)]
)
def test_a_key_ends_when_it_is_told_to(tmp_path: Path, when: str, days: int | None) -> None:
    before = datetime.now(UTC)
    made("create", tmp_path, "ann", "--expires", when)
    (stored,) = read_client_file((tmp_path / "keys.json").read_bytes(), "k").client("ann").keys
    assert stored.expires is not None
    if days is None:
        assert stored.expires == datetime(2999, 1, 30, 23, tzinfo=UTC)
    else:
        assert (
            timedelta(0) <= stored.expires - before.replace(microsecond=0) - timedelta(days=days) < timedelta(minutes=5)
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "DIR", "a b"), "`a b` is not a name"),
        (("create", "DIR", "ann"), "the client `ann` exists already"),
        (("create", "DIR", "bob", "--model", ""), "an empty `models` allows nothing"),
        (("create", "DIR", "bob", "--expires", "soon"), "`soon` is neither a period such as `90d` nor a time"),
        (("create", "DIR", "bob", "--expires", "999999d"), None),
        (("create", "DIR", "bob", "--expires", "2030-01-31"), "`2030-01-31` has no time zone"),
        (("create", "DIR", "bob", "--expires", "2001-01-31T00:00:00Z"), "has passed"),
        (("create", "DIR", "bob", "--expires", "0s"), "`0s` has passed"),
        (("rotate", "DIR", "bob"), r"no client is called `bob` \(clients: ann\)"),
        (("rotate", "DIR", "ann", "--grace", "a day"), "`a day` is not a period"),
        (("revoke", "DIR", "ann", "--key", "gp-1"), "`ann` has no key gp-1"),
        (("list", "DIR/nowhere"), "cannot read .*/nowhere/keys.json: no such file or directory"),
        (("create", "DIR/keys.json", "ann"), "cannot write .*: "),
    ],
)
def test_a_mistake_changes_nothing(tmp_path: Path, arguments: tuple[str, ...], message: str | None) -> None:
    made("create", tmp_path, "ann")
    before = (tmp_path / "keys.json").read_bytes()
    done = run(*(word.replace("DIR", str(tmp_path)) for word in arguments))
    if message is None:
        assert done.exit_code == 0
        return
    assert done.exit_code == 2
    assert re.search(message, done.stderr), done.stderr
    assert done.stdout == "", "no key is shown that is not kept"
    assert (tmp_path / "keys.json").read_bytes() == before


def test_a_broken_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{")
    assert run("create", tmp_path, "ann").exit_code == 2
    assert (tmp_path / "keys.json").read_text() == "{"


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made("create", tmp_path, "ann")
    before = (tmp_path / "keys.json").read_bytes()

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Disk, "write", full)
    done = run("rotate", tmp_path, "ann")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "no space left on device" in done.stderr
    assert (tmp_path / "keys.json").read_bytes() == before


def create(folder: str, name: str) -> int:
    return run("create", folder, name).exit_code


def test_commands_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    names = [f"client-{number}" for number in range(8)]
    with get_context("forkserver").Pool(4) as pool:
        assert pool.starmap(create, [(str(tmp_path), name) for name in names]) == [0] * 8
    file = read_client_file((tmp_path / "keys.json").read_bytes(), "k")
    assert sorted(client.name for client in file.clients) == names
