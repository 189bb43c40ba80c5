"""The comparison of traffic: one at a time, now and then, and its failure is said."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from guardproxy.console.drift_watch import EVERY_S, DriftState, DriftWatch, MeasuredShift, read_shifts
from tests.kit.console_log import write_console_log

LINES = b"""{"measure": "share blocked", "verdict": "large", "psi": 0.4, "counts": [90, 80]}
not a shift
{"measure": "route", "verdict": "stable", "chance": null}
{"measure": "model", "verdict": "too few"}
"""


class Commands:
    """Commands that a test ends."""

    def __init__(self) -> None:
        self.begun: list[asyncio.Future[tuple[int, bytes, bytes]]] = []

    def __call__(self, words: Sequence[str]) -> asyncio.Future[tuple[int, bytes, bytes]]:
        assert words[-3:] == ("drift", "/log", "--json")
        self.begun.append(asyncio.get_running_loop().create_future())
        return self.begun[-1]


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_it_compares_once_an_hour_while_somebody_looks() -> None:
    now_s, run = [0.0], Commands()
    watch = DriftWatch(Path("/log"), run, lambda: now_s[0], lambda: 1000.0)
    watch.state()
    assert watch.state().words == "being compared"
    await settle()
    watch.again()
    assert len(run.begun) == 1, "one at a time"
    run.begun[0].set_result((1, LINES, b""))
    await settle()
    state = watch.state()
    assert (state.state, state.at, state.shifted, state.words) == (
        "done",
        1000.0,
        ("share blocked",),
        "1 of 2 measures shifted",
    )
    now_s[0] = EVERY_S
    watch.state()
    await settle()
    assert len(run.begun) == 2
    assert watch.state().shifted == ("share blocked",), "the last result stays meanwhile"
    run.begun[1].set_result((0, b"", b""))
    await settle()
    assert watch.state().words == "too little traffic to compare"


@pytest.mark.parametrize(
    ("code", "err", "problem"), [(2, b"x\nguardproxy: no log\n", "no log"), (-9, b"", "the comparison failed")]
)
async def test_a_failure_is_said(code: int, err: bytes, problem: str) -> None:
    run = Commands()
    watch = DriftWatch(Path("/log"), run)
    watch.state()
    await settle()
    run.begun[0].set_result((code, b"", err))
    await settle()
    assert (watch.state().state, watch.state().problem) == ("failed", problem)
    assert watch.state().words == "not compared"


async def test_a_comparison_that_does_not_end_is_said() -> None:
    run = Commands()
    watch = DriftWatch(Path("/log"), run)
    watch.state()
    await settle()
    run.begun[0].set_exception(TimeoutError())
    await settle()
    assert watch.state().problem == "the comparison did not end"


async def test_without_a_log_nothing_is_compared() -> None:
    watch = DriftWatch(None)
    watch.again()
    assert watch.state() == DriftState()
    assert watch.state().words == "not compared yet"


def test_lines_are_read() -> None:
    first, second, third = read_shifts(LINES)
    assert (first.counts, first.is_shifted) == ((90, 80), True)
    assert (second.chance, second.is_shifted, third.is_shifted) == (None, False, False)
    assert DriftState("done", 1.0, (MeasuredShift("a", "stable"),)).words == "none"


async def test_the_command_of_the_proxy_gives_lines_that_are_read(tmp_path: Path) -> None:
    write_console_log(tmp_path, 60)
    watch = DriftWatch(tmp_path)
    watch.state()
    assert watch._task is not None
    await watch._task
    state = watch.state()
    assert (state.state, state.problem) == ("done", "")
    assert {"route", "model"} <= {shift.measure for shift in state.shifts}
