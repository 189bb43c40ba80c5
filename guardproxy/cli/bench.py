"""`guardproxy bench`: what the proxy adds and what one core serves, on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardproxy.cli.printing import aligned, can_show_blocks, fail, say, say_json
from guardproxy.errors import GuardproxyError

if TYPE_CHECKING:
    from guardproxy.sizing import Sizes

HEAD = ("policy", "50 words", "500 words", "5,000 words", "agent turn", "first text", "requests/s", "streams", "MiB")


def bench(
    policies: Annotated[
        list[str] | None,
        typer.Option(
            help="A folder of policies, or a shipped policy, or `none`; may be repeated. Default: all shipped."
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.0, help="The time of each of the seven measurements of a policy.")
    ] = 3.0,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure added latency, and requests, streams and memory per core.

    Starts the proxy with each policy in front of an upstream that answers at
    once, on ports of its own, and asks both in turn. No text comes twice, so
    the figures are a lower bound for chats, whose history is read only once.
    """
    from guardproxy.sizing import measure  # noqa: PLC0415

    names = policies or _every()
    found = []
    for number, name in enumerate(names, 1):
        step = partial(_step, f"{number} of {len(names)}  {name}")
        try:
            found.append(asyncio.run(measure(Path(name) if Path(name).is_dir() else name, seconds, step)))
        except GuardproxyError as error:
            fail(f"{name}: {error}")
        except KeyboardInterrupt:
            break
    if json:
        say_json([asdict(sizes) for sizes in found], indent=2)
    else:
        say(*_lines(found))


def _step(policy: str, what: str) -> None:
    say(f"{policy}: {what} ...", err=True)


def _every() -> list[str]:
    from guardproxy.library import shipped_names  # noqa: PLC0415

    return ["none", *shipped_names()]


def _lines(found: Sequence[Sizes]) -> Iterator[str]:
    from guardproxy.sizing import PROMPT_WORDS, picture  # noqa: PLC0415

    yield "added to a request of 50 words"
    yield ""
    yield from picture(found, is_ascii=not can_show_blocks())
    yield ""
    yield "added at the median in milliseconds; then what one core serves, and the memory of the process"
    yield ""
    rows = [
        (
            sizes.policy,
            *(f"{sizes.prompts[count].p50_ms:.1f}" for count in PROMPT_WORDS),
            f"{sizes.turn.p50_ms:.1f}",
            f"{sizes.first_text.p50_ms:.1f}",
            f"{sizes.requests_s:,.0f}" if sizes.requests_s else "-",
            f"{sizes.streams:,.0f}" if sizes.streams else "-",
            f"{sizes.memory_mib:,.0f}" if sizes.memory_mib else "-",
        )
        for sizes in found
    ]
    yield from aligned([HEAD, *rows])
    for sizes in found:
        if sizes.refused:
            yield f"{sizes.policy}: refused {sizes.refused} requests, which are faster than answers"
