"""Every flipped bit, truncation, removed, repeated, swapped or rewritten line of a small signed log is found.

The sample: a log in two files, heads, two checkpoints, and a record after the newest checkpoint. What is not found is listed
in `UNSIGNED` and in the documentation: a test fails for each other change that is not found, and for each change in the
list that is found. Folders of several logs are in `test_verification.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pytest

from guardproxy.audit.proof.checkpoint import read_checkpoint, write_line
from guardproxy.audit.proof.folder import verify_folder
from guardproxy.audit.proof.store import LIST, NOTE
from guardproxy.audit.proof.verification import CheckpointReport, verify_checkpoints
from guardproxy.audit.record.chain import ChainHead, begin, open_line, read_head, seal, write_head
from guardproxy.audit.writing.log_file import Rotation
from tests.kit.processes import ROOT
from tests.kit.proof import KEY, SignedFolder

SIGNED_LINES = {"a.jsonl": 2, "a.1.jsonl": 2}  # a.1.jsonl has one more
END = "the end of a log after the newest checkpoint can be cut off or rewritten"
MORE = "lines of the list of checkpoints after the newest checkpoint"
HEAD = "a head in the folder of the log can be removed, or lack its newline"
UNSIGNED = (END, MORE, HEAD)


class Change(NamedTuple):
    """A file with other bytes; `None`: the file is removed. `name`: its entry in `UNSIGNED`, if it need not be found."""

    file: str
    data: bytes | None
    name: str = ""


pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "audit"
    signed = SignedFolder(folder, rotation=Rotation(200))
    signed.write("a", ["a0"])
    signed.sign()
    signed.write("a", ["a1"])
    signed.sinks["a"]._rotation = Rotation()  # it stays in this file
    signed.sign()
    signed.write("a", ["a2"])
    signed.close()
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(made, tmp_path / "audit")
    return tmp_path / "audit"


def lines_of(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def flips(file: str, data: bytes) -> Iterator[Change]:
    for at in range(len(data)):
        for bit in range(8):
            yield Change(file, data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])


def cuts(file: str, data: bytes) -> Iterator[Change]:
    """At every byte, down to nothing."""
    ends = {0}
    for line in lines_of(data):
        ends.add(max(ends) + len(line))
    signed = len(b"".join(lines_of(data)[: SIGNED_LINES.get(file, 0)]))
    for end in range(len(data)):
        is_tail = file in SIGNED_LINES and end >= signed and end in ends
        yield Change(
            file,
            data[:end],
            END if is_tail else "",
        )


def moves(file: str, data: bytes) -> Iterator[Change]:
    """Each line removed, each line repeated at each place, each two lines swapped."""
    lines = lines_of(data)
    for index, line in enumerate(lines):
        is_last = file == "a.1.jsonl" and index == len(lines) - 1
        rest = lines[:index] + lines[index + 1 :]
        yield Change(
            file,
            b"".join(rest),
            END if is_last else "",
        )
        for place in range(len(lines) + 1):
            more = b"".join([*lines[:place], line, *lines[place:]])
            yield Change(
                file,
                more,
                MORE if file == LIST and more.startswith(data) else "",
            )
    for first, second in combinations(range(len(lines)), 2):
        swapped = [*lines]
        swapped[first], swapped[second] = swapped[second], swapped[first]
        yield Change(file, b"".join(swapped))


def rewritten(file: str, data: bytes) -> Iterator[Change]:
    """Each line with another content, and all hashes after it made anew; so only what is signed tells."""
    lines = lines_of(data)
    for index in range(len(lines)):
        out: list[bytes] = []
        head = ChainHead(-1, "")
        for number, line in enumerate(lines):
            members = open_line(line)
            assert members is not None
            rest = {name: value for name, value in members.items() if name not in ("seq", "prev", "hash", "format")}
            if number == index:
                rest["forged"] = True
            again, head = seal(rest, head) if number else begin(rest)
            out.append(again)
        is_tail = index >= SIGNED_LINES[file]
        yield Change(
            file,
            b"".join(out),
            END if is_tail else "",
        )


def rewritten_list(data: bytes) -> Iterator[Change]:
    lines = lines_of(data)
    yield Change(LIST, b"".join([lines[0].replace(b"guard.example", b"other.example"), *lines[1:]]))
    for index in range(1, len(lines)):
        entry = read_checkpoint(lines[index])
        other = write_line(type(entry)(v=entry.v, at=entry.at + 1, logs=entry.logs, removed=entry.removed))
        yield Change(LIST, b"".join([*lines[:index], other, *lines[index + 1 :]]))


def put(path: Path, data: bytes) -> None:
    """In place: a file that is emptied first is written to the disk, which takes milliseconds."""
    with path.open("r+b" if path.exists() else "xb") as file:
        file.write(data)
        file.truncate()


def found(folder: Path, signed: CheckpointReport | None) -> list[str]:
    """All problems. `signed`: the report of the checkpoints, where these are not changed."""
    report = signed or verify_checkpoints(folder, [KEY.public])
    assert report is not None
    logs = verify_folder(folder, None, report) if signed or not report.problems else []
    return [
        *(problem.code for problem in report.problems),
        *(problem.code for log in logs for problem in log.report.problems),
    ]


def check(folder: Path, changes: Iterator[Change], signed: CheckpointReport | None = None) -> tuple[int, set[str]]:
    """Asserts that every change is found that must be. Returns their number, and the names of those that need not be."""
    count, names = 0, set()
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    for change in changes:
        path = folder / change.file
        assert change.data != whole[change.file]
        if change.data is None:
            path.unlink()
        else:
            put(path, change.data)
        problems = found(folder, signed)
        assert bool(problems) is not bool(change.name), (change, problems)
        put(path, whole[change.file])
        count += 1
        names.add(change.name)
    return count, names - {""}


def without_heads(folder: Path) -> Path:
    """Heads that lie in the folder are not signed. Nothing may rest on them."""
    for head in folder.glob("*.head"):
        head.unlink()
    return folder


def test_the_sample_is_intact(folder: Path) -> None:
    assert found(folder, None) == found(without_heads(folder), None) == []
    logs = {path.name: len(lines_of(path.read_bytes())) for path in folder.glob("*.jsonl")}
    assert logs == {"a.jsonl": 2, "a.1.jsonl": 3}


@pytest.mark.parametrize("file", SIGNED_LINES)
def test_every_change_of_a_log(folder: Path, file: str) -> None:
    """Nobody changes the checkpoints here, so they are verified once."""
    report = verify_checkpoints(without_heads(folder), [KEY.public])
    data = (folder / file).read_bytes()
    assert check(folder, flips(file, data), report) == (8 * len(data), set())
    named = {END} if file == "a.1.jsonl" else set()
    assert check(folder, cuts(file, data), report) == (len(data), named)
    assert check(folder, moves(file, data), report)[1] == named
    assert check(folder, rewritten(file, data), report)[1] == named
    assert check(folder, iter([Change(file, None)]), report) == (1, set())


def test_every_change_of_the_checkpoints(folder: Path) -> None:
    listed, note = ((without_heads(folder) / name).read_bytes() for name in (LIST, NOTE))
    assert check(folder, flips(LIST, listed)) == (8 * len(listed), set())
    assert check(folder, flips(NOTE, note)) == (8 * len(note), set())
    assert check(folder, cuts(LIST, listed)) == (len(listed), set())
    assert check(folder, cuts(NOTE, note)) == (len(note), set())
    assert check(folder, moves(LIST, listed))[1] == {MORE}
    assert check(folder, rewritten_list(listed)) == (len(lines_of(listed)), set())
    assert check(folder, iter([Change(LIST, None), Change(NOTE, None)])) == (2, set())


def test_every_change_of_a_head(folder: Path) -> None:
    report = verify_checkpoints(folder, [KEY.public])
    for file in ("a.head", "a.1.head"):
        data = (folder / file).read_bytes()
        assert check(folder, flips(file, data), report) == (8 * len(data), set())
        short = (Change(file, data[:end], HEAD if end == len(data) - 1 else "") for end in range(len(data)))
        assert check(folder, short, report) == (len(data), {HEAD})
        assert check(folder, iter([Change(file, None, HEAD)]), report) == (1, {HEAD})
        log = str((open_line(data) or {})["log"])
        other = ChainHead(read_head(data).seq, "0" * 64)
        assert check(folder, iter([Change(file, write_head(log, other))]), report) == (1, set())


@pytest.mark.parametrize("file", SIGNED_LINES)
def test_without_a_key_copies_of_heads_find_every_change_up_to_them(folder: Path, tmp_path: Path, file: str) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    for head in folder.glob("*.head"):
        head.rename(copies / head.name)
    data = (folder / file).read_bytes()
    for change in (*flips(file, data), *cuts(file, data), *moves(file, data), *rewritten(file, data)):
        assert change.data is not None
        put(folder / file, change.data)
        assert any(log.report.problems for log in verify_folder(folder, copies)), change
    put(folder / file, data)
    assert not any(log.report.problems for log in verify_folder(folder, copies))


def test_what_is_not_found_is_in_the_documentation() -> None:
    page = " ".join((ROOT / "docs" / "audit" / "verify.md").read_text("utf-8").split())
    for name in UNSIGNED:
        assert f"{name[0].upper()}{name[1:]}." in page, name
