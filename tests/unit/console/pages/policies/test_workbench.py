"""The program of a workbench: tasks come in frames, replies go out in frames, and it ends with its input."""

from __future__ import annotations

import io
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from guardproxy import crashes
from guardproxy.console.pages.policies import workbench as module
from guardproxy.console.pages.policies.tasks import (
    CancelledTask,
    CancelTask,
    FailedTask,
    LintReply,
    LintTask,
    PlayTask,
    PolicySource,
    ReturnedReply,
    SentTask,
    TaskProgress,
    TryReply,
    TryTask,
    decode_returned,
    encode,
)
from guardproxy.console.pages.policies.work import CancelledError, PolicyWork
from guardproxy.console.pages.policies.workbench import Workbench
from tests.kit.shop_policy import POLICY


@pytest.fixture
def source(tmp_path: Path) -> PolicySource:
    (tmp_path / "shop.yaml").write_text(POLICY)
    return PolicySource(str(tmp_path))


def replies(*messages: SentTask, more: bytes = b"") -> list[ReturnedReply]:
    """Returns what a workbench answers."""
    target, ended = io.BytesIO(), list[int]()
    bench = Workbench(io.BytesIO(b"".join(map(encode, messages)) + more), target, ended.append)
    bench.read()
    bench.run()
    assert ended == [0]
    data, out = target.getvalue(), []
    while data:
        size = int.from_bytes(data[:4], "big")
        out.append(decode_returned(data[4 : 4 + size]))
        data = data[4 + size :]
    return out


def test_tasks_are_done_in_order(source: PolicySource) -> None:
    first, progress, last = replies(SentTask(1, LintTask(source)), SentTask(2, TryTask(source)))
    assert isinstance(first.what, LintReply)
    assert (first.number, progress.number, last.number) == (1, 2, 2)
    assert progress.what == TaskProgress(1, 1)
    assert isinstance(last.what, TryReply)


def test_a_task_is_cancelled_with_those_before_it(source: PolicySource) -> None:
    play = PlayTask(source, request="x")
    found = replies(SentTask(1, play), SentTask(2, play), SentTask(0, CancelTask(1)), SentTask(3, play))
    assert [type(each.what).__name__ for each in found] == ["CancelledTask", "PlayReply", "PlayReply"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "it takes more memory than is allowed here"),
        (RecursionError(), "it is nested too deeply"),
        (ValueError("a secret text"), "unexpected: ValueError"),
    ],
)
def test_an_error_is_told_without_texts(
    monkeypatch: pytest.MonkeyPatch, source: PolicySource, error: Exception, words: str
) -> None:
    def fails(work: PolicyWork, task: object, progress: object) -> None:
        raise error

    monkeypatch.setattr(PolicyWork, "do", fails)
    (reply,) = replies(SentTask(1, LintTask(source)))
    assert reply.what == FailedTask(words)


def test_a_cancelled_task_says_so(monkeypatch: pytest.MonkeyPatch, source: PolicySource) -> None:
    def fails(work: PolicyWork, task: object, progress: object) -> None:
        raise CancelledError

    monkeypatch.setattr(PolicyWork, "do", fails)
    (reply,) = replies(SentTask(1, LintTask(source)))
    assert reply.what == CancelledTask()


@pytest.mark.parametrize("more", [b"\0", b"\0\0\0\x09abc", b"\xff\xff\xff\xff" + b"x" * 50])
def test_input_that_breaks_off_ends_it(source: PolicySource, more: bytes) -> None:
    assert len(replies(SentTask(1, LintTask(source)), more=more)) == 1


def test_what_it_asks_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, tuple[int, int]]] = []

    def setrlimit(what: int, bounds: tuple[int, int]) -> None:
        limits.append((what, bounds))
        if what == resource.RLIMIT_DATA:
            raise ValueError("not allowed")

    def nice(by: int) -> None:
        raise OSError("not allowed")

    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    monkeypatch.setattr(os, "nice", nice)
    module.limit()
    assert limits[:2] == [(resource.RLIMIT_CORE, (0, 0)), (resource.RLIMIT_FSIZE, (0, 0))]


def test_what_its_guard_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    hooks: list[Callable[[str, tuple[object, ...]], None]] = []
    monkeypatch.setattr("sys.addaudithook", hooks.append)
    module.guard()
    (hook,) = hooks
    for event, arguments in (
        ("socket.connect", ()),
        ("subprocess.Popen", ()),
        ("os.rename", ()),
        ("open", ("x", "w", 0)),
        ("open", ("x", None, os.O_CREAT)),
    ):
        with pytest.raises(module.NotHereError):
            hook(event, arguments)
    for event, arguments in (("import", ()), ("open", ("x", "rb", 0)), ("open", (os.devnull, "w", os.O_WRONLY))):
        hook(event, arguments)


def test_the_program(
    monkeypatch: pytest.MonkeyPatch, source: PolicySource, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    class Input:
        """Standard input."""

        buffer = io.BytesIO(encode(SentTask(1, LintTask(source))))

    monkeypatch.setattr("sys.stdin", Input)
    monkeypatch.setattr("sys.stdout", None)
    for name in ("limit", "guard"):
        monkeypatch.setattr(module, name, lambda: None)
    monkeypatch.setattr(crashes, "hide_messages", lambda: None)
    monkeypatch.setattr(Workbench.__init__, "__defaults__", (lambda code: None,))
    module.main()
    out = capfdbinary.readouterr().out
    assert isinstance(decode_returned(out[4:]).what, LintReply)
