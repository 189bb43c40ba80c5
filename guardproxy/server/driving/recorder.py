"""Keeps records in a log for each process. A record is durable before the caller goes on. While the log cannot be written,
`healthy` is false and traffic is refused. The log recovers by itself (`audit/writing/log_file.py`).

With a key it also makes signed checkpoints of the log (`audit/proof/checkpointer.py`).

At start the recorder finds the intents of an earlier process that have no record, and closes them as `unknown`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from guardproxy.audit import (
    NO_SEALING,
    Closing,
    Disk,
    Entry,
    FileSink,
    Intent,
    Judged,
    Record,
    Rotation,
    Sealing,
    folder_lock,
    numbers,
    path_of,
    reason,
    replace_file,
)
from guardproxy.audit.proof import Checkpointer, CheckpointStore, Signing, public_key, signer_of
from guardproxy.audit.shipping import abandoned_intents, closing
from guardproxy.config import AuditSettings
from guardproxy.errors import AuditError, ConfigError
from guardproxy.server.opening import naming

if TYPE_CHECKING:
    from guardproxy.audit.sealing import Sealer

CLOSE_TIMEOUT_S = 60.0
_log = logging.getLogger(__name__)


def log_of(worker: int) -> str:
    """The name of the log of a worker."""
    return f"audit-{worker}"


class _Submission(Entry):
    """A record on its way to the log. `waiter`: who waits for it; `begun`: the intent of its exchange, if the log holds it."""

    __slots__ = ("begun", "id", "waiter")

    def __init__(self, record: Record | Intent | Closing | Judged, waiter: asyncio.Future[None] | None) -> None:
        self.record = record
        self.result = None
        self.id = record.id  # the log may replace the record by what it writes
        self.waiter = waiter
        self.begun: Intent | None = None


class Recorder:
    """Keeps the records of a process. Those of one turn of the loop go to the log together.

    `folder`: the folder of the logs. `worker`: distinguishes the logs of several processes. `engine`: the version that
    records name. `durable`: called with lines that have become durable; must return at once (`FileSink`). `signing`: how
    checkpoints are signed; `None`: there are none. `rotation`: when a new file begins. `sealing`: seals records whose
    texts policies seal. `unknown`: the number of exchanges of an earlier process that were closed at start.

    Any thread may read `healthy`, `fault`, `failing_s`, `warnings` and `recoveries`.
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
        self._gathered: list[_Submission] = []
        self._results: deque[Sequence[_Submission]] = deque()
        self._is_waking = False
        self._loop: asyncio.AbstractEventLoop | None = None
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
    def fault(self) -> str:
        """The reasons why no record can be kept now; empty if records can be kept."""
        return self._sink.fault or ("" if self.healthy else "the log cannot be written")

    @property
    def failing_s(self) -> float:
        """The number of seconds for which no record could be kept."""
        return self._sink.failing_s

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the log since the start, and about checkpoints now."""
        return (*self.log_warnings, *self.checkpoint_warnings)

    @property
    def log_warnings(self) -> tuple[str, ...]:
        """Warnings about the log since the start."""
        return self._sink.warnings

    @property
    def checkpoint_warnings(self) -> tuple[str, ...]:
        """Warnings about checkpoints now."""
        fault = self._checkpointer.fault if self._checkpointer else ""
        return (f"audit checkpoints: {fault}",) if fault else ()

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

    def keep(self, record: Record | Intent | Judged) -> asyncio.Future[None]:
        """Keeps a record. Returns a future that is done when the record is on disk, or that raises `AuditError`. The record
        is kept even if the caller is cancelled."""
        waiter = (self._loop or self._running_loop()).create_future()
        self._gather(record, waiter)
        return waiter

    def take(self, record: Record) -> None:
        """Keeps a record without waiting, for a client that has left."""
        if self._loop is None:
            self._running_loop()
        self._gather(record, None)

    def close(self) -> None:
        self._put()
        self._sink.close()
        if self._checkpointer:
            self._checkpointer.close()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of all callers."""
        self._loop = asyncio.get_running_loop()
        return self._loop

    def _gather(self, record: Record | Intent | Judged, waiter: asyncio.Future[None] | None) -> None:
        if not self._gathered and self._loop is not None:
            self._loop.call_soon(self._put)
        self._gathered.append(_Submission(record, waiter))

    def _put(self) -> None:
        """Gives the gathered records to the log, after records that close what the log could not keep earlier."""
        gathered, self._gathered = self._gathered, []
        if self._lost and self._sink.healthy:
            for intent in self._lost.values():
                lost = closing(intent, time.time(), self._engine, "its record could not be kept")
                gathered.insert(0, _Submission(lost, None))
                self._intents[intent.id] = intent
            self._lost.clear()
        for waiting in gathered:
            record = waiting.record
            if isinstance(record, Intent):
                self._intents[waiting.id] = record
            elif not isinstance(record, Judged):
                waiting.begun = self._intents.pop(waiting.id, None)
        if gathered:
            self._sink.put(gathered, self._settled)

    def _settled(self, kept: Sequence[_Submission]) -> None:
        """Takes the results of records, in any thread. All records of a batch wake the loop once."""
        self._results.append(kept)
        if not self._is_waking and self._loop is not None:
            self._is_waking = True
            with suppress(RuntimeError):  # the loop is closed, so nobody waits
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._is_waking = False  # first, so that a result that comes from now on wakes the loop again
        while self._results:
            for waiting in self._results.popleft():
                result, waiter = waiting.result, waiting.waiter
                if isinstance(result, AuditError):
                    self._note_refused(waiting)
                    if waiter is not None and not waiter.done():
                        waiter.set_exception(result)
                elif waiter is not None and not waiter.done():
                    waiter.set_result(None)

    def _note_refused(self, waiting: _Submission) -> None:
        """Takes a record that was not kept. An intent needs no closing record then. An exchange whose record was not kept is
        closed when the log recovers."""
        if isinstance(waiting.record, Intent):
            self._intents.pop(waiting.id, None)
        elif waiting.begun is not None:
            self._lost[waiting.id] = waiting.begun

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
            _log.warning("exchanges of an earlier process closed as unknown", extra={"count": len(futures)})
        return len(futures)


