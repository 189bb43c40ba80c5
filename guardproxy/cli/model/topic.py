"""`guardproxy model topic`: fits the thresholds of the topics of a policy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardproxy.cli.printing import aligned, fail, say, say_json
from guardproxy.errors import ConfigError, PolicyError

if TYPE_CHECKING:
    from guardproxy.lab import TopicFit

SHOWN_CHARS = 70


def topic(
    policies: Annotated[Path, typer.Argument(metavar="FILE", help="A policy file, or a folder of them.")],
    check: Annotated[str, typer.Option(help="The name of a check. Default: every check `topic`.")] = "",
    share: Annotated[
        str,
        typer.Option(help="The share of other texts that may be taken for a topic. Default: that of the check."),
    ] = "",
    others: Annotated[
        list[Path] | None,
        typer.Option(help="JSON Lines of your own texts that are about none of the topics. May be repeated."),
    ] = None,
    text_key: Annotated[str, typer.Option(help="The key of a row's text in these files.")] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fit the thresholds of the checks `topic` of a policy to their examples, and print the lines for the policy.

    A text has a score for each topic: 0 is where ordinary texts are on average, 1 where the examples are. The threshold is
    put where at most a share of other texts reaches it (2 % for a denied topic, 10 % over the root of their number for
    allowed ones), and, if the examples lie far above that, a third of the way to them. Other texts are 1,681 ordinary ones
    that come with the model, and those of --others: with some hundred texts of your own traffic the share means your
    traffic.

    Look at what it prints before you copy the numbers. Examples below the line are texts that the other examples would not
    find: add more of their kind, or make two topics of one. Other texts above the line are what users will complain of: if
    they are about the topic, that is fine; if not, add examples that say more clearly what the topic is. The same files give
    the same numbers.

    Exit code 0: done; 1: a topic would not find half of its own examples; 2: wrong use.
    """
    from guardproxy.inference import Models, background_texts, find  # noqa: PLC0415
    from guardproxy.lab import RowKeys, fitted_topics, labelled_rows  # noqa: PLC0415
    from guardproxy.lab import share as read_share  # noqa: PLC0415

    models = Models()
    given = read_share(share) if share else None
    if share and given is None:
        fail("--share is a share of other texts, like 2%")
    results: dict[tuple[str, str, str], list[TopicFit]] = {}
    try:
        own = [row.text for row in labelled_rows(others, RowKeys(text_key, ""))] if others else []
        for policy, name, options in _checks(policies, check):
            model = options.get("model", "embedding")
            ordinary = background_texts(find(model))
            way, fits = fitted_topics(options, models.embedder(model), ordinary, own, given)
            results[policy, name, way] = fits
    except (ConfigError, PolicyError) as error:
        fail(str(error))
    if as_json:
        say_json(
            [
                {"policy": policy, "check": name, "way": way, "topics": [fit.as_json() for fit in fits]}
                for (policy, name, way), fits in results.items()
            ],
            2,
        )
    else:
        for (policy, name, way), fits in results.items():
            say(*_lines(policy, name, way, fits))
    raise typer.Exit(int(any(fit.examples.value < 0.5 for fits in results.values() for fit in fits)))


def _checks(policies: Path, check: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields policy, name and options of each check `topic`. Raises `ConfigError` if there is none, and `PolicyError`."""
    from guardproxy.library import read_policies  # noqa: PLC0415

    found = False
    for policy in read_policies(policies)[0]:
        for name, spec in policy.checks.items():
            if spec.use == "topic" and check in ("", name):
                found = True
                yield policy.name, name, dict(spec.options)
    if not found:
        named = f" `{check}`" if check else ""
        raise ConfigError(f"{policies}: there is no check{named} with `use: topic`")


def _lines(policy: str, name: str, way: str, fits: list[TopicFit]) -> Iterator[Any]:
    from guardproxy.lab import interval  # noqa: PLC0415

    yield f"{policy}: {name} ({way})"
    rows = [["topic", "threshold", "in the policy", "examples found", "other texts found"]]
    for fit in fits:
        given = fit.topic.topic.threshold
        before = "none" if given is None else f"{given:g}"
        rows.append([fit.name, f"{fit.topic.threshold:.3f}", before, interval(fit.examples), interval(fit.others)])
    yield from aligned(rows)
    for fit in fits:
        if near := fit.topic.near_line():
            yield f"examples of {fit.name} near the line:"
            yield from aligned([_row(score, "found" if found else "missed", text) for score, text, found in near])
        yield f"other texts that are nearest to {fit.name}:"
        line = fit.topic.threshold
        yield from aligned([_row(score, "found" if score >= line else "", text) for score, text in fit.nearest])
    yield "for the policy:"
    for fit in fits:
        yield f"  {fit.name}: {{threshold: {fit.topic.threshold:.3f}}}"


def _row(score: float, word: str, text: str) -> list[str]:
    plain = " ".join(text.split())
    return [f"  {score:.3f}", word, plain if len(plain) <= SHOWN_CHARS else plain[: SHOWN_CHARS - 3] + "..."]
