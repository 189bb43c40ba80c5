"""What a route costs a request in process: the choice of a destination, the measures of difficulty, and a failover.

Run `python -m benchmarks.gateway.routes --out DIR`: prints a table, and writes `routes.json` to DIR. Each row is the time that
an exchange takes from a request to the command that sends it upstream, in microseconds of a core, beside the same exchange
without a route: the median of the differences of rounds that follow each other. There is no socket.

And which requests would go to a small model: by length, as before, and by their words, on questions that tuned nothing
(`benchmarks/models/frame/difficulty.py`).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.models.frame.difficulty import questions
from guardproxy.conditions import UNIT
from guardproxy.exchange import Exchange, RequestReceived, ResponseStarted
from guardproxy.inference import Models
from guardproxy.policy import PolicySet
from tests.kit.play import policy_set, setting

ROUNDS, CALLS = 200, 20
MODEL = Models().difficulty()
WATCH = "rules: [{id: watch, when: check_error, action: flag}]\n"
UPSTREAMS = ", ".join(f"{{upstream: u{number}, weight: {number + 1}}}" for number in range(4))
ROUTES = {
    "a model's alias": "{models: {other: n, 'gpt-*': n}}",
    "four upstreams by weight": f"{{upstreams: [{UPSTREAMS}]}}",
    "simple requests, by form": "{simple: {upstream: cheap}}",
    "simple requests, by form and CEL": "{simple: {upstream: cheap, when: request.max_tokens < 500}}",
    "simple requests, by their words": "{simple: {upstream: cheap, difficulty: 0.5}}",
}


def body(chars: int) -> bytes:
    words = ("the weather of tomorrow " * (chars // 24 + 1))[:chars]
    return json.dumps({"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": words}]}).encode()


def sending(policies: PolicySet, data: bytes, *, fails: bool = False) -> Callable[[], None]:
    about = setting(policies)

    def call() -> None:
        exchange: Any = Exchange(about)
        exchange.receive(RequestReceived(data))
        if fails:
            exchange.receive(ResponseStarted(500, "application/json"))

    return call


def once(call: Callable[[], None]) -> float:
    began = time.thread_time()
    for _ in range(CALLS):
        call()
    return (time.thread_time() - began) / CALLS * 1e6


def compared(without: Callable[[], None], with_route: Callable[[], None]) -> dict[str, float]:
    pairs = [(once(without), once(with_route)) for _ in range(ROUNDS)]
    added = [after - before for before, after in pairs]
    return {
        "without_us": round(statistics.median(before for before, _ in pairs), 1),
        "added_us": round(statistics.median(added), 1),
    }


def shares() -> dict[str, dict[str, float]]:
    """The share of each group of questions that would go to the small model, by limit."""
    rules: dict[str, Callable[[str], bool]] = {
        f"chars: {limit}": lambda text, limit=limit: len(text) <= limit  # type: ignore[misc]
        for limit in (200, 500, 1000)
    }
    for most in (0.4, 0.5, 0.6):
        rules[f"difficulty: {most}"] = lambda text, most=most: MODEL.score(MODEL.of(text)) <= most * UNIT  # type: ignore[misc]
    found: dict[str, dict[str, float]] = {}
    for name, is_sent in rules.items():
        groups: dict[str, list[bool]] = {}
        for asked in questions():
            group = f"{'long' if asked.is_long else 'short'} {'hard' if asked.is_hard else 'easy'}"
            groups.setdefault(group, []).append(is_sent(asked.text))
        found[name] = {group: round(statistics.mean(each), 4) for group, each in sorted(groups.items())}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    out = parser.parse_args().out
    rows: dict[str, dict[str, float]] = {}
    plain = policy_set(f"policy: p\n{WATCH}")
    for chars in (400, 4000):
        without = sending(plain, body(chars))
        for name, route in ROUTES.items():
            routed = replace(policy_set(f"policy: p\n{WATCH}route: {route}\n"), difficulty=MODEL)
            rows[f"{name}, {chars} characters"] = compared(without, sending(routed, body(chars)))
    routed = policy_set(f"policy: p\n{WATCH}route: {ROUTES['four upstreams by weight']}\n")
    rows["the next upstream after a 500"] = compared(sending(routed, body(400)), sending(routed, body(400), fails=True))
    for name, row in rows.items():
        print(f"{name:50} {row['without_us']:8.1f} us   added {row['added_us']:6.1f} us")
    sent = shares()
    for limit, row in sent.items():
        print(f"{limit:16}", *(f"{name}: {share:.1%}" for name, share in row.items()))
    report = {"machine": platform.processor() or platform.machine(), "python": platform.python_version(), "rows": rows}
    report["sent to the small model"] = sent
    out.mkdir(parents=True, exist_ok=True)
    (out / "routes.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
