"""Other classifiers of prompt injection, timed in an interpreter of their own for `benchmarks/models/supervisor.py`.

Lines of JSON in, lines of JSON out. First goes out which packages are installed; then, for `{"peer", "text"}`, `{"ms",
"cpu_ms"}` of one call. This file imports nothing of guardproxy. `jailguard` reads its encoder from JAILGUARD_MODEL_DIR.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any


def _jailguard() -> Callable[[str], Any]:
    import jailguard

    jailguard.score("warm up")
    judge: Callable[[str], Any] = jailguard.score
    return judge


def _nanoguard() -> Callable[[str], Any]:
    import nanoguard

    judge: Callable[[str], Any] = nanoguard.NanoGuard().scan
    return judge


def _guardify() -> Callable[[str], Any]:
    import guardify

    judge: Callable[[str], Any] = guardify.LogisticRegressionGuardrail().predict
    return judge


def _detector() -> Callable[[str], Any]:
    import prompt_injection_detector

    judge: Callable[[str], Any] = prompt_injection_detector.Scanner().scan
    return judge


def _forcefield() -> Callable[[str], Any]:
    import forcefield

    judge: Callable[[str], Any] = forcefield.Guard().scan
    return judge


PEERS: dict[str, Callable[[], Callable[[str], Any]]] = {
    "jailguard": _jailguard,
    "metatronnanoguard": _nanoguard,
    "prompt-guardrail": _guardify,
    "prompt-injection-detector": _detector,
    "forcefield": _forcefield,
}


def main() -> None:
    ready: dict[str, Callable[[str], Any]] = {}
    out = os.dup(1)  # some packages print: what they say goes to the errors
    os.dup2(2, 1)
    with os.fdopen(out, "w") as answers:
        for name, make in PEERS.items():
            try:
                made = make()
                made("warm up")
                ready[name] = made
            except Exception as error:  # whatever keeps a peer from running is a reason to leave it out
                print(f"skipped {name}: {type(error).__name__}: {error}", file=sys.stderr)
        print(json.dumps(list(ready)), file=answers, flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            begun, busy = time.perf_counter(), time.process_time()
            ready[asked["peer"]](asked["text"])
            wall, cpu = time.perf_counter() - begun, time.process_time() - busy
            print(json.dumps({"ms": 1000 * wall, "cpu_ms": 1000 * cpu}), file=answers, flush=True)


if __name__ == "__main__":
    main()
