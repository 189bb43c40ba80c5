"""How long a call of each adapter takes, beside a request by HTTP through the proxy, and how many it judges in a second.

Run `python -m benchmarks.gateway.adapters --out DIR`: prints a table, and writes `adapters.json` to DIR. One client, one
connection, one call after the other, over sockets of this machine; server, client and scripted upstream share one loop. The
policy redacts e-mail addresses and secrets, and blocks a pattern. The row `direct` is the upstream without the proxy, which a
request by HTTP includes and a call does not. `growing` is an answer that LiteLLM sends again and again while it grows: all its
calls together."""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from guardproxy.adapters import ADAPTERS
from guardproxy.adapters.litellm import Litellm
from tests.kit.serving import CHAT, Rig, chat, serving

TOKEN = "a-token-for-the-benchmark"
POLICY = """
policy: guard
checks:
  pii: {use: pii, entities: [EMAIL_ADDRESS]}
  secrets: {use: secrets}
  attack: {use: pattern, patterns: ["(?i)ignore (all )?(the )?previous instructions"]}
rules:
  - {id: no-identifiers-out, on: request, when: pii, action: redact, restore: true}
  - {id: no-secrets-back, on: response, when: secrets, action: redact, restore: false}
  - {id: no-attacks, on: [user, tool_result], when: attack, action: block}
"""
SENTENCES = (
    "Please write to mara.lindqvist@example.com about the order of last week, and say that it is late. ",
    "She has asked twice, and nobody has answered yet. ",
    "The number of the order is {}, and it was paid. ",
)
WARM = 20
PIECES = 200  # of a growing answer, of which LiteLLM sends every fifth
EVERY = 5


def text_of(number: int) -> str:
    """A text of 200 characters that no cache knows yet."""
    return "".join(SENTENCES).format(number)


def figures(times: list[float]) -> dict[str, float]:
    """Milliseconds of the median and of the slowest hundredth, and calls in a second."""
    slow = sorted(times)[int(len(times) * 0.99)]
    return {
        "median_ms": round(statistics.median(times) * 1e3, 3),
        "p99_ms": round(slow * 1e3, 3),
        "per_s": round(len(times) / sum(times), 1),
    }


async def measured(calls: int, call: Callable[[int], Awaitable[None]]) -> dict[str, float]:
    """The figures of a call, which gets the number of the round."""
    times = []
    for number in range(WARM + calls):
        began = time.perf_counter()
        await call(number)
        times.append(time.perf_counter() - began)
    return figures(times[WARM:])


async def rows(rig: Rig, upstream_url: str, calls: int) -> dict[str, dict[str, float]]:
    """The rows of the table."""
    client, token = rig.client, {"authorization": f"Bearer {TOKEN}"}

    async def post(url: str, tree: Any, headers: dict[str, str]) -> None:
        async with client.post(url, json=tree, headers=headers) as answer:
            await answer.read()
            assert answer.status == 200, answer.status

    def by_http(url: str) -> Callable[[int], Awaitable[None]]:
        return lambda number: post(url + CHAT, chat(text_of(number)), {})

    table = {
        "direct": await measured(calls, by_http(upstream_url)),
        "HTTP": await measured(calls, by_http(rig.url)),
    }
    for adapter in ADAPTERS:
        for side, written in (("request", adapter.asking), ("answer", adapter.answering)):

            async def call(number: int, written: Any = written) -> None:
                found = written(text_of(number), str(number))
                await post(rig.adapters_url + found[0].partition(" ")[2], found[1], token)

            if written("", "") is not None:
                table[f"{adapter.name}: {side}"] = await measured(calls, call)

    async def grow(number: int) -> None:
        words = [f"word{piece} " for piece in range(PIECES)]
        for end in range(EVERY, PIECES + 1, EVERY):
            route, tree = Litellm().answering(f"{number} " + "".join(words[:end]), f"grow{number}") or ("", {})
            await post(rig.adapters_url + route.partition(" ")[2], tree, token)

    table["litellm: growing"] = await measured(max(2, calls // 20), grow)
    return table


async def run(calls: int) -> dict[str, dict[str, float]]:
    tokens = tuple(f"{adapter.name}={TOKEN}" for adapter in ADAPTERS)
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {"adapters": "0", "adapter_token": tokens}
        async with serving(Path(folder), POLICY, **settings) as rig:
            return await rows(rig, rig.server.config.upstreams.urls[0], calls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--calls", type=int, default=300)
    arguments = parser.parse_args()
    table = asyncio.run(run(arguments.calls))
    for name, row in table.items():
        print(f"{name:26} {row['median_ms']:8.2f} ms  p99 {row['p99_ms']:8.2f} ms  {row['per_s']:8.1f}/s")
    if arguments.out:
        about = {"machine": platform.platform(), "python": platform.python_version(), "calls": arguments.calls}
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "adapters.json").write_text(json.dumps({**about, "rows": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
