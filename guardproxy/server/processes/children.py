"""The work of the processes that `workers.py` starts: a worker, or the models for all workers.

In: settings, the ends of pipes. Out: an exit code.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from guardproxy import signals
from guardproxy.config import Config
from guardproxy.crashes import show
from guardproxy.errors import GuardproxyError
from guardproxy.printable import plain_lines
from guardproxy.server.observing.process_metrics import Siblings

if TYPE_CHECKING:
    from guardproxy.server.app import Doors
    from guardproxy.server.observing.companions import CompanionOf

BEAT_S = 0.5  # between two signs of life
ORPHAN_S = 5.0  # the time in which a worker without a parent must end
PR_SET_PDEATHSIG = 1
WRONG_USE = 2


def run_worker(
    config: Config,
    worker: int,
    ready: int,
    parent_pipe: int,
    siblings: Siblings,
    doors_of: Doors | None = None,
    companion_of: CompanionOf | None = None,
) -> None:
    """Runs a worker to its end."""
    watch = ParentWatch(parent_pipe)
    import uvloop  # noqa: PLC0415 - not in the parent

    from guardproxy.server.app import no_doors  # noqa: PLC0415
    from guardproxy.server.observing.companions import no_companion  # noqa: PLC0415
    from guardproxy.server.processes import running  # noqa: PLC0415

    async def serve() -> None:
        doors = doors_of or no_doors
        companion = companion_of or no_companion
        await running.serve(config, worker, lambda *_: beat(ready), watch.on_loop(), siblings, doors, companion)

    uvloop.run(serve())


def run_models(config: Config, ready: int, alive: int, siblings: Siblings) -> None:
    """Runs the process of the models to its end."""
    import uvloop  # noqa: PLC0415 - not in the parent

    from guardproxy.server.processes import inference  # noqa: PLC0415

    path = config.models.socket
    assert path is not None  # noqa: S101 - `several` sets it
    uvloop.run(inference.serve(config.having(supervisor_socket=None), path, lambda: beat(ready), alive, siblings))


def beat(pipe: int) -> None:
    """Writes a byte to a pipe now and every `BEAT_S`, as long as the running loop runs. The first byte means that this process
    serves. The parent starts a process anew whose bytes stop coming."""
    os.set_blocking(pipe, False)
    loop = asyncio.get_running_loop()

    def tell() -> None:
        with suppress(OSError):  # the pipe is full while the parent is stopped, and broken when it is gone
            os.write(pipe, b"1")
        loop.call_later(BEAT_S, tell)

    tell()


class ParentWatch:
    """Watches for the end of the parent in a thread, from the start on and also while the event loop is blocked."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._loop: asyncio.AbstractEventLoop | None = None
        self._orphaned: asyncio.Event | None = None
        threading.Thread(target=self._watch, name="parent-watch", daemon=True).start()

    def on_loop(self) -> asyncio.Event:
        """An event of the running loop that is set when the parent is gone."""
        self._orphaned, self._loop = asyncio.Event(), asyncio.get_running_loop()
        return self._orphaned

    def _watch(self) -> None:
        os.read(self._pipe, 1)  # returns when the parent ends, because no data is ever written
        if self._loop and self._orphaned:
            with suppress(RuntimeError):  # the loop is closed because this process is ending
                self._loop.call_soon_threadsafe(self._orphaned.set)
            # The grace in which the loop may end by itself. Nothing is polled: if the loop ends, so does this process.
            time.sleep(ORPHAN_S)
        os._exit(1)


def live(work: Callable[[], None]) -> NoReturn:
    """Runs the work of a child with signals unblocked, and ends the process. Exit code 2: wrong use."""
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.ALL)
        work()
        code = 0
    except GuardproxyError as error:
        sys.stderr.write(plain_lines(f"guardproxy: {error}\n"))
        code = WRONG_USE
    except BaseException as error:
        show(error)
    finally:
        sys.stderr.flush()
        # Not `sys.exit`: what the parent does at its own end was copied by the fork, and must not run here.
        os._exit(code)


def die_with_parent(number: signal.Signals) -> None:
    """Makes the kernel send a signal when the parent ends (on Linux; elsewhere only the pipe tells)."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
