"""Supervises several workers and the process that runs their models: starts, watches and restarts them.

In: settings. Out: an exit code, when all processes have ended. Kept: the children, with their start times.

- A worker that dies is started again, after a delay that doubles with each quick death. The others keep serving.
- The process that runs the models is started again in the same way. Its socket keeps its path, so workers connect again.
- A start that never succeeds is given up: at once where the settings or policies cannot be used (exit code 2), after
  `QUICK_DEATHS` deaths otherwise. Later the parent gives up only when no worker serves and each new one dies quickly.
- SIGTERM and SIGINT end all processes; SIGHUP reloads all workers. The models end last, because a draining worker needs them.
  A worker that still runs `WORKER_END_S` after the time for open exchanges (`drain_s`) is killed, even if it is frozen.
- A child whose loop has not run for `livez_stall_s` is killed, and started again like one that died: a process that is
  frozen serves nobody, and its open exchanges wait for ever. No child is to blame while the parent itself was stopped, or
  at the end, when the loop of a child waits for its threads.
- Children die with their parent, however it dies: a thread in each child reads a pipe whose other end only the parent holds.
  On Linux the kernel signals the child too.

The parent stays small and has one thread, so that it can fork at any time. It imports nothing that starts threads.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from guardproxy import signals
from guardproxy.config import Config
from guardproxy.printable import plain_lines
from guardproxy.server.observing.process_metrics import MODELS, Siblings
from guardproxy.server.opening import bound, check_folders, check_ports, client_address
from guardproxy.server.processes.children import BEAT_S, WRONG_USE, die_with_parent, live, run_models, run_worker
from guardproxy.telemetry import configure_logs

if TYPE_CHECKING:
    from guardproxy.server.app import Doors
    from guardproxy.server.observing.companions import CompanionOf

_log = logging.getLogger(__name__)
QUICK_S = 10.0  # a child that dies within this time of its start died quickly
QUICK_DEATHS = 5
DELAY_S = 0.1
DELAY_LIMIT_S = 10.0
WORKER_END_S = 4.5  # below the five seconds after which all must have ended; a worker's own limit is the same
MODELS_END_S = 5.0
LAST_S = 0.5  # for the models, after a worker was killed


@dataclass(slots=True)
class Child:
    """A process that should run. `worker`: its number, or -1 for the models. `signs`: the pipe that brings its signs of
    life, of which the first says that it serves. `heard_s`: the time of the last one."""

    worker: int
    pid: int = 0
    signs: int = -1
    serves: bool = False
    heard_s: float = 0.0
    started_s: float = 0.0
    due_s: float = 0.0  # the time of its next start
    quick_deaths: int = 0

    @property
    def name(self) -> str:
        return "models" if self.worker < 0 else f"worker {self.worker}"

    def died(self, now_s: float) -> None:
        """Plans the next start."""
        quick = now_s - self.started_s < QUICK_S
        self.quick_deaths = self.quick_deaths + 1 if quick else 1
        self.due_s = now_s + min(DELAY_LIMIT_S, DELAY_S * 2 ** (self.quick_deaths - 1))
        self.pid, self.serves = 0, False


@dataclass(slots=True)
class Pipe:
    """Both ends of a pipe."""

    read: int
    write: int

    @classmethod
    def new(cls) -> Pipe:
        read, write = os.pipe()
        return cls(read, write)


@dataclass(slots=True)
class Parent:
    """Watches over the children of one `guardproxy serve --workers N`. `folder`: where the children have their sockets. No data
    is ever written to `parent_pipe` and `alive`; closing them is the message."""

    config: Config
    folder: Path
    doors_of: Doors | None = None
    companion_of: CompanionOf | None = None
    children: list[Child] = field(default_factory=list)
    parent_pipe: Pipe = field(default_factory=Pipe.new)  # the parent holds the write end, so children notice its death
    alive: Pipe = field(
        default_factory=Pipe.new
    )  # the parent and the workers hold the write end; the models end when it closes
    wake: Pipe = field(default_factory=Pipe.new)
    received: list[int] = field(default_factory=list)
    stopping: bool = False
    killing_s: float | None = None  # the time at which workers that still run are killed
    has_killed: bool = False
    worst: int = 0  # the exit code
    ever_served: bool = False
    looked_s: float = field(default_factory=time.monotonic)  # at the signs of life

    def listen(self) -> None:
        """Installs the handlers of signals."""
        os.set_blocking(self.wake.write, False)
        os.set_blocking(self.wake.read, False)
        signal.set_wakeup_fd(self.wake.write, warn_on_full_buffer=False)
        for number in (*signals.ALL, signal.SIGCHLD):
            signal.signal(number, lambda number, _: self.received.append(number))

    def run(self) -> int:
        """Runs until all processes have ended. Returns the exit code."""
        first = [Child(-1)] if self.config.models.has_own_process else []
        self.children = [*first, *(Child(number) for number in range(self.config.workers.count))]
        while not self._over():
            self._start_due()
            self._wait()
            self._pass_on()
            self._kill_late()
            self._kill_frozen()
            self._collect()
        self._end_models()
        return self.worst

    def _workers(self) -> list[Child]:
        return [child for child in self.children if child.worker >= 0]

    def _over(self) -> bool:
        return self.stopping and not any(child.pid for child in self._workers())

    # Starting.

    def _start_due(self) -> None:
        if self.stopping:
            return
        now_s = time.monotonic()
        for child in self.children:
            if not child.pid and child.due_s <= now_s:
                if child.worker >= 0 and not self.ever_served and not self._models_serve():
                    continue  # policies may need models
                self._start(child)

    def _models_serve(self) -> bool:
        return all(child.serves for child in self.children if child.worker < 0)

    def _start(self, child: Child) -> None:
        ready = Pipe.new()
        # What is still in the buffers would be written by the child, too.
        sys.stdout.flush()
        sys.stderr.flush()
        with signals_blocked():
            try:
                pid = os.fork()
            except OSError as error:  # no memory, or too many processes: that passes, and the other children serve
                os.close(ready.read)
                os.close(ready.write)
                _log.error("no process", extra={"child": child.name, "error": os.strerror(error.errno or 0)})
                child.started_s = time.monotonic()
                self._ended(child, 1)
                return
            if pid == 0:
                self._become(child, ready)
        os.close(ready.write)
        os.set_blocking(ready.read, False)  # a process that a child forked may hold the other end
        child.pid, child.signs, child.started_s = pid, ready.read, time.monotonic()
        _log.info("started", extra={"child": child.name, "pid": pid})

    def _become(self, child: Child, ready: Pipe) -> NoReturn:
        """Runs a child after the fork. It never returns, so a child never continues as its parent. Signals are blocked at the
        beginning."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # The end of a pipe is a message, which comes only when nobody holds it open.
        for number in (self.parent_pipe.write, self.wake.read, self.wake.write, ready.read):
            os.close(number)
        for other in self.children:
            if other.signs >= 0:
                os.close(other.signs)
        if child.worker >= 0:
            os.close(self.alive.read)
            signals.install()
            die_with_parent(signal.SIGTERM)
            siblings = self._siblings(child)
            parent = self.parent_pipe.read
            doors, companion = self.doors_of, self.companion_of
            live(lambda: run_worker(self.config, child.worker, ready.write, parent, siblings, doors, companion))
        os.close(self.alive.write)
        os.close(self.parent_pipe.read)
        for number in signals.ALL:
            signal.signal(number, signal.SIG_IGN)
        live(lambda: run_models(self.config, ready.write, self.alive.read, self._siblings(child)))

    def _siblings(self, child: Child) -> Siblings:
        names = [MODELS if other.worker < 0 else str(other.worker) for other in self.children]
        return Siblings(names[self.children.index(child)], tuple(names), self.folder)

    # Waiting.

    def _wait(self) -> None:
        """Returns when a signal or a sign of life arrives, a child ends, or a start is due."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.wake.read, selectors.EVENT_READ)
            for child in self.children:
                if child.signs >= 0:
                    selector.register(child.signs, selectors.EVENT_READ, child)
            now_s = time.monotonic()
            due = [] if self.stopping else [child.due_s - now_s for child in self.children if not child.pid]
            blocked = not self.ever_served and not self._models_serve()
            if self.killing_s is not None and not self.has_killed:
                due = [max(0.05, self.killing_s - now_s)]
            if any(child.serves for child in self.children):
                due.append(BEAT_S)
            timeout_s = max(0.05 if blocked else 0.0, min(due)) if due else None
            for key, _ in selector.select(timeout_s):
                if key.data is None:
                    with suppress(BlockingIOError):
                        os.read(self.wake.read, 4096)
                else:
                    self._hear(key.data)

    def _hear(self, child: Child) -> None:
        """Reads the pipe of a child: bytes are signs of life; the end of the pipe means that it ended."""
        try:
            is_alive = bool(os.read(child.signs, 4096))
        except BlockingIOError:
            return
        if is_alive:
            child.serves, child.heard_s = True, time.monotonic()
            self.ever_served |= child.worker >= 0
        else:
            self._close(child)

    @staticmethod
    def _close(child: Child) -> None:
        os.close(child.signs)
        child.signs = -1

    def _pass_on(self) -> None:
        received, self.received[:] = list(self.received), []
        for number in received:
            if number in signals.ENDING:
                self._stop()
            if number != signal.SIGCHLD:
                self._tell(signal.Signals(number))

    def _stop(self) -> None:
        self.stopping = True
        if self.killing_s is None:
            self.killing_s = time.monotonic() + self.config.timeouts.drain_s + WORKER_END_S

    def _kill_late(self) -> None:
        """Kills the workers that should have ended."""
        if self.killing_s is not None and time.monotonic() >= self.killing_s and not self.has_killed:
            self.has_killed = True
            for child in self._workers():
                if child.pid:
                    _log.error("ended by force", extra={"child": child.name, "pid": child.pid})
            self._tell(signal.SIGKILL)

    def _kill_frozen(self) -> None:
        """Kills the children that show no sign of life. At the end their loops wait for threads, and another limit holds."""
        if self.stopping:
            return
        now_s = time.monotonic()
        limit_s = max(self.config.observability.livez_stall_s, 4 * BEAT_S)
        was_stopped = now_s - self.looked_s > 2 * BEAT_S  # this process, with or without its children
        self.looked_s = now_s
        for child in self.children:
            if was_stopped:
                child.heard_s = now_s
            if child.pid and child.serves and now_s - child.heard_s > limit_s:
                _log.error("frozen", extra={"child": child.name, "pid": child.pid, "silent_s": round(limit_s, 1)})
                child.heard_s = now_s  # one kill is enough
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)

    def _tell(self, number: signal.Signals) -> None:
        for child in self._workers():
            if child.pid:
                with suppress(ProcessLookupError):
                    os.kill(child.pid, number)

    # Ending.

    def _collect(self) -> None:
        for child in self.children:
            if not child.pid:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                if child.signs >= 0:
                    self._hear(child)  # it may have served for a moment
                if child.signs >= 0:
                    self._close(child)
                self._ended(child, os.waitstatus_to_exitcode(status))

    def _ended(self, child: Child, code: int) -> None:
        now_s, pid, served = time.monotonic(), child.pid, child.serves
        child.died(now_s)
        if self.stopping:
            self.worst = self.worst or (abs(code) if child.worker >= 0 else 0)
            return
        again_s = round(child.due_s - now_s, 1)
        if pid:
            _log.error("ended", extra={"child": child.name, "pid": pid, "code": code, "starts_again_in_s": again_s})
        if reason := self._hopeless(child, code, served=served):
            sys.stderr.write(plain_lines(f"guardproxy: {reason}\n"))
            self.worst = WRONG_USE if child.worker < 0 else abs(code) or 1
            self._stop()
            self._tell(signal.SIGTERM)

    def _hopeless(self, child: Child, code: int, *, served: bool) -> str:
        """The reason not to start a child again; empty if it should be started."""
        if not self.ever_served and child.worker < 0 and not served:
            return "the process that runs the models did not start"
        if not self.ever_served and code == WRONG_USE:
            return f"{child.name} cannot start with these settings and policies"
        workers = self._workers()
        if any(worker.serves for worker in workers) or any(worker.quick_deaths < QUICK_DEATHS for worker in workers):
            return ""
        return (
            f"no worker stays alive: {child.name} ended {child.quick_deaths} times within {QUICK_S:.0f} s of its start"
        )

    def _end_models(self) -> None:
        """Ends the process that runs the models: first by closing its pipe, then by a signal."""
        os.close(self.alive.write)
        for child in self.children:
            if not child.pid:
                continue
            now_s = time.monotonic()
            until_s = min(now_s + MODELS_END_S, max(now_s, self.killing_s or now_s) + LAST_S)
            while time.monotonic() < until_s:
                if os.waitpid(child.pid, os.WNOHANG)[0]:
                    return
                with selectors.DefaultSelector() as selector:
                    selector.register(self.wake.read, selectors.EVENT_READ)
                    if selector.select(0.05):
                        os.read(self.wake.read, 4096)
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Blocks signals, so that a child loses none right after the fork."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signals.ALL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.ALL)


def several(config: Config, doors_of: Doors | None = None, companion_of: CompanionOf | None = None) -> int:
    """Serves with several workers. `doors_of`, `companion_of`: see `running.serve`. Returns the exit code."""
    configure_logs(config.observability.log_level, config.observability.log_format)
    check_folders(config)
    check_ports(config)
    with ExitStack() as stack:
        with signals_blocked():
            port = stack.enter_context(held_port(config))
            made = tempfile.TemporaryDirectory(prefix="guardproxy-", ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(made))  # only this user can access it
            parent = Parent(
                config.having(port=port, supervisor_socket=_socket(config, folder)), folder, doors_of, companion_of
            )
            parent.listen()
        return parent.run()


def _socket(config: Config, folder: Path) -> Path | None:
    """The path of the socket of the models."""
    return folder / "models" if config.models.has_own_process else config.models.socket


@contextmanager
def held_port(config: Config) -> Iterator[int]:
    """The port that the workers share, held by sockets that do not listen. Port 0 becomes a free port. Raises
    `ConfigError`."""
    if not config.has_client_port:
        yield config.network.port
        return
    with ExitStack() as stack:
        held = bound(client_address(config, is_shared=True), stack)
        yield int(held[0].getsockname()[1])
