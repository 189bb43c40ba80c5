"""The files of the checkpoints of a folder: their list, and the newest checkpoint. Several processes share them.

In: states of logs. Out: signed checkpoints. Kept: the tree over the list, its size in bytes, and the latest statement
about each log.

`checkpoints.list` has a line for each checkpoint, `checkpoint` is the newest one as a signed note. A checkpoint is
written under the lock of the folder, in this order: the line is appended and synced, then the note replaces the one
before. Lines beyond the note are left by a crash. They were not published, so the next writer removes them.

Nothing is signed that contradicts the newest checkpoint: the list must be the signed one, and must not have become
shorter.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from guardproxy.audit.proof.checkpoint import (
    CHECKPOINT_VERSION,
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
from guardproxy.audit.proof.note import PublicKey, SignedNote, Signer, sign
from guardproxy.audit.proof.tree import Frontier, line_hash
from guardproxy.audit.storage.disk import Disk, folder_lock, reason, replace_file, write_file
from guardproxy.engine import AnyPath
from guardproxy.errors import AuditError

LIST = "checkpoints.list"
NOTE = "checkpoint"
_MOVE = "see `guardproxy audit verify`, then move the folder of the log to another place"
_UNPUBLISHED_LINES = 2  # the header and the first checkpoint are written together


def read_note(folder: AnyPath) -> SignedNote | None:
    """Returns the newest checkpoint of a folder, if there is one. Raises `AuditError` and `OSError`."""
    path = folder / NOTE
    try:
        return SignedNote.read(path.read_bytes())
    except FileNotFoundError:
        return None
    except AuditError as error:
        raise AuditError(f"{path}: {error}") from None


def write_note(path: Path, note: SignedNote, disk: Disk | None = None) -> None:
    """Replaces the note in a file. The new one is durable when this returns. Raises `OSError`."""
    disk = disk or Disk()
    replace_file(disk, path, note.data)
    disk.sync_folder(path.parent)


class CheckpointStore:
    """The checkpoints of a folder, for processes that sign. `former`: keys that may have signed the newest checkpoint
    before this process started. Raises `AuditError` if the folder holds other checkpoints than were signed."""

    def __init__(
        self, folder: Path, signer: Signer, former: Sequence[PublicKey] = (), disk: Disk | None = None
    ) -> None:
        self.folder = folder
        self.states = LogStates()
        self.origin = ""
        self._disk = disk or Disk()
        self._signer = signer
        self._keys = (signer.public, *former)
        self._frontier = Frontier()
        self._end = 0
        try:
            self._disk.make_folder(folder)
            with folder_lock(folder):
                self._catch_up()
        except OSError as error:
            raise AuditError(f"{folder / LIST}: {reason(error)}") from None

    @property
    def size(self) -> int:
        """Returns the number of lines of the list, its header included."""
        return self._frontier.size

    def write(self, logs: Iterable[CoveredLog], at: float, removed: Sequence[RemovedLog] = ()) -> SignedNote:
        """Signs a checkpoint over the logs that have grown, and over what was signed before. `at`: Unix time in
        seconds. Raises `AuditError`; the next call continues with what is on disk."""
        try:
            with folder_lock(self.folder):
                self._catch_up()
                return self._write(logs, at, removed)
        except OSError as error:
            raise AuditError(f"{self.folder / LIST}: {reason(error)}") from None

    def _write(self, logs: Iterable[CoveredLog], at: float, removed: Sequence[RemovedLog]) -> SignedNote:
        origin = self.origin or f"{self._signer.public.name}/{secrets.token_hex(8)}"
        entry = CheckpointEntry(v=CHECKPOINT_VERSION, at=at, logs=self.states.grown(logs), removed=tuple(removed))
        header = [] if self.origin else [write_line(ListHeader(v=CHECKPOINT_VERSION, origin=origin))]
        lines = [*header, write_line(entry)]
        frontier = self._frontier.extended(map(line_hash, lines))
        note = sign(TreeHead(origin, frontier.size, frontier.root).text, self._signer)
        path = self.folder / LIST
        # The list first: after a crash, `_catch_up` removes lines that no note covers. A note about lines that are missing
        # could not be told from a list that somebody has cut.
        write_file(self._disk, path, b"".join(lines), os.O_APPEND)
        write_note(self.folder / NOTE, note, self._disk)
        self.origin, self._frontier = origin, frontier
        self._end += sum(map(len, lines))
        self.states.take(entry, frontier.size - 1)
        return note

    def _catch_up(self) -> None:
        """Reads what other processes have signed, checks it, and removes lines that were not published."""
        note = read_note(self.folder)
        if note is None:
            self._begin()
            return
        if not any(note.is_signed_by(key) for key in self._keys):
            raise AuditError(
                f"{self.folder / NOTE}: not signed with the key `{self._keys[0].name}`. After a change of the key, name "
                f"the public key before (--audit-former-key); otherwise {_MOVE}"
            )
        head = TreeHead.read(note.text)
        if head.size < self.size:
            raise AuditError(f"{self.folder / NOTE}: it was replaced by an older checkpoint; {_MOVE}")
        lines = list(self._lines(head.size - self.size))
        end = self._end + sum(map(len, lines))
        frontier = self._frontier.extended(map(line_hash, lines))
        is_whole = self._disk.stat(self.folder / LIST).size_bytes >= end and (not lines or lines[-1].endswith(b"\n"))
        is_signed = is_whole and (frontier.size, frontier.root) == (head.size, head.root)
        origin = read_header(lines.pop(0)).origin if is_signed and lines and not self.origin else self.origin
        if not is_signed or origin != head.origin:
            raise AuditError(f"{self.folder / LIST}: it is not the list that the newest checkpoint signs; {_MOVE}")
        for number, line in enumerate(lines, head.size - len(lines)):
            self.states.take(read_checkpoint(line), number)
        self.origin, self._frontier = origin, frontier
        self._end = end
        self._cut(end)

    def _begin(self) -> None:
        """Prepares a folder without a checkpoint."""
        path = self.folder / LIST
        lines = path.read_bytes().count(b"\n") if path.exists() else 0
        # More lines than a crash at the first checkpoint can leave: they were published once.
        if self.size or lines > _UNPUBLISHED_LINES:
            raise AuditError(f"{self.folder / NOTE}: it was removed; {_MOVE}")
        if path.exists():
            self._cut(0)

    def _cut(self, end: int) -> None:
        path = self.folder / LIST
        if self._disk.stat(path).size_bytes <= end:
            return
        fd = self._disk.open(path, os.O_RDWR)
        try:
            self._disk.truncate(fd, end)
            self._disk.sync(fd)
        finally:
            self._disk.close(fd)

    def _lines(self, count: int) -> Iterator[bytes]:
        """Yields up to `count` lines that follow the known part of the list."""
        if not count:
            return
        with (self.folder / LIST).open("rb") as lines:
            lines.seek(self._end)
            for _, line in zip(range(count), lines, strict=False):
                yield line
