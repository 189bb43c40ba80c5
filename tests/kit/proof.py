"""A folder of signed logs, made without threads that wait, and the ways in which somebody may tamper with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from guardproxy.audit.proof.folder import verify_folder
from guardproxy.audit.proof.note import PrivateKey, PublicKey, SignedNote
from guardproxy.audit.proof.store import CheckpointStore
from guardproxy.audit.proof.verification import verify_checkpoints
from guardproxy.audit.writing.log_file import FileSink, Rotation

KEY = PrivateKey.new("guard.example")
OTHER = PrivateKey.new("other.example")


@dataclass
class SignedFolder:
    """Logs that are written and signed step by step. `notes`: every checkpoint so far."""

    folder: Path
    key: PrivateKey = KEY
    rotation: Rotation = field(default_factory=Rotation)
    notes: list[SignedNote] = field(default_factory=list)
    at: float = 1_800_000_000.0

    def __post_init__(self) -> None:
        self.sinks: dict[str, FileSink] = {}
        self.store = CheckpointStore(self.folder, self.key)

    def write(self, name: str, ids: Iterable[str]) -> None:
        """Adds records to a log, which stays open."""
        if name not in self.sinks:
            self.sinks[name] = FileSink(
                self.folder,
                name,
                {"log": f"log-of-{name}"},
                rotation=self.rotation,
                stated=self.store.states.last,
                watch_s=600,
            )
        for exchange in ids:
            self.sinks[name].append({"id": exchange, "kind": "exchange"}).result(30)

    def sign(self) -> SignedNote:
        """Makes a checkpoint of all logs."""
        self.at += 10
        states = [state for sink in self.sinks.values() for state in sink.states()]
        self.notes.append(self.store.write(states, self.at))
        return self.notes[-1]

    def close(self) -> None:
        for sink in self.sinks.values():
            sink.close()


def sample(folder: Path, rotation_bytes: int = 600) -> SignedFolder:
    """Two logs in several files, and three checkpoints."""
    signed = SignedFolder(folder, rotation=Rotation(rotation_bytes))
    signed.write("a", ["a0", "a1"])
    signed.write("b", ["b0"])
    signed.sign()
    signed.write("a", ["a2", "a3", "a4"])
    signed.sign()
    signed.write("b", ["b1"])
    signed.write("a", ["a5"])
    signed.sign()
    signed.close()
    return signed


def codes(
    folder: Path, keys: Sequence[PublicKey] = (KEY.public,), copies: Sequence[SignedNote] = ()
) -> dict[str, list[str]]:
    """The codes of all problems, by file; those of the checkpoints as `checkpoint`."""
    report = verify_checkpoints(folder, keys, [(f"copy {number}", note) for number, note in enumerate(copies)])
    found = {"checkpoint": [problem.code for problem in report.problems]} if report else {}
    for log in verify_folder(folder, None, report):
        found[log.file] = [problem.code for problem in log.report.problems]
    return {file: list(dict.fromkeys(problems)) for file, problems in found.items() if problems}
