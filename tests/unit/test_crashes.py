"""A crash shows no message of an error, and leaves no core file."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from guardproxy import __main__, crashes
from tests.kit import processes

SECRET = "jane.doe@corp.example"


def raised(chained: bool = False) -> BaseException:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ValueError(f"about {SECRET}") from (error if chained else None)
    except ValueError as error:
        return error


def test_an_error_is_shown_by_its_types_and_places(capsys: pytest.CaptureFixture[str]) -> None:
    crashes.show(raised(chained=True))
    crashes.show(raised(), "in a thread")
    crashes.show(OSError(SECRET))
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" (at ")[0] for line in lines] == [
        "guardproxy: unexpected error: ValueError < KeyError",
        "guardproxy: unexpected error in a thread: ValueError",
        "guardproxy: unexpected error: OSError",
    ]
    assert "test_crashes.py:" in lines[0]
    assert lines[2].endswith(" (at an unknown place)")
    assert SECRET not in str(lines)


def test_a_long_chain_of_causes_is_cut() -> None:
    error: BaseException = ValueError(SECRET)
    for _ in range(20):
        outer = KeyError(SECRET)
        outer.__context__ = error
        error = outer
    assert crashes.kinds(error).split(" < ") == ["KeyError"] * crashes.LIMIT_CAUSES


def test_a_closed_standard_error_is_no_second_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    crashes.show(raised())


def test_threads_and_finalizers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(threading, "excepthook", None)
    monkeypatch.setattr(sys, "unraisablehook", None)
    crashes.hide_messages()
    for error in (raised(), SystemExit(SECRET), None):
        failed: Any = SimpleNamespace(exc_value=error)
        threading.excepthook(failed)
    for error in (raised(), None):
        ignored: Any = SimpleNamespace(exc_value=error)
        sys.unraisablehook(ignored)
    assert [line.partition(" (at ")[0] for line in capsys.readouterr().err.splitlines()] == [
        "guardproxy: unexpected error in a thread: ValueError",
        "guardproxy: unexpected error that was ignored: ValueError",
    ]


@pytest.mark.parametrize(("words", "shows"), [(("audit", "show"), False), (("policy", "lint"), True)])
def test_commands_with_texts_hide_messages(
    words: tuple[str, ...], shows: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[str] = []

    def fail() -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr("guardproxy.cli.app", fail)
    monkeypatch.setattr(crashes, "hide_messages", lambda: called.append("hide"))
    monkeypatch.setattr(crashes, "refuse_core_files", lambda: called.append("refuse"))
    monkeypatch.setattr(sys, "argv", ["guardproxy", *words])
    with pytest.raises(SystemExit):
        __main__.main()
    assert called == ([] if shows else ["hide", "refuse"])
    assert (f"ValueError: {SECRET}\n" in capsys.readouterr().err) == shows


CRASH = """
import os, sys, ctypes, resource
from guardproxy.crashes import refuse_core_files
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
if sys.argv[1] == "refused":
    refuse_core_files()
print(resource.getrlimit(resource.RLIMIT_CORE)[0], ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)
if os.fork() == 0:
    os.abort()
_, status = os.wait()
print(os.WCOREDUMP(status), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
def test_no_core_file_is_written(tmp_path: Path) -> None:
    def ran(how: str) -> list[str]:
        command = [sys.executable, "-c", CRASH, how]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(processes.ROOT)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout.split()

    assert ran("refused") == ["0", "0", "False"]
    assert list(tmp_path.iterdir()) == []
    _, is_dumpable, _ = ran("allowed")
    assert is_dumpable == "1"


def test_without_a_limit_to_set_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(sys, "platform", "other")
    crashes.refuse_core_files()
