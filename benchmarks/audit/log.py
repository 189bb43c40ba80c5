"""How many audit records a second become durable, and how long one waits, against a write and a sync for each record.

    python benchmarks/audit/log.py --out runs/audit [--seconds 3] [--folder DIR]

Each of 1, 16 and 128 concurrent appenders (tasks of one event loop, as in the proxy) appends, waits until its record is
durable, and appends again. Both ways seal the same records and use the same system calls (`write`, `fdatasync`); the
naive way takes a thread's turn for each record. A third way is what one exchange keeps: its intent, durable before its record
is appended; `intent_ratio_p50` is what that costs. A fourth way signs: it keeps the Merkle tree, and makes checkpoints
every tenth of a second; `signed_ratio_p50` and `signed_added_ms` are what that costs. The ways alternate in rounds, so that a
busy machine hits all. `proof` has the time to verify a signed log, and to make and check a proof of one record. For real
exchanges and each way to keep their texts, `exchanges` has the bytes of a record in the log and the time to replay it.
Writes `audit.json` and `audit.png` to --out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from benchmarks.audit.engine_records import POLICY, exchange_of
from guardproxy import library
from guardproxy.audit.proof.checkpointer import Checkpointer, Signing
from guardproxy.audit.proof.folder import verify_folder
from guardproxy.audit.proof.inventory import found_states
from guardproxy.audit.proof.note import PrivateKey
from guardproxy.audit.proof.proofs import check
from guardproxy.audit.proof.prover import prove_record
from guardproxy.audit.proof.store import CheckpointStore
from guardproxy.audit.proof.tree import Frontier, line_hash
from guardproxy.audit.proof.verification import verify_checkpoints
from guardproxy.audit.record.chain import begin, seal, verify
from guardproxy.audit.record.document import Intent
from guardproxy.audit.record.versions import read_record
from guardproxy.audit.sealing.operator_key import StaticKey
from guardproxy.audit.sealing.sealer import Sealer
from guardproxy.audit.sealing.store import KeyStore
from guardproxy.audit.storage.disk import Disk
from guardproxy.audit.writing.log_file import FileSink
from guardproxy.replay import replay

KEPT = ("none", "redacted", "sealed")
INTENT = ("v", "at", "id", "engine", "tenant", "route", "policies")
APPENDERS = (1, 16, 128)
ROUNDS = 3
KEY = PrivateKey.new("benchmark")

Append = Callable[[dict[str, Any]], Awaitable[Any]]


def record(index: int) -> dict[str, Any]:
    """A record of about 1 KiB in the shape that the proxy writes."""
    return {
        "id": f"ex-{index:012d}",
        "at": time.time(),
        "route": "POST /v1/chat/completions",
        "model": "small-model",
        "outcome": "redacted",
        "policies": "sha256:" + "ab" * 32,
        "rules": ["no-identifiers-out", "watch-identifiers-back"],
        "findings": [
            {"check": "pii", "label": "EMAIL_ADDRESS", "start": 12 * at, "end": 12 * at + 9, "score": 0.85}
            for at in range(6)
        ],
        "text": "please write to <EMAIL_ADDRESS_1> " * 8,
        "timings": {"checks": 3.2, "upstream": 412.5, "total": 420.1},
    }


class Grouped:
    """The proxy's own way: what gathers during a sync is written and synced together."""

    def __init__(self, sink: FileSink) -> None:
        self.sink = sink

    async def append(self, entry: dict[str, Any]) -> None:
        await asyncio.wrap_future(self.sink.append(entry))


class Exchanges(Grouped):
    """What one exchange keeps: its intent, and then its record."""

    async def append(self, entry: dict[str, Any]) -> None:
        intent = {"kind": "intent", "v": 1, **{key: entry[key] for key in ("id", "at", "route", "policies")}}
        await super().append({**intent, "tenant": "0123456789abcdef", "seals": {"request": "ab" * 16}})
        await super().append(entry)


