"""The things end-to-end tests run against: a scripted upstream in its own thread, a proxy in its own process.

Also how the outcome of an SDK call is made comparable: what came back, or the exception's class, status and body.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guardproxy.demo.journal import Journal
from guardproxy.demo.scripted import ScriptedUpstream, start
from tests.kit import processes

ROOT = processes.ROOT
Running = processes.Process | subprocess.Popen[bytes]
# For an upstream that fails in one test after the other, of which each wants to see its own failure.
NO_BREAKER = ("--breaker-failures", "0")
START_TIMEOUT_S = 60.0
PLUGINS = ""  # a folder with packages that proxies find

# Made up; in parts, so that scanners of source code stay quiet.
MAIL = "mara.lindqvist" + "@" + "example.com"
KEY = "AK" + "IA" + "Q3EGTVJ5XW7RMN2B"

PASS = """\
policy: pass
match: {}
checks:
  never: {use: pattern, words: [no-such-word-anywhere]}
rules:
  - {id: nothing, when: never, action: block}
"""

# No rule looks at anything, so nothing needs to be read.
UNREAD = """\
policy: unread
rules:
  - {id: watch, when: check_error, action: flag}
"""

GUARD = """\
policy: guard
match: {}
checks:
  pii: {use: pii, entities: [EMAIL_ADDRESS]}
  secrets: {use: secrets}
  attack: {use: pattern, patterns: ["(?i)ignore (all )?(the )?previous instructions"]}
  word: {use: pattern, words: [umbrella-corp]}
rules:
  - {id: no-identifiers-out, on: request, when: pii, action: redact, restore: true}
  - {id: no-secrets-back, on: response, when: secrets, action: redact, restore: false}
  - {id: no-attacks, on: [user, tool_result], when: attack, action: block}
  - {id: no-such-words, on: response, when: word, action: block}
"""


def refusing_url() -> tuple[socket.socket, str]:
    """An address where nobody listens, and the socket that keeps it so: connections to it are refused."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    return held, f"http://127.0.0.1:{held.getsockname()[1]}"


class Upstream:
    """The scripted upstream on a loop of its own."""

    def __init__(self, tiny_url: str = "") -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scripted upstream", daemon=True)
        self._thread.start()
        self._scripted: ScriptedUpstream = self._do(start(tiny_url=tiny_url))

    def _do(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=60)

    @property
    def url(self) -> str:
        return self._scripted.url

    @property
    def journal(self) -> Journal:
        return self._scripted.journal

    def close(self) -> None:
        self._do(self._scripted.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=60)
        self._loop.close()


