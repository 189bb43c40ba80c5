"""Long steps run in threads: a step that has not begun is dropped, one that runs is waited for, tenants share."""

from __future__ import annotations

import asyncio
import threading

import pytest

from guardproxy.server.steps import Interrupted, Steps


async def test_a_step_gives_its_result() -> None:
    steps = Steps()
    assert await steps.run("t", threading.get_ident) != threading.get_ident()
    steps.close()


async def test_a_step_that_runs_is_waited_for() -> None:
    steps, begun, go = Steps(), threading.Event(), threading.Event()

    def step() -> str:
        begun.set()
        go.wait(10)
        return "result"

    task = asyncio.ensure_future(steps.run("t", step))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=0.01)
    assert not done, "its exchange is in use"
    go.set()
    with pytest.raises(Interrupted) as raised:
        await task
    assert raised.value.result == "result"
    steps.close()


async def test_a_step_that_has_not_begun_is_dropped_and_tenants_share() -> None:
    steps, go = Steps(threads=2, share=1), threading.Event()
    first = asyncio.ensure_future(steps.run("one", lambda: go.wait(10)))
    ran: list[str] = []
    second = asyncio.ensure_future(steps.run("one", lambda: ran.append("second")))
    await steps.run("two", lambda: ran.append("two"))
    assert ran == ["two"], "the other tenant's thread is free"
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    go.set()
    assert await first
    assert ran == ["two"]
    assert not steps._tenants
    steps.close()
