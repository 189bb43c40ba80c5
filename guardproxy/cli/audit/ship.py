"""`guardproxy audit ship`: sends the lines of the log to another system, and goes on where it stopped.

In: a folder with logs, a target. Out: the lines at the target; exit code 0: all was sent, 1: with `--once`, the target
refused, 2: wrong use. It runs beside the proxy and reads its files, so it delays no exchange.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Annotated

import typer

from guardproxy.cli.audit.arguments import Folder
from guardproxy.cli.printing import complain, fail
from guardproxy.errors import AuditError, ConfigError

if TYPE_CHECKING:
    from guardproxy.audit.shipping import Target

TOKEN = "GUARDPROXY_SHIP_TOKEN"  # noqa: S105 - the name of a variable


def ship(
    folder: Folder,
    to: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help="`-` (standard output), http(s)://HOST/PATH, s3://BUCKET/PREFIX, gs://, az://, file:///FOLDER or "
            "kafka://HOST:PORT/TOPIC.",
        ),
    ],
    position: Annotated[
        Path | None, typer.Option(help="The file that keeps the position. Default: a file in DIR for each target.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End when all lines written so far are sent.")] = False,
    until_eof: Annotated[
        bool, typer.Option("--until-eof", help="End when standard input ends and all lines written by then are sent.")
    ] = False,
    poll_s: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks at the logs.")] = 1.0,
) -> None:
    """Send the lines of the log to another system, each at least once, until it is stopped.

    The position is kept in a file, and the next run goes on there. A failed batch is sent again until the target accepts
    it. A bearer token for HTTP comes from the environment variable GUARDPROXY_SHIP_TOKEN.
    """
    from guardproxy.audit.shipping import Shipper, position_of, ship_on, target_of  # noqa: PLC0415

    if not folder.is_dir():
        fail(f"{folder}: no such folder")
    place = position or position_of(folder, to)
    try:
        target: Target = target_of(to, os.environ.get(TOKEN, ""))
        shipper = Shipper(folder, target, place)
    except (ConfigError, AuditError) as error:
        fail(str(error))
    try:
        if once:
            shipper.ship()
        else:
            over = Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda number, frame: over.set())
            if until_eof:
                Thread(target=_wait_for_end, args=(over,), daemon=True).start()
            ship_on(shipper, over.wait, poll_s, complain)
            if until_eof:
                shipper.ship()
    except (AuditError, OSError) as error:
        fail(error, 1)
    finally:
        target.close()


def _wait_for_end(over: Event) -> None:
    sys.stdin.buffer.read()
    over.set()
