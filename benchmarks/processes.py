"""The processes of benchmarks: how they start on a core, when they are ready, and what they take of memory and processor."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
START_TIMEOUT_S = 180.0
PR_SET_PDEATHSIG = 1  # of Linux


def free_port() -> int:
    """A port of this machine that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    stack: ExitStack, command: list[str], cores: Collection[int], log: Path, more: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Starts a process on some cores; it ends with the stack. `more`: what its environment has beside ours."""
    environment = {**os.environ, **(more or {"PYTHONPATH": str(ROOT)})}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is compiled at each start is no cost of a proxy
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
            preexec_fn=partial(_settle, cores),  # noqa: PLW1509  no threads here yet
        )
    stack.callback(end, process)
    return process


def _settle(cores: Collection[int]) -> None:
    """What a new process does first: it takes its cores, and asks the kernel to be killed when the benchmark dies."""
    os.sched_setaffinity(0, cores)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process, by force after 15 s."""
    if process.poll() is None:
        send([process.pid], signal.SIGCONT)  # it may be stopped
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def reason(peers: Path, name: str) -> str:
    """Why a peer is not there: what `peers/install.py` wrote of it."""
    failed = peers / name / "failed.txt"
    return failed.read_text() if failed.is_file() else "not installed"


def last_lines(log: Path) -> str:
    """The end of what a process said, for a reader who asks why it did not start."""
    lines = log.read_text(errors="replace").split("\n") if log.is_file() else []
    said = [line.strip() for line in lines if line.strip()]
    return " ".join(said[-4:])[-400:] or "it said nothing and was not ready in time"


def wait_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    """Whether `url` answered (any status) before the process ended or the time was up."""
    due_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < due_s:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except urllib.error.HTTPError as answer:
            if answer.code != 503:  # not ready yet
                return True
        except OSError:
            pass
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            return False
    return False


def tasks(processes: Iterable[int]) -> list[Path]:
    """The folders in `/proc` of all threads of processes and of their children."""
    found: list[Path] = []
    waiting = list(processes)
    while waiting:
        with suppress(OSError):
            for task in Path(f"/proc/{waiting.pop()}/task").iterdir():
                found.append(task)
                waiting += [int(child) for child in (task / "children").read_text().split()]
    return found


def send(processes: Iterable[int], number: signal.Signals) -> None:
    """Sends a signal to processes and their children."""
    for process in {int(task.parent.parent.name) for task in tasks(processes)}:
        with suppress(ProcessLookupError):
            os.kill(process, number)


@contextmanager
def awake(processes: Sequence[int]) -> Iterator[None]:
    """Lets processes run that are stopped otherwise, so that what they still do takes no time from others."""
    send(processes, signal.SIGCONT)
    try:
        yield
    finally:
        send(processes, signal.SIGSTOP)


def rss_mib(processes: Iterable[int]) -> float:
    """Resident memory of processes and their children."""
    total_kib = 0
    for folder in {task.parent.parent for task in tasks(processes)}:
        with suppress(OSError):
            total_kib += int((folder / "status").read_text().split("VmRSS:")[1].split()[0])
    return total_kib / 1024


def processor_s(processes: Iterable[int]) -> float:
    """Processor time of processes and their children."""
    total_ns = 0
    for task in tasks(processes):
        with suppress(OSError):
            total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    model = ""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    versions = {}
    for package in ("aiohttp", "uvloop", "guardproxy"):
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load_average": os.getloadavg(),
        **versions,
    }