class Naive:
    """A write and a sync for each record, one after the other, in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        line, self.head = begin({"log": "naive"})
        os.write(self.fd, line)
        self.thread = ThreadPoolExecutor(1)

    def keep(self, entry: dict[str, Any]) -> None:
        line, self.head = seal(entry, self.head)
        os.write(self.fd, line)
        Disk().sync(self.fd)

    async def append(self, entry: dict[str, Any]) -> None:
        await asyncio.get_running_loop().run_in_executor(self.thread, self.keep, entry)

    def close(self) -> None:
        self.thread.shutdown()
        os.close(self.fd)


async def load(append: Append, appenders: int, seconds: float) -> tuple[float, list[float]]:
    """Records a second, and the time of each in milliseconds."""
    times_ms: list[float] = []
    began = time.perf_counter()
    until = began + seconds

    async def appender(index: int) -> None:
        while (start := time.perf_counter()) < until:
            await append(record(index))
            times_ms.append((time.perf_counter() - start) * 1000)

    await asyncio.gather(*(appender(index) for index in range(appenders)))
    return len(times_ms) / (time.perf_counter() - began), times_ms


def summary(rounds: list[tuple[float, list[float]]]) -> dict[str, float]:
    times_ms = sorted(time_ms for _, times in rounds for time_ms in times)
    cuts = statistics.quantiles(times_ms, n=1000, method="inclusive")
    return {
        "records": len(times_ms),
        "records_per_s": round(statistics.median(rate for rate, _ in rounds), 1),
        "records_per_s_least": round(min(rate for rate, _ in rounds), 1),
        "p50_ms": round(cuts[499], 3),
        "p99_ms": round(cuts[989], 3),
        "p999_ms": round(cuts[998], 3),
    }


def measure(folder: Path, seconds: float) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for appenders in APPENDERS:
        rounds: dict[str, list[tuple[float, list[float]]]] = {"group": [], "signed": [], "intent": [], "naive": []}
        for at in range(ROUNDS):
            sink = FileSink(folder, f"group-{appenders}-{at}", {"log": "group"})
            rounds["group"].append(asyncio.run(load(Grouped(sink).append, appenders, seconds)))
            sink.close()
            with sink.path.open("rb") as lines:
                assert not verify(lines).problems
            rounds["signed"].append(signed_load(folder / f"signed-{appenders}-{at}", appenders, seconds))
            sink = FileSink(folder, f"intent-{appenders}-{at}", {"log": "intent"})
            rounds["intent"].append(asyncio.run(load(Exchanges(sink).append, appenders, seconds)))
            sink.close()
            naive = Naive(folder / f"naive-{appenders}-{at}.jsonl")
            rounds["naive"].append(asyncio.run(load(naive.append, appenders, seconds)))
            naive.close()
        results[str(appenders)] = {way: summary(found) for way, found in rounds.items()}
        p50_ms = {way: results[str(appenders)][way]["p50_ms"] for way in rounds}
        results[str(appenders)]["signed_ratio_p50"] = round(p50_ms["signed"] / p50_ms["group"], 2)
        results[str(appenders)]["signed_added_ms"] = round(p50_ms["signed"] - p50_ms["group"], 3)
        results[str(appenders)]["intent_ratio_p50"] = round(p50_ms["intent"] / p50_ms["group"], 2)
        print(appenders, json.dumps(results[str(appenders)]))
    return results


def signed_load(folder: Path, appenders: int, seconds: float) -> tuple[float, list[float]]:
    """The load of the proxy's own way, on a log that is signed."""
    store = CheckpointStore(folder, KEY)
    sink = FileSink(folder, "signed", {"log": "signed"}, stated=store.states.last)
    checkpointer = Checkpointer(store, "signed", Signing(KEY, every_s=0.1), sink.states)
    result = asyncio.run(load(Grouped(sink).append, appenders, seconds))
    sink.close()
    checkpointer.close()
    report = verify_checkpoints(folder, [KEY.public])
    assert report is not None
    assert not report.problems
    return result


def proof(folder: Path, records: int = 50_000) -> dict[str, float]:
    """The time to verify a signed log of so many records, and to make and check the proof of one record."""
    store = CheckpointStore(folder, KEY)
    line, head = begin({"log": "proof"})
    lines = [line]
    for index in range(records):
        line, head = seal(record(index), head)
        lines.append(line)
    (folder / "proof.jsonl").write_bytes(b"".join(lines))
    store.write(found_states(folder, "*.jsonl", store.states), time.time())
    times_s: dict[str, list[float]] = {"verify": [], "chain": [], "prove": [], "check": []}
    for at in range(ROUNDS):
        start = time.perf_counter()
        assert not any(log.report.problems for log in verify_folder(folder))
        times_s["chain"].append(time.perf_counter() - start)
        start = time.perf_counter()
        report = verify_checkpoints(folder, [KEY.public])
        assert not any(log.report.problems for log in verify_folder(folder, None, report))
        times_s["verify"].append(time.perf_counter() - start)
        start = time.perf_counter()
        made = prove_record(folder, f"ex-{at * 1000:012d}")
        times_s["prove"].append(time.perf_counter() - start)
        start = time.perf_counter()
        check(made, [KEY.public])
        times_s["check"].append(time.perf_counter() - start)
    median_s = {name: statistics.median(found) for name, found in times_s.items()}
    return {
        "records": records,
        "verified_records_per_s": round(records / median_s["verify"]),
        "verify_ratio": round(median_s["verify"] / median_s["chain"], 2),
        "prove_ms": round(median_s["prove"] * 1000, 1),
        "check_ms": round(median_s["check"] * 1000, 3),
        "proof_bytes": len(msgspec.json.encode(made)),
    }


