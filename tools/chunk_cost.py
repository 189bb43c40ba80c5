"""Counts the calls of functions for each chunk of a stream, in Python and C: in the exchange, the scanner and the checks.

Every chunk comes alone, as tokens of a model do. The sockets are left out: `hot_path.py` counts whole requests with them.
`python -m tools.chunk_cost` prints the counts and the functions that make most calls.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from guardproxy.checks import Resources
from guardproxy.exchange.inputs.transcript import (
    Command,
    DataReceived,
    RequestReceived,
    ResponseStarted,
    RunScans,
    Scanned,
)
from guardproxy.inference.models import load_tagger
from guardproxy.policy import PolicySet
from guardproxy.policy.file.load import build_checks, parse
from guardproxy.server.scanning.scanner import Scanner
from guardproxy.sizing.traffic import words
from tests.kit.play import CHAT, Play
from tests.kit.provider_frames import provider_frames

NO_RULES = "policy: empty\nrules:\n  - {id: watch, when: check_error, action: flag}\n"
# The rules of the default policy that read answers.
ANSWERS = """
policy: answers
checks: {pii: {use: pii}, secrets: {use: secrets}}
rules:
  - {id: no-secrets-back, on: response, when: secrets, action: redact}
  - {id: watch-identifiers-back, on: response, when: pii, action: flag}
"""
# The rules of the policy `pii-only`.
NAMES = """
policy: names
checks: {pii: {use: pii, entities: [PERSON, LOCATION, EMAIL_ADDRESS, PHONE_NUMBER, CREDIT_CARD, US_SSN, IBAN_CODE]}}
rules:
  - {id: no-identifiers-out, on: request, when: pii, action: redact, restore: true}
  - {id: watch-identifiers-back, on: response, when: pii, action: flag}
"""
FEW, MANY = 60, 260
REQUEST = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello there"}]}).encode()


async def _play(policies: PolicySet, scanner: Scanner, chunks: int, together: int, counts: Counter[Any]) -> None:
    """Plays a stream of `chunks`, of which `together` come at once, and counts the calls for them."""
    exchange = Play(policies, CHAT).exchange

    async def perform(commands: list[Command]) -> None:
        while commands:
            if isinstance(command := commands.pop(0), RunScans):
                commands += exchange.receive(Scanned(await scanner.scan(command.jobs, "tenant")))

    def see(frame: Any, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            counts[frame.f_code] += 1

    await perform(exchange.receive(RequestReceived(REQUEST)))
    await perform(exchange.receive(ResponseStarted(200, "text/event-stream")))
    frames = provider_frames("openai_chat", [f"{word} " for word in words(Random(3), chunks)])
    sys.setprofile(see)
    try:
        for at in range(0, len(frames), together):
            await perform(exchange.receive(DataReceived(b"".join(frames[at : at + together]))))
    finally:
        sys.setprofile(None)


def calls(policy: str, together: int = 1) -> dict[str, float]:
    """The calls for one more chunk, by function, most first. `together`: chunks that come at once."""
    parsed = (parse(policy, "policy.yaml"),)
    policies = PolicySet(parsed, build_checks(parsed, Resources(tagger=cache(load_tagger))), "sha256:test")
    scanner, counted = Scanner(1, 60.0), []
    gc.collect()
    gc.disable()
    try:
        for chunks in (FEW, FEW, MANY):  # the first fills caches
            counts: Counter[Any] = Counter()
            asyncio.run(_play(policies, scanner, chunks, together, counts))
            counted.append(counts)
    finally:
        gc.enable()
        scanner.close()
    difference: Counter[str] = Counter()
    for code, count in (counted[2] - counted[1]).items():
        difference[f"{Path(code.co_filename).name} {code.co_qualname}"] += count
    return {name: count / (MANY - FEW) for name, count in difference.most_common()}


def main() -> None:
    """Prints the counts."""
    for name, policy in (
        ("no rules", NO_RULES),
        ("the default policy's rules for answers", ANSWERS),
        ("the rules of pii-only", NAMES),
    ):
        for together in (1, 20):
            counts = calls(policy, together)
            print(f"{name}, {together} at once: {sum(counts.values()):.1f} calls a chunk")
            for function, count in list(counts.items())[:12]:
                print(f"    {count:8.2f} {function}")


if __name__ == "__main__":
    main()
