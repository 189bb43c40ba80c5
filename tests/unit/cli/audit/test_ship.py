"""`guardproxy audit ship`: what it sends, where it goes on, and its exit codes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from guardproxy.audit.shipping import shipping
from guardproxy.cli import app
from tests.kit.logs import write_log
from tests.kit.records import plain_record


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["audit", "ship", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_it_sends_what_is_new_and_ends(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    write_log(folder, "a", plain_record(id="x0"))
    assert run(folder, "--to", "-", "--once") == (0, (folder / "a.jsonl").read_text(), "")
    assert run(folder, "--to", "-", "--once") == (0, "", ""), "the position is in the folder"
    assert len(list(folder.glob("ship-*.position"))) == 1
    _, again, _ = run(folder, "--to", "-", "--once", "--position", tmp_path / "p")
    assert again == (folder / "a.jsonl").read_text()


def test_wrong_use_and_refusals(tmp_path: Path) -> None:
    write_log(tmp_path, "a", plain_record())
    assert run(tmp_path / "no", "--to", "-") == (2, "", f"guardproxy: {tmp_path}/no: no such folder\n")
    assert run(tmp_path, "--to", "ftp://x")[0] == 2
    (tmp_path / "p").write_text("junk")
    assert run(tmp_path, "--to", "-", "--position", tmp_path / "p")[0] == 2
    code, _, err = run(tmp_path, "--to", "http://127.0.0.1:1/", "--once")
    assert (code, err) == (1, "guardproxy: the target cannot be reached: URLError\n")


def test_it_goes_on_until_a_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal comes after the first line was sent, from the target itself."""
    write_log(tmp_path, "a", plain_record())
    save: Any = shipping.Shipper._save

    def save_and_end(shipper: shipping.Shipper) -> None:
        save(shipper)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(shipping.Shipper, "_save", save_and_end)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        code, out, _ = run(tmp_path, "--to", "-")
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
    assert (code, out) == (0, (tmp_path / "a.jsonl").read_text())
