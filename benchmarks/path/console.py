"""What open pages of the console cost the proxy: its requests a second with no page and with several, in turns.

`python -m benchmarks.path.console [--out DIR] [--pages 5] [--rounds 15] [--seconds 2]`

Each page is the page Now of a person who is signed in, with its live stream (server-sent events), which a client reads to the
end of the round. The proxy has a core of its own; the model, the load generator and the process of the console share the
others, as the kernel gives them another core than a busy one. A policy without checks makes the proxy as fast as it can be,
so that the share of the pages is as large as it can be.

Out: `console.json` and a line. `requests_per_s`: medians without and with pages. `share_kept`: the median over the rounds of
the second by the first. `proxy_us`: processor time of the proxy for a request, without and with pages, and `proxy_share`:
their ratio, which depends less on what else the machine does. `admin_share`: the part of a core that the thread of the admin
port takes, without and with pages. It is all that pages take of the proxy's process, and the loop can lose no more than that
to them; it hardly depends on other work of the machine. `console_share`: the part of a core that the process of the console
takes, which also reads what the proxy writes into the log. `events`: messages that the pages got.
"""

from __future__ import annotations

import argparse
import http.cookiejar
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.processes import ROOT, free_port, last_lines, machine, start, wait_ready
from guardproxy.console import Login, LoginFile, new_token, write_logins

POLICY = "policy: empty\nrules:\n  - {id: watch, when: check_error, action: flag}\n"
CONNECTIONS = 32
LIVE = "/console/now/live?window=300"
SETTLED_S = 1.0  # after pages were opened or closed


@dataclass(slots=True)
class Rounds:
    """What was measured with so many pages open."""

    requests_per_s: list[float] = field(default_factory=list)
    proxy_us: list[float] = field(default_factory=list)
    admin_share: list[float] = field(default_factory=list)
    console_share: list[float] = field(default_factory=list)
    events: int = 0


class Pages:
    """People who are signed in, with open pages."""

    def __init__(self, admin_port: int, token: str) -> None:
        self._url = f"http://127.0.0.1:{admin_port}"
        self._token = token
        self.events = 0

    @contextmanager
    def opened(self, count: int) -> Iterator[None]:
        """Opens pages, and reads their streams until the end."""
        with ExitStack() as stack:
            for _ in range(count):
                browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
                form = urllib.parse.urlencode({"name": "ann", "token": self._token}).encode()
                browser.open(f"{self._url}/console/login", form, timeout=60).close()
                stream = stack.enter_context(browser.open(f"{self._url}{LIVE}", timeout=60))
                threading.Thread(target=self._read, args=(stream,), daemon=True).start()
            yield

    def _read(self, stream: Any) -> None:
        with suppress(OSError, ValueError, AttributeError):  # it is closed at the end of a round
            for line in stream:
                self.events += line == b"\n"


def own_processor_s(process: int) -> float:
    """Processor time of all threads of one process, without its children."""
    return sum(thread_s(process).values())


