"""Other packages that judge prompts or comments, in an interpreter of their own for `benchmarks/models/supervisor_quality.py`.

Lines of JSON in, lines of JSON out. First goes out which packages are installed, with their versions. Then, for `{"peer",
"texts"}`, a list of `[score, found, us]`: a score of 0 to 1, whether the package by itself, with its usual settings, calls
the text an attack (or toxic), and the processor time. This file imports nothing of guardproxy. Several of these packages
unpickle their models, which runs code of theirs: give them an environment of their own.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

Judge = Callable[[str], tuple[float, bool]]


def _jailguard() -> Judge:
    # It would download its encoder: the folder must hold all-MiniLM-L6-v2.onnx (see jailguard_encoder.py).
    if not os.path.exists(os.path.join(os.environ.get("JAILGUARD_MODEL_DIR", ""), "all-MiniLM-L6-v2.onnx")):
        raise ImportError("JAILGUARD_MODEL_DIR names no folder with its encoder")
    import jailguard

    def judge(text: str) -> tuple[float, bool]:
        result = jailguard.detect(text)
        return float(result.score), bool(result.is_injection)

    return judge


def _nanoguard() -> Judge:
    import torch
    from nanoguard import NanoGuard

    torch.set_num_threads(1)
    guard = NanoGuard(device="cpu")

    def judge(text: str) -> tuple[float, bool]:
        result = guard.scan(text)
        return float(result.injection_score), bool(result.is_injection)

    return judge


def _guardify() -> Judge:
    from guardify import LogisticRegressionGuardrail

    guard = LogisticRegressionGuardrail()

    def judge(text: str) -> tuple[float, bool]:
        result = guard.predict(text)
        attack = result["label"] != "safe"
        sure = float(result["score"])  # of whichever label it gives
        return sure if attack else 1 - sure, attack

    return judge


def _detector() -> Judge:
    from prompt_injection_detector import Scanner

    scanner = Scanner()

    def judge(text: str) -> tuple[float, bool]:
        result = scanner.scan(text)
        return float(result.risk_score), result.decision != "allow"

    return judge


def _forcefield() -> Judge:
    from forcefield import Guard

    guard = Guard(telemetry=False)

    def judge(text: str) -> tuple[float, bool]:
        result = guard.scan(text)
        return float(result.risk_score), bool(result.blocked)

    return judge


def _profanity() -> Judge:
    from profanity_check import predict, predict_prob

    return lambda text: (float(predict_prob([text])[0]), bool(predict([text])[0]))


def _hatesonar() -> Judge:
    from hatesonar import Sonar

    sonar = Sonar()

    def judge(text: str) -> tuple[float, bool]:
        result = sonar.ping(text)
        fine = next(float(one["confidence"]) for one in result["classes"] if one["class_name"] == "neither")
        return 1 - fine, result["top_class"] != "neither"

    return judge


PEERS: dict[str, Callable[[], Judge]] = {  # the quick ones first
    "prompt-guardrail": _guardify,
    "prompt-injection-detector": _detector,
    "forcefield": _forcefield,
    "alt-profanity-check": _profanity,
    "hatesonar": _hatesonar,
    "jailguard": _jailguard,
    "metatronnanoguard": _nanoguard,
}


def main() -> None:
    warnings.simplefilter("ignore")
    out, sys.stdout = sys.stdout, sys.stderr  # what a package prints is no answer
    ready: dict[str, Judge] = {}
    for name, make in PEERS.items():
        try:
            ready[name] = make()
            ready[name]("a text")
        except Exception as error:
            print(f"skipped {name}: {error}", file=sys.stderr)
            ready.pop(name, None)
    print(json.dumps({name: version(name) for name in ready}), file=out, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps([_judged(ready[asked["peer"]], text) for text in asked["texts"]]), file=out, flush=True)


def _judged(judge: Judge, text: str) -> list[Any]:
    """A text that a package fails on is one that it does not find."""
    begun = time.process_time_ns()
    try:
        score, found = judge(text)
    except Exception as error:
        print(f"failed: {type(error).__name__}", file=sys.stderr)
        score, found = 0.0, False
    return [score, found, (time.process_time_ns() - begun) / 1000]


if __name__ == "__main__":
    main()
