"""The limits of an exchange end what waits, from the inside out, and share one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from guardproxy.server.driving.offload import Interrupted
from guardproxy.server.upstream.deadlines import Deadlines

LONG_S = 600.0


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def test_a_wait_over_its_limit_ends_with_a_timeout() -> None:
    deadlines = Deadlines()
    with pytest.raises(TimeoutError), deadlines.within(0.0):
        await forever()
    await asyncio.sleep(0)  # the task can wait again


async def test_a_step_over_its_limit_ends_with_a_timeout() -> None:
    deadlines = Deadlines()

    async def step() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            raise Interrupted([]) from None

    with pytest.raises(TimeoutError), deadlines.within(0.0):
        await step()


async def test_the_inner_limit_ends_first_and_the_outer_goes_on() -> None:
    deadlines = Deadlines()
    with deadlines.within(LONG_S):
        with pytest.raises(TimeoutError), deadlines.within(0.0):
            await forever()
        await asyncio.sleep(0)
    deadlines.close()


async def test_the_outer_limit_ends_the_inner_wait() -> None:
    deadlines, ended = Deadlines(), []

    async def wait() -> None:
        with deadlines.within(LONG_S):
            try:
                await forever()
            except TimeoutError:
                ended.append("inner")

    with pytest.raises(TimeoutError), deadlines.within(0.0):
        await wait()
    assert ended == []
    deadlines.close()


async def test_both_limits_end_one_after_the_other() -> None:
    deadlines, ended = Deadlines(), []

    async def wait() -> None:
        try:
            with deadlines.within(-1.0):
                await forever()
        except TimeoutError:
            ended.append("inner")
        await forever()

    with pytest.raises(TimeoutError), deadlines.within(0.0):
        await wait()
    assert ended == ["inner"]


async def test_a_cancelled_task_gets_no_timeout() -> None:
    begun = asyncio.Event()

    async def wait() -> None:
        deadlines = Deadlines()
        with deadlines.within(LONG_S):
            begun.set()
            await forever()

    task = asyncio.create_task(wait())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_at_the_end_of_a_limit_is_not_lost() -> None:
    """The limit ends and somebody cancels the task in the same turn of the loop."""
    begun = asyncio.Event()

    async def wait() -> None:
        with Deadlines().within(0.0):
            begun.set()
            await forever()

    task = asyncio.create_task(wait())
    await begun.wait()
    task.cancel()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_limits_that_are_met_set_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []
    call_at: Callable[..., asyncio.TimerHandle] = loop.call_at

    def counted(*arguments: Any, **more: Any) -> asyncio.TimerHandle:
        timers.append(call_at(*arguments, **more))
        return timers[-1]

    monkeypatch.setattr(loop, "call_at", counted)
    deadlines = Deadlines()
    for _ in range(10):
        with deadlines.within(LONG_S), deadlines.within(2 * LONG_S):
            done: Awaitable[None] = loop.create_future()
            done.set_result(None)  # type: ignore[attr-defined]
            await done
    assert len(timers) == 1
    deadlines.close()
    deadlines.close()
    assert timers[0].cancelled()


async def test_a_timer_without_a_limit_under_way_does_nothing() -> None:
    deadlines = Deadlines()
    with deadlines.within(0.0):
        pass
    for _ in range(3):
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError), deadlines.within(0.0):
        await forever()


async def test_a_timer_of_a_limit_that_was_met_is_set_again_for_the_next() -> None:
    deadlines = Deadlines()
    with deadlines.within(0.0):
        pass
    with deadlines.within(LONG_S), pytest.raises(TimeoutError), deadlines.within(0.01):
        await forever()
    deadlines.close()


async def test_a_limit_may_belong_to_another_task() -> None:
    deadlines, begun = Deadlines(), asyncio.Event()

    async def wait() -> None:
        with deadlines.within(0.0):
            begun.set()
            await forever()

    task = asyncio.create_task(wait())
    with deadlines.within(LONG_S), pytest.raises(TimeoutError):
        await task
    deadlines.close()