def thread_s(process: int) -> dict[int, float]:
    """Processor time of each thread of a process."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    return {int(task.name): int((task / "schedstat").read_text().split()[0]) / 1e9 for task in tasks}


def admin_thread(process: int, admin_port: int) -> int:
    """The thread that answers at the admin port: the one that works while it is asked, and nothing else is."""
    before = thread_s(process)
    for _ in range(300):
        with urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/livez", timeout=30) as answer:
            answer.read()
    return max(before, key=lambda thread: thread_s(process)[thread] - before[thread])


def _settle_console(proxy: int, others: Sequence[int]) -> int:
    """Moves the process of the console away from the core of the proxy. Returns its number."""
    for task in Path(f"/proc/{proxy}/task").iterdir():
        for child in (task / "children").read_text().split():
            os.sched_setaffinity(int(child), others)
            return int(child)
    raise SystemExit("the console does not run")


def measure(cores: Sequence[int], pages: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Measures a proxy without pages and with them, in turns."""
    own, others = cores[:1], cores[1:] or cores
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        (folder / "policies").mkdir()
        (folder / "policies" / "empty.yaml").write_text(POLICY)
        token, logins = new_token(), folder / "logins.json"
        logins.touch(0o600)
        logins.write_bytes(write_logins(LoginFile().having(Login("ann", "auditor"), token, "")))
        model_port, port, admin_port = free_port(), free_port(), free_port()
        model = start(
            stack, [sys.executable, "-m", "benchmarks.path.upstream", str(model_port)], others, folder / "model.log"
        )
        command = [sys.executable, "-m", "guardproxy", "serve", "--upstream", f"http://127.0.0.1:{model_port}"]
        command += ["--policies", str(folder / "policies"), "--audit", str(folder / "audit"), "--port", str(port)]
        command += ["--admin-port", str(admin_port), "--console", "read", "--console-logins", str(logins)]
        proxy = start(stack, command, own, folder / "proxy.log")
        for process, url in (
            (model, f"http://127.0.0.1:{model_port}/"),
            (proxy, f"http://127.0.0.1:{admin_port}/readyz"),
            (proxy, f"http://127.0.0.1:{admin_port}/console/login"),
        ):
            if not wait_ready(process, url):
                raise SystemExit(f"not ready: {url}: {last_lines(folder / 'proxy.log')}")
        console = _settle_console(proxy.pid, others)
        people, admin = Pages(admin_port, token), admin_thread(proxy.pid, admin_port)
        measured = {0: Rounds(), pages: Rounds()}
        settings = {
            "port": port,
            "mode": "plain",
            "connections": CONNECTIONS,
            "seconds": seconds,
            "seed": 1,
            "prompts": 50,
        }
        load = [sys.executable, "-m", "benchmarks.path.load", json.dumps(settings)]
        _load(load, others)  # the first requests of a process are slow
        for number in range(rounds):
            for count in (0, pages) if number % 2 else (pages, 0):
                before_events = people.events
                with people.opened(count):
                    time.sleep(SETTLED_S)
                    before_s, began_s = own_processor_s(proxy.pid), time.monotonic()
                    admin_s, console_s = thread_s(proxy.pid)[admin], own_processor_s(console)
                    row = _load(load, others)
                    measured[count].requests_per_s.append(row["requests_per_s"])
                    used_s = own_processor_s(proxy.pid) - before_s
                    measured[count].proxy_us.append(1e6 * used_s / row["answers"])
                    admin_s = thread_s(proxy.pid)[admin] - admin_s
                    took_s = time.monotonic() - began_s
                    measured[count].admin_share.append(admin_s / took_s)
                    measured[count].console_share.append((own_processor_s(console) - console_s) / took_s)
                measured[count].events += people.events - before_events
    return _row(measured[0], measured[pages], pages, rounds)


def _load(command: Sequence[str], cores: Sequence[int]) -> dict[str, Any]:
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    row: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if row["errors"] + row["refused"]:
        raise SystemExit(f"requests failed: {row}")
    return row


def _row(without: Rounds, with_pages: Rounds, pages: int, rounds: int) -> dict[str, Any]:
    pairs = zip(without.requests_per_s, with_pages.requests_per_s, strict=True)
    times = zip(without.proxy_us, with_pages.proxy_us, strict=True)
    return {
        "pages": pages,
        "rounds": rounds,
        "requests_per_s": [round(median(part.requests_per_s), 1) for part in (without, with_pages)],
        "share_kept": round(median(after / before for before, after in pairs), 4),
        "proxy_us": [round(median(part.proxy_us), 1) for part in (without, with_pages)],
        "proxy_share": round(median(after / before for before, after in times), 4),
        "admin_share": [round(median(part.admin_share), 5) for part in (without, with_pages)],
        "console_share": [round(median(part.console_share), 4) for part in (without, with_pages)],
        "events": with_pages.events,
        "machine": machine(),
    }


def main() -> None:
    """Measures, writes `console.json`, and prints a line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--pages", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    row = measure(sorted(os.sched_getaffinity(0)), options.pages, options.rounds, options.seconds)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "console.json").write_text(json.dumps(row, indent=1) + "\n")
    print(
        f"{row['pages']} pages: {row['requests_per_s'][0]:.0f} -> {row['requests_per_s'][1]:.0f} requests/s "
        f"(kept {row['share_kept']:.1%}), proxy {row['proxy_us'][0]:.0f} -> {row['proxy_us'][1]:.0f} us "
        f"({row['proxy_share']:.1%}), admin thread {row['admin_share'][0]:.2%} -> {row['admin_share'][1]:.2%} of a core, "
        f"console {row['console_share'][0]:.1%} -> {row['console_share'][1]:.1%} of a core, {row['events']} events"
    )


if __name__ == "__main__":
    main()
