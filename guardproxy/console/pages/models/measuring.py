"""Measures a model on texts that reviewers labelled, with `guardproxy model calibrate`, in a process of its own.

In: lines of JSON with labelled texts, and a label of the model. Out: for each operating point the threshold that these texts
give, and the shares of harmless texts and of attacks that it finds. Kept: the last result of each model and label, which has
no text. The texts go through a pipe and are never in a file.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import msgspec

from guardproxy.console.proxy_status import StatusScorer

LIMIT_S = 600.0
LIMIT_ROWS_BYTES = 64 * 1024 * 1024
LIMIT_KEPT = 100
NICE = 10


class MeasuredShare(msgspec.Struct, frozen=True):
    """A number from 0 to 1 with its 95 % interval."""

    value: float
    low: float
    high: float


class MeasuredPoint(msgspec.Struct, frozen=True):
    """A threshold with what it finds."""

    threshold: MeasuredShare
    harmless: MeasuredShare
    attacks: MeasuredShare | None = None


class MeasuredOutput(msgspec.Struct, frozen=True):
    """The points of an output of the model."""

    output: str
    points: Mapping[str, MeasuredPoint] = {}
    notes: tuple[str, ...] = ()


class Measured(msgspec.Struct, frozen=True):
    """What `model calibrate --json` says."""

    harmless: int
    attacks: int
    outputs: tuple[MeasuredOutput, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measurement. `at`: Unix time of its end. `problem`: why there is no result, in words."""

    state: Literal["running", "done", "failed"]
    at: float = 0.0
    by: str = ""
    result: Measured | None = None
    problem: str = ""


class _ReviewedText(msgspec.Struct):
    """What is read of a row. `source`: the policy and the rule that were judged, or that there was none."""

    text: str
    label: int
    source: str = ""


def labelled_texts(
    of_checks: Iterable[str], all_rows: Iterable[str], scorers: Sequence[StatusScorer], limit_bytes: int
) -> list[bytes]:
    """Returns the rows that say something about a model. `of_checks`: rows of texts in which a check of `scorers` found
    something, of which those of policies that use the model count. `all_rows`: every row, of which those without a rule count:
    another rule that was right, such as one about personal data, found no attack. A text with two labels is left out."""
    policies = {policy for scorer in scorers for policy in scorer.policies}
    labels: dict[str, set[int]] = {}
    for lines, known in ((of_checks, policies), (all_rows, set[str]())):
        for line in lines:
            row = msgspec.json.decode(line, type=_ReviewedText)
            policy, _, rule = row.source.partition(": ")
            if not rule or policy in known:
                labels.setdefault(row.text, set()).add(row.label)
    rows: list[bytes] = []
    size = 0
    for text, given in labels.items():
        if len(given) == 1:
            rows.append(msgspec.json.encode({"text": text, "label": given.pop()}) + b"\n")
            size += len(rows[-1])
            if size > limit_bytes:
                return rows[:-1]
    return rows


def counts_of(lines: Sequence[bytes]) -> tuple[int, int]:
    """Returns how many labelled texts are harmless, and how many are attacks."""
    attacks = sum(b'"label":1' in line for line in lines)
    return len(lines) - attacks, attacks


def read_measured(text: bytes) -> Measured | None:
    """Reads what the command printed; `None` for anything else."""
    try:
        return msgspec.json.decode(text, type=Measured)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


Run = Callable[[Sequence[str], bytes], Awaitable[tuple[int, bytes, bytes]]]


class MeasuringDesk:
    """Measures, one model at a time. `run`: runs a command with an input, and returns its exit code and what it wrote."""

    def __init__(self, run: Run | None = None, unix_s: Callable[[], float] = lambda: 0.0) -> None:
        self._run = run or _ran
        self._unix_s = unix_s
        self._kept: dict[tuple[str, str], Measurement] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a measurement is under way."""
        return self._task is not None and not self._task.done()

    def last(self, folder: str, label: str) -> Measurement | None:
        """Returns the last measurement of a model for a label."""
        return self._kept.get((folder, label))

    def start(self, folder: str, label: str, kind: str, rows: bytes, by: str) -> None:
        """Starts a measurement. `folder`: of the model; `kind`: of the texts; `rows`: lines of JSON; `by`: who asked."""
        # Put back at the end of the order, so that it is the last to be forgotten.
        self._kept.pop((folder, label), None)
        self._kept[folder, label] = Measurement("running", self._unix_s(), by)
        while len(self._kept) > LIMIT_KEPT:
            del self._kept[next(iter(self._kept))]
        words = ("model", "calibrate", "/dev/stdin", "--model", folder, "--label", label, "--channel", kind, "--json")
        self._task = asyncio.get_running_loop().create_task(self._measure((folder, label), words, rows, by))

    async def _measure(self, key: tuple[str, str], words: Sequence[str], rows: bytes, by: str) -> None:
        try:
            code, out, err = await self._run((sys.executable, "-m", "guardproxy", *words), rows)
        except (OSError, TimeoutError):
            self._kept[key] = Measurement("failed", self._unix_s(), by, None, "the measurement did not end")
            return
        result = read_measured(out) if code in (0, 1) else None
        if result is None:
            said = err.decode(errors="replace").strip().splitlines()[-1:] or ["the command failed"]
            self._kept[key] = Measurement(
                "failed", self._unix_s(), by, None, said[0].removeprefix("guardproxy: ")[:300]
            )
            return
        self._kept[key] = Measurement("done", self._unix_s(), by, result)


async def _ran(words: Sequence[str], rows: bytes) -> tuple[int, bytes, bytes]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, stderr=pipe)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
    try:
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate(rows)
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        raise
    return process.returncode or 0, out, err
