"""The progress of an engine is shown on a terminal, beside the results and not among them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from rich.console import Console

from guardproxy.cli.engine_arguments import PROGRESS, ShownEngine, engine_of
from guardproxy.engine import LocalEngine


@dataclass(frozen=True)
class Lines:
    lines: int


class Instant:
    """An engine whose results are the tasks, as numbers of lines."""

    def each(self, work: Any, tasks: Iterable[int]) -> Iterator[Any]:
        yield from map(Lines, tasks)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def results(monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO, tasks: Iterable[int]) -> tuple[list[int], str]:
    monkeypatch.setattr("sys.stderr", stderr)
    monkeypatch.setattr("rich.console.Console", lambda stderr: Console(stderr=True, force_terminal=True, width=100))
    monkeypatch.setattr("sys.stdout", out := io.StringIO())
    found: list[int] = []
    engine: Any = Instant()
    work: Any = object()
    for result in ShownEngine(engine, "counting").each(work, tasks):
        print("row", result.lines)
        found.append(result.lines)
    return found, out.getvalue()


def test_a_bar_counts_parts_and_records(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    assert results(monkeypatch, terminal, [10, 20, 30]) == ([10, 20, 30], "row 10\nrow 20\nrow 30\n")
    assert "counting" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()
    assert "records/s" in terminal.getvalue()
    assert results(monkeypatch, terminal, iter([1, 2])) == ([1, 2], "row 1\nrow 2\n")


def test_without_a_terminal_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    assert results(monkeypatch, file, [10, 20]) == ([10, 20], "row 10\nrow 20\n")
    assert file.getvalue() == ""


def test_another_program_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROGRESS, "lines")
    file = io.StringIO()
    assert results(monkeypatch, file, [1] * 4) == ([1] * 4, "row 1\n" * 4)
    assert file.getvalue() == "counting 1/4\ncounting 2/4\ncounting 3/4\ncounting 4/4\n"
    file = io.StringIO()
    results(monkeypatch, file, iter([1] * 1000))
    assert len(file.getvalue().splitlines()) == 100
    assert results(monkeypatch, io.StringIO(), []) == ([], "")


def test_engines_by_name() -> None:
    engine = engine_of("local", 3, "replaying")
    assert isinstance(engine, ShownEngine)
    assert engine.engine == LocalEngine(3)
