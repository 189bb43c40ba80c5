"""Tasks in processes of their own: they end when they take too long, when they are cancelled, and with the console."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guardproxy.console.pages.policies import workshop as module
from guardproxy.console.pages.policies.tasks import (
    CancelledTask,
    FailedTask,
    LintReply,
    LintTask,
    PlayReply,
    PlayTask,
    PolicySource,
    SentTask,
    TaskProgress,
    TryReply,
    TryTask,
)
from guardproxy.console.pages.policies.workshop import TaskBench, Workshop
from tests.kit.shop_policy import POLICY

HANG = "import sys, time; sys.stdin.buffer.read(4); time.sleep(600)"
DIE = "import sys; sys.stdin.buffer.read(4); sys.exit(3)"
WRONG = "import os; os.write(1, b'\\xff' * 64); import time; time.sleep(600)"


@pytest.fixture
def source(tmp_path: Path) -> PolicySource:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "shop.yaml").write_text(POLICY)
    return PolicySource(str(tmp_path / "p"))


@pytest.fixture
async def workshop() -> AsyncIterator[Workshop]:
    made = Workshop()
    yield made
    await made.close()


def program(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Makes workbenches run another program."""
    start = asyncio.create_subprocess_exec

    async def started(python: str, *_: str, **options: object) -> asyncio.subprocess.Process:
        return await start(python, "-c", code, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", started)


@pytest.mark.parametrize(
    ("code", "why"),
    [(HANG, "it takes more than 0.5 s"), (DIE, "has ended"), (WRONG, "has ended")],
    ids=["hangs", "dies", "wrong"],
)
async def test_a_process_that_fails_is_ended_and_replaced(
    monkeypatch: pytest.MonkeyPatch, source: PolicySource, workshop: Workshop, code: str, why: str
) -> None:
    with monkeypatch.context() as patch:
        program(patch, code)
        reply = await workshop.ask("ann", "x", LintTask(source), 0.5 if code == HANG else 60)
    assert isinstance(reply, FailedTask)
    assert why in reply.why
    assert workshop.bench.process is None
    workshop.bench.first = LintTask(source)
    assert isinstance(await workshop.ask("ann", "x", LintTask(source), 60), LintReply)


async def test_a_process_that_cannot_load_the_files_says_so(
    monkeypatch: pytest.MonkeyPatch, source: PolicySource, workshop: Workshop
) -> None:
    workshop.bench.first = LintTask(source)
    monkeypatch.setattr(module, "START_S", 0.5)
    program(monkeypatch, HANG)
    assert await workshop.ask("ann", "x", LintTask(source), 60) == FailedTask("it takes more than 0.5 s")


async def test_a_newer_task_for_the_same_place_takes_the_place_of_an_older(
    source: PolicySource, workshop: Workshop
) -> None:
    tasks = [workshop.ask("ann", "play", PlayTask(source, request=f"text {number}"), 60) for number in range(5)]
    other = workshop.ask("bob", "play", PlayTask(source, request="of bob"), 60)
    *replies, of_bob = await asyncio.gather(*tasks, other)
    assert [type(reply).__name__ for reply in replies[1:]] == ["CancelledTask"] * 3 + ["PlayReply"]
    assert type(of_bob).__name__ == "PlayReply"


async def test_who_leaves_does_not_get_the_reply_of_another(source: PolicySource, workshop: Workshop) -> None:
    first = asyncio.ensure_future(workshop.ask("ann", "play", PlayTask(source, request="one"), 60))
    await asyncio.sleep(0)
    first.cancel()
    reply = await workshop.ask("bob", "lint", LintTask(source), 60)
    assert isinstance(reply, LintReply)
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_long_task_tells_how_far_it_is_and_can_be_stopped(
    monkeypatch: pytest.MonkeyPatch, source: PolicySource, workshop: Workshop
) -> None:
    job = workshop.start("ann", "tests", TryTask(source), "shop.yaml", 60)
    assert job.runner is not None
    await job.runner
    assert (job.state, job.progress) == ("done", TaskProgress(1, 1))
    assert isinstance(job.reply, TryReply)
    assert workshop.job("ann", "tests") is job
    assert workshop.job("bob", "tests") is None
    with monkeypatch.context() as patch:
        program(patch, HANG)
        job = workshop.start("ann", "tests", TryTask(source), "", 60)
        again = workshop.start("ann", "tests", TryTask(source), "", 60)
        assert job.state == "cancelled"
        await asyncio.sleep(0)
        workshop.stop("ann", "tests")
        workshop.stop("ann", "nothing")
        assert again.runner is not None
        await asyncio.wait({again.runner})
    assert again.state == "cancelled"
    assert again.bench.process is None


async def test_a_process_that_nobody_uses_goes(
    monkeypatch: pytest.MonkeyPatch, source: PolicySource, workshop: Workshop
) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.0)
    assert isinstance(await workshop.ask("ann", "x", LintTask(source), 60), LintReply)
    process = workshop.bench.process
    assert process is not None
    assert await process.wait() == -signal.SIGKILL
    await asyncio.gather(*workshop._closers)
    assert workshop.bench.process is None


async def test_a_process_ends_when_nobody_sends_any_more(source: PolicySource, workshop: Workshop) -> None:
    assert isinstance(await workshop.ask("ann", "x", LintTask(source), 60), LintReply)
    process = workshop.bench.process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert await process.wait() == 0


async def test_a_task_that_runs_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, source: PolicySource, workshop: Workshop
) -> None:
    await TaskBench().cancel()  # there is nothing to cancel
    begun = asyncio.Event()
    send = TaskBench._send

    async def sent(process: asyncio.subprocess.Process, what: SentTask) -> None:
        await send(process, what)
        begun.set()

    monkeypatch.setattr(TaskBench, "_send", staticmethod(sent))
    text = "write to jo@ab.io " * 4000
    running = asyncio.ensure_future(workshop.ask("ann", "play", PlayTask(source, request="x", answer=text, size=1), 60))
    await begun.wait()
    newer = await workshop.ask("ann", "play", PlayTask(source, request="y"), 60)
    assert isinstance(newer, PlayReply)
    assert isinstance(await running, CancelledTask)


async def test_a_visit_that_ends_while_it_waits_leaves_nothing(workshop: Workshop, source: PolicySource) -> None:
    async with workshop._turn:
        waiting = asyncio.create_task(workshop.ask("ann", "draft b.yaml", LintTask(source)))
        await asyncio.sleep(0)
        assert list(workshop._latest) == [("ann", "draft b.yaml")]
        waiting.cancel()
        await asyncio.wait({waiting})
    assert workshop._latest == {}
