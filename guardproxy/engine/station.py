"""What a worker does: it opens the work once, and then does one task after the other.

In: work and tasks. Out: outcomes, which can be sent to another process. Kept: what the work has opened, such as policies and
models.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from guardproxy.errors import EngineError, GuardproxyError

Task_contra = TypeVar("Task_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class Work(Protocol[Task_contra, Result_co]):
    """Work that can be sent to a worker. It holds paths and names, and no secret."""

    @property
    def uses_models(self) -> bool:
        """Whether its tasks run models, so that a GPU helps."""
        ...

    def open(self) -> AbstractContextManager[Callable[[Task_contra], Result_co]]:
        """Loads what all tasks need, in the worker. Yields the function that does a task. A result depends on its task
        alone. Raises `GuardproxyError` and `OSError`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class TaskOutcome:
    """The result of a task, or its error."""

    value: Any = None
    error: Exception | None = None


class Station:
    """A worker's place: in this process, in another process or in an actor of a cluster."""

    def __init__(self, work: Work[Any, Any]) -> None:
        self._work = work
        self._opened = ExitStack()
        self._do: Callable[[Any], Any] | None = None

    def open(self) -> TaskOutcome:
        """Opens the work."""

        def enter(work: Work[Any, Any]) -> None:
            self._do = self._opened.enter_context(work.open())

        return _outcome(enter, self._work)

    def run(self, task: Any) -> TaskOutcome:
        """Does a task. The work was opened."""
        if self._do is None:
            raise AssertionError("the work is opened first")
        return _outcome(self._do, task)

    def close(self) -> None:
        """Closes what the work has opened."""
        self._opened.close()


def _outcome(function: Callable[[Any], Any], value: Any) -> TaskOutcome:
    """Returns the outcome of a call. An error is turned into a kind that every process can read. An unexpected one keeps its
    traceback, as text."""
    try:
        return TaskOutcome(function(value))
    except GuardproxyError as error:
        return TaskOutcome(error=EngineError(str(error)))
    except OSError as error:
        return TaskOutcome(
            error=OSError(error.errno, error.strerror or str(error), error.filename and str(error.filename))
        )
    except Exception:
        return TaskOutcome(error=RuntimeError(f"a worker failed:\n{traceback.format_exc()}"))
