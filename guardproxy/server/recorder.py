"""Keeps records in a log for each process. A record is durable before the caller goes on. While the log cannot be written,
`healthy` is false and traffic is refused. The log recovers by itself (`audit/sinks/file.py`).

At start the recorder finds the intents of an earlier process that have no record, and closes them as `unknown`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from guardproxy.audit import (
    Closing,
    FileSink,
    Intent,
    Record,
    abandoned,
    closing,
    numbers,
    path_of,
    reason,
)
from guardproxy.errors import AuditError

CLOSE_TIMEOUT_S = 60.0
_log = logging.getLogger(__name__)


def log_of(worker: int) -> str:
    """The name of the log of a worker."""
    return f"audit-{worker}"


class Recorder:
    """Keeps the records of a process. `folder`: the folder of the logs. `worker`: distinguishes the logs of several
    processes. `engine`: the version that records name. `durable`: called with lines that have become durable; must return at
    once (`FileSink`). `unknown`: the number of exchanges of an earlier process that were closed at start.

    Any thread may read `healthy`, `trouble`, `failing_s`, `remarks` and `recoveries`.
    """

    def __init__(
        self,
        folder: Path,
        worker: int,
        engine: str,
        durable: Callable[[Sequence[bytes]], None] = lambda lines: None,
    ) -> None:
        name = log_of(worker)
        self._engine = engine
        self._sink = FileSink(folder, name, {"log": secrets.token_hex(8), "engine": engine}, durable=durable)
        self._intents: dict[str, Intent] = {}
        self._lost: dict[str, Intent] = {}
        try:
            self.unknown = self._close_abandoned(folder, path_of(folder, name, max(numbers(folder, name), default=0)))
        except BaseException:
            self._sink.close()
            raise

    @property
    def healthy(self) -> bool:
        """Whether a record can be kept now."""
        return self._sink.healthy

    @property
    def trouble(self) -> str:
        """The reasons why no record can be kept now; empty if records can be kept."""
        return self._sink.trouble or ("" if self.healthy else "the log cannot be written")

    @property
    def failing_s(self) -> float:
        """The number of seconds for which no record could be kept."""
        return self._sink.failing_s

    @property
    def remarks(self) -> tuple[str, ...]:
        """Warnings about the log since the start."""
        return self._sink.remarks

    @property
    def recoveries(self) -> int:
        """The number of times that the log recovered."""
        return self._sink.recoveries

    @property
    def head(self) -> tuple[int, str]:
        return self._sink.head

    @property
    def waiting(self) -> int:
        return self._sink.waiting

    async def keep(self, record: Record | Intent) -> None:
        """Keeps a record. Returns when it is on disk. Raises `AuditError`. The record is kept even if the caller is
        cancelled."""
        await asyncio.wrap_future(self._append(record))

    def take(self, record: Record) -> None:
        """Keeps a record without waiting, for a client that has left."""
        self._append(record)

    def close(self) -> None:
        self._sink.close()

    def _append(self, record: Record | Intent) -> Future[tuple[int, str]]:
        while self._lost and self._sink.healthy:
            _, intent = self._lost.popitem()
            self._watch(closing(intent, time.time(), self._engine, "its record could not be kept"), intent)
        if isinstance(record, Intent):
            return self._begin(record)
        return self._watch(record, self._intents.pop(record.id, None))

    def _begin(self, intent: Intent) -> Future[tuple[int, str]]:
        """Appends an intent. An intent that was not kept needs no closing record."""
        name = intent.id
        self._intents[name] = intent
        future = self._sink.append(intent)

        def on_done(done: Future[tuple[int, str]]) -> None:
            if done.exception() is not None:
                self._intents.pop(name, None)

        future.add_done_callback(on_done)
        return future

    def _watch(self, record: Record | Closing, intent: Intent | None) -> Future[tuple[int, str]]:
        """Appends the record that closes `intent`. If it cannot be kept, the exchange is closed when the log recovers."""
        future = self._sink.append(record)
        if intent is not None:

            def ended(done: Future[tuple[int, str]]) -> None:
                if done.exception() is not None:
                    self._lost[intent.id] = intent

            future.add_done_callback(ended)
        return future

    def _close_abandoned(self, folder: Path, own: Path) -> int:
        """Closes the exchanges that an earlier process did not end. Returns their number. Raises `AuditError`."""
        try:
            with abandoned(folder, own) as intents:
                futures = [
                    self._sink.append(closing(intent, time.time(), self._engine, "the process ended before"))
                    for intent in intents
                ]
                for future in futures:
                    future.result(CLOSE_TIMEOUT_S)
        except OSError as error:
            raise AuditError(f"{folder}: {reason(error)}") from None
        if futures:
            _log.warning("exchanges of an earlier process have no end", extra={"count": len(futures)})
        return len(futures)


def key_of(folder: Path, key: str) -> bytes:
    """The secret behind placeholders: `key`, or the stored secret, or a new secret that is stored with mode 0600."""
    if key:
        return key.encode()
    path = folder / "placeholder.key"
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_hex(32).encode())
    except FileExistsError:
        pass
    return path.read_bytes()
