"""`guardproxy bench`: what it prints of figures, and what of a proxy that does not start."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardproxy.cli import app
from guardproxy.library import shipped_names
from guardproxy.sizing import PROMPT_WORDS, Added, Sizes
from guardproxy.sizing.measuring import SizingError

ADDED = Added(2.0, 4.0)
FOUND = Sizes("none", dict.fromkeys(PROMPT_WORDS, ADDED), ADDED, ADDED, 1234.5, 99.0, 64.2)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Path | str]:
    """The policies that were measured; the proxy with the policy `strict` refuses, and one with `broken` does not start."""
    asked: list[Path | str] = []

    async def measure(policies: Path | str, seconds: float, step: Callable[[str], None]) -> Sizes:
        asked.append(policies)
        step("prompts")
        if policies == "broken":
            raise SizingError("no such policy")
        if policies == "strict":
            return replace(FOUND, policy="strict", refused=3, requests_s=0.0, streams=0.0, memory_mib=0.0)
        return replace(FOUND, policy=str(policies))

    monkeypatch.setattr("guardproxy.sizing.measure", measure)
    return asked


def test_every_shipped_policy_is_measured(measured: list[Path | str]) -> None:
    ran = CliRunner().invoke(app, ["bench"])
    assert ran.exit_code == 0, ran.output
    assert measured == ["none", *shipped_names()]
    lines = ran.stdout.splitlines()
    assert "  2.0 ms, p99 4.0 ms" in next(line for line in lines if line.startswith("none"))
    assert [line for line in lines if line.startswith("none")][1].split() == [
        *("none", "2.0", "2.0", "2.0", "2.0", "2.0", "1,234", "99", "64"),
    ]
    assert [line for line in lines if line.startswith("strict")][1].split()[-3:] == ["-", "-", "-"]
    assert lines[-1].startswith("strict: refused 3 requests")
    assert "1 of" in ran.stderr


def test_figures_as_json(measured: list[Path | str], tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["bench", "--policies", str(tmp_path), "--json"])
    (found,) = json.loads(ran.stdout)
    assert (measured, found["requests_s"], found["prompts"]["50"]) == (
        [tmp_path],
        1234.5,
        {"p50_ms": 2.0, "p99_ms": 4.0},
    )


def test_a_proxy_that_does_not_start_is_wrong_use(measured: list[Path | str]) -> None:
    ran = CliRunner().invoke(app, ["bench", "--policies", "broken"])
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "broken: no such policy" in ran.stderr
