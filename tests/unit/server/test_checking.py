"""`serve --check`: what is found of a start, part by part."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guardproxy import plugins
from guardproxy.config import Config
from guardproxy.server import check

POLICY = "policy: p\nchecks: {word: {use: pattern, words: [plain]}}\nrules: [{id: word, when: word, action: redact}]\n"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "p.yaml").write_text(POLICY)
    return Config.of(upstream=("https://a.example",), policies=tmp_path / "p", audit=tmp_path / "new" / "audit")


def test_a_start_that_can_be(config: Config, tmp_path: Path) -> None:
    parts = list(check(config))
    assert [part for part in parts if not part.is_right] == []
    found = {part.name: part.text for part in parts}
    assert found["network"] == "127.0.0.1 port 8080, upstream https://a.example; neither is tried"
    assert found["policies"].startswith("p (sha256:")
    assert found["policies"].endswith("models: none that judge")
    assert found["monitoring"] == "no collector"
    assert [path.name for path in tmp_path.rglob("*")] == ["p", "p.yaml"], "nothing is written"


def test_models_that_another_machine_runs_are_only_read(config: Config) -> None:
    """The machine is not asked: there is none."""
    distant = config.having(policies=Path("default"), supervisor_url="http://127.0.0.1:1")
    (found,) = (part for part in check(distant) if part.name == "policies")
    assert found.is_right
    assert found.text.endswith("models: supervisor (http://127.0.0.1:1)")


def blocked(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "below"


WRONG: dict[str, tuple[str, Callable[[Path], dict[str, Any]], str]] = {
    "header": ("network", lambda _: {"request_header": ("host",)}, "`request_header` cannot let `host` through"),
    "route": ("network", lambda _: {"pass_through": ("GET /v1/{",)}, "`pass_through`: "),
    "keys": ("clients", lambda folder: {"client_keys": folder}, "keys.json: no such file or directory"),
    "limits": ("clients", lambda folder: {"limits": folder / "p" / "p.yaml"}, "p.yaml"),
    "state": ("clients", lambda _: {"state": "unix://a:b@/x?db=y"}, "`state`: "),
    "no policies": ("policies", lambda _: {"policies": Path("strct")}, "did you mean `strict`?"),
    "models": ("policies", lambda folder: {"models": folder / "gone"}, "gone is not a folder"),
    "seal key": ("policies", lambda folder: {"policies": sealed(folder)}, "needs the operator's key"),
    "point": ("policies", lambda folder: {"policies": pointed(folder)}, "no operating point `odd`"),
    "duty": ("plug-ins", lambda _: {"duty": ("none",)}, "no installed package provides this duty"),
    "sink": ("plug-ins", lambda _: {"audit_sink": ("none",)}, "there is no audit sink `none`"),
    "audit": ("audit log", lambda folder: {"audit": blocked(folder)}, "file is not a folder"),
    "copy": ("audit log", lambda folder: {"audit_copy": (str(blocked(folder)),)}, "file is not a folder"),
    "copy address": ("audit log", lambda _: {"audit_copy": ("https://a:b@c.example",)}, "credentials do not belong"),
    "sign": (
        "audit log",
        lambda folder: {"audit_key": str(folder / "gone")},
        "`guardproxy audit keygen` makes the file",
    ),
    "seal": ("audit log", lambda _: {"seal_key": ("env:NO_SUCH",)}, "the variable `NO_SUCH` with the key is not set"),
    "store": (
        "audit log",
        lambda folder: {"seal_key": ("command:false",), "seal_store": blocked(folder)},
        "file is not a folder",
    ),
}


def pointed(folder: Path) -> Path:
    (folder / "p" / "p.yaml").write_text(POLICY + "cache: {mode: semantic, point: odd}\n")
    return folder / "p"


def sealed(folder: Path) -> Path:
    (folder / "p" / "p.yaml").write_text(f"{POLICY}audit: {{keep: sealed}}\n")
    return folder / "p"


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_found_and_the_rest_is_checked(config: Config, tmp_path: Path, case: str) -> None:
    part, settings, said = WRONG[case]
    parts = list(check(config.having(**settings(tmp_path))))
    assert len(parts) == 6
    assert [found.name for found in parts if not found.is_right] == [part]
    (wrong,) = (found for found in parts if not found.is_right)
    assert said in wrong.text


def test_a_folder_that_cannot_be_written(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # who runs the tests may write everywhere
    (wrong,) = (part for part in check(config) if not part.is_right)
    assert wrong.text == f"{config.audit.folder}: cannot be written, as {config.audit.folder.parents[1]} cannot"
    config.audit.folder.mkdir(parents=True)
    (wrong,) = (part for part in check(config) if not part.is_right)
    assert wrong.text == f"{config.audit.folder}: cannot be written"


def test_a_collector_needs_its_packages(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = config.having(otel_endpoint="http://collector:4318")
    assert list(check(watched))[-1].text == "http://collector:4318, which is not asked"
    monkeypatch.setitem(sys.modules, "guardproxy.telemetry.exporting", None)
    assert list(check(watched))[-1].text.startswith("`otel_endpoint` needs the packages")


def test_a_fault_of_the_system_is_said(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/somewhere")

    monkeypatch.setattr(plugins, "installed_plugins", fail)
    (wrong,) = (part for part in check(config) if part.name == "plug-ins")
    assert (wrong.is_right, wrong.text) == (False, "/somewhere: permission denied")
