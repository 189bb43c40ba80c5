"""Regularly compares the traffic of the last day with the traffic before it, in a process of its own.

In: the folder of the log. Out: what has shifted, from `guardproxy drift --json`. Kept: the last result. The comparison reads
the whole log, so it runs at a low priority, one at a time, and again after `EVERY_S` at the earliest.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

EVERY_S = 3600.0
LIMIT_S = 600.0  # of a comparison
LIMIT_SHIFTS = 200
NICE = 10


class MeasuredShift(msgspec.Struct, frozen=True):
    """How a measure differs from before, as `drift --json` writes it."""

    measure: str
    verdict: str
    psi: float = 0.0
    chance: float | None = None
    ks: float | None = None
    before: str = ""
    after: str = ""
    counts: tuple[int, int] = (0, 0)

    @property
    def is_shifted(self) -> bool:
        """Whether the measure shifted by more than chance."""
        return self.verdict in ("moderate", "large")


@dataclass(frozen=True, slots=True)
class DriftState:
    """The last comparison. `at`: Unix time of its end, `None` before the first. `problem`: why it failed, in words."""

    state: Literal["never", "running", "done", "failed"] = "never"
    at: float | None = None
    shifts: tuple[MeasuredShift, ...] = ()
    problem: str = ""

    @property
    def shifted(self) -> tuple[str, ...]:
        """Returns the measures that shifted."""
        return tuple(shift.measure for shift in self.shifts if shift.is_shifted)

    @property
    def words(self) -> str:
        """Returns the result in a few words."""
        judged = [shift for shift in self.shifts if shift.verdict != "too few"]
        if self.state == "never" or (self.state == "running" and self.at is None):
            return "being compared" if self.state == "running" else "not compared yet"
        if self.state == "failed":
            return "not compared"
        if not judged:
            return "too little traffic to compare"
        return f"{len(self.shifted)} of {len(judged)} measures shifted" if self.shifted else "none"


def read_shifts(lines: bytes) -> tuple[MeasuredShift, ...]:
    """Reads the lines of `drift --json`. Lines that are no shift are left out."""
    found: list[MeasuredShift] = []
    for line in lines.splitlines()[:LIMIT_SHIFTS]:
        with suppress(msgspec.DecodeError, msgspec.ValidationError):
            found.append(msgspec.json.decode(line, type=MeasuredShift))
    return tuple(found)


class DriftWatch:
    """Compares again when somebody looks and the last result is old. `folder`: of the log; `None`: there is none. `run`: runs a
    command and returns its exit code and what it wrote."""

    def __init__(
        self,
        folder: Path | None,
        run: Callable[[Sequence[str]], asyncio.Future[tuple[int, bytes, bytes]]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._run = run or _run_in_process
        self._clock = clock
        self._unix_s = unix_s
        self._begun_s: float | None = None
        self._state = DriftState()
        self._task: asyncio.Task[None] | None = None

    def state(self) -> DriftState:
        """Returns the last result. Starts another comparison if it is old. Must be called on a loop."""
        is_old = self._begun_s is None or self._clock() - self._begun_s >= EVERY_S
        if self._folder is not None and is_old and (self._task is None or self._task.done()):
            self.again()
        return self._state

    def again(self) -> None:
        """Starts a comparison, if none is under way."""
        if self._folder is None or (self._task is not None and not self._task.done()):
            return
        # Also if it fails: a comparison that cannot succeed must not run again with each view of a page.
        self._begun_s = self._clock()
        self._state = DriftState("running", self._state.at, self._state.shifts)
        self._task = asyncio.get_running_loop().create_task(self._compare(self._folder))

    async def _compare(self, folder: Path) -> None:
        words = (sys.executable, "-m", "guardproxy", "drift", str(folder), "--json")
        try:
            code, out, err = await self._run(words)
        except (OSError, TimeoutError):
            self._state = DriftState("failed", self._unix_s(), problem="the comparison did not end")
            return
        if code not in (0, 1):
            said = err.decode(errors="replace").strip().splitlines()[-1:] or ["the comparison failed"]
            self._state = DriftState("failed", self._unix_s(), problem=said[0].removeprefix("guardproxy: ")[:300])
            return
        self._state = DriftState("done", self._unix_s(), read_shifts(out))


def _run_in_process(words: Sequence[str]) -> asyncio.Future[tuple[int, bytes, bytes]]:
    return asyncio.ensure_future(_ran(words))


async def _ran(words: Sequence[str]) -> tuple[int, bytes, bytes]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
    try:
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate()
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        raise
    return process.returncode or 0, out, err
