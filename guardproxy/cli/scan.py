"""`guardproxy scan`: applies policies to texts from files or standard input, without a server or a model's API."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from guardproxy.cli.engine_arguments import EngineName, Workers, engine_of
from guardproxy.cli.policy.arguments import AllowCode
from guardproxy.errors import ConfigError, GuardproxyError

if TYPE_CHECKING:
    from guardproxy.batch import ScannedPart, ScanWork

PART_BYTES = 1 << 18  # scanning with models is slow, so parts are small


@dataclass(frozen=True, slots=True)
class Line:
    """A line of standard input."""

    text: str

    def lines(self) -> tuple[str]:
        """Returns the line."""
        return (self.text,)


def scan(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="Files of JSON lines, folders with *.jsonl files, or URLs of an object store. Default: standard input.",
            show_default=False,
        ),
    ] = None,
    policies: Annotated[
        Path | None, typer.Option(help="A folder of policies, or the name of a shipped policy such as `strict`.")
    ] = None,
    on: Annotated[str, typer.Option(help="request: as a user's message; response: as a model's answer.")] = "request",
    allow_code: AllowCode = False,
    engine: EngineName = "local",
    workers: Workers = 0,
) -> None:
    """Read {"id", "text"} lines, write {"id", "decision", "rules", "findings", "text"} lines, in the same order.

    Files are scanned on all cores, or on a Ray cluster. Standard input is scanned in one process, line by line.

    Exit code 0: no findings; 1: findings; 2: wrong use.
    """
    from guardproxy.batch import ScanWork, SharedPolicies  # noqa: PLC0415

    if on not in ("request", "response"):
        _wrong_use("--on is request or response")
    if not files and (engine != "local" or workers > 1):
        _wrong_use("standard input is scanned in one process: name files to use --engine or --workers")
    direction: Literal["request", "response"] = "request" if on == "request" else "response"
    has_findings = False
    lines: Counter[str] = Counter()
    try:
        shared = SharedPolicies(policies, allow_code)
        shared.load()
        work = ScanWork(shared, direction)
        for name, found in _of_files(work, files, engine, workers) if files else _of_input(work):
            lines[name] += found.lines
            has_findings = has_findings or found.has_findings
            sys.stdout.write(found.out)
            if found.is_faulty:
                _wrong_use(f'{name}line {lines[name]} is not a JSON object with a string "text"')
    except GuardproxyError as error:
        _wrong_use(str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        _wrong_use(f"{error.filename}: {error.strerror}")
    raise typer.Exit(1 if has_findings else 0)


def _of_files(work: ScanWork, places: Sequence[str], engine: str, workers: int) -> Iterator[tuple[str, ScannedPart]]:
    """Yields the results of parts, with the name of the file for messages. Raises `GuardproxyError` and `OSError`."""
    from guardproxy.engine import files_at, parts_of, path_at  # noqa: PLC0415

    paths = []
    for place in places:
        found = files_at(path_at(place), "*.jsonl")
        if not found:
            raise ConfigError(f"{place}: no file here")
        paths += found
    parts = list(parts_of(((path, path.stat().st_size) for path in paths), PART_BYTES))
    for part, scanned in zip(parts, engine_of(engine, workers, "scanning").each(work, parts), strict=True):
        yield f"{part.path}: ", scanned


def _of_input(work: ScanWork) -> Iterator[tuple[str, ScannedPart]]:
    """Yields the result of each line of standard input."""
    with work.open() as do:
        for line in sys.stdin:
            yield "", do(Line(line))


def _wrong_use(message: str) -> NoReturn:
    typer.echo(f"guardproxy: {message}", err=True)
    raise typer.Exit(2)
