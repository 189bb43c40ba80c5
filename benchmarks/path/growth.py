"""Draws how the work of a request grows with what grows in practice: its prompt, its answer, turns, tools, rules, open streams.

`python -m benchmarks.path.growth --out benchmarks/results` writes `growth.json` and `growth.png`. Each dimension is measured at
four sizes, each twice the one before: the processor time of the exchange and its checks on one core, without sockets and
without a model, as the least of several rounds in turn, and the calls of functions, which are the same in every run. `growth`
is the exponent between the last two sizes: 1 is linear, 2 squared. `cost_growth.py` does the same for each shape of body. The
last row is that of `workers.py`: the requests that several workers answer.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.path import workers
from guardproxy.exchange.inputs.transcript import DataReceived, RequestReceived, ResponseEnded, ResponseStarted, Scanned
from guardproxy.policy import PolicySet
from guardproxy.sizing.traffic import words
from tests.kit.play import CHAT, Play, chat_frames, policy_set
from tools.cost import POLICIES

STEPS = 4
ROUNDS = 3
Work = Callable[[], object]


def _texts(count: int) -> list[str]:
    return [f"{word} " for word in words(Random(count), count)]


def _request(messages: list[dict[str, Any]], **more: Any) -> bytes:
    return json.dumps({"model": "m", "stream": True, "messages": messages, **more}).encode()


HELLO = _request([{"role": "user", "content": "hello there"}])
FEW = tuple(chat_frames([{"content": text} for text in _texts(20)]))


def _scan(play: Play) -> None:
    while play.pending:
        jobs, play.pending = play.pending.jobs, None
        play.tell(Scanned(tuple(job.check.scan([job.window])[0] for job in jobs)))


def _begun(policies: PolicySet, body: bytes) -> Play:
    play = Play(policies, CHAT)
    play.tell(RequestReceived(body))
    _scan(play)
    play.tell(ResponseStarted(200, "text/event-stream"))
    return play


def _played(policies: PolicySet, body: bytes, frames: Iterable[bytes]) -> Work:
    def run() -> None:
        play = _begun(policies, body)
        for frame in frames:
            play.tell(DataReceived(frame))
            _scan(play)
        play.tell(ResponseEnded())
        _scan(play)
        assert play.exchange.is_over

    return run


def prompt(size: int) -> Work:
    """A prompt of so many words."""
    return _played(POLICIES, _request([{"role": "user", "content": "".join(_texts(size))}]), FEW)


def answer(size: int) -> Work:
    """An answer of so many words, each in a chunk of its own."""
    return _played(POLICIES, HELLO, chat_frames([{"content": text} for text in _texts(size)]))


def turns(size: int) -> Work:
    """A conversation of so many messages of ten words."""
    roles = ("user", "assistant")
    said = [{"role": roles[at % 2], "content": "".join(_texts(10 + at)[:10])} for at in range(size)]
    return _played(POLICIES, _request(said), FEW)


def tools(size: int) -> Work:
    """A request with so many tools."""
    schema = {"type": "object", "properties": {"city": {"type": "string", "description": "the city to look at"}}}
    made = [
        {"type": "function", "function": {"name": f"tool_{at}", "description": "looks at a city", "parameters": schema}}
        for at in range(size)
    ]
    return _played(POLICIES, _request([{"role": "user", "content": "hello there"}], tools=made), FEW)


def rules(size: int) -> Work:
    """A policy of so many rules, each with a check of its own that reads both directions."""
    checks = "".join(f"  word{at}: {{use: pattern, words: [umbrella-{at}-corp]}}\n" for at in range(size))
    listed = "".join(f"  - {{id: rule{at}, when: word{at}, action: flag}}\n" for at in range(size))
    return _played(policy_set(f"policy: many\nchecks:\n{checks}rules:\n{listed}"), HELLO, FEW)


def streams(size: int) -> Work:
    """So many open streams that take turns."""

    def run() -> None:
        plays = [_begun(POLICIES, HELLO) for _ in range(size)]
        for frame in FEW:
            for play in plays:
                play.tell(DataReceived(frame))
                _scan(play)

    return run


DIMENSIONS: Mapping[str, tuple[int, Callable[[int], Work]]] = {
    "words of the prompt": (250, prompt),
    "words of the answer": (50, answer),
    "turns": (25, turns),
    "tools": (10, tools),
    "rules": (5, rules),
    "open streams": (5, streams),
}
"""The smallest size and the work of each dimension."""


def _calls(work: Work) -> int:
    count = 0

    def see(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def _seconds(work: Work) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _exponent(costs: list[float]) -> float:
    return round(math.log2(costs[-1] / costs[-2]), 2)


def measure(rounds: int = ROUNDS, steps: int = STEPS) -> dict[str, dict[str, Any]]:
    """The costs of every dimension at its sizes, and how they grow."""
    rows: dict[str, dict[str, Any]] = {}
    works = {name: [make(least << step) for step in range(steps)] for name, (least, make) in DIMENSIONS.items()}
    times: dict[str, list[list[float]]] = {name: [[] for _ in range(steps)] for name in works}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, sized in works.items():
                for step, work in enumerate(sized):
                    times[name][step].append(_seconds(work))
            gc.collect()
        for name, sized in works.items():
            seconds = [round(min(found), 5) for found in times[name]]
            calls = [_calls(work) for work in sized]
            growth = {"seconds": _exponent(seconds), "calls": _exponent(list(map(float, calls)))}
            sizes = [DIMENSIONS[name][0] << step for step in range(steps)]
            rows[name] = {"sizes": sizes, "seconds": seconds, "calls": calls, "growth": growth}
    finally:
        gc.enable()
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement of workers; 0: none")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that everything works")
    options = parser.parse_args(arguments)
    rounds, steps, seconds = (
        (1, 2, min(options.seconds, 1)) if options.quick else (options.rounds, STEPS, options.seconds)
    )
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:1])
    try:
        rows = measure(rounds, steps)
    finally:
        os.sched_setaffinity(0, cores)
    if seconds:
        rows["workers"] = workers.measure(cores, seconds, rounds)
    for name, row in rows.items():
        print(f"{name:22} {row}", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "growth.json").write_text(json.dumps(rows, indent=1) + "\n")
    _draw(rows, options.out / "growth.png")
    return 0


def _draw(rows: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 4, figsize=(15, 6.5), layout="constrained")
    for axis, (name, row) in zip(axes.flat, rows.items(), strict=False):
        sizes = row["sizes"]
        values = row["requests_per_s"] if name == "workers" else [value * 1000 for value in row["seconds"]]
        axis.plot(sizes, values, "o-", color="#1f6feb", label="measured")
        axis.plot(sizes, [values[0] * size / sizes[0] for size in sizes], "--", color="#57606a", label="linear")
        if name == "workers":
            axis.plot(sizes, row["possible_per_s"], ":", color="#cf222e", label=f"possible on {row['cores']} cores")
            axis.legend(frameon=False)
            axis.set_xticks(sizes)
        axis.set_title(
            f"requests/s by {name}" if name == "workers" else f"ms of one core by {name}", fontsize=10, loc="left"
        )
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes.flat[len(rows) :]:
        axis.set_visible(False)
    axes.flat[0].legend(frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    raise SystemExit(main())
