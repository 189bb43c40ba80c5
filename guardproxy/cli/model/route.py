"""`guardproxy model route`: chooses which requests may go to a small model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

import typer

from guardproxy.cli.printing import aligned, fail, say, say_json
from guardproxy.errors import ConfigError

SHOWN = 12
By = Literal["chars", "difficulty"]


def route(
    data: Annotated[
        list[Path],
        typer.Argument(metavar="DATA", help="Labelled JSON Lines, plain or .gz, or the folder of an audit log."),
    ],
    by: Annotated[
        By, typer.Option(help="What a route compares: the length of a request, or its difficulty by its words.")
    ] = "chars",
    learn: Annotated[
        bool,
        typer.Option("--learn", help="Fit the weights of the difficulty to these requests. Implies --by difficulty."),
    ] = False,
    most_hard: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The most hard requests among those that go to the small model.")
    ] = 0.05,
    text_key: Annotated[str, typer.Option(help="The key of a row's text.")] = "text",
    label_key: Annotated[
        str, typer.Option(help="The key of a row's label: 0 or 1, true or false, or a name.")
    ] = "label",
    hard: Annotated[list[str] | None, typer.Option(help="A label that means hard. May be repeated.")] = None,
    least: Annotated[
        int | None, typer.Option(help="In a log: the lowest score of a good answer. Default: one below the highest.")
    ] = None,
    model: Annotated[str, typer.Option(help="In a log: only answers of this model, such as the small one.")] = "",
    models: Annotated[
        Path | None, typer.Option(help="A folder of models that take precedence over the shipped ones.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Choose which requests a route may send to a small model, from requests labelled simple (0) or hard (1).

    In a log, a request is hard if a judge gave its answer a low score (section `judge` of a policy). Prints what each limit
    would send there, and the line for a policy. A text with code stays with the large model. Exit code 1: no limit keeps the
    share of hard requests with 95 % confidence. With --learn, the limit is chosen on the half of the requests that the weights
    were not fitted to.
    """
    from guardproxy.exchange import has_code  # noqa: PLC0415 - loads much, only now
    from guardproxy.lab import highest_simple, route_points, shown_points  # noqa: PLC0415 - as above

    by = "difficulty" if learn else by
    try:
        rows = _labelled(data, text_key, label_key, hard, least, model)
        if not rows:
            raise ConfigError("no labelled requests")
        weights: tuple[float, ...] = ()
        if by == "difficulty":
            values, weights, rows = _difficulties(rows, models, learn=learn)
        else:
            values = [len(text) for text, _ in rows]
    except (ConfigError, OSError) as error:
        fail(error)
    plain = ((value, is_hard) for value, (text, is_hard) in zip(values, rows, strict=True) if not has_code(text))
    points = route_points(plain, len(rows))
    chosen = highest_simple(points, most_hard)
    if as_json:
        curve = [
            {by: _limit(point.limit, by), "sent": round(point.sent, 4), "hard": round(point.hard.value, 4)}
            | {"hard_high": round(point.hard.high, 4)}
            for point in points
        ]
        limit = None if chosen is None else _limit(chosen.limit, by)
        say_json({"texts": len(rows), by: limit, "weights": list(weights), "curve": curve}, 2)
    else:
        shown = [[str(by), "sent", "hard", "95 % interval"]]
        for point in shown_points(points, SHOWN):
            share, at = point.hard, _limit(point.limit, by)
            shown.append([f"{at:,}", f"{point.sent:.1%}", f"{share.value:.1%}", f"{share.low:.1%}-{share.high:.1%}"])
        say(*aligned(shown))
        if chosen is not None:
            say("", f"{chosen.sent:.1%} of {len(rows):,} texts go to the small model; in a policy:", "")
            limit = _limit(chosen.limit, by)
            said = f"{{most: {limit}, weights: [{', '.join(map(str, weights))}]}}" if weights else str(limit)
            say(f"route: {{simple: {{model: NAME, {by}: {said}}}}}")
    if chosen is None:
        what = "length" if by == "chars" else "difficulty"
        fail(f"no {what} keeps hard texts below {most_hard:.1%} with 95 % confidence", 1)


def _labelled(
    data: Sequence[Path], text_key: str, label_key: str, hard: list[str] | None, least: int | None, model: str
) -> list[tuple[str, bool]]:
    """Requests, each with whether it is hard. Says what of a log has none. Raises `ConfigError` and `OSError`."""
    from guardproxy.lab import RowKeys, labelled_rows  # noqa: PLC0415 - loads much, only now
    from guardproxy.reading import judged_questions  # noqa: PLC0415 - as above

    folders = [path for path in data if path.is_dir()]
    files = [path for path in data if path not in folders]
    keys = RowKeys(text_key, label_key, "source", frozenset(hard or ()))
    found = [(row.text, row.attack) for row in labelled_rows(files, keys)] if files else []
    without: Counter[str] = Counter()
    for folder in folders:
        found += judged_questions(folder, least, model, without, without)
    for reason, count in sorted(without.items()):
        say(f"left out: {count:,} ({reason})", err=True)
    return found


def _difficulties(
    rows: Sequence[tuple[str, bool]], models: Path | None, *, learn: bool
) -> tuple[list[int], tuple[float, ...], list[tuple[str, bool]]]:
    """The difficulty of requests, 0 to 1000, the learned weights, and the requests that a limit may be chosen on: with `learn`,
    half of them, which the weights were not fitted to. A text that is there twice is in one half. Raises `ConfigError`."""
    from guardproxy.inference import Models  # noqa: PLC0415 - loads much, only now
    from guardproxy.lab import learned_weights  # noqa: PLC0415 - as above

    model = Models((models,) if models else ()).difficulty()
    weights: tuple[float, ...] = ()
    if learn:
        halves: tuple[list[tuple[str, bool]], list[tuple[str, bool]]] = ([], [])
        for row in rows:
            halves[sha256(row[0].encode("utf-8", "replace")).digest()[0] % 2].append(row)
        fitted, rows = halves
        labels = [is_hard for _, is_hard in fitted]
        weights = learned_weights([model.of(text) for text, _ in fitted], labels, model.weights)
    return [model.score(model.of(text), weights) for text, _ in rows], weights, list(rows)


def _limit(value: int, by: By) -> float:
    """A limit as a policy writes it."""
    return value if by == "chars" else value / 1000
