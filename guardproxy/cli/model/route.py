"""`guardproxy model route`: chooses up to which length requests may go to a small model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from guardproxy.cli.printing import aligned, fail, say, say_json
from guardproxy.errors import ConfigError

SHOWN = 12


def route(
    data: Annotated[list[Path], typer.Argument(metavar="DATA", help="Labelled JSON Lines, plain or .gz.")],
    most_hard: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The most hard texts among those that go to the small model.")
    ] = 0.05,
    text_key: Annotated[str, typer.Option(help="The key of a row's text.")] = "text",
    label_key: Annotated[
        str, typer.Option(help="The key of a row's label: 0 or 1, true or false, or a name.")
    ] = "label",
    hard: Annotated[list[str] | None, typer.Option(help="A label that means hard. May be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Choose the longest requests that a route may send to a small model, from texts labelled simple (0) or hard (1).

    Prints what each length would send there, and the line for a policy. A text with code stays with the large model. Exit
    code 1: no length keeps the share of hard texts with 95 % confidence.
    """
    from guardproxy.lab import (  # noqa: PLC0415
        RowKeys,
        labelled_rows,
        longest_simple,
        route_points,
        shown_points,
    )

    try:
        rows = labelled_rows(data, RowKeys(text_key, label_key, "source", frozenset(hard or ())))
    except ConfigError as error:
        fail(error)
    points = route_points((row.text, row.attack) for row in rows)
    chosen = longest_simple(points, most_hard)
    if as_json:
        curve = [
            {"chars": point.chars, "sent": round(point.sent, 4), "hard": round(point.hard.value, 4)}
            | {"hard_high": round(point.hard.high, 4)}
            for point in points
        ]
        say_json({"texts": len(rows), "chars": chosen and chosen.chars, "curve": curve}, 2)
    else:
        table = [["chars", "sent", "hard", "95 % interval"]]
        for point in shown_points(points, SHOWN):
            share = point.hard
            table.append(
                [f"{point.chars:,}", f"{point.sent:.1%}", f"{share.value:.1%}", f"{share.low:.1%}-{share.high:.1%}"]
            )
        say(*aligned(table))
        if chosen is not None:
            say("", f"{chosen.sent:.1%} of {len(rows):,} texts go to the small model; in a policy:", "")
            say(f"route: {{simple: {{model: NAME, chars: {chosen.chars}}}}}")
    if chosen is None:
        fail(f"no length keeps hard texts below {most_hard:.1%} with 95 % confidence", 1)
