"""Several programs write to the log of what people do: each waits for the others, and the log verifies."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from guardproxy.audit.proof.folder import verify_folder
from guardproxy.audit.record.entries import Reviewed
from guardproxy.audit.record.versions import entries_of
from guardproxy.audit.writing.log_file import FileSink
from guardproxy.audit.writing.operator_log import TURNS, operator_log
from guardproxy.errors import AuditError


def said(number: int) -> Reviewed:
    return Reviewed(v=3, at=float(number), id=f"x{number}", engine="e", by="eve", verdict="right")


def test_entries_of_several_writers_are_all_kept(tmp_path: Path) -> None:
    def write(number: int) -> None:
        with operator_log(tmp_path, "e") as append:
            append(said(number))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(12)))
    ids = {entry.id for entry in entries_of(tmp_path / "operator.jsonl") if isinstance(entry, Reviewed)}
    assert ids == {f"x{number}" for number in range(12)}
    assert not any(report.report.problems for report in verify_folder(tmp_path))


def test_it_waits_for_the_other_program(tmp_path: Path) -> None:
    other = FileSink(tmp_path, "operator", {"log": "origin"})
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            other.close()

    with operator_log(tmp_path, "e", pause) as append:
        append(said(1))
    assert len(waits) == 3
    assert list(entries_of(tmp_path / "operator.jsonl")) == [said(1)]


def test_it_does_not_wait_for_ever(tmp_path: Path) -> None:
    other = FileSink(tmp_path, "operator", {"log": "origin"})
    waits: list[float] = []
    pause: Callable[[float], None] = waits.append
    with pytest.raises(AuditError, match="in use by another process"), operator_log(tmp_path, "e", pause):
        raise AssertionError
    assert len(waits) == TURNS - 1
    other.close()
