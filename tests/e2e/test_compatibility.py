"""What earlier versions wrote is read by this one: logs, policies, keys, sealed texts and settings (`tests/golden`)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from guardproxy import config
from guardproxy.cli import app
from tests.e2e.rig import ROOT

GOLDEN = ROOT / "tests" / "golden"
COPIES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
SEALED = [name for name in COPIES if (GOLDEN / name / "seal.key").exists()]
EXCHANGES = 16


@pytest.fixture(params=COPIES)
def copy(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that may be written to, as the folder of the shell."""
    return opened(request.param, tmp_path, monkeypatch)


@pytest.fixture(params=SEALED)
def sealed(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return opened(request.param, tmp_path, monkeypatch)


def opened(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(GOLDEN / name, folder / name)
    for path in (folder / name).rglob("*"):  # git keeps no modes; keys must be readable by their owner alone
        path.chmod(0o700 if path.is_dir() else 0o600)
    monkeypatch.chdir(folder / name)
    return folder / name


def run(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, result.output
    return result


def key(copy: Path) -> list[str]:
    return ["--key", "file:seal.key"] if copy.name in SEALED else []


def test_the_log_verifies(copy: Path) -> None:
    public = copy / "audit.key.pub"
    said = run("audit", "verify", "audit", *(["--key", public.read_text().strip()] if public.exists() else [])).stdout
    assert "audit-0.jsonl: intact" in said
    assert ("signed by" in said) == public.exists()


def test_every_decision_is_made_again(copy: Path) -> None:
    said = run("replay", "audit", "--policies", "policies", *key(copy)).stdout
    assert f"{EXCHANGES} identical, 0 different, 0 cannot be told, 0 not replayable" in said


def test_the_log_is_shown_queried_and_exported(copy: Path) -> None:
    lines = [json.loads(line) for line in run("audit", "show", "audit", "--json").stdout.splitlines()]
    assert sum("outcome" in line for line in lines) == EXCHANGES
    counted = json.loads(run("audit", "query", "audit", "SELECT count(*) AS n FROM exchanges", "--json").stdout)
    assert counted == {"n": EXCHANGES}
    run("audit", "export", "audit", "--format", "jsonl", "--out", "out.jsonl")
    run("audit", "report", "audit", "--out", "report.html")


def test_the_policies_load_and_pass_their_tests(copy: Path) -> None:
    assert "1 policy, no errors" in run("policy", "lint", "policies").stdout
    assert "1 passed, 0 failed" in run("policy", "test", "policies").stdout


def test_the_settings_load(copy: Path) -> None:
    found = config.load({"upstream": ["http://127.0.0.1:9"]}, {}, copy / "settings.toml")
    assert found.policies.folder == copy / "policies"


def test_a_new_log_goes_on_in_the_folder(copy: Path) -> None:
    """`--check` opens all that a start opens, but writes nothing."""
    said = run("serve", "--config", "settings.toml", "--upstream", "http://127.0.0.1:9", "--check").output
    assert "audit log" in said


def test_sealed_texts_open_and_can_be_erased(sealed: Path) -> None:
    lines = [json.loads(line) for line in run("audit", "show", "audit", "--json").stdout.splitlines()]
    record = next(line for line in lines if "sealed" in line)
    words = ("audit", "unseal", "audit", record["id"], "--key", "file:seal.key", "--reason", "test")
    assert "hello from the garden" in run(*words).stdout
    run("audit", "erase", "audit", "--tenant", record["tenant"], "--reason", "test")
    assert "hello from the garden" not in run(*words, code=2).output
    assert "intact" in run("audit", "verify", "audit").stdout


def test_keys_of_clients_are_known(sealed: Path) -> None:
    (client,) = json.loads(run("keys", "list", "clients", "--json").stdout)["clients"]
    assert (client["name"], client["tenant"]) == ("billing", "acme")
    assert (sealed / "client.key").read_text().startswith("gp-")
