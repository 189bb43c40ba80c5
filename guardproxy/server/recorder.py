"""Keeps records in a log for each process. A record is durable before the caller goes on. While the log cannot be written,
`healthy` is false and traffic is refused. The log recovers by itself (`audit/sinks/file.py`).

With a key it also makes signed checkpoints of the log (`audit/proof/checkpointer.py`).

At start the recorder finds the intents of an earlier process that have no record, and closes them as `unknown`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from guardproxy.audit import (
    NO_SEALING,
    ChainHead,
    Checkpointer,
    CheckpointStore,
    FileSink,
    Intent,
    Receiver,
    Record,
    Rotation,
    Sealing,
    Signing,
    abandoned_intents,
    closing,
    numbers,
    path_of,
    public_key,
    reason,
    signer_of,
)
from guardproxy.config import Config
from guardproxy.errors import AuditError, ConfigError

CLOSE_TIMEOUT_S = 60.0
_log = logging.getLogger(__name__)
_Waiter = asyncio.Future[None]


def _ignore(result: ChainHead | AuditError) -> None:
    """Does nothing with the result of a record that nobody waits for."""


def log_of(worker: int) -> str:
    """The name of the log of a worker."""
    return f"audit-{worker}"


class Recorder:
    """Keeps the records of a process. `folder`: the folder of the logs. `worker`: distinguishes the logs of several
    processes. `engine`: the version that records name. `durable`: called with lines that have become durable; must
    return at once (`FileSink`). `signing`: how checkpoints are signed; `None`: there are none. `rotation`: when a new
    file begins. `sealing`: seals records whose texts policies seal. `unknown`: the number of exchanges of an earlier
    process that were closed at start.

    Any thread may read `healthy`, `trouble`, `failing_s`, `remarks` and `recoveries`.
    """

    def __init__(
        self,
        folder: Path,
        worker: int,
        engine: str,
        durable: Callable[[Sequence[bytes]], None] = lambda lines: None,
        signing: Signing | None = None,
        rotation: Rotation | None = None,
        sealing: Sealing = NO_SEALING,
    ) -> None:
        name = log_of(worker)
        self._engine = engine
        store = CheckpointStore(folder, signing.signer, signing.former) if signing else None
        header = {"log": secrets.token_hex(8), "engine": engine, "at": time.time()}
        self._sink = FileSink(
            folder,
            name,
            header,
            durable=durable,
            rotation=rotation or Rotation(),
            stated=store.states.last if store else None,
            sealing=sealing,
        )
        self._intents: dict[str, Intent] = {}
        self._lost: dict[str, Intent] = {}
        self._results: deque[tuple[_Waiter, ChainHead | AuditError]] = deque()
        self._is_waking = False
        self._checkpointer: Checkpointer | None = None
        try:
            if store and signing:
                self._checkpointer = Checkpointer(store, name, signing, self._sink.states)
            self.unknown = self._close_abandoned(folder, path_of(folder, name, max(numbers(folder, name), default=0)))
        except BaseException:
            self.close()
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
        """Warnings about the log since the start, and about checkpoints now."""
        trouble = self._checkpointer.trouble if self._checkpointer else ""
        return (*self._sink.remarks, *([f"audit checkpoints: {trouble}"] if trouble else []))

    @property
    def checkpoint_at(self) -> float:
        """The time of the newest checkpoint: Unix time in seconds; 0 without checkpoints."""
        return self._checkpointer.at if self._checkpointer else 0.0

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
        loop = asyncio.get_running_loop()
        waiter: _Waiter = loop.create_future()
        self._append(record, partial(self._settled, loop, waiter))
        await waiter

    def take(self, record: Record) -> None:
        """Keeps a record without waiting, for a client that has left."""
        self._append(record, _ignore)

    def close(self) -> None:
        self._sink.close()
        if self._checkpointer:
            self._checkpointer.close()

    def _append(self, record: Record | Intent, receive: Receiver) -> None:
        while self._lost and self._sink.healthy:
            _, intent = self._lost.popitem()
            lost = closing(intent, time.time(), self._engine, "its record could not be kept")
            self._sink.put(lost, partial(self._closed, intent, _ignore))
        if isinstance(record, Intent):
            self._intents[record.id] = record
            self._sink.put(record, partial(self._begun, record, receive))
        elif (begun := self._intents.pop(record.id, None)) is not None:
            self._sink.put(record, partial(self._closed, begun, receive))
        else:
            self._sink.put(record, receive)

    def _begun(self, intent: Intent, receive: Receiver, result: ChainHead | AuditError) -> None:
        """Takes the result of keeping an intent. An intent that was not kept needs no closing record."""
        if isinstance(result, AuditError):
            self._intents.pop(intent.id, None)
        receive(result)

    def _closed(self, intent: Intent, receive: Receiver, result: ChainHead | AuditError) -> None:
        """Takes the result of keeping the record that closes `intent`. If it was not kept, the exchange is closed when the log
        recovers."""
        if isinstance(result, AuditError):
            self._lost[intent.id] = intent
        receive(result)

    def _settled(self, loop: asyncio.AbstractEventLoop, waiter: _Waiter, result: ChainHead | AuditError) -> None:
        """Wakes a caller of `keep`, from any thread. All records of a batch wake the loop once."""
        self._results.append((waiter, result))
        if not self._is_waking:
            self._is_waking = True
            with suppress(RuntimeError):  # the loop is closed, so nobody waits
                loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._is_waking = False  # first, so that a result that comes from now on wakes the loop again
        while self._results:
            waiter, result = self._results.popleft()
            if waiter.done():
                continue
            if isinstance(result, AuditError):
                waiter.set_exception(result)
            else:
                waiter.set_result(None)

    def _close_abandoned(self, folder: Path, own: Path) -> int:
        """Closes the exchanges that an earlier process did not end. Returns their number. Raises `AuditError`."""
        try:
            with abandoned_intents(folder, own) as intents:
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


def signing_of(config: Config) -> Signing | None:
    """How the settings want checkpoints signed; `None` without a key. Raises `ConfigError`."""
    try:
        signer = signer_of(config.audit_key, config.audit_sign_command, config.audit_public_key, config.audit)
        former = tuple(map(public_key, config.audit_former_key))
    except AuditError as error:
        raise ConfigError(f"audit key: {error}") from None
    if signer is None:
        return None
    return Signing(
        signer,
        every_s=config.audit_checkpoint_s,
        copies=config.audit_copy,
        headers=config.audit_copy_header,
        former=former,
        retain_s=config.audit_retain_s,
    )


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
