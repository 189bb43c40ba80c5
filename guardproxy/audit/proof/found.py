"""Reads what a checkpoint states about a log from its file.

In: logs that no process writes. Out: the states of their complete lines. Kept: the states of the logs of commands, which
are read again when they have changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from guardproxy.audit.chain import open_line
from guardproxy.audit.commands import OPERATOR_FILES, holds_commands_only
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


class CommandLogs:
    """The logs of commands in `folder`, which a checkpoint covers although another process writes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, tuple[tuple[int, int, int], CoveredLog | None]] = {}

    def states(self) -> list[CoveredLog]:
        """Returns their states. A log that a command holds now, or that holds other entries, keeps the state that it had.
        Raises `OSError` if the folder cannot be locked."""
        changed = {
            path: mark for path in self._folder.glob(OPERATOR_FILES) if (mark := _mark(path)) != self._last(path)
        }
        if changed:
            with folder_lock(self._folder):  # a command that opens a log must not find it held by this process
                for path, mark in changed.items():
                    self._take(path, mark)
        return [state for _, state in self._read.values() if state is not None]

    def _last(self, path: Path) -> tuple[int, int, int] | None:
        return self._read[path][0] if path in self._read else None

    def _take(self, path: Path, mark: tuple[int, int, int] | None) -> None:
        with suppress(OSError):
            if mark is not None and not is_held(path):
                _, before = self._read.get(path, (mark, None))
                self._read[path] = mark, found_state(path) if holds_commands_only(path) else before


def _mark(path: Path) -> tuple[int, int, int] | None:
    """Returns what differs after a change of a file; `None` if it cannot be read."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
