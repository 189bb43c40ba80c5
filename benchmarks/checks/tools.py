"""What rules about tools cost: whole exchanges with calls, and with definitions, under policies that judge them.

Run `python -m benchmarks.checks.tools --out DIR [--rounds N]`: prints a table, writes `tools.json` to DIR. One thread, no
sockets: the exchange reads a request, and a streamed answer with one call of a tool, frame by frame; checks run at once. Rows:
without a rule (the bare path), with a word searched in calls, with the check `tool_call` (a condition, a schema), with the
section `tools`, and with `tool_pins`. Columns: microseconds of an exchange, for arguments of some sizes or some numbers of
definitions; medians of rounds in which the rows take turns."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from guardproxy.checks import Resources
from guardproxy.policy import PolicySet
from guardproxy.policy.file import build_checks, parse
from guardproxy.tool_pins import ToolDefinition, ToolPins, pin_of
from tests.kit.play import Play, chat_frames

SIZES_CHARS = (100, 1_000, 10_000, 100_000)
TOOLS = (1, 10, 100, 1_000)
PIECE_CHARS = 16
WORD = "checks: {w: {use: pattern, words: [falcon]}}"


def rule(kind: str, check: str = WORD) -> str:
    """A policy with one rule, about texts of a kind."""
    return f"rules: [{{id: r, on: {kind}, when: w, action: block}}]\n{check}"


CALLS = {
    "no rule": rule("request.metadata"),
    "a word in calls": rule("tool_arguments"),
    "tool_call, condition": rule(
        "tool_arguments", "checks: {w: {use: tool_call, tools: [refund], when: call.arguments.amount > 100}}"
    ),
    "tool_call, schema": rule(
        "tool_arguments", "checks: {w: {use: tool_call, schema: {inline: {properties: {amount: {maximum: 100}}}}}}"
    ),
    "section tools": "tools: {allow: [refund, search], deny: [wipe]}",
}
DEFINITIONS = {
    "no rule": rule("request.metadata"),
    "a word in definitions": rule("tool_definition"),
    "section tools": 'tools: {allow: ["tool_*"]}',
    "tool_pins": rule("tool_definition", "checks: {w: {use: tool_pins, pins: pins.json}}"),
}


def tool(number: int) -> dict[str, Any]:
    said = f"Does the task of number {number} for a user who asks for it, and says how it went."
    parameters = {"type": "object", "properties": {"to": {"type": "string", "description": f"the address {number}"}}}
    return {"type": "function", "function": {"name": f"tool_{number}", "description": said, "parameters": parameters}}


PINS = ToolPins(tuple(pin_of(ToolDefinition(f"tool_{number}", "", tool(number))) for number in range(max(TOOLS))))


def policies(text: str) -> PolicySet:
    parsed = (parse(f"policy: bench\n{text}\n", "bench.yaml"),)
    return PolicySet(parsed, build_checks(parsed, Resources(read=lambda path: PINS.written())), "sha256:bench")


def called(rules: PolicySet, frames: Sequence[bytes]) -> None:
    play = Play(rules).ask({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    assert play.stream(frames).finish.outcome == "answered"


def offered(rules: PolicySet, body: bytes) -> None:
    assert Play(rules).ask(body).upstream is not None


def frames_of(size_chars: int) -> list[bytes]:
    arguments = json.dumps({"amount": 5, "note": "a" * size_chars})
    pieces = [arguments[at : at + PIECE_CHARS] for at in range(0, len(arguments), PIECE_CHARS)]
    first = {"index": 0, "id": "t", "type": "function", "function": {"name": "refund", "arguments": ""}}
    rest = [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
    return chat_frames([{"tool_calls": [first]}, *rest], finish="tool_calls")


def body_of(tools: int) -> bytes:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": [tool(at) for at in range(tools)]}
    return json.dumps(body).encode()


def measure(
    rows: dict[str, str], runs: Mapping[int, Callable[[PolicySet], None]], rounds: int
) -> dict[str, dict[int, float]]:
    """Medians in microseconds: row -> column -> value."""
    sets = {name: policies(text) for name, text in rows.items()}
    out: dict[str, dict[int, float]] = {name: {} for name in rows}
    for column, run in runs.items():
        took: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(max(3, rounds // max(1, column // 100))):
            for name, rules in sets.items():
                began = time.perf_counter()
                run(rules)
                took[name].append((time.perf_counter() - began) * 1e6)
        for name, values in took.items():
            out[name][column] = round(statistics.median(values), 1)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for tools.json")
    parser.add_argument("--rounds", type=int, default=200)
    args = parser.parse_args()
    calls = {size: partial(called, frames=frames_of(size)) for size in SIZES_CHARS}
    offers = {number: partial(offered, body=body_of(number)) for number in TOOLS}
    found = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "unit": "microseconds of an exchange",
        "a streamed call, by characters of its arguments": measure(CALLS, calls, args.rounds),
        "a request, by its definitions of tools": measure(DEFINITIONS, offers, args.rounds),
    }
    for title, table in found.items():
        if isinstance(table, dict):
            print(title)
            for name, row in table.items():
                print(f"  {name:24}", *(f"{value:>12,.0f}" for value in row.values()))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "tools.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
