"""Work in this process and in processes of their own: the same results, errors that arrive, and workers that are killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import current_process
from pathlib import Path

import pytest

from guardproxy.engine.local import HERE, WORTH_A_WORKER, LocalEngine, _Here
from guardproxy.engine.processes import Processes
from guardproxy.engine.schedule import WorkEngine
from guardproxy.errors import ConfigError, EngineError

ENGINES = [HERE, LocalEngine(2)]


@dataclass(frozen=True)
class Doubling:
    """Doubles numbers. A worker that gets `deadly` ends itself as often as there are files in `folder`. `wrong` is raised."""

    folder: Path
    deadly: int = -1
    wrong: Exception | None = None
    fails_to_open: bool = False
    uses_models: bool = False

    @contextmanager
    def open(self) -> Iterator[Callable[[int], tuple[int, int]]]:
        if self.fails_to_open:
            raise ConfigError("no such model")
        yield self.do

    def do(self, number: int) -> tuple[int, int]:
        lives = sorted(self.folder.iterdir())
        if number == self.deadly and lives:
            lives[0].unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 7 and self.wrong:
            raise self.wrong
        return number * 2, os.getpid()


def lives(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / str(number)).touch()
    return folder


def doubled(engine: WorkEngine, work: Doubling, count: int = 12) -> list[int]:
    return [result for result, _ in engine.each(work, range(count))]


def test_killed_workers_are_replaced(tmp_path: Path) -> None:
    work = Doubling(lives(tmp_path / "lives", 2), deadly=4)
    assert doubled(LocalEngine(2), work) == [2 * number for number in range(12)]
    assert not any(work.folder.iterdir()), "both workers were killed"


def test_a_task_that_kills_three_workers_is_named(tmp_path: Path) -> None:
    work = Doubling(lives(tmp_path / "lives", 3), deadly=4)
    with pytest.raises(EngineError, match=r"^4: the worker was ended by SIGKILL, 3 times$"):
        doubled(LocalEngine(2), work)


@pytest.mark.parametrize("engine", ENGINES, ids=str)
def test_errors_arrive(engine: WorkEngine, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"^no such model$"):
        doubled(engine, Doubling(tmp_path, fails_to_open=True))
    with pytest.raises(EngineError, match=r"^not a setting$"):
        doubled(engine, Doubling(tmp_path, wrong=ConfigError("not a setting")))
    with pytest.raises(FileNotFoundError) as missing:
        doubled(engine, Doubling(tmp_path, wrong=FileNotFoundError(2, "No such file", tmp_path / "x")))
    assert (missing.value.filename, missing.value.strerror) == (str(tmp_path / "x"), "No such file")
    with pytest.raises(RuntimeError, match=r"(?s)a worker failed:.*in do.*ZeroDivisionError: odd"):
        doubled(engine, Doubling(tmp_path, wrong=ZeroDivisionError("odd")))


def test_two_workers_are_two_processes_and_little_work_is_done_here(tmp_path: Path) -> None:
    work = Doubling(tmp_path)
    assert {process for _, process in LocalEngine(1).each(work, range(9))} == {os.getpid()}
    assert {process for _, process in LocalEngine(0).each(work, range(WORTH_A_WORKER))} == {os.getpid()}
    assert list(LocalEngine(0).each(work, [])) == []
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(current_process()._config, "daemon", True)  # type: ignore[attr-defined]
        assert {process for _, process in LocalEngine(2).each(work, range(9))} == {os.getpid()}
    processes = {process for _, process in LocalEngine(2).each(work, range(9))}
    assert os.getpid() not in processes
    assert len(processes) <= 2
    assert (_Here(work).count, Processes(work, 2).count) == (1, 2)


def test_an_abandoned_run_leaves_no_process(tmp_path: Path) -> None:
    results = LocalEngine(2).each(Doubling(tmp_path), range(1000))
    _, process = next(results)
    results.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
