"""The arguments and the progress bar of commands that run on any engine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, TypeVar, cast

import typer

from guardproxy.cli.printing import is_terminal, progress_console, say

if TYPE_CHECKING:
    from guardproxy.engine import Work, WorkEngine

LIMIT_WORKERS = 1024
PROGRESS = "GUARDPROXY_PROGRESS"
"""The variable with which another program, such as the console, asks for lines of progress on standard error."""

Task = TypeVar("Task")
Result = TypeVar("Result")

EngineName = Annotated[
    Literal["local", "ray"],
    typer.Option("--engine", help="local: the cores of this machine; ray: a Ray cluster (extra `ray`)."),
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        min=0,
        max=LIMIT_WORKERS,
        metavar="N",
        help="The number of workers. 0: all cores, or all cores of the cluster.",
    ),
]


def engine_of(name: str, workers: int, verb: str) -> WorkEngine:
    """Returns the engine with this name, which shows its progress. `verb`: what it does, in a word. Raises `ConfigError` if its
    package is not installed."""
    if name == "ray":
        from guardproxy.engine.cluster import RayEngine  # noqa: PLC0415

        return ShownEngine(RayEngine(workers), verb)
    from guardproxy.engine import LocalEngine  # noqa: PLC0415

    return ShownEngine(LocalEngine(workers), verb)


class HasLines(Protocol):
    """The result of a part. `lines`: how many it has."""

    @property
    def lines(self) -> int:
        """Returns the number of lines."""
        ...


@dataclass(frozen=True, slots=True)
class ShownEngine:
    """An engine that shows the parts that are done and the records a second, on standard error if it is a terminal, or in
    lines if another program asks for them."""

    engine: WorkEngine
    verb: str

    def each(self, work: Work[Task, Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """See `WorkEngine.each`. The results have `lines`."""
        if os.environ.get(PROGRESS) == "lines":
            yield from self._in_lines(work, tasks)
            return
        if not is_terminal(err=True):
            yield from self.engine.each(work, tasks)
            return
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        counts = (MofNCompleteColumn(), "parts", TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
        is_shared = is_terminal()  # else what is printed would go to the terminal, and not to its file
        with Progress(
            self.verb, BarColumn(), *counts, console=progress_console(), transient=True, redirect_stdout=is_shared
        ) as bar:
            every = tasks if isinstance(tasks, Sized) else None
            shown = bar.add_task("", total=None if every is None else len(every), rate="")
            lines = 0
            for result in self.engine.each(work, tasks):
                lines += cast(HasLines, result).lines
                elapsed_s = bar.tasks[0].elapsed or 0.0
                bar.update(shown, advance=1, rate=f"{lines / elapsed_s:,.0f} records/s" if elapsed_s else "")
                yield result

    def _in_lines(self, work: Work[Task, Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Prints a line for each percent: the verb, what is done and all, such as `verifying 3/400`."""
        every = list(tasks)
        shown = 0
        for done, result in enumerate(self.engine.each(work, every), 1):
            percent = 100 * done // len(every)
            if percent > shown:
                shown = percent
                say(f"{self.verb} {done}/{len(every)}", err=True)
            yield result