def signing_of(settings: AuditSettings) -> Signing | None:
    """How the settings want checkpoints signed; `None` without a key. Raises `ConfigError`."""
    own = {
        "audit_key": settings.sign_key,
        "audit_sign_command": settings.sign_command,
        "audit_public_key": settings.public_key,
    }
    with naming(*(name for name, value in own.items() if value)):
        signer = signer_of(settings.sign_key, settings.sign_command, settings.public_key, settings.folder)
    with naming("audit_former_key"):
        former = tuple(map(public_key, settings.former_key))
    if signer is None:
        return None
    return Signing(
        signer,
        every_s=settings.checkpoint_s,
        copies=settings.copy,
        headers=settings.copy_header,
        former=former,
        retain_s=settings.retain_s,
    )


def key_of(folder: Path, key: str) -> bytes:
    """The secret behind placeholders: `key`, or the stored secret, or a new secret that is stored with mode 0600. Raises
    `ConfigError` for a stored secret without content."""
    if key:
        return key.encode()
    path = folder / "placeholder.key"
    # Workers start at the same time. Without the lock two could make a key each, or one could read what is half written.
    with folder_lock(folder):
        if not path.exists():
            replace_file(Disk(), path, secrets.token_hex(32).encode())
        stored = path.read_bytes()
    if not stored:
        raise ConfigError(f"{path.name} is empty: everybody could compute what it protects. Delete it for a new key")
    return stored


def sealer_of(settings: AuditSettings) -> Sealer | None:
    """Returns what seals the texts of records; `None` without a key. Raises `ConfigError`."""
    if not settings.seal_key:
        return None
    from guardproxy.audit.sealing import Sealer, open_store  # noqa: PLC0415

    with naming("seal_key", *(("seal_store",) if settings.seal_store else ())):
        keys = open_store(settings.folder, settings.seal_store, settings.seal_key, create=True)
        return Sealer(keys, threading.Lock())
