"""The process that works for the page Policies: it evaluates edits of people and texts of the playground.

In: tasks on standard input. Out: replies on standard output. The process can be ended at any moment. It opens no connection,
starts no program and writes no file: the system is asked to refuse the last, and Python the others.
"""

from __future__ import annotations

import os
import queue
import resource
import sys
import threading
from contextlib import suppress
from typing import Any, BinaryIO

from guardproxy import crashes
from guardproxy.console.pages.policies.tasks import (
    HEADER_BYTES,
    MOST_BYTES,
    BenchReply,
    CancelledTask,
    CancelTask,
    FailedTask,
    ReturnedReply,
    SentTask,
    TaskProgress,
    decode_sent,
    encode,
)
from guardproxy.console.pages.policies.work import CancelledError, PolicyWork, without_texts

MEMORY_BYTES = 6 * 1024**3
NICE = 5
_CONNECTS = (
    "socket.connect",
    "socket.sendto",
    "socket.sendmsg",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.bind",
)
_STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty")
_CHANGES = (
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.truncate",
    "os.link",
    "os.symlink",
    "os.chmod",
    "shutil.move",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class NotHereError(PermissionError):
    """The workbench does not do this."""


def guard() -> None:
    """From now on this process connects to nothing, starts nothing and writes no file."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CONNECTS or event in _STARTS or event in _CHANGES:
            raise NotHereError(f"{event} is not allowed here")
        if event == "open" and _writes(*arguments):
            raise NotHereError("no file is written here")

    sys.addaudithook(hook)


def _writes(path: Any, mode: Any, flags: Any) -> bool:
    if path == os.devnull:
        return False
    return bool(isinstance(flags, int) and flags & _WRITING) or (
        isinstance(mode, str) and bool(set(mode) & set("wxa+"))
    )


def limit() -> None:
    """Bounds what this process may take from others."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Beside the audit hook, which native code does not pass: the kernel refuses it any write to a file.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    with suppress(OSError):
        os.nice(NICE)


class Workbench:
    """Reads tasks in a thread and does them in the main thread, in order. `exits`: is called when nobody sends any more."""

    def __init__(self, source: BinaryIO, target: BinaryIO, exits: Any = os._exit) -> None:
        self._source = source
        self._target = target
        self._exits = exits
        self._waiting: queue.SimpleQueue[SentTask | None] = queue.SimpleQueue()
        self._cancelled = -1
        self._number = -1
        self._work = PolicyWork(is_cancelled=lambda: self._cancelled >= self._number)

    def read(self) -> None:
        """Reads messages until there are no more, and ends the process then, whatever it does."""
        while (head := self._source.read(HEADER_BYTES)) and len(head) == HEADER_BYTES:
            size = int.from_bytes(head, "big")
            body = self._source.read(size) if size <= MOST_BYTES else b""
            if len(body) != size:
                break
            sent = decode_sent(body)
            if isinstance(sent.what, CancelTask):
                self._cancelled = max(self._cancelled, sent.what.number)
            else:
                self._waiting.put(sent)
        self._waiting.put(None)
        self._exits(0)

    def run(self) -> None:
        """Does tasks until there are no more."""
        while (sent := self._waiting.get()) is not None:
            self._number = sent.number
            self._return(sent.number, self._reply(sent))

    def _reply(self, sent: SentTask) -> BenchReply:
        assert not isinstance(sent.what, CancelTask)  # noqa: S101 - those do not wait
        try:
            return self._work.do(sent.what, lambda done, total: self._return(sent.number, TaskProgress(done, total)))
        except CancelledError:
            return CancelledTask()
        except MemoryError:
            return FailedTask("it takes more memory than is allowed here")
        except RecursionError:
            return FailedTask("it is nested too deeply")
        except Exception as error:
            return FailedTask(without_texts(error))

    def _return(self, number: int, what: BenchReply | TaskProgress) -> None:
        self._target.write(encode(ReturnedReply(number, what)))
        self._target.flush()


def main() -> None:
    """Works until standard input ends."""
    crashes.hide_messages()
    source = sys.stdin.buffer
    with os.fdopen(os.dup(1), "wb") as target:  # opened before the guard, which refuses it
        sys.stdout = sys.stderr  # nothing else goes to the pipe
        limit()
        guard()
        bench = Workbench(source, target)
        threading.Thread(target=bench.read, name="tasks", daemon=True).start()
        bench.run()


if __name__ == "__main__":
    main()
