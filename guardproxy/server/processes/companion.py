"""Keeps another process of this server running, which is no worker: it shows pages, and no exchange needs it.

In: a command. Out: a process that is started again when it ends, after a delay that grows with each quick end. It gets a first
line on its standard input, which stays open. When this process ends, however it does, the input ends, and so must the other
process.

Decision: docs/decisions/0081-the-console-is-a-process-beside-the-proxy.md
"""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from guardproxy.config import Config
from guardproxy.server.observing.companions import CompanionCommand, CompanionOf, CompanionPaths
from guardproxy.server.observing.forwarding import Forwarder
from guardproxy.server.observing.process_metrics import Siblings

_log = logging.getLogger(__name__)
QUICK_S = 10.0  # a process that ends within this time of its start ended quickly
DELAY_S = 0.1
DELAY_LIMIT_S = 10.0
NAME = "console"
PREFIX = "/console"
END_S = 2.0  # for its orderly end


class Companion:
    """Runs a process from `start` to `close`, in a thread that waits for it."""

    def __init__(self, command: CompanionCommand, name: str) -> None:
        self._command = command
        self._name = name
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def pid(self) -> int:
        """Returns the number of the present process; 0 if there is none."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else 0

    def start(self) -> None:
        """Starts the process."""
        self._thread.start()

    def close(self) -> None:
        """Ends the process: by the end of its input, and by force if it does not end."""
        with self._lock:
            self._over.set()
            process = self._process
        if process is not None:
            _end(process)
        if self._thread.is_alive():
            self._thread.join(END_S)

    def _run(self) -> None:
        quick_ends = 0
        while not self._over.is_set():
            began_s = time.monotonic()
            code = self._live()
            if self._over.is_set():
                return
            quick_ends = quick_ends + 1 if time.monotonic() - began_s < QUICK_S else 1
            delay_s = min(DELAY_LIMIT_S, DELAY_S * 2 ** min(quick_ends - 1, 10))
            extra = {"child": self._name, "code": code, "starts_again_in_s": round(delay_s, 1)}
            _log.error("ended", extra=extra)
            self._over.wait(delay_s)

    def _live(self) -> int:
        """Runs the process to its end. Returns its exit code; -1 if it cannot be started."""
        with self._lock:
            if self._over.is_set():
                return 0
            try:
                # Not in the group of the terminal: Ctrl-C is for the proxy, which ends it.
                process = subprocess.Popen(  # noqa: S603 - the command is our own
                    self._command.arguments,
                    env=dict(self._command.environment),
                    stdin=subprocess.PIPE,
                    start_new_session=True,
                )
            except OSError as error:
                _log.error("cannot be started", extra={"child": self._name, "error": error.strerror})
                return -1
            self._process = process
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        with suppress(OSError):
            process.stdin.write(self._command.first_line)
            process.stdin.flush()
        code = process.wait()
        with suppress(OSError):
            process.stdin.close()
        return code


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside one process of a server: a companion, if it is the first worker, and the way to it."""

    paths: CompanionPaths | None = None
    companion: Companion | None = None

    @classmethod
    def of(cls, config: Config, worker: int, siblings: Siblings, companion_of: CompanionOf) -> Beside:
        """Returns what the settings want. Raises `ConfigError`."""
        command_of = companion_of(config)
        if command_of is None:
            return cls()
        paths = CompanionPaths.of(siblings)
        return cls(paths, None if worker else Companion(command_of(paths), NAME))

    def admin_socket(self, siblings: Siblings) -> Path | None:
        """Returns where the admin port of this process answers other processes."""
        return self.paths.admin if self.paths else siblings.socket

    def add_to(self, app: web.Application) -> None:
        """Adds the way to the companion to the admin port."""
        if self.paths is not None:
            Forwarder(self.paths.socket, NAME).add_to(app, PREFIX)

    def start(self) -> None:
        """Starts the companion."""
        if self.companion is not None:
            self.companion.start()

    def close(self) -> None:
        """Ends the companion."""
        if self.companion is not None:
            self.companion.close()
        if self.paths is not None:
            self.paths.remove()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
