"""Gives tasks to workbenches: one for what people type, and one for each long task.

In: tasks of people. Out: replies. A task that takes too long ends with its process. A new task of a person for the same place
takes the place of the old one. A process that nobody uses goes after a while.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from guardproxy.console.pages.policies.tasks import (
    HEADER_BYTES,
    MOST_BYTES,
    BenchReply,
    BenchTask,
    CancelledTask,
    CancelTask,
    FailedTask,
    ReturnedReply,
    SentTask,
    TaskProgress,
    decode_returned,
    encode,
)

START_S = 240.0  # to start a process and to load the policies as they are
QUICK_S = 10.0
SLOW_S = 60.0
TESTS_S = 300.0
DIFF_S = 1800.0
IDLE_S = 300.0
LONG_AT_ONCE = 2
MODULE = "guardproxy.console.pages.policies.workbench"
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "PYTHONHASHSEED", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "TMPDIR")


@dataclass(slots=True)
class TaskBench:
    """A process that does one task after the other. `first`: the task with which a process starts, so that the time of others
    does not count what is loaded once."""

    process: asyncio.subprocess.Process | None = None
    number: int = 0
    first: BenchTask | None = None

    async def ask(
        self, task: BenchTask, timeout_s: float, progress: Callable[[TaskProgress], object] | None = None
    ) -> BenchReply:
        """Returns the reply to a task. After an error or `timeout_s` seconds the process is ended, and the next task starts
        another."""
        if self.first is not None and not self._runs:
            begun = await self._ask(self.first, START_S, None)
            if isinstance(begun, FailedTask) and not self._runs:
                return begun
        return await self._ask(task, timeout_s, progress)

    @property
    def _runs(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def _ask(
        self, task: BenchTask, timeout_s: float, progress: Callable[[TaskProgress], object] | None
    ) -> BenchReply:
        self.number += 1
        number = self.number
        try:
            async with asyncio.timeout(timeout_s):
                process = await self._started()
                await self._send(process, SentTask(number, task))
                while True:
                    returned = await self._next(process)
                    if isinstance(returned.what, TaskProgress):
                        if progress is not None and returned.number == number:
                            progress(returned.what)
                    elif returned.number == number:
                        return returned.what
        except TimeoutError:
            await self.close()
            return FailedTask(f"it takes more than {timeout_s:g} s")
        except (OSError, EOFError, asyncio.IncompleteReadError, ValueError):
            await self.close()
            return FailedTask("the process that evaluates policies has ended; it may have used too much memory")
        except BaseException:
            await self.close()  # a reply may be on its way
            raise

    async def cancel(self) -> None:
        """Asks the task that runs to end. Its reply comes nevertheless."""
        if self.process is not None and self._runs:
            with suppress(OSError):
                await self._send(self.process, SentTask(0, CancelTask(self.number)))

    async def close(self) -> None:
        """Ends the process."""
        process, self.process = self.process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await asyncio.shield(process.wait())
        # The transport ends when both pipes have ended; without a read of the rest it would stay.
        if process.stdout is not None:
            while await process.stdout.read(65536):
                pass

    async def _started(self) -> asyncio.subprocess.Process:
        if self.process is None or not self._runs:
            await self.close()
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                MODULE,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={
                    **{name: os.environ[name] for name in _KEPT if name in os.environ},
                    "PYTHONDONTWRITEBYTECODE": "1",
                },
                limit=1 << 20,
            )
        return self.process

    @staticmethod
    async def _send(process: asyncio.subprocess.Process, sent: SentTask) -> None:
        assert process.stdin is not None  # noqa: S101 - it was started with a pipe
        process.stdin.write(encode(sent))
        await process.stdin.drain()

    @staticmethod
    async def _next(process: asyncio.subprocess.Process) -> ReturnedReply:
        assert process.stdout is not None  # noqa: S101 - as above
        size = int.from_bytes(await process.stdout.readexactly(HEADER_BYTES), "big")
        if size > MOST_BYTES:
            raise ValueError("too large")
        return decode_returned(await process.stdout.readexactly(size))


JobState = Literal["running", "done", "cancelled"]


@dataclass(slots=True)
class BenchJob:
    """A long task of a person. `about`: what it is about, such as the digest of a draft."""

    task: BenchTask
    about: str
    bench: TaskBench = field(default_factory=TaskBench)
    progress: TaskProgress = field(default_factory=lambda: TaskProgress(0, 0))
    reply: BenchReply | None = None
    state: JobState = "running"
    runner: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Workshop:
    """The workbenches of a console. `jobs`: the long tasks, by person and place."""

    bench: TaskBench = field(default_factory=TaskBench)
    jobs: dict[tuple[str, str], BenchJob] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LONG_AT_ONCE))
    _latest: dict[tuple[str, str], int] = field(default_factory=dict)
    _running: tuple[str, str] | None = None
    _count: int = 0
    _idle: asyncio.TimerHandle | None = None
    _closers: set[asyncio.Task[None]] = field(default_factory=set)

    async def ask(self, person: str, place: str, task: BenchTask, timeout_s: float = QUICK_S) -> BenchReply:
        """Returns the reply to a short task. Returns `Cancelled` if the person asked again for the same place meanwhile."""
        key = person, place
        self._count += 1
        mine = self._latest[key] = self._count
        try:
            if self._running == key:
                await self.bench.cancel()
            async with self._turn:
                if self._latest.get(key) != mine:
                    return CancelledTask()
                self._running = key
                if self._idle is not None:
                    self._idle.cancel()
                try:
                    return await self.bench.ask(task, timeout_s)
                finally:
                    self._running = None
                    self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._rest)
        finally:
            # Also for a visit that ended while it waited for its turn: the place may have the name of a draft, or of any file.
            if self._latest.get(key) == mine:
                del self._latest[key]

    def start(self, person: str, place: str, task: BenchTask, about: str, timeout_s: float) -> BenchJob:
        """Starts a long task. It takes the place of an earlier one."""
        self.stop(person, place)
        job = self.jobs[person, place] = BenchJob(task, about)
        job.runner = asyncio.get_running_loop().create_task(self._run(job, timeout_s))
        return job

    def stop(self, person: str, place: str) -> None:
        """Ends a long task of a person, if there is one."""
        job = self.jobs.get((person, place))
        if job is not None and job.state == "running":
            job.state = "cancelled"
            if job.runner is not None:
                job.runner.cancel()

    def job(self, person: str, place: str) -> BenchJob | None:
        """Returns the last long task of a person for a place."""
        return self.jobs.get((person, place))

    async def close(self) -> None:
        """Ends all processes."""
        if self._idle is not None:
            self._idle.cancel()
        runners = [job.runner for job in self.jobs.values() if job.runner is not None]
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, *self._closers, return_exceptions=True)
        await self.bench.close()

    async def _run(self, job: BenchJob, timeout_s: float) -> None:
        try:
            async with self._slots:

                def told(progress: TaskProgress) -> None:
                    job.progress = progress

                job.reply = await job.bench.ask(job.task, timeout_s, told)
            job.state = "done"
        finally:
            await job.bench.close()

    def _rest(self) -> None:
        """Ends the process that nobody has used for a while."""
        if not self._turn.locked():
            closer = asyncio.get_running_loop().create_task(self.bench.close())
            self._closers.add(closer)
            closer.add_done_callback(self._closers.discard)