def exchanges(folder: Path, count: int = 400) -> dict[str, Any]:
    """The bytes of a record of a short chat, as it lies in the log, and the time to replay it, for each way to keep texts."""
    results: dict[str, Any] = {}
    for keep in KEPT:
        place = folder / keep
        (place / "policies").mkdir(parents=True)
        (place / "policies" / "recorded.yaml").write_text(POLICY.replace("keep: redacted", f"keep: {keep}"))
        rules, random = library.load(place / "policies"), Random(1)
        sealer = Sealer(KeyStore(place / "seal.keys", [StaticKey(b"k" * 32, "benchmark")], create=True))
        sink = FileSink(place, "audit-0", {"log": keep}, sealing=sealer)
        kept = [exchange_of(rules, random, number) for number in range(count)]
        for waiting in [sink.append(entry) for entry in kept]:
            waiting.result(60)
        sink.close()
        lines = sink.path.read_bytes().splitlines(keepends=True)[1:]
        sizes = sorted(map(len, lines))
        results[keep] = {"bytes_p50": sizes[count // 2], "bytes_mean": round(sum(sizes) / count)}
        opener = Sealer(KeyStore(place / "seal.keys", [StaticKey(b"k" * 32, "benchmark")]))
        records = [read_record(line) for line in lines]
        records = [opener.open(entry).record if entry.sealed else entry for entry in records]
        opener.close()
        times_s = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            verdicts = {replay(entry, rules).verdict for entry in records}
            times_s.append(time.perf_counter() - start)
            assert "different" not in verdicts
        results[keep]["replay_us"] = round(statistics.median(times_s) / count * 1e6)
    intent = Intent(**{name: getattr(kept[0], name) for name in INTENT}, seals={"request": "ab" * 32})
    results["intent_bytes"] = len(seal(intent.document(), begin({"log": "size"})[1])[0])
    results["sealed_ratio_bytes"] = round(results["sealed"]["bytes_mean"] / results["redacted"]["bytes_mean"], 2)
    return results


def hashing_us() -> float:
    """Microseconds that the Merkle tree takes for one record, in batches of 16."""
    line, _ = seal(record(0), begin({"log": "hash"})[1])
    batch, tree = [line] * 16, Frontier()
    began = time.perf_counter()
    for _ in range(1_000):
        tree = tree.extended(map(line_hash, batch))
    return round((time.perf_counter() - began) / 16_000 * 1e6, 2)


def sealing_us() -> float:
    """Microseconds to seal one record, without any file."""
    _, head = begin({"log": "seal"})
    entry = record(0)
    began = time.perf_counter()
    for _ in range(20_000):
        _, head = seal(entry, head)
    return round((time.perf_counter() - began) / 20_000 * 1e6, 2)


def draw(results: dict[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    names = {
        "group": "one sync a group (guardproxy)",
        "signed": "the same, signed (guardproxy)",
        "intent": "an intent and a record (guardproxy)",
        "naive": "one sync a record",
    }
    for index, (way, label) in enumerate(names.items()):
        places = [at + (index - 1.5) * 0.2 for at in range(len(results))]
        bars = left.bar(places, [found[way]["records_per_s"] for found in results.values()], 0.19, label=label)
        left.bar_label(bars, fmt="{:,.0f}")
        p50 = [found[way]["p50_ms"] for found in results.values()]
        p99 = [found[way]["p99_ms"] for found in results.values()]
        right.plot(range(len(results)), p50, "o-", color=f"C{index}", label=f"{label}, p50")
        right.plot(range(len(results)), p99, "^--", color=f"C{index}", label=f"{label}, p99")
    left.set(title="durable records a second")
    right.set(title="time until a record is durable, ms", yscale="log")
    for axes in (left, right):
        axes.set_xticks(range(len(results)), [f"{appenders} at once" for appenders in results])
        axes.legend(fontsize=8)
    left.margins(y=0.3)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where audit.json and audit.png go")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round")
    parser.add_argument("--folder", type=Path, help="on the disk to measure (default: inside of --out)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder or options.out) as folder:
        results = {
            "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
            "rounds": ROUNDS,
            "seconds": options.seconds,
            "record_bytes": len(seal(record(0), begin({"log": "size"})[1])[0]),
            "sealing_us": sealing_us(),
            "hashing_us": hashing_us(),
            "proof": proof(Path(folder) / "proof"),
            "exchanges": exchanges(Path(folder) / "exchanges"),
            "appenders": measure(Path(folder), options.seconds),
        }
    (options.out / "audit.json").write_text(json.dumps(results, indent=2) + "\n")
    draw(results["appenders"], options.out / "audit.png")


if __name__ == "__main__":
    main()
