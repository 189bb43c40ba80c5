"""Sinks by name: those of other packages, beside the file, and broken ones are refused."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.audit.shipping.targets import open_sink
from guardproxy.errors import ConfigError, PluginError
from tests.kit.plugins import Install


class Copying:
    """As a package would do it."""

    def __init__(self, log: str) -> None:
        self.log = log
        self.lines: list[bytes] = []

    def take(self, line: bytes) -> None:
        self.lines.append(line)

    def close(self) -> None:
        self.lines.append(b"closed")


def test_another_package_may_bring_one(install: Install) -> None:
    install("guardproxy.sinks", "copying", Copying)
    sink = open_sink("copying", "audit-0")
    assert isinstance(sink, Copying)
    assert sink.log == "audit-0"


def test_an_unknown_one_is_refused(install: Install) -> None:
    with pytest.raises(ConfigError, match=r"there is no audit sink `kafka` \(known: none is installed\)"):
        open_sink("kafka", "audit-0")
    install("guardproxy.sinks", "copying", Copying)
    with pytest.raises(ConfigError, match=r"there is no audit sink `kafka` \(known: copying\)"):
        open_sink("kafka", "audit-0")


def refusing(log: str) -> Copying:
    raise ConnectionError("no broker")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (refusing, "cannot be opened: ConnectionError: no broker"),
        (lambda log: object(), "is not a sink: it lacks take, close"),
        (ImportError("x"), "cannot be loaded: ImportError: x"),
    ],
)
def test_a_broken_one_is_named(what: Any, said: str, install: Install) -> None:
    install("guardproxy.sinks", "broken", what)
    with pytest.raises(PluginError, match=rf"`broken` \(guardproxy.sinks\) of acme 1.0 {said}"):
        open_sink("broken", "audit-0")
