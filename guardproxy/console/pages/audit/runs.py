"""Commands under way, each in a process of its own.

In: a command. Out: its progress, and what it printed and wrote. Kept: the last runs, with their files in a folder beside the
index, until they are old or the console ends. A process ends with its run: when a person cancels it, and with the console.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from guardproxy.audit import reason
from guardproxy.console.index import require_room
from guardproxy.console.pages.audit.commands import LIMIT_REPLAYED, LINES, Command, RunKind
from guardproxy.console.pages.audit.results import (
    ReplayedExchanges,
    RunProgress,
    VerifiedLog,
    progress_of,
    replayed_of,
    verified_of,
)
from guardproxy.errors import QueryError

KEPT = 12
"""Runs whose results are kept."""
LIMIT_BUSY = 2
"""Commands at the same time: they leave the processor to the proxy, and one of them reads the whole log."""
LIMIT_SAID = 20
END_S = 5.0
WATCH_S = 1.0
"""Between two looks at the room on the disk. No system call tells a process that a disk fills up, so it has to be asked."""
PRINTED = "printed"
PROGRESS = "GUARDPROXY_PROGRESS"
State = Literal["running", "done", "failed", "cancelled"]


@dataclass(slots=True)
class CommandRun:
    """A run of a command. `by`: who started it; `began_s`, `ended_s`: Unix time; `newest_s`: the time of the newest exchange at
    the start; `said`: the last lines of standard error; `chosen`: the exchanges that are replayed."""

    id: str
    command: Command
    folder: Path
    place: Path
    by: str
    began_s: float
    newest_s: float | None = None
    state: State = "running"
    ended_s: float | None = None
    progress: RunProgress | None = None
    said: list[str] = field(default_factory=list)
    chosen: int = 0
    verified: VerifiedLog | None = None
    replayed: ReplayedExchanges | None = None
    is_cancelled: bool = False
    is_full: bool = False
    process: asyncio.subprocess.Process | None = None
    task: asyncio.Task[None] | None = None

    @property
    def kind(self) -> RunKind:
        return self.command.kind

    @property
    def file(self) -> Path | None:
        """Returns the file that it wrote, once it is done; `None` if there is none."""
        path = self.place / self.command.file if self.command.file else None
        if self.state != "done" or path is None:
            return None
        zipped = path.with_name(f"{path.name}.zip")
        return zipped if zipped.exists() else path if path.exists() else None

    @property
    def size_bytes(self) -> int:
        """Returns how large the file is that it writes."""
        with suppress(OSError):
            return (self.place / self.command.file).stat().st_size if self.command.file else 0
        return 0


class CommandRuns:
    """The runs of a console. Used by its event loop alone."""

    def __init__(self) -> None:
        self._runs: dict[str, CommandRun] = {}
        self._is_watched = False

    def of(self, folder: Path) -> list[CommandRun]:
        """Returns the runs over a log, the newest first."""
        return [run for run in reversed(self._runs.values()) if run.folder == folder]

    def find(self, folder: Path, name: str) -> CommandRun | None:
        """Returns a run over a log."""
        run = self._runs.get(name)
        return run if run is not None and run.folder == folder else None

    def last_verified(self, folder: Path) -> CommandRun | None:
        """Returns the last run that verified a log to its end."""
        return next((run for run in self.of(folder) if run.verified is not None), None)

    def place_for(self, folder: Path, size_bytes: int = 0) -> tuple[str, Path]:
        """Returns the id and the folder of a new run, which is made. `size_bytes`: what the run may write. Raises
        `QueryError` if too many are under way, and `OSError`, also if the log would not have enough room left."""
        if sum(run.state == "running" for run in self._runs.values()) >= LIMIT_BUSY:
            raise QueryError(f"{LIMIT_BUSY} commands are under way: wait until one of them ends, or cancel it")
        require_room(folder, size_bytes)
        own = folder / ".console" / f"runs-{os.getpid()}"
        self._tidy(own)
        name = secrets.token_hex(6)
        place = own / name
        for each in (own.parent, own, place):
            each.mkdir(mode=0o700, exist_ok=each is not place)
        return name, place

    async def start(self, run: CommandRun, lines: Callable[[], Iterable[bytes]] | None = None) -> None:
        """Starts a run. `lines`: the lines of the log that it reads, which are written first, in a thread."""
        self._runs[run.id] = run
        run.task = asyncio.create_task(self._run(run, lines))
        while len(self._runs) > KEPT:
            oldest = next((run for run in self._runs.values() if run.state != "running"), None)
            if oldest is None:
                return
            del self._runs[oldest.id]
            shutil.rmtree(oldest.place, ignore_errors=True)

    async def cancel(self, run: CommandRun) -> None:
        """Ends a run, and waits until it has ended."""
        if run.state != "running":
            return
        run.is_cancelled = True
        if run.process is not None:
            _end(run.process, signal.SIGTERM)
        if run.task is not None:
            done, _ = await asyncio.wait([run.task], timeout=END_S)
            if not done and run.process is not None:
                _end(run.process, signal.SIGKILL)
                await asyncio.wait([run.task], timeout=END_S)

    async def _run(self, run: CommandRun, lines: Callable[[], Iterable[bytes]] | None) -> None:
        try:
            if lines is not None:
                run.chosen = await asyncio.to_thread(_write_lines, run, lines)
            code = None if run.is_cancelled else await self._process(run)
            if not run.is_cancelled and code in run.command.results:
                await asyncio.to_thread(_finish, run)
            is_done = code in run.command.results and not run.is_full
            run.state = "cancelled" if run.is_cancelled else "done" if is_done else "failed"
        except (OSError, QueryError) as error:
            run.said.append(reason(error) if isinstance(error, OSError) else str(error))
            run.state = "failed"
        finally:
            run.ended_s = time.time()
            run.process = None
            # These are copies of lines of the log: they must not outlive an erasure.
            (run.place / LINES).unlink(missing_ok=True)
            if run.state != "done" and run.command.file:
                _remove(run.place / run.command.file)

    async def _process(self, run: CommandRun) -> int:
        nice = [found, "-n", "10"] if (found := shutil.which("nice")) else []
        command = [*nice, sys.executable, "-m", "guardproxy", *run.command.arguments]
        printed = os.open(run.place / PRINTED, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=printed,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, PROGRESS: "lines"},
                # The command may start workers. A group of their own lets all of them be ended by one signal.
                start_new_session=True,
            )
        finally:
            os.close(printed)
        run.process = process
        watch = asyncio.create_task(_watch_room(run, process))
        try:
            return await self._followed(run, process)
        finally:
            watch.cancel()

    @staticmethod
    async def _followed(run: CommandRun, process: asyncio.subprocess.Process) -> int:
        """Reads what a process says, until it ends."""
        if run.is_cancelled:
            _end(process, signal.SIGTERM)
        assert process.stderr is not None  # noqa: S101 - a pipe
        while data := await _line(process.stderr):
            line = data.decode("utf-8", "replace").rstrip()
            if (found_progress := progress_of(line)) is not None:
                run.progress = found_progress
            elif line:
                run.said[:] = [*run.said, line][-LIMIT_SAID:]
        return await process.wait()

    def _tidy(self, own: Path) -> None:
        """Removes what runs of consoles that are gone have left, once, and sees to it that this one leaves nothing."""
        if self._is_watched:
            return
        self._is_watched = True
        atexit.register(self._end_all)
        for left in own.parent.glob("runs-*"):
            number = left.name.removeprefix("runs-")
            # A second proxy may share the log, and its console may have runs under way.
            if left != own and not (number.isdecimal() and Path(f"/proc/{number}").exists()):
                shutil.rmtree(left, ignore_errors=True)

    def _end_all(self) -> None:
        for run in self._runs.values():
            if run.process is not None:
                _end(run.process, signal.SIGKILL)
            shutil.rmtree(run.place.parent, ignore_errors=True)


async def _line(stream: asyncio.StreamReader) -> bytes:
    """Returns the next line; of a very long one its end."""
    while True:
        try:
            return await stream.readline()
        except ValueError:
            continue


async def _watch_room(run: CommandRun, process: asyncio.subprocess.Process) -> None:
    """Ends a process that would take the room that the log needs."""
    while not run.is_full:
        await asyncio.sleep(WATCH_S)  # no system tells when room on a disk runs out, so it is looked at
        try:
            require_room(run.place)
        except OSError as error:
            run.said.append(reason(error))
            run.is_full = True
            _end(process, signal.SIGTERM)


def _write_lines(run: CommandRun, lines: Callable[[], Iterable[bytes]]) -> int:
    """Writes the lines that a run reads. Returns their number."""
    count = 0
    with open(os.open(run.place / LINES, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        for line in lines():
            if run.is_cancelled or count >= LIMIT_REPLAYED:
                break
            out.write(line)
            count += 1
    if not count and not run.is_cancelled:
        raise QueryError("no exchange fits the filter")
    return count


def _finish(run: CommandRun) -> None:
    """Reads what a command printed, and packs a folder that it wrote."""
    printed = run.place / PRINTED
    if run.kind.name == "verify":
        run.verified = verified_of(printed.read_bytes())
    elif run.kind.name == "replay":
        with printed.open("rb") as lines:
            run.replayed = replayed_of(lines)
    written = run.place / run.command.file
    if run.command.file and written.is_dir():
        shutil.make_archive(str(written), "zip", written)


def _remove(path: Path) -> None:
    """Removes what a command wrote: a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _end(process: asyncio.subprocess.Process, how: signal.Signals) -> None:
    """Ends a process and those that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, how)


RUNS = CommandRuns()
"""Of this process: a console serves one proxy."""
