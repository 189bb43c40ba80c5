"""What monitoring costs an exchange: on the event loop, and in the threads of observers.

Run `python -m benchmarks.gateway.monitoring --out DIR`: prints a table, and writes `monitoring.json` to DIR. Each row is in
microseconds of a core: the median over rounds, and the median of the slowest tenth. There is no socket but that of a
collector in this process, which takes what is exported; its own time does not count.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from multidict import CIMultiDict

from guardproxy.config import Config
from guardproxy.exchange import SendHead
from guardproxy.server.driving.driver import Pieces
from guardproxy.server.observing.metrics import DurationBuckets, Metrics
from guardproxy.server.observing.observers import MetricsObserver
from guardproxy.server.observing.tracing import Tracing
from guardproxy.server.upstream.targets import Availability, FoundUpstream, Targets
from guardproxy.telemetry import begin_trace, spans_of
from guardproxy.wire.contract import KeyHeader
from tests.kit.collector import collecting
from tests.kit.records import plain_answer, plain_decision, plain_record, plain_text

ROUNDS, CALLS = 200, 20
URL = "https://api.example/v1/chat/completions"
RECORD = plain_record(
    plain_answer(plain_text(checks=("pii",)), streamed=True),
    plain_text(checks=("pii",), edits=((1, 4),)),
    usage={"input_tokens": 5, "output_tokens": 11},
    timings={"request_scanned": 1.0, "upstream_answered": 2.0, "first_byte": 250.0, "finished": 1250.0},
    tenant_name="acme",
    decisions=(plain_decision(),),
    rules=("r",),
)


def measured(call: Callable[[], object]) -> dict[str, float]:
    """Microseconds of a call."""
    times = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        for _ in range(CALLS):
            call()
        times.append((time.thread_time() - began) / CALLS * 1e6)
    slowest = sorted(times)[-ROUNDS // 10 :]
    return {"median_us": round(statistics.median(times), 2), "slow_us": round(statistics.median(slowest), 2)}


def rows() -> dict[str, dict[str, float]]:
    """The rows of the table."""
    found: dict[str, dict[str, float]] = {}
    pieces, head = Pieces(DurationBuckets().observe), SendHead(200, streamed=True)
    found["loop: a piece of a stream"] = measured(lambda: pieces.sent(head))
    observer = MetricsObserver(Metrics())
    found["thread: metrics of an exchange"] = measured(lambda: observer.finished(RECORD))
    trace = begin_trace("x0")
    found["thread: spans of an exchange"] = measured(lambda: spans_of(RECORD, trace, URL, guardrails=False))
    found["thread: spans with guardrails"] = measured(lambda: spans_of(RECORD, trace, URL, guardrails=True))
    with collecting() as collector:
        tracing = Tracing(Config.of(otel_endpoint=collector.url, trusted_hop=("10.0.0.0/8",)), "bench", 0, Metrics())
        peer = SimpleNamespace(get_extra_info=lambda _: ("10.1.2.3", 5))
        request: Any = SimpleNamespace(transport=peer, headers={"traceparent": trace.header})
        own = FoundUpstream("", URL, "")
        key_header = KeyHeader("authorization", "Bearer ")
        targets = Targets(lambda name: own, Availability(), own, "", CIMultiDict(), key_header, "")

        def exchange() -> None:
            tracing.finished(RECORD, tracing.begin("x0", request, targets), URL)

        found["loop: the trace of an exchange"] = measured(exchange)
        tracing.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    out = parser.parse_args().out
    found = rows()
    for name, row in found.items():
        print(f"{name:32} {row['median_us']:8.1f} us   slow {row['slow_us']:8.1f} us")
    report = {"machine": platform.processor() or platform.machine(), "python": platform.python_version(), "rows": found}
    out.mkdir(parents=True, exist_ok=True)
    (out / "monitoring.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
