"""Checkpoints: what is signed about all logs of a folder. Pure.

In: the state of logs. Out: entries of the list of checkpoints, and the text that is signed.

The list of checkpoints has a line of canonical JSON for each checkpoint, after a header with its origin. A line names
the logs that have grown since the checkpoint before: the file, the id, the number of lines, the Merkle root over these
lines and the `hash` of the last line. It also names logs that were removed because of their age. A checkpoint signs the
Merkle root over all lines of the list (a checkpoint of C2SP), so it covers every log that a line names, and the lines
that were signed before. If nothing has grown, a line with the time alone shows that the proxy was running.

Decision: docs/decisions/0041-checkpoints-cover-the-folder.md
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from guardproxy.audit.proof.tree import HASH_BYTES
from guardproxy.audit.record.canonical import canonical
from guardproxy.audit.record.chain import open_line
from guardproxy.errors import AuditError

CHECKPOINT_VERSION = 1

Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class TreeHead:
    """The text of a checkpoint. `origin`: the id of the list. `size`: the number of its lines. `root`: their Merkle
    root."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def read(cls, text: str) -> TreeHead:
        """Reads the text of a checkpoint; further lines are ignored. Raises `AuditError`."""
        try:
            origin, size, root, *_ = text.split("\n")
            head = cls(origin, int(size), base64.b64decode(root, validate=True))
            # Only the spelling that is signed is read: another one of the number or of the base64 would be another
            # text.
            if not origin or len(head.root) != HASH_BYTES or not text.startswith(head.text):
                raise ValueError
        except (ValueError, binascii.Error):
            raise AuditError("the note is not a checkpoint") from None
        return head

    @property
    def text(self) -> str:
        """Returns the text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


class CoveredLog(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The state of a log. `file`: its name. `log`: its id. `size`: the number of its lines, the header included.
    `root`: their Merkle root. `hash`: the `hash` of the last line. `found`: lines that no checkpoint covered before
    were found at a start, so another program may have written them."""

    file: str
    log: str
    size: Annotated[int, Meta(ge=1)]
    root: Hash
    hash: Hash
    found: bool = False


class RemovedLog(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A log that was removed after a time, which the settings name."""

    file: str
    log: str
    size: Annotated[int, Meta(ge=1)]
    root: Hash
    hash: Hash
    why: str


class ListHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line of the list of checkpoints."""

    v: int
    origin: str


class CheckpointEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A line of the list of checkpoints. `at`: Unix time in seconds. `logs`: the logs that have grown. `removed`: the
    logs that the process is about to remove."""

    v: int
    at: float
    logs: tuple[CoveredLog, ...] = ()
    removed: tuple[RemovedLog, ...] = ()


Line = TypeVar("Line", ListHeader, CheckpointEntry)


def write_line(entry: ListHeader | CheckpointEntry) -> bytes:
    """Returns a line of the list of checkpoints, with its newline."""
    return canonical(msgspec.to_builtins(entry)) + b"\n"


def read_header(line: bytes) -> ListHeader:
    """Reads the first line of a list. Raises `AuditError`."""
    return _read(line, ListHeader)


def read_checkpoint(line: bytes) -> CheckpointEntry:
    """Reads a further line of a list. Raises `AuditError`."""
    return _read(line, CheckpointEntry)


def _read(line: bytes, kind: type[Line]) -> Line:
    members = open_line(line)
    version = members.get("v") if members is not None else None
    if version != CHECKPOINT_VERSION or not line.endswith(b"\n"):
        if isinstance(version, int) and version > CHECKPOINT_VERSION:
            raise AuditError(f"the list of checkpoints has version {version}: use a newer release of guardproxy")
        raise AuditError("not a line of a list of checkpoints")
    try:
        return msgspec.convert(members, kind)
    except msgspec.ValidationError as error:
        raise AuditError(f"not a line of a list of checkpoints: {error}") from None


@dataclass(frozen=True, slots=True)
class Coverage:
    """The latest statement about a log. `number`: the checkpoint that made it. `at`: its time."""

    log: CoveredLog
    number: int
    at: float


class LogStates:
    """The latest statement about each log, by its id, after some checkpoints. `removed`: the ids of removed logs."""

    def __init__(self) -> None:
        self.covered: dict[str, Coverage] = {}
        self.removed: dict[str, RemovedLog] = {}

    def take(self, entry: CheckpointEntry, number: int) -> None:
        """Takes the next checkpoint. Raises `AuditError` if it states less about a log than the one before."""
        for log in entry.logs:
            before = self.covered.get(log.log)
            if before is not None and log.size < before.log.size:
                raise AuditError(
                    f"checkpoint {number} states {log.size} lines of {log.file}, "
                    f"and checkpoint {before.number} states {before.log.size}"
                )
            self.covered[log.log] = Coverage(log, number, entry.at)
        for removed in entry.removed:
            self.covered.pop(removed.log, None)
            self.removed[removed.log] = removed

    def grown(self, states: Iterable[CoveredLog]) -> tuple[CoveredLog, ...]:
        """Returns the states that say more than the checkpoints so far, one for each log, sorted by file."""
        newest: dict[str, CoveredLog] = {}
        for state in states:
            before = newest.get(state.log) or self.last(state.log)
            # A log that was removed stays so: a file with its id that comes back is not signed again.
            if state.log not in self.removed and (before is None or state.size > before.size):
                newest[state.log] = state
        return tuple(sorted(newest.values(), key=lambda state: state.file))

    def last(self, log: str) -> CoveredLog | None:
        """Returns the latest statement about a log."""
        coverage = self.covered.get(log)
        return coverage.log if coverage is not None else None
