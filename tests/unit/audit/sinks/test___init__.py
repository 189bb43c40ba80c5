"""Sinks by name: the file, and those of other packages, which fail closed."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from guardproxy.audit.sinks import opened
from guardproxy.audit.sinks.file import FileSink
from guardproxy.errors import ConfigError, PluginError
from tests.kit.plugins import Install


class Copying:
    """As a package would do it: the file first, then wherever else."""

    def __init__(self, folder: Path, log: str, header: Mapping[str, Any]) -> None:
        self._file = FileSink(folder, log, header)
        self.copies: list[Mapping[str, Any]] = []

    @property
    def healthy(self) -> bool:
        return self._file.healthy

    @property
    def head(self) -> tuple[int, str]:
        return self._file.head

    @property
    def waiting(self) -> int:
        return self._file.waiting

    def append(self, record: Mapping[str, Any]) -> Future[tuple[int, str]]:
        self.copies.append(record)
        return self._file.append(record)

    def close(self) -> None:
        self._file.close()


HEADER = {"log": "origin", "engine": "test"}


def test_the_file_is_guardproxys_own(tmp_path: Path) -> None:
    sink = opened("file", tmp_path, "audit-0", HEADER)
    assert sink.append({"a": 1}).result(10)[0] == 0
    sink.close()
    assert (tmp_path / "audit-0.jsonl").exists()


def test_another_package_may_bring_one(tmp_path: Path, install: Install) -> None:
    install("guardproxy.sinks", "copying", Copying)
    sink = opened("copying", tmp_path, "audit-0", HEADER)
    assert isinstance(sink, Copying)
    assert (sink.healthy, sink.head[0], sink.waiting) == (True, -1, 0)
    sink.append({"a": 1}).result(10)
    sink.close()
    assert sink.copies == [{"a": 1}]
    assert not sink.healthy


def test_an_unknown_one_is_refused(tmp_path: Path, install: Install) -> None:
    install("guardproxy.sinks", "copying", Copying)
    with pytest.raises(ConfigError, match=r"there is no audit sink `kafka` \(known: file, copying\)"):
        opened("kafka", tmp_path, "audit-0", HEADER)


def refusing(folder: Path, log: str, header: Mapping[str, Any]) -> Copying:
    raise ConnectionError("no broker")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (refusing, "cannot be opened: ConnectionError: no broker"),
        (lambda folder, log, header: object(), "is no sink: it has no healthy, head, waiting, append, close"),
        (ImportError("x"), "cannot be loaded: ImportError: x"),
    ],
)
def test_a_broken_one_is_named(what: Any, said: str, tmp_path: Path, install: Install) -> None:
    install("guardproxy.sinks", "broken", what)
    with pytest.raises(PluginError, match=rf"`broken` \(guardproxy.sinks\) of acme 1.0 {said}"):
        opened("broken", tmp_path, "audit-0", HEADER)


def test_the_name_of_the_file_is_taken(tmp_path: Path, install: Install) -> None:
    install("guardproxy.sinks", "file", Copying)
    install("guardproxy.sinks", "copying", Copying)
    with pytest.raises(PluginError, match="has a name of guardproxy's own"):
        opened("copying", tmp_path, "audit-0", HEADER)
