"""`guardproxy --version`: the version, and who brings what."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from guardproxy.cli import app
from tests.kit.plugins import Install


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("se", "serve"), ("audit ve", "verify"), ("serve --upstream-k", "--upstream-key"), ("scan --ki", "--kind")],
)
def test_the_shell_completes_commands_and_flags(typed: str, completed: str) -> None:
    words = f"guardproxy {typed}"
    env = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_GUARDPROXY_COMPLETE": "complete_bash"}
    assert CliRunner().invoke(app, [], prog_name="guardproxy", env=env).stdout.split() == [completed]


def test_the_version_comes_first_and_plug_ins_after_it(install: Install) -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"{version('guardproxy')}\n"
    install("guardproxy.sinks", "kafka", None, "acme-sinks 3.0")
    install("guardproxy.checks", "badge", None)
    assert CliRunner().invoke(app, ["--version"]).stdout.splitlines()[1:] == [
        "plug-in `badge` (guardproxy.checks) of acme 1.0",
        "plug-in `kafka` (guardproxy.sinks) of acme-sinks 3.0",
    ]
