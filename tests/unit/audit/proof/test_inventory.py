"""Logs that no process writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardproxy.audit.proof import inventory as module
from guardproxy.audit.proof.checkpoint import CheckpointEntry, CoveredLog, LogStates
from guardproxy.audit.proof.inventory import found_state, found_states
from guardproxy.audit.writing.log_file import FileSink
from tests.kit.logs import write_log


def test_the_state_of_a_file_is_that_of_its_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ADDED_AT_ONCE", 2)
    sink = FileSink(tmp_path, "a", {"log": "x"}, stated=lambda log: None)
    for number in range(4):
        sink.append({"id": f"x{number}"}).result(30)
    assert found_states(tmp_path, "*.jsonl", LogStates()) == []  # the file is held
    sink.close()
    with sink.path.open("ab") as log:
        log.write(b"torn")
    (state,) = found_states(tmp_path, "*.jsonl", LogStates())
    (written,) = sink.states()
    assert (state.size, state.root, state.hash, state.found) == (5, written.root, written.hash, True)
    assert found_state(sink.path) == state


def test_a_log_that_checkpoints_cover_whole_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        write_log(tmp_path, name, {"id": "x"})
    states, read = LogStates(), list[str]()
    states.take(CheckpointEntry(v=1, at=1.0, logs=tuple(found_states(tmp_path, "*.jsonl", states))), 1)
    write_log(tmp_path, "b", {"id": "y"})

    def noted(path: Path) -> CoveredLog | None:
        read.append(path.name)
        return found_state(path)

    monkeypatch.setattr(module, "found_state", noted)
    assert [(state.file, state.size) for state in found_states(tmp_path, "*.jsonl", states)] == [("b.jsonl", 3)]
    assert read == ["b.jsonl"]
