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

from guardproxy.audit.chain import open_line
from guardproxy.audit.commands import OPERATOR_FILES, is_of_command
from guardproxy.audit.disk import folder_lock, is_held
from guardproxy.audit.proof.checkpoint import CoveredLog, LogStates
from guardproxy.audit.proof.lines import ADDED_AT_ONCE
from guardproxy.audit.proof.tree import Frontier, line_hash


def found_states(folder: Path, pattern: str, states: LogStates) -> list[CoveredLog]:
    """Returns the states of the logs in a folder that no process holds and no checkpoint covers, or covers only in part.
    `pattern`: of their file names. Logs that cannot be read are left out."""
    found = []
    with folder_lock(folder):  # another process that opens a log must not find it held by this one
        for path in sorted(folder.glob(pattern)):
            with suppress(OSError):
                state = None if is_held(path) else found_state(path)
                if state is not None:
                    found.append(state)
    return [*states.grown(found)]


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
    log, digest = (open_line(header) or {}).get("log"), (open_line(last) or {}).get("hash")
    if not isinstance(log, str) or not log or not isinstance(digest, str):
        return None
    return CoveredLog(
        file=path.name, log=log, size=frontier.size, root=frontier.root.hex(), hash=digest, found=frontier.size > 1
    )


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
        if not added or not all(map(is_of_command, added if self.end else added[1:])):
            return
        log = self.log or (open_line(added[0]) or {}).get("log")
        digest = (open_line(added[-1]) or {}).get("hash")
        if isinstance(log, str) and isinstance(digest, str):
            self.log, self.hash = log, digest
            self.tree = self.tree.extended(map(line_hash, added))
            self.end += sum(map(len, added))

    def states(self, path: Path) -> list[CoveredLog]:
        """Returns the state of the lines, if there are any."""
        size, root = self.tree.size, self.tree.root.hex()
        state = CoveredLog(file=path.name, log=self.log, size=size or 1, root=root, hash=self.hash, found=size > 1)
        return [state] if size else []


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
        return [state for path, log in self._logs.items() for state in log.states(path)]

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
    """Returns the inode, the size in bytes and the time of change of a file; `None` if it is none."""
    with suppress(OSError):
        status = path.stat()
        if S_ISREG(status.st_mode):
            return status.st_ino, status.st_size, status.st_mtime_ns
    return None
