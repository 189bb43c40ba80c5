"""Workers on a Ray cluster: one actor for each worker, on any machine.

In: work and tasks. Out: results in order. Kept: nothing; a cluster that was started here is stopped again.

Ray only places the actors and carries tasks and results. Which task goes where, and what happens when an actor or its
machine is lost, is decided in `schedule`, as for processes of this machine. A new actor waits until the cluster has room for
it, and the others go on meanwhile.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from guardproxy.engine.schedule import Result, Schedule, Task, WorkerLost
from guardproxy.engine.station import Station, TaskOutcome, Work
from guardproxy.errors import ConfigError, EngineError

_GPU_DIGITS = 4  # the finest share of a GPU that Ray knows


@dataclass(frozen=True, slots=True)
class RayEngine:
    """Runs work on a Ray cluster: the one at `RAY_ADDRESS`, one that runs on this machine, or a new one on this machine.
    `workers`: the number of actors; 0: one for each core, or one for each GPU if the work uses models and there are GPUs.
    Raises `ConfigError` if Ray is not installed."""

    workers: int = 0

    def __post_init__(self) -> None:
        _ray()

    def each(self, work: Work[Task, Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """See `WorkEngine.each`. Raises `EngineError` also if there is no cluster at `RAY_ADDRESS`."""
        with _connected():
            crew = _Actors(work, *_sizes(self.workers, work.uses_models, _ray().cluster_resources()))
            yield from Schedule(crew, tasks).results()


def _ray() -> Any:
    # Ray writes to its home page about each start, unless this is set before it is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Actors without a GPU must not use one. Ray takes the devices away, as today, and asks no question about it.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    try:
        import ray  # noqa: PLC0415
    except ImportError:
        raise ConfigError('the engine `ray` needs Ray: pip install "guardproxy[ray]"') from None
    return ray


@contextmanager
def _connected() -> Iterator[None]:
    """Connects to a cluster, unless this process has done so before."""
    ray = _ray()
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise EngineError(f"no Ray cluster: {error}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _sizes(workers: int, uses_models: bool, resources: dict[str, float]) -> tuple[int, float]:
    """Returns the number of actors, and the share of a GPU that each of them gets. `resources`: of the cluster."""
    gpus = resources.get("GPU", 0.0) if uses_models else 0.0
    count = workers or int(gpus) or max(1, int(resources.get("CPU", 1.0)))
    share = min(1.0, gpus / count)
    return count, int(share * 10**_GPU_DIGITS) / 10**_GPU_DIGITS


class ActorStation(Station):
    """A worker's place in an actor. `folder`: the working directory of the command, which paths are relative to."""

    def __init__(self, work: Work[Any, Any], folder: str) -> None:
        super().__init__(work)
        with suppress(OSError):  # another machine may not have it; then whole paths are needed
            os.chdir(folder)


class _Actors:
    """A crew of actors. A handle is the reference of a result."""

    def __init__(self, work: Work[Any, Any], count: int, gpus: float) -> None:
        self.count = count
        self._work = work
        # Ray itself repeats nothing: it would not say so, and a task that ends its actor would go round for ever.
        options = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": 0, "max_task_retries": 0}
        self._class = _ray().remote(**options)(ActorStation)

    def hire(self) -> _Actor:
        return _Actor(self._class.remote(self._work, os.getcwd()))

    def wait(self, handles: Sequence[Any]) -> Sequence[Any]:
        ready, _ = _ray().wait(list(handles), num_returns=1)
        return list(ready)

    def outcome(self, handle: Any) -> TaskOutcome:
        ray = _ray()
        try:
            outcome: TaskOutcome = ray.get(handle)
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError as error:  # the actor, its machine or the store of its results is gone
            raise WorkerLost(f"was lost ({type(error).__name__})") from None
        return outcome


class _Actor:
    """A worker that is an actor."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def open(self) -> Any:
        return self._actor.open.remote()

    def run(self, task: Any) -> Any:
        return self._actor.run.remote(task)

    def close(self) -> None:
        _ray().kill(self._actor)
