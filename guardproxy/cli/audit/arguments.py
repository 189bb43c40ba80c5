"""What several commands of `guardproxy audit` share: arguments, times, and the end of a wrong use."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from guardproxy.cli.printing import say
from guardproxy.errors import QueryError

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `serve --audit` wrote to.")]
FolderOrUrl = Annotated[
    str,
    typer.Argument(
        metavar="DIR",
        help="The folder that `serve --audit` wrote to, or the URL of a copy in an object store: s3://, gs://, az://.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Heads = Annotated[Path | None, typer.Option(help="A folder with copies of *.head files, where the proxy cannot write.")]
Keys = Annotated[
    list[str],
    typer.Option(
        "--key", metavar="KEY", help="The public key of the log or of a witness, or its file. May be repeated."
    ),
]
Copies = Annotated[
    list[Path],
    typer.Option("--copy", metavar="PATH", help="Copies of checkpoints from another place: a file or a folder."),
]
_PERIOD = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def time_of(text: str) -> float:
    """Returns the Unix time of `--since`: a period before now, such as `2h`, a day, or a time in UTC. Raises `QueryError`."""
    if match := _PERIOD.fullmatch(text):
        return time.time() - int(match[1]) * _UNIT_S[match[2]]
    from guardproxy.reading import read_period  # noqa: PLC0415

    with suppress(QueryError):  # it names another option
        return read_period(text, None).start_s
    raise QueryError("--since: expected a day like 2026-01-31, a time like 2026-01-31T12:00 or a period like 2h")


def clock(at: float) -> str:
    """Returns a Unix time in UTC, for people; a number that is not a time as it is."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(at)


def wrong_use(message: str) -> NoReturn:
    """Prints what is wrong, and ends with exit code 2."""
    say(message, err=True)
    raise typer.Exit(2)
