"""The arguments and the progress bar of commands that run on any engine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from guardproxy.engine import WorkEngine

Workers = Annotated[
    int,
    typer.Option("--workers", min=0, metavar="N", help="The number of workers. 0: all cores."),
]


def engine_of(workers: int) -> WorkEngine:
    """Returns the engine."""
    from guardproxy.engine import LocalEngine  # noqa: PLC0415

    return LocalEngine(workers)


@contextmanager
def progress(verb: str, parts: int) -> Iterator[Callable[[int], object]]:
    """Shows the parts that are done and the records a second, on standard error if it is a terminal. `parts`: their number.
    Yields the function that takes the number of records of a part that is done."""
    if not sys.stderr.isatty():
        yield lambda records: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (
        verb,
        BarColumn(),
        MofNCompleteColumn(),
        "parts",
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=parts, rate="")
        total = 0

        def advance(records: int) -> None:
            nonlocal total
            total += records
            elapsed_s = bar.tasks[0].elapsed or 0.0
            bar.update(task, advance=1, rate=f"{total / elapsed_s:,.0f} records/s" if elapsed_s else "")

        yield advance