@dataclass(slots=True)
class Proxy:
    """A running `guardproxy serve`."""

    process: Running
    port: int
    admin_port: int
    audit: Path
    log: Path
    admin_ports: tuple[int, ...] = ()  # of each worker
    models_port: int = 0  # the admin port of the process that runs the models

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    def records(self) -> list[dict[str, Any]]:
        """What the audit log holds. A record is there before the end of its answer is."""
        found = []
        for log in sorted(self.audit.glob("*.jsonl")):
            whole, _, _ = log.read_bytes().rpartition(b"\n")  # the line of another exchange may be half written
            lines = [json.loads(line) for line in whole.splitlines()]
            found += [line for line in lines if "outcome" in line]
        return found

    def wait_records(self, look: Callable[[list[dict[str, Any]]], object]) -> None:
        """Returns when `look` is true for the records: that of a client that has left comes when it will."""
        for _ in range(int(START_TIMEOUT_S / 0.05)):
            if look(self.records()):
                return
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.05)
        raise TimeoutError(f"no such records within {START_TIMEOUT_S} s")

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the program's own log says of one kind of event so far."""
        return logged(self.log, name)

    def wait_for(self, name: str, **wanted: Any) -> dict[str, Any]:
        """The first event of this name with these values; waits for it."""
        return wait_logged(self.process, self.log, name, 1, **wanted)[0]

    def stop(self, how: signal.Signals = signal.SIGTERM, timeout_s: float = 60.0) -> int:
        """Ends the process; gives its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def serve(upstream_url: str, folder: Path, policy: str, *options: str) -> Proxy:
    """Starts a proxy with one policy and waits until it is ready. `folder` gets its policies, audit log and output.
    `upstream_url`: empty if the options name what is guarded."""
    policies, audit, log = folder / "policies", folder / "audit", folder / "output.txt"
    policies.mkdir(parents=True, exist_ok=True)
    (policies / "policy.yaml").write_text(policy, encoding="utf-8")
    words = ["serve", *(("--upstream", upstream_url) if upstream_url else ()), "--policies", str(policies)]
    words += ["--port", "0", "--admin-port", "0", "--audit", str(audit), *options]
    process: Running
    if PLUGINS:  # which are found on the path when the interpreter starts
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), PLUGINS))}
        command = [sys.executable, "-m", "guardproxy", *words]
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    else:
        process = processes.start(*words, stdout=log)
    workers = int(options[options.index("--workers") + 1]) if "--workers" in options else 1
    try:
        said = sorted(wait_logged(process, log, "listening", workers), key=lambda event: event["worker"])
    except BaseException:
        process.kill()
        process.wait()
        sys.stderr.write(log.read_text(encoding="utf-8", errors="replace")[-4000:])
        raise
    admin_ports = tuple(event["admin_port"] for event in said)
    models = logged(log, "models are served")
    models_port = models[0]["admin_port"] if models else 0
    return Proxy(process, said[0]["port"], admin_ports[0], audit, log, admin_ports, models_port)


def logged(log: Path, name: str, **wanted: Any) -> list[dict[str, Any]]:
    """The events of one name, and with these values, that a program has logged so far."""
    found = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith("{"):
            continue
        try:
            event = json.loads(line)
        except ValueError:  # not written to its end yet
            continue
        if event.get("event") == name and all(event.get(key) == value for key, value in wanted.items()):
            found.append(event)
    return found


def wait_logged(process: Running, log: Path, name: str, count: int = 1, **wanted: Any) -> list[dict[str, Any]]:
    """Waits until a program has logged `count` events of a name. Raises when it ends before, or the time is up."""
    for _ in range(int(START_TIMEOUT_S / 0.05)):
        if len(found := logged(log, name, **wanted)) >= count:
            return found
        try:
            code = process.wait(timeout=0.05)  # the pause between two looks, which ends early if the process does
        except subprocess.TimeoutExpired:
            continue
        if len(found := logged(log, name, **wanted)) >= count:
            return found
        raise RuntimeError(f"the program ended with exit code {code} before it said `{name}`")
    raise TimeoutError(f"`{name}` was not said within {START_TIMEOUT_S} s")


def wait_ready(process: Running, url: str, timeout_s: float) -> None:
    """Returns when `url` answers 200. Raises when the process ends before, or the time is up."""
    for _ in range(int(timeout_s / 0.1)):
        try:
            with urllib.request.urlopen(url, timeout=60) as response:
                if response.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        try:
            code = process.wait(timeout=0.1)  # the pause between two looks, which ends early if the process does
        except subprocess.TimeoutExpired:
            continue
        raise RuntimeError(f"the program ended with exit code {code} before it was ready")
    raise TimeoutError(f"not ready within {timeout_s} s")


def wait_demo(process: Running, log: Path) -> tuple[int, int]:
    """The ports of a `guardproxy demo`, once it has printed them and all that follows them."""
    text = wait_printed(process, log)
    found = [re.search(rf"{name} +http://127\.0\.0\.1:(\d+)", text) for name in ("proxy", "metrics")]
    proxy, admin = (int(match[1]) for match in found if match)
    return proxy, admin


def wait_printed(process: Running, log: Path) -> str:
    """What a `guardproxy demo` printed, once it has printed all of it."""
    for _ in range(int(START_TIMEOUT_S / 0.05)):
        text = log.read_text(encoding="utf-8", errors="replace")
        if "Ctrl-C stops" in text:
            return text
        try:
            code = process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
        raise RuntimeError(f"the demo ended with exit code {code}: {text[-2000:]}")
    raise TimeoutError(f"the demo did not print everything within {START_TIMEOUT_S} s")


def dumped(value: Any) -> Any:
    """An SDK object as plain data."""
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


@dataclass(frozen=True, slots=True)
class Failed:
    """An SDK call that raised: everything that a program could look at."""

    kind: str
    status: int | None
    body: Any
    message: str
    before: tuple[Any, ...] = ()


def failed(exception: Exception, before: tuple[Any, ...] = ()) -> Failed:
    """The comparable parts of an SDK exception."""
    kind = f"{type(exception).__module__}.{type(exception).__name__}"
    return Failed(
        kind, getattr(exception, "status_code", None), getattr(exception, "body", None), str(exception), before
    )


def outcome(call: Callable[[], Any]) -> Any:
    """What a plain call gives, as plain data."""
    try:
        return dumped(call())
    except Exception as exception:
        return failed(exception)


def stream_outcome(call: Callable[[], Any]) -> Any:
    """All that a stream gives, as plain data; when it breaks, what it gave before that too."""
    seen: list[Any] = []
    try:
        with call() as stream:
            for item in stream:
                seen.append(dumped(item))  # noqa: PERF401  what came before an exception counts
    except Exception as exception:
        return failed(exception, tuple(seen))
    return seen


async def async_outcome(call: Any) -> Any:
    """What an awaited call gives, as plain data."""
    try:
        return dumped(await call)
    except Exception as exception:
        return failed(exception)


async def async_stream_outcome(call: Any) -> Any:
    """All that an asynchronous stream gives, as plain data."""
    seen: list[Any] = []
    try:
        async with await call as stream:
            async for item in stream:
                seen.append(dumped(item))  # noqa: PERF401  what came before an exception counts
    except Exception as exception:
        return failed(exception, tuple(seen))
    return seen


# Ways of cutting a stream: by characters of the text, and by bytes of the body.
CUTS: list[dict[str, str]] = [
    {},
    *({"x-chunk": str(size)} for size in (1, 2, 3, 5, 8, 13, 21, 34, 1000)),
    *({"x-bytes": str(size)} for size in (3, 64, 4096)),
    {"x-chunk": "1", "x-bytes": "7"},
]
