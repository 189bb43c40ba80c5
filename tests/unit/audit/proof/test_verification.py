"""An auditor with the folder, a public key and copies of checkpoints names every change; nothing is named without one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.audit.proof.checkpoint import CheckpointEntry, CoveredLog, ListHeader, TreeHead, write_line
from guardproxy.audit.proof.folder import verify_folder
from guardproxy.audit.proof.note import PrivateKey, SignedNote, cosign, sign
from guardproxy.audit.proof.store import LIST, NOTE, CheckpointStore
from guardproxy.audit.proof.tree import Frontier, line_hash
from guardproxy.audit.proof.verification import verify_checkpoints
from guardproxy.audit.record.chain import ChainHead, begin, open_line, seal
from guardproxy.audit.writing.log_file import FileSink
from tests.kit.proof import KEY, OTHER, SignedFolder, codes, sample

LOGS = ("a.1.jsonl", "a.2.jsonl", "a.jsonl", "b.jsonl")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SignedFolder:
    return sample(tmp_path_factory.mktemp("made") / "audit")


@pytest.fixture
def signed(made: SignedFolder, tmp_path: Path) -> SignedFolder:
    """A copy that a test may change."""
    shutil.copytree(made.folder, tmp_path / "audit")
    copy = object.__new__(SignedFolder)
    copy.folder, copy.key, copy.notes, copy.rotation = tmp_path / "audit", KEY, list(made.notes), made.rotation
    return copy


def test_nothing_was_done(signed: SignedFolder) -> None:
    assert sorted(path.name for path in signed.folder.glob("*.jsonl")) == list(LOGS)
    assert codes(signed.folder) == codes(signed.folder, copies=signed.notes) == codes(signed.folder, ()) == {}
    report = verify_checkpoints(signed.folder, [OTHER.public, KEY.public], [("copy", signed.notes[0])])
    assert report is not None
    assert (report.number, report.signed_by, report.copies) == (3, "guard.example", 1)
    notes = [note for log in verify_folder(signed.folder, None, report) for note in log.notes]
    assert [note for note in notes if "ended" not in note] == []


def test_a_folder_without_checkpoints(tmp_path: Path) -> None:
    sink = FileSink(tmp_path, "a", {"log": "a"})
    sink.append({"id": "x"}).result(30)
    sink.close()
    assert verify_checkpoints(tmp_path) is None
    assert codes(tmp_path, ()) == {}
    assert codes(tmp_path) == {"checkpoint": ["gone"]}


@given(st.integers(0, 3), st.data())
def test_any_changed_byte_is_found(made: SignedFolder, number: int, data: st.DataObject) -> None:
    path = made.folder / LOGS[number]
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[at]))
    try:
        path.write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
        assert path.name in codes(made.folder)
    finally:
        path.write_bytes(whole)


def rewrite(folder: Path) -> None:
    """The whole log is written anew with another record: all hashes of its chain are right."""
    line, head = begin({"log": "log-of-b"})
    lines = [line]
    for number in range(2):
        line, head = seal({"id": f"forged{number}", "kind": "exchange"}, head)
        lines.append(line)
    (folder / "b.jsonl").write_bytes(b"".join(lines))


def remove(folder: Path) -> None:
    (folder / "b.jsonl").unlink()


def rename(folder: Path) -> None:
    (folder / "b.jsonl").rename(folder / "z.jsonl")


def swap(folder: Path) -> None:
    (folder / "b.jsonl").rename(folder / "t")
    (folder / "a.jsonl").rename(folder / "b.jsonl")
    (folder / "t").rename(folder / "a.jsonl")


def roll_back_a_log(folder: Path) -> None:
    (folder / "b.jsonl").write_bytes(b"".join((folder / "b.jsonl").read_bytes().splitlines(keepends=True)[:2]))


def insert(folder: Path) -> None:
    sink = FileSink(folder, "c", {"log": "c"})
    sink.append({"id": "forged"}).result(30)
    sink.close()


def splice(folder: Path) -> None:
    """The end of another log, with hashes that fit."""
    lines = (folder / "b.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "b.jsonl").write_bytes(
        b"".join(lines[:2] + (folder / "a.jsonl").read_bytes().splitlines(keepends=True)[2:])
    )


def fork(folder: Path) -> None:
    """A second file that continues a log that has gone on elsewhere."""
    follows = {"file": "a.jsonl", "log": "log-of-a", "seq": 1, "hash": "0" * 64, "why": "x"}
    line, head = begin({"log": "forged", "follows": follows})
    (folder / "a.9.jsonl").write_bytes(line + seal({"id": "forged"}, head)[0])


def replace_list(folder: Path) -> None:
    """A list that another key signs, for logs that were written anew."""
    rewrite(folder)
    (folder / LIST).unlink()
    (folder / NOTE).unlink()
    CheckpointStore(folder, OTHER).write([], 1.0)


def drop_checkpoints(folder: Path) -> None:
    (folder / LIST).unlink()
    (folder / NOTE).unlink()


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (rewrite, {"b.jsonl": ["rewritten"]}),
        (remove, {"b.jsonl": ["gone"]}),
        (rename, {"b.jsonl": ["gone"], "z.jsonl": ["renamed"]}),
        (swap, {"a.jsonl": ["renamed"], "b.jsonl": ["renamed"]}),
        (roll_back_a_log, {"b.jsonl": ["cut"]}),
        (insert, {"c.jsonl": ["uncovered"]}),
        (splice, {"b.jsonl": ["link", "rewritten"]}),
        (fork, {"a.jsonl": ["rewritten"], "a.9.jsonl": ["uncovered"]}),
        (replace_list, {"checkpoint": ["signature"]}),
        (drop_checkpoints, {"checkpoint": ["gone"]}),
    ],
)
def test_every_attack_is_named(
    signed: SignedFolder, attack: Callable[[Path], None], said: dict[str, list[str]]
) -> None:
    for head in signed.folder.glob("*.head"):
        head.unlink()
    attack(signed.folder)
    assert codes(signed.folder) == said


def test_a_log_without_records_may_wait_for_its_first_checkpoint(signed: SignedFolder) -> None:
    FileSink(signed.folder, "c", {"log": "c"}).close()
    assert codes(signed.folder) == {}


def test_records_after_the_end_of_a_complete_log_are_found(signed: SignedFolder) -> None:
    path = signed.folder / "a.1.jsonl"
    last = open_line(path.read_bytes().splitlines(keepends=True)[-1])
    assert last is not None
    with path.open("ab") as log:
        log.write(seal({"id": "forged"}, ChainHead(last["seq"], last["hash"]))[0])
    assert codes(signed.folder) == {"a.1.jsonl": ["order"]}


def test_the_changed_lines_are_named(signed: SignedFolder) -> None:
    (signed.folder / "b.head").unlink()
    rewrite(signed.folder)
    report = verify_checkpoints(signed.folder, [KEY.public])
    (log,) = (log for log in verify_folder(signed.folder, None, report) if log.report.problems)
    messages = [problem.message for problem in log.report.problems]
    assert "lines 1 to 2 are not those that a checkpoint states: some were changed" in messages


def test_a_folder_that_is_rolled_back_shows_by_a_copy(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    signed = SignedFolder(folder)
    signed.write("a", ["x0"])
    signed.sign()
    shutil.copytree(folder, tmp_path / "before")
    signed.write("a", ["x1"])
    signed.sign()
    signed.close()
    assert codes(tmp_path / "before") == {}
    assert codes(tmp_path / "before", copies=signed.notes) == {"checkpoint": ["cut"]}
    # It goes on from there: another list of the same length.
    other = SignedFolder(tmp_path / "before")
    other.write("a", ["y1"])
    other.sign()
    other.sign()
    other.close()
    assert codes(tmp_path / "before") == {}
    assert codes(tmp_path / "before", copies=signed.notes) == {"checkpoint": ["rewritten"]}
    assert codes(folder, copies=[*signed.notes, *other.notes]) == {"checkpoint": ["rewritten", "cut"]}


def test_a_copy_of_another_folder_or_key(signed: SignedFolder, tmp_path: Path) -> None:
    other = CheckpointStore(tmp_path / "other", KEY).write([], 1.0)
    assert codes(signed.folder, copies=[other]) == {"checkpoint": ["rewritten"]}
    foreign = CheckpointStore(tmp_path / "foreign", OTHER).write([], 1.0)
    assert codes(signed.folder, copies=[foreign]) == {"checkpoint": ["signature"]}
    assert codes(signed.folder, copies=[sign("no checkpoint\n", KEY)]) == {"checkpoint": ["signature"]}
    assert codes(signed.folder, [OTHER.public]) == {"checkpoint": ["signature"]}


def test_a_junk_note(signed: SignedFolder) -> None:
    (signed.folder / NOTE).write_bytes(b"junk")
    assert codes(signed.folder) == {"checkpoint": ["signature"]}


def test_a_list_that_is_gone(signed: SignedFolder) -> None:
    (signed.folder / LIST).unlink()
    assert codes(signed.folder) == {"checkpoint": ["cut"]}


def test_what_is_newer_than_the_newest_checkpoint_is_a_note(tmp_path: Path) -> None:
    signed = SignedFolder(tmp_path)
    signed.write("a", ["x0"])
    signed.sign()
    signed.write("a", ["x1", "x2"])
    (tmp_path / "a.jsonl").rename(tmp_path / "hidden")
    signed.write("a", ["x3"])  # goes on in a new file, which is not covered yet
    (tmp_path / "hidden").rename(tmp_path / "a.jsonl")
    signed.close()
    with (tmp_path / LIST).open("ab") as listed:
        listed.write(b"{}\n")
    assert codes(tmp_path) == {}
    report = verify_checkpoints(tmp_path, [KEY.public])
    assert report is not None
    assert report.notes == ["checkpoints.list: 1 lines after the newest checkpoint are not signed"]
    notes = [note for log in verify_folder(tmp_path, None, report) for note in log.notes]
    assert "it began after the newest checkpoint: it is not signed yet" in notes
    assert "2 records after record 0 are newer than the newest checkpoint" in notes


def forged(folder: Path, *entries: CheckpointEntry) -> None:
    """A list that the key has signed, with lines that the proxy would not write."""
    lines = [write_line(ListHeader(v=1, origin="o")), *map(write_line, entries)]
    tree = Frontier().extended(map(line_hash, lines))
    folder.mkdir(exist_ok=True)
    (folder / LIST).write_bytes(b"".join(lines))
    (folder / NOTE).write_bytes(sign(TreeHead("o", tree.size, tree.root).text, KEY).data)


def test_a_list_that_contradicts_itself(tmp_path: Path) -> None:
    long = CoveredLog(file="a.jsonl", log="a", size=3, root="ab" * 32, hash="ab" * 32)
    short = CoveredLog(file="a.jsonl", log="a", size=2, root="ab" * 32, hash="ab" * 32)
    forged(tmp_path, CheckpointEntry(v=1, at=5.0, logs=(long,)), CheckpointEntry(v=1, at=4.0, logs=(short,)))
    assert codes(tmp_path) == {"checkpoint": ["rewritten"], "a.jsonl": ["gone"]}
    report = verify_checkpoints(tmp_path)
    assert report is not None
    assert report.notes == ["checkpoint 2 has an earlier time than the one before it: the clock went back"]


def test_a_witness(signed: SignedFolder) -> None:
    witness = PrivateKey.new("witness.example", is_witness=True)
    keys = [KEY.public, witness.public]
    assert codes(signed.folder, keys) == {"checkpoint": ["signature"]}
    copies: list[SignedNote] = [cosign(note, witness, 5) for note in signed.notes[:2]]
    assert codes(signed.folder, keys, copies) == {}
    report = verify_checkpoints(signed.folder, keys, [("copy", copy) for copy in copies])
    assert report is not None
    assert report.witnessed == 2
