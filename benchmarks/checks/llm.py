"""What a check that asks a model adds to a request: the time to the first token, before the request, beside it, and for its
answer.

The model that is guarded and the model that judges take fixed times. Each prompt is new, except for `known`. The ways come
in turn:

    bare      no proxy
    no check  a policy with a pattern
    before    the model judges each request before it is sent
    beside    the same with `parallel: true`
    known     as `before`, with a text whose verdict is known
    answer    the model judges the answer, which is held until then

All share one process and its cores. Out: `llm.json` in `--out`, with the milliseconds that each way adds to `bare`.

    python -m benchmarks.checks.llm [--rounds 5] [--requests 10] [--think-ms 150] [--judge-ms 50 300] [--out DIR]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import uvloop
from aiohttp import web

from benchmarks.path.load import percentile
from benchmarks.path.parallel import LEXICON, Model, first_token_ms, proxy
from benchmarks.processes import ROOT, machine

WORDS = 60
CHECKS = """\
policy: p
checks:
  word: {use: pattern, words: [umbrella-corp]}
  judged: {use: llm, upstream: judge, model: m, rubric: "Is it rude?"}
  again: {use: llm, upstream: judge, model: m, rubric: "Is it rude?", cache: false}
rules:
  - {id: word, when: word, action: flag}
"""
RULES = {
    "no check": "",
    "before": "  - {id: judged, on: user, when: judged, action: block}\n",
    "beside": "  - {id: judged, on: user, when: judged, action: block, parallel: true}\n",
    "answer": "  - {id: judged, on: response, when: again, action: block}\n",  # all answers of the model are equal
}
_CODE = re.compile(r"the word ([0-9a-f]{16})")


class JudgingModel:
    """A model that takes `think_s` to say no. `asked`: how often it was asked."""

    think_s = 0.0
    asked = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        code = _CODE.findall((await request.json())["messages"][-1]["content"])[-1]
        await asyncio.sleep(self.think_s)
        said = {"role": "assistant", "content": json.dumps({"code": code, "answer": "no"})}
        return web.json_response({"choices": [{"index": 0, "message": said, "finish_reason": "stop"}]})


async def run(rounds: int, requests: int, judges_ms: list[float]) -> dict[str, Any]:
    """All ways in turn, for each time that the model takes to judge."""
    rng, judge = random.Random(1), JudgingModel()
    async with AsyncExitStack() as stack:
        model = await asyncio.get_running_loop().create_server(Model, "127.0.0.1", 0)
        stack.callback(model.close)
        app = web.Application()
        app.router.add_post("/{path:.*}", judge.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        stack.push_async_callback(runner.cleanup)
        bare = f"http://127.0.0.1:{model.sockets[0].getsockname()[1]}"
        named = f"judge=http://127.0.0.1:{runner.addresses[0][1]}"
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = {"bare": bare}
        for way, rules in RULES.items():
            urls[way] = await proxy(stack, folder / way, bare, CHECKS + rules, named)
        urls["known"] = urls["before"]
        client = await stack.enter_async_context(aiohttp.ClientSession())
        found: dict[float, dict[str, list[float]]] = {}
        for judge_ms in judges_ms:
            judge.think_s = judge_ms / 1000
            ways = found[judge_ms] = {way: [] for way in urls}
            for number in range(rounds + 1):  # the first round warms up
                for _ in range(requests):
                    for way, url in urls.items():
                        text = " ".join(rng.choices(LEXICON, k=WORDS))
                        took_ms = await first_token_ms(client, url, "hello again" if way == "known" else text)
                        if number:
                            ways[way].append(took_ms)
    return {f"{judge_ms:g} ms": _figures(ways) for judge_ms, ways in found.items()}


def _figures(ways: dict[str, list[float]]) -> dict[str, float]:
    """The percentiles of each way, and the milliseconds that it adds to the median without a proxy."""
    figures = {f"{way}_p50_ms": round(median(times), 2) for way, times in ways.items()}
    figures |= {f"{way}_p99_ms": round(percentile(times, 0.99), 2) for way, times in ways.items()}
    return figures | {
        f"{way}_adds_ms": round(median(times) - median(ways["bare"]), 2) for way, times in ways.items() if way != "bare"
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=10)
    parser.add_argument("--think-ms", type=float, default=150.0)
    parser.add_argument("--judge-ms", type=float, nargs="+", default=[50.0, 300.0])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    Model.think_s = options.think_ms / 1000
    figures = uvloop.run(run(options.rounds, options.requests, options.judge_ms))
    result = {"machine": machine(), "think_ms": options.think_ms, **figures}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "llm.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
