"""Workers on a Ray cluster: one actor for each worker, on any machine.

In: work and tasks. Out: results in order. Kept: nothing; a cluster that was started here is stopped again.

Ray only places the actors and carries tasks and results. Which task goes where, and what happens when an actor or its
machine is lost, is decided in `schedule`, as for processes of this machine. A new actor waits until the cluster has room for
it, and the others go on meanwhile.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from guardproxy.engine.schedule import Result, Schedule, Task, WorkerLost
from guardproxy.engine.station import Station, TaskOutcome, Work
from guardproxy.errors import ConfigError, EngineError

REACH_S = 5.0  # for each of the connection and the first answer
# Ray speaks gRPC: each side of HTTP/2 begins with its settings (RFC 9113, section 3.4).
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_FRAME_HEAD_BYTES, _TYPE, _SETTINGS = 9, 3, b"\x04"
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
            count, gpus = _sizes(self.workers, work.uses_models, _ray().cluster_resources())
            crew = _Actors(work, count, gpus)
            yield from Schedule(crew, tasks).results()


def _ray() -> Any:
    # Ray writes to its home page about each start, unless this is set before it is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Actors without a GPU must not use one. Ray takes the devices away, as today, and asks no question about it.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    if os.environ.get("RAY_ADDRESS"):  # a cluster that runs already: `_reach` has waited for it
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "5")
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
    _reach(os.environ.get("RAY_ADDRESS", ""))
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.AuthenticationError) as error:
        raise EngineError(f"no Ray cluster: {str(error).strip().partition(chr(10))[0]}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Returns when the server of a cluster speaks at an address such as `10.0.0.1:6379` or `ray://head:10001`. An address
    without a port is a word of Ray. Ray itself would try for minutes. Raises `EngineError`."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not (separator and port.isdecimal()):
        return
    where = f"no Ray cluster at {address} (RAY_ADDRESS)"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), REACH_S) as connection:
            connection.settimeout(REACH_S)
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
                return
            connection.sendall(_PREFACE)
            with connection.makefile("rb") as answers:
                answer = answers.read(_FRAME_HEAD_BYTES)  # in however many pieces
    except TimeoutError:
        raise EngineError(f"{where}: no answer in {REACH_S:g} s") from None
    except (OSError, UnicodeError, OverflowError) as error:
        raise EngineError(f"{where}: {getattr(error, 'strerror', None) or error}") from None
    if answer[_TYPE : _TYPE + 1] != _SETTINGS:
        raise EngineError(f"{where}: what answers there is not a cluster")


def _sizes(workers: int, uses_models: bool, resources: dict[str, float]) -> tuple[int, float]:
    """Returns the number of actors, and the share of a GPU that each of them gets. `resources`: of the cluster."""
    gpus = resources.get("GPU", 0.0) if uses_models else 0.0
    count = workers or int(gpus) or max(1, int(resources.get("CPU", 1.0)))
    share = min(1.0, gpus / count)
    return count, int(share * 10**_GPU_DIGITS) / 10**_GPU_DIGITS


class ActorStation(Station):
    """A worker's place in an actor. `folder`: the working directory of the command, which paths are relative to. `release`: the
    release of guardproxy that the command is of. Another release might report something else, so it does no work."""

    def __init__(self, work: Work[Any, Any], folder: str, release: str) -> None:
        super().__init__(work)
        self._release = release
        with suppress(OSError):  # another machine may not have it; then whole paths are needed
            os.chdir(folder)

    def open(self) -> TaskOutcome:
        """Opens the work, if this is the right release."""
        if (here := version("guardproxy")) != self._release:
            return TaskOutcome(error=EngineError(f"a worker has guardproxy {here}, and this is {self._release}"))
        return super().open()


class _Actors:
    """A crew of actors. A handle is the reference of a result."""

    def __init__(self, work: Work[Any, Any], count: int, gpus: float) -> None:
        self.count = count
        self._work = work
        # Ray itself repeats nothing: it would not say so, and a task that ends its actor would go round for ever.
        options = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": 0, "max_task_retries": 0}
        self._class = _ray().remote(**options)(ActorStation)

    def hire(self) -> _Actor:
        return _Actor(self._class.remote(self._work, os.getcwd(), version("guardproxy")))

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
            reason = str(error).partition("\n")[0].strip()
            raise WorkerLost(f"was lost ({type(error).__name__}: {reason})") from None
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
