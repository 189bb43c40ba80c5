"""Reads what a checkpoint states about a log from its file.

In: logs that no process writes. Out: the states of their complete lines. Kept: the states of the logs of commands, of
which only further lines are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG

from guardproxy.audit.proof.checkpoint import CoveredLog, LogStates
from guardproxy.audit.proof.folder import header_of
from guardproxy.audit.proof.lines import ADDED_AT_ONCE
from guardproxy.audit.proof.tree import Frontier, line_hash
from guardproxy.audit.record.chain import open_line
from guardproxy.audit.record.commands import OPERATOR_FILES, is_of_command
from guardproxy.audit.storage.disk import folder_lock, is_held
from guardproxy.audit.storage.ending import last_line


def found_states(folder: Path, pattern: str, states: LogStates) -> list[CoveredLog]:
    """Returns the states of the logs in a folder that no process holds and no checkpoint covers, or covers only in part.
    `pattern`: of their file names. Logs that cannot be read are left out. Of a log that checkpoints cover whole, only both
    ends are read."""
    found = []
    with folder_lock(folder):  # another process that opens a log must not find it held by this one
        for path in sorted(folder.glob(pattern)):
            with suppress(OSError):
                state = None if is_held(path) or _is_known(path, states) else found_state(path)
                if state is not None:
                    found.append(state)
    return [*states.grown(found)]


def _is_known(path: Path, states: LogStates) -> bool:
    """Whether the last line of a log is the last line that a checkpoint states, so that the log need not be read."""
    known = states.last(str(header_of(path).get("log", "")))
    return known is not None and known.hash == hash_of(last_line(path))


def found_state(path: Path) -> CoveredLog | None:
    """Returns the state of the complete lines of a log; `None` if it has no header, or its last line has no hash. Raises
    `OSError`."""
    frontier, waiting, header, last = Frontier(), [], b"", b""
    with path.open("rb") as lines:
        for line in _complete(lines):
            header, last = header or line, line
            waiting.append(line_hash(line))
            if len(waiting) >= ADDED_AT_ONCE:
                frontier, waiting = frontier.extended(waiting), []
    frontier = frontier.extended(waiting)
    log, digest = (open_line(header) or {}).get("log"), hash_of(last)
    if not isinstance(log, str) or not log or not digest:
        return None
    return CoveredLog(
        file=path.name, log=log, size=frontier.size, root=frontier.root.hex(), hash=digest, found=frontier.size > 1
    )


def hash_of(line: bytes) -> str:
    """Returns the `hash` of a line of a log; empty if it has none."""
    digest = (open_line(line) or {}).get("hash")
    return digest if isinstance(digest, str) else ""


def _complete(lines: Iterator[bytes]) -> Iterator[bytes]:
    for line in lines:
        if line.endswith(b"\n"):
            yield line


@dataclass(slots=True)
class _CommandLog:
    """What was read of a log of commands. `mark`: see `_mark`. `end`: the offset after the last line. `tree`: the Merkle tree
    over the lines. `log`: the id. `hash`: the `hash` of the last line."""

    mark: tuple[int, int, int]
    end: int = 0
    tree: Frontier = field(default_factory=Frontier)
    log: str = ""
    hash: str = ""

    def read(self, path: Path) -> None:
        """Reads the further lines. If one is not of a command, none of them is taken. Raises `OSError`."""
        with path.open("rb") as lines:
            lines.seek(self.end)
            added = list(_complete(lines))
        # The first line of the file is its header, which is no entry of a command.
        if not added or not all(map(is_of_command, added if self.end else added[1:])):
            return
        log = self.log or (open_line(added[0]) or {}).get("log")
        digest = hash_of(added[-1])
        if isinstance(log, str) and digest:
            self.log, self.hash = log, digest
            self.tree = self.tree.extended(map(line_hash, added))
            self.end += sum(map(len, added))

    def state(self, path: Path) -> CoveredLog:
        """Returns the state of the lines, of which there is at least one."""
        size, root = self.tree.size, self.tree.root.hex()
        return CoveredLog(file=path.name, log=self.log, size=size, root=root, hash=self.hash, found=size > 1)


class CommandLogs:
    """The logs of commands in `folder`, which a checkpoint covers although another process writes them. Each line is read
    once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs: dict[Path, _CommandLog] = {}

    def states(self) -> list[CoveredLog]:
        """Returns their states. A log that a command holds now, or that holds other entries, keeps the state that it had.
        Raises `OSError` if the folder cannot be locked."""
        changed = [path for path in self._folder.glob(OPERATOR_FILES) if self._is_changed(path)]
        if changed:
            with folder_lock(self._folder):  # a command that opens a log must not find it held by this process
                for path in changed:
                    with suppress(OSError):
                        self._read(path)
        return [log.state(path) for path, log in self._logs.items() if log.tree.size]

    def _is_changed(self, path: Path) -> bool:
        mark = _mark(path)
        return mark is not None and (path not in self._logs or self._logs[path].mark != mark)

    def _read(self, path: Path) -> None:
        mark = _mark(path)  # before the file is read: what comes later is another change
        if mark is None or is_held(path):
            return
        log = self._logs.get(path)
        if log is None or log.mark[0] != mark[0]:
            log = self._logs[path] = _CommandLog(mark)
        log.read(path)
        log.mark = mark


def _mark(path: Path) -> tuple[int, int, int] | None:
    """Returns the inode, the size in bytes and the time of change of a file; `None` if there is no such file."""
    with suppress(OSError):
        status = path.stat()
        if S_ISREG(status.st_mode):
            return status.st_ino, status.st_size, status.st_mtime_ns
    return None
