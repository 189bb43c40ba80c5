"""Checkpoints: their text, their lines, and which logs a line names."""

from __future__ import annotations

import msgspec
import pytest

from guardproxy.audit.proof.checkpoint import (
    CheckpointEntry,
    CoveredLog,
    ListHeader,
    LogStates,
    RemovedLog,
    TreeHead,
    read_checkpoint,
    read_header,
    write_line,
)
from guardproxy.errors import AuditError

HEAD = TreeHead("guard.example/0123", 7, bytes(range(32)))
TEXT = "guard.example/0123\n7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
DIGEST = "ab" * 32


def state(file: str = "a.jsonl", log: str = "a", size: int = 1) -> CoveredLog:
    return CoveredLog(file=file, log=log, size=size, root=DIGEST, hash=DIGEST)


def test_the_text_is_that_of_c2sp() -> None:
    assert HEAD.text == TEXT
    assert TreeHead.read(TEXT) == HEAD
    assert TreeHead.read(TEXT + "more\n") == HEAD


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n1\n",
        TEXT.replace("7", "07"),
        TEXT.replace("7", "x"),
        TEXT.replace("h8=", "h9="),
        TEXT.replace("AAEC", "AA"),
        TEXT.replace("AAEC", "\u00e9AEC"),
        TEXT[:-1],
        "\n" + TEXT.partition("\n")[2],
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(AuditError, match="not a checkpoint"):
        TreeHead.read(text)


def test_lines_are_read_back() -> None:
    header = ListHeader(v=1, origin="x")
    gone = RemovedLog(file="b.jsonl", log="b", size=3, root=DIGEST, hash=DIGEST, why="older than 30 days")
    for entry in (CheckpointEntry(v=1, at=1.5), CheckpointEntry(v=1, at=1.5, logs=(state(),), removed=(gone,))):
        assert read_checkpoint(write_line(entry)) == entry
    assert read_header(write_line(header)) == header
    assert write_line(CheckpointEntry(v=1, at=2.0)) == b'{"at":2.0,"v":1}\n'


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"x\n",
        b"[]\n",
        b'{"at":1.0,"v":1}',
        b'{"v":1, "at":1.0}\n',
        b'{"at":1.0}\n',
        b'{"at":"x","v":1}\n',
        b'{"v":"9"}\n',
    ],
)
def test_what_is_no_line(line: bytes) -> None:
    with pytest.raises(AuditError, match="not a line of a list of checkpoints"):
        read_checkpoint(line)


def test_a_newer_version_is_refused() -> None:
    with pytest.raises(AuditError, match="use a newer release"):
        read_checkpoint(b'{"at":1.0,"v":2}\n')


def test_a_line_names_logs_that_have_grown() -> None:
    states = LogStates()
    states.take(CheckpointEntry(v=1, at=1.0, logs=(state(size=2), state("b.jsonl", "b"))), 1)
    assert states.last("c") is None
    assert states.grown([state(size=2), state(size=1), state("b.jsonl", "b", 1)]) == ()
    assert states.grown([state("c.jsonl", "c"), state(size=5), state(size=4)]) == (state(size=5), state("c.jsonl", "c"))
    with pytest.raises(AuditError, match=r"checkpoint 2 states 1 lines of a\.jsonl, and checkpoint 1 states 2"):
        states.take(CheckpointEntry(v=1, at=1.0, logs=(state(size=1),)), 2)
    gone = RemovedLog(**msgspec.to_builtins(state(size=2)), why="old")
    states.take(CheckpointEntry(v=1, at=3.0, removed=(gone,)), 2)
    assert {name: (found.number, found.at) for name, found in states.covered.items()} == {"b": (1, 1.0)}
    assert states.grown([state(size=9)]) == ()
