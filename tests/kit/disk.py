"""A disk whose steps fail, tear or kill at will, and what must hold of a folder afterwards."""

from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path
from typing import Any

from guardproxy.audit.proof.folder import verify_folder
from guardproxy.audit.storage.disk import Disk, Stat
from guardproxy.audit.writing.log_file import FileSink


class Faulty(Disk):
    """The step number `at`, counted from 0, fails with `code`, and the `lasting` steps after it. `torn`: how many bytes a write
    that fails has written before. `kill`: the process ends there, before the step, or after it where `after` is set."""

    def __init__(self, at: int, code: int = errno.EIO, *, lasting: int = 0, torn: int = 0, kill: str = "") -> None:
        self.steps = 0
        self.at = at
        self.code = code
        self.lasting = lasting
        self.torn = torn
        self.kill = kill

    def _step(self) -> bool:
        number, self.steps = self.steps, self.steps + 1
        return self.at <= number <= self.at + self.lasting

    def _do(self, name: str, *arguments: Any) -> Any:
        hit = self._step()
        if hit and self.kill == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if hit and not self.kill:
            if name == "write" and self.torn:
                fd, data = arguments
                super().write(fd, data[: self.torn])
            raise OSError(self.code, os.strerror(self.code))
        done = getattr(super(), name)(*arguments)
        if hit:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    def make_folder(self, folder: Path) -> None:
        self._do("make_folder", folder)

    def open(self, path: Path, flags: int) -> int:
        return int(self._do("open", path, flags))

    def lock(self, fd: int) -> None:
        self._do("lock", fd)

    def stat(self, where: Path | str | int) -> Stat:
        found: Stat = self._do("stat", where)
        return found

    def read(self, fd: int, size_bytes: int, offset: int) -> bytes:
        return bytes(self._do("read", fd, size_bytes, offset))

    def write(self, fd: int, data: memoryview) -> int:
        return int(self._do("write", fd, data))

    def sync(self, fd: int) -> None:
        self._do("sync", fd)

    def truncate(self, fd: int, size_bytes: int) -> None:
        self._do("truncate", fd, size_bytes)

    def replace(self, old: Path, new: Path) -> None:
        self._do("replace", old, new)

    def remove(self, path: Path) -> None:
        self._do("remove", path)

    def sync_folder(self, folder: Path) -> None:
        self._do("sync_folder", folder)


def wait_healthy(sink: FileSink) -> None:
    """Returns when the writer thread has recovered."""
    while not sink.healthy:
        sink._thread.join(0.0005)
        assert sink._thread.is_alive()


def kept(folder: Path) -> list[str]:
    """The ids of all records that the logs of a folder hold."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            try:
                found.append(str(json.loads(line)["id"]))
            except (ValueError, KeyError):
                continue
    return found


def problems(folder: Path) -> list[str]:
    """The problems that the verification of the folder reports."""
    return [problem.message for found in verify_folder(folder) for problem in found.report.problems]
