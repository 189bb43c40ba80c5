"""What the section `prompt`, `drop_chunk` and the check `grounded` cost an exchange in process.

Run `python -m benchmarks.gateway.prompts --out DIR`: prints a table, and writes `prompts.json` to DIR. Each row is the time of
a request through the exchange with its checks, or of one scan, in microseconds of a core: the median over rounds. The base has
a rule that finds nothing. There is no socket.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from guardproxy.checks import Resources, build
from guardproxy.exchange import Exchange, RequestReceived
from guardproxy.findings import Channel, Facts, Sources, Window
from tests.kit.play import Play, policy_set, setting

ROUNDS, CALLS = 60, 20
RULES = (
    "checks: {bad: {use: pattern, words: [zanzibar]}}\nrules: [{id: r, on: tool_result, when: bad, action: ACTION}]\n"
)
TEXT = "The ferry leaves from pier 4 at 7:15 every morning except Sunday. The crossing takes 50 minutes. " * 10
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
BODY = json.dumps(
    {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "When does the ferry leave?"},
            {
                "role": "assistant",
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "1", "content": TEXT},
        ],
    }
).encode()
SECTIONS = {
    "base": "",
    "prepend": "prompt: {prepend: Be kind.}",
    "template": "prompt: {template: '{% if model == \"m\" %}Be kind.{% endif %} {{ system }}'}",
    "canary": "prompt: {canary: true}",
    "wrap, delimit": "prompt: {wrap: {kinds: [tool_result], how: delimit}}",
    "wrap, datamark": "prompt: {wrap: {kinds: [tool_result], how: datamark}}",
    "all": "prompt: {prepend: Be kind., wrap: {kinds: [tool_result]}, canary: true}",
}


def request(policy: str) -> Callable[[], None]:
    """Runs a request through a new exchange, with its checks."""
    policies = policy_set(f"policy: p\n{policy}")
    play = Play(policies)

    def run() -> None:
        exchange = Exchange(setting(policies))
        (scan,) = exchange.receive(RequestReceived(BODY))
        exchange.receive(play.perform(scan))  # type: ignore[arg-type]

    return run


def scan(sentence: str, *, is_new: bool) -> Callable[[], None]:
    """Compares a sentence with 1,000 words of retrieved text. `is_new`: the index of the text is made each time."""
    check = build("grounded", "g", {}, Resources())
    place, kept = Channel("response", "assistant", "x"), Sources((TEXT * 6,))

    def run() -> None:
        sources = Sources((TEXT * 6,)) if is_new else kept
        check.scan([Window(place, sentence, facts=Facts(sources=sources))])

    return run


def median_us(run: Callable[[], None]) -> float:
    """The median time of a call over rounds."""
    run()
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(CALLS):
            run()
        times.append((time.process_time() - began) / CALLS)
    return round(statistics.median(times) * 1e6, 1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    rows = {
        name: median_us(request(f"{section}\n{RULES.replace('ACTION', 'flag')}")) for name, section in SECTIONS.items()
    }
    found = RULES.replace("zanzibar", "ferry")
    rows["redact"] = median_us(request(found.replace("ACTION", "redact")))
    rows["drop_chunk"] = median_us(request(found.replace("ACTION", "drop_chunk")))
    rows["grounded, a sentence"] = median_us(scan("The crossing takes about 50 minutes.", is_new=False))
    rows["grounded, with its index"] = median_us(scan("The crossing takes about 50 minutes.", is_new=True))
    print(*(f"{name:<26} {value:>9.1f} us" for name, value in rows.items()), sep="\n")
    if out:
        about = {"python": platform.python_version(), "machine": platform.machine(), "rounds": ROUNDS, "calls": CALLS}
        out.mkdir(parents=True, exist_ok=True)
        (out / "prompts.json").write_text(json.dumps({**about, "median_us": rows}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
