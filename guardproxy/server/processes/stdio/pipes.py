"""Lines from a file descriptor and to it, for an event loop. A thread waits for each, as a descriptor may be a file, a pipe or
a terminal, and others may share it: it stays as it is.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

READ_BYTES = 64 * 1024
WAITING = 4  # pieces that were read and that nobody has taken
_END = b""


@dataclass(slots=True)
class LineCutter:
    """Cuts bytes into lines. `limit_bytes`: of a line; a longer one is dropped, and counted in `dropped`."""

    limit_bytes: int
    dropped: int = 0
    _parts: list[bytes] = field(default_factory=list)
    _size: int = 0
    _is_dropping: bool = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the lines that `data` completes, without their ends and without empty ones."""
        *whole, rest = data.split(b"\n")
        for part in whole:
            if self._take(part) and (line := b"".join(self._parts).strip(b"\r \t")):
                yield line
            self._parts, self._size, self._is_dropping = [], 0, False
        if rest:
            self._take(rest)

    def _take(self, part: bytes) -> bool:
        """Adds a part of a line. Returns whether the line can still be used."""
        self._size += len(part)
        if self._size > self.limit_bytes and not self._is_dropping:
            self._is_dropping, self._parts = True, []
            self.dropped += 1
        if not self._is_dropping:
            self._parts.append(part)
        return not self._is_dropping


class PipeReader:
    """Reads a descriptor in a thread. Nothing more is read while `WAITING` pieces wait."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self._room = threading.Semaphore(WAITING)
        self._is_over = False
        threading.Thread(target=self._run, name="standard input", daemon=True).start()

    async def read(self) -> bytes:
        """Returns the next bytes; empty at the end, and ever after."""
        if self._is_over:
            return _END
        data = await self._pieces.get()
        self._room.release()
        self._is_over = not data
        return data

    def _run(self) -> None:
        data = b"?"
        while data:
            self._room.acquire()
            try:
                data = os.read(self._descriptor, READ_BYTES)
            except OSError:
                data = _END
            try:
                self._loop.call_soon_threadsafe(self._pieces.put_nowait, data)
            except RuntimeError:  # the loop is closed
                return


class PipeWriter:
    """Writes to a descriptor in a thread, in order. `is_broken`: whether nobody reads any more."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._ready = threading.Condition()
        self.is_broken = False
        threading.Thread(target=self._run, name="standard output", daemon=True).start()

    async def write(self, data: bytes) -> None:
        """Writes. Raises `ConnectionError` if nobody reads."""
        if self.is_broken:
            raise ConnectionResetError
        done: asyncio.Future[None] = self._loop.create_future()
        with self._ready:
            self._waiting.append((data, done))
            self._ready.notify()
        await asyncio.shield(done)

    def _run(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._waiting)
                waiting, self._waiting = self._waiting, []
            error: Exception | None = None
            for data, done in waiting:
                try:
                    if error is None:
                        self._write(data)
                except OSError:
                    self.is_broken, error = True, ConnectionResetError("nobody reads")
                try:
                    self._loop.call_soon_threadsafe(_settle, done, error)
                except RuntimeError:  # the loop is closed
                    return

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]


def _settle(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
