"""The end of a process: its limit starts once, and ends the process whatever still runs."""

from __future__ import annotations

import os
from threading import Event

import pytest

from guardproxy.server.processes.running import HardEnd


def test_the_process_ends_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    ended = Event()

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    monkeypatch.setattr(os, "_exit", end)
    calls: list[str] = []
    hard_end = HardEnd(0.0)
    stop = hard_end.before(lambda: calls.append("stop"))
    stop()
    stop()
    hard_end.begin()
    assert ended.wait(10)
    assert (calls, codes) == (["stop", "stop"], [1])


def test_nothing_ends_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "_exit", lambda code: pytest.fail("ended"))
    hard_end = HardEnd(3600.0)
    assert hard_end._timer.daemon, "an end that is not needed keeps nothing alive"
    hard_end.begin()
    hard_end._timer.cancel()
