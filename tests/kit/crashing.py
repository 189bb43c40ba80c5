"""A plug-in that lets every stage of the proxy crash, with a text of an exchange as the message of the error.

`entry_points` is what its installation writes. The check `crash` reads all texts. A text that holds `crash-STAGE` lets that
stage fail once: its next call raises an error whose message is the text.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guardproxy.audit import Record
from guardproxy.audit.sealing.sealer import Sealer
from guardproxy.audit.writing.log_file import FileSink
from guardproxy.checks import Resources, Traits
from guardproxy.exchange import DataReceived, Exchange, RequestReceived
from guardproxy.findings import Scan, Window
from guardproxy.gateway import Duty, Head, Steps
from guardproxy.server.app import Server
from guardproxy.server.driving.driver import Driver
from guardproxy.server.observing.observers import MetricsObserver
from guardproxy.server.scanning.scanner import Scanner
from guardproxy.server.upstream.upstream import Upstream

ENTRY_POINTS = """\
[guardproxy.checks]
crash = tests.kit.crashing:build
[guardproxy.sinks]
crash = tests.kit.crashing:CrashingSink
[guardproxy.duties]
crash = tests.kit.crashing:CrashingDuty
"""
armed: dict[str, str] = {}
WRAPPED: dict[str, tuple[type, str]] = {
    "scanner": (Scanner, "scan"),
    "upstream": (Upstream, "read"),
    "sealing": (Sealer, "seal"),
    "writer": (FileSink, "_write"),
    "observer": (MetricsObserver, "finished"),
    "answer": (Driver, "_send"),
    "finish": (Driver, "_finish"),
    "end": (Server, "close"),
}
STAGES = (*WRAPPED, "check", "codec", "sink", "settle", "admit", "callback", "task", "thread", "finalizer")


class CrashError(Exception):
    """An error whose message is a text of an exchange."""


def install(folder: Path) -> Path:
    """Writes what an installer of packages would write."""
    about = folder / "crash-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: crash\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


def fail(stage: str) -> None:
    """Raises an error if a text has armed the stage."""
    if (text := armed.pop(stage, None)) is not None:
        raise CrashError(text)


def arm(text: str) -> None:
    for stage in re.findall(r"crash-([a-z]+)", text):
        armed[stage] = text


def wrap(kind: type, name: str, before: Callable[..., None]) -> None:
    whole = getattr(kind, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        before(*arguments)
        return whole(*arguments, **named)

    setattr(kind, name, wrapped)


def receive(exchange: Exchange, event: object) -> None:
    if isinstance(event, RequestReceived):
        text = event.body.decode("utf-8", "replace")
        if "crash-codec" in text:
            raise CrashError(text)
    if isinstance(event, DataReceived):
        crash_beside()


class Finalized:
    """An object whose finalizer fails."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __del__(self) -> None:
        raise CrashError(self.text)


def crash_beside() -> None:
    """Lets parts fail that no exchange waits for."""
    loop = asyncio.get_running_loop()

    def called(text: str) -> None:
        raise CrashError(text)

    async def run(text: str) -> None:
        raise CrashError(text)

    if text := armed.pop("callback", ""):
        loop.call_soon(called, text)
    if text := armed.pop("task", ""):
        loop.create_task(run(text), name=text)  # noqa: RUF006 - nobody waits for it
    if text := armed.pop("thread", ""):
        threading.Thread(target=called, args=(text,)).start()
    if text := armed.pop("finalizer", ""):
        Finalized(text)


@dataclass(frozen=True)
class CrashingCheck:
    name: str
    digest: str
    traits: Traits

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        scans = []
        for window in windows:
            arm(window.text)
            fail("check")
            end = window.start + len(window.text)
            scans.append(Scan((), settled=end, keep=end))
        return scans


class CrashingSink:
    def __init__(self, log: str) -> None:
        """`log`: the name of the log."""

    def take(self, line: bytes) -> None:
        fail("sink")

    def close(self) -> None:
        """Does nothing."""


class CrashingDuty(Duty):
    name = "crash"

    def admit(self, head: Head) -> Steps[Head]:
        fail("admit")
        return head
        yield ()

    def settle(self, head: Head, record: Record) -> Steps[None]:
        fail("settle")
        return
        yield ()


def build(name: str, options: Mapping[str, Any], resources: Resources) -> CrashingCheck:
    if getattr(Exchange.receive, "__name__", "") != "wrapped":
        wrap(Exchange, "receive", receive)
        for stage, (kind, method) in WRAPPED.items():
            wrap(kind, method, lambda *_, stage=stage: fail(stage))
    return CrashingCheck(name, "sha256:crash", Traits(is_slow=False, labels=frozenset(("CRASH",))))
