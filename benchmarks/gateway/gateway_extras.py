"""What judges, feedback and sealed ids add to an exchange in process.

Run `python -m benchmarks.gateway.gateway_extras --out DIR`: prints a table, and writes `gateway_extras.json` to DIR. Each row
is a median of rounds, in microseconds of a core. A judge adds its choice to the record, and reads the record while no client
waits. Ids are sealed in each frame of a stream. Feedback adds a digest to the id of each exchange.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from guardproxy.audit import Record
from guardproxy.audit.record import RecordedAnswer, RecordedRequest, RecordedText
from guardproxy.exchange import SealedIds, llm_judge
from guardproxy.gateway import Head, OwnedIds
from guardproxy.policy import BoundRules
from guardproxy.policy.sections import JUDGE, BoundSection, JudgeSection
from guardproxy.wire.formats.openai_responses.field_map import STORED

ROUNDS = 7
CALLS = 2000
WORDS = "A paragraph of ordinary words that a model could have written. " * 20
DELTA = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","item_id":"msg_1","delta":"words"}\n\n'
CREATED = (
    b'event: response.created\ndata: {"type":"response.created","response":{"id":"resp_68af","object":"response"}}\n\n'
)


def seal(data: bytes) -> str:
    """A keyed digest, as the server makes them."""
    return hashlib.blake2b(data, digest_size=16, key=b"a key of the proxy").hexdigest()


def record() -> Record:
    """An exchange of ordinary length."""

    def text(path: str, kind: str) -> RecordedText:
        about: dict[str, Any] = {"path": path, "kind": kind, "text": WORDS, "chars": len(WORDS), "released": len(WORDS)}
        return RecordedText(**about, checks=("word",), findings=(), edits=())

    side: dict[str, Any] = {"uninspected": (), "uninspected_kinds": (), "unmapped": ()}
    answer = RecordedAnswer(
        texts=(text("choices[0].message.content", "assistant"),),
        **{"status": 200, "streamed": False, "model": "m", "finish": ("stop",), "runs": (), "withheld": (), **side},
    )
    request = RecordedRequest(body=None, texts=(text("messages[0].content", "user"),), **side)
    members: dict[str, Any] = {
        **{"v": 3, "at": 1.0, "id": "x0", "engine": "b", "tenant": "t", "route": "POST /v1/chat/completions"},
        **{
            "policies": "p",
            "codec": "openai_chat",
            "model": "m",
            "outcome": "answered",
            "status": 200,
            "stream": False,
        },
        **{"checks": {}, "rules": (), "shadow": (), "decisions": (), "usage": {}, "sizes": {}, "seals": {}, "scans": 0},
        "timings": {},
    }
    return Record(**members, request=request, response=answer)


def measured(call: Callable[[], object]) -> float:
    """Returns the median of rounds, in microseconds for a call."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(CALLS):
            call()
        rounds.append((time.process_time() - began) / CALLS * 1e6)
    return statistics.median(rounds)


def rows() -> dict[str, float]:
    """Returns the cost of each part, by its name."""
    exchange, section = record(), JudgeSection("grader", "m", "be fair", 50_000)
    sampled = replace(section, sample=1_000_000), replace(section, sample=0)
    always, never = (BoundRules((), (), {}, sections={"judge": (BoundSection("p", of, True),)}) for of in sampled)
    ids, duty, head = SealedIds(seal, "t", STORED), OwnedIds(seal), Head(id="0" * 24, tenant="t")
    texts = llm_judge.texts_of(exchange)
    assert texts is not None
    return {
        "judge: an exchange outside the sample": measured(
            lambda: JUDGE.recorded(JUDGE.bound(never.sections), exchange.id)
        ),
        "judge: an exchange in the sample": measured(lambda: JUDGE.recorded(JUDGE.bound(always.sections), exchange.id)),
        "judge: the question, off the path": measured(lambda: llm_judge.judge_question(section, *texts, exchange.id)),
        "feedback: the id of an exchange": measured(lambda: duty.admit(head)),
        "ids: a frame without an id": measured(lambda: ids.sealed(DELTA)),
        "ids: a frame with an id": measured(lambda: ids.sealed(CREATED)),
    }


def main() -> None:
    """Prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    out = parser.parse_args().out
    found = rows()
    for name, micros in found.items():
        print(f"{name:<42} {micros:8.2f} us")
    out.mkdir(parents=True, exist_ok=True)
    about = {"python": platform.python_version(), "machine": platform.machine(), "at": datetime.now(UTC).isoformat()}
    result = {**about, "rounds": ROUNDS, "calls": CALLS, "microseconds": {k: round(v, 3) for k, v in found.items()}}
    (out / "gateway_extras.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
