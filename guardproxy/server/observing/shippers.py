"""Runs `guardproxy audit ship` beside the proxy: a process for each target, which is started again if it ends.

In: the folder of the logs, targets. Out: lines at the targets. Kept: the processes, each with a thread that watches it.

A process of its own reads the files that the proxy writes. So a slow or broken target, or a fault in its library, takes no time
and no memory of the proxy, and every line that the log holds arrives. The process ends with its parent, however that ends,
because its standard input ends. It gets no secret of the proxy but the token for HTTP.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event, Lock, Thread

from guardproxy.audit.shipping import Arrears, Sent, position_of, sent_of
from guardproxy.config import AuditSettings

RESTART_S, RESTART_MOST_S = 0.5, 30.0
END_S = 5.0
LOOK_S = 5.0  # between two looks at how much was sent
BEHIND_S = 30.0  # a target that takes longer for a line is behind
WRONG_USE, CANNOT_START = 2, 127
TOKEN = "GUARDPROXY_SHIP_TOKEN"  # noqa: S105 - the name of a variable
_log = logging.getLogger(__name__)


def command(folder: Path, target: str) -> list[str]:
    """Returns the command that ships to a target until its standard input ends."""
    return [sys.executable, "-m", "guardproxy", "audit", "ship", str(folder), "--to", target, "--until-eof"]


def environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Returns the variables for the process, without those that may hold secrets of the proxy."""
    return {name: value for name, value in environ.items() if name == TOKEN or not name.startswith("GUARDPROXY_")}


class ShipperProcess:
    """Keeps a process running. `shown`: the target in messages. `look`: how much it has sent. Any thread may read `fault`:
    why it does not run, or that its target is behind."""

    def __init__(
        self,
        words: Sequence[str],
        shown: str,
        restart_s: float = RESTART_S,
        start: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen,
        look: Callable[[], Sent] = lambda: Sent(0, 0),
        look_s: float = LOOK_S,
        behind_s: float = BEHIND_S,
    ) -> None:
        self._words = words
        self._shown = shown
        self._restart_s = restart_s
        self._start = start
        self._over = Event()
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._look = look
        self._look_s = look_s
        self._arrears = Arrears(behind_s)
        self._ended = ""
        self._thread = Thread(target=self._run, name=f"ship {shown}", daemon=True)
        self._thread.start()

    @property
    def fault(self) -> str:
        """Why the process does not run, and that its target is behind; empty if all is well."""
        behind_s = self._arrears.behind_s(time.monotonic())
        behind = ""
        if behind_s:
            missing = f"{self._arrears.missing_bytes:,} bytes of the log"
            behind = f"`audit ship` to {self._shown} is behind: {missing} wait, the oldest for {behind_s:.0f} s"
        return "; ".join(filter(None, (self._ended, behind)))

    def stop(self) -> None:
        """Asks the process to send what the logs hold now, and to end."""
        self._over.set()
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()

    def join(self, timeout_s: float = END_S) -> None:
        """Returns when the process has ended, which is after `timeout_s` at the latest. `stop` comes before."""
        self._thread.join(timeout_s)
        if self._thread.is_alive() and self._process is not None:
            self._process.kill()
            self._thread.join()

    def _run(self) -> None:
        wait_s = self._restart_s
        while (code := self._watched()) is not None:
            is_wrong = code == WRONG_USE
            again = "it is not started again" if is_wrong else f"it starts again in {wait_s:g} s"
            self._ended = f"`audit ship` to {self._shown} ended with exit code {code}: {again}"
            _log.error(self._ended)
            self._note()
            if is_wrong or self._over.wait(wait_s):
                return
            wait_s = min(2 * wait_s, RESTART_MOST_S)

    def _note(self) -> None:
        """Looks how much was sent."""
        with suppress(OSError):
            self._arrears.note(self._look(), time.monotonic())

    def _watched(self) -> int | None:
        """Runs the process to its end. Returns its exit code; `None` if it was asked to end."""
        with self._lock:
            if self._over.is_set():
                return None
            try:  # a session of its own: a Ctrl-C is for the proxy, which ends it
                self._process = self._start(
                    self._words, stdin=subprocess.PIPE, env=environment(), start_new_session=True
                )
            except OSError:
                return CANNOT_START
        code = None
        while code is None:
            self._note()
            try:
                code = self._process.wait(self._look_s)
            except subprocess.TimeoutExpired:
                self._ended = ""  # the process runs
        with self._lock:
            if self._process.stdin is not None:
                self._process.stdin.close()
        return None if self._over.is_set() else code


def shippers_of(settings: AuditSettings, worker: int) -> list[ShipperProcess]:
    """Returns the running processes for the targets of the settings. One worker starts them for all."""
    return [
        ShipperProcess(
            command(settings.folder, target),
            target,
            look=partial(sent_of, settings.folder, position_of(settings.folder, target)),
        )
        for target in settings.ship
        if worker == 0
    ]


def close_all(shippers: Sequence[ShipperProcess]) -> None:
    """Ends all processes. Each sends what the logs hold now."""
    for shipper in shippers:
        shipper.stop()
    for shipper in shippers:
        shipper.join()
