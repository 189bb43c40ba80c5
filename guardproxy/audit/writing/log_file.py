"""A log as files in a folder, written by one process at a time. A record counts as kept only when it is durable.

In: records from any thread. Out: a call for the records that were queued together, when they are on disk. Kept: an open file
and its lock, the head of the chain, a queue, a writer thread.

The thread takes all queued records, seals them, writes them with one call and syncs once. The next batch collects
during the sync: records of concurrent exchanges share a sync, and a single record is not delayed for others.

When a write or a sync fails, the records of that batch fail, and so do all records until the log can be written again.
Records of a failed batch may or may not be in the file. The thread tries to recover at once, then with back-off:

- After a failed write it truncates the file to its last durable record and appends a `gap` record with the time and the
  reason of the failure. `healthy` becomes true only when the `gap` record is durable.
- After a failed sync, or if the file cannot be truncated, it continues in a new file that names the old file
  (`segment.py`).

The thread also checks that the path still leads to the open file: before and after each batch, and every `watch_s`
seconds while it is idle. For a batch that waits already, the check after the batch before it is enough. If another
program removed, renamed, replaced or changed the file, the thread continues in a new file and writes the records of
the current batch there too. It also continues in a new file if the file has become large or old when the next record
comes (`Rotation`).
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

from guardproxy.audit.proof.checkpoint import CoveredLog
from guardproxy.audit.record.canonical import canonical
from guardproxy.audit.record.chain import ChainHead, seal, seal_small
from guardproxy.audit.record.document import ENTRY_VERSION, Gap, LogEntry
from guardproxy.audit.record.private import NO_SEALING, Sealing, WrittenRecord, seal_all
from guardproxy.audit.storage.disk import Disk, reason
from guardproxy.audit.writing.segment import Stated, open_last, open_next
from guardproxy.errors import AuditError

HEAD_EVERY = 1000
WATCH_S = 1.0
RETRY_S = 0.1
RETRY_MOST_S = 5.0
GONE = "another program removed, renamed, replaced or changed the log"
LIMIT_WARNINGS = 5

_LIMIT_ROLLS = 3  # how often a file may be replaced during a batch
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_log = logging.getLogger(__name__)


class Entry:
    """A record that waits to be kept. `result`: its place in the chain, or why it is not kept; `None` while it waits."""

    __slots__ = ("record", "result")

    def __init__(self, record: LogEntry | Mapping[str, Any]) -> None:
        self.record: LogEntry | Mapping[str, Any] | WrittenRecord = record
        self.result: ChainHead | AuditError | None = None

    def settle(self, result: ChainHead | AuditError) -> None:
        """Takes the result, if there was none before."""
        if self.result is None:
            self.result = result


Receiver = Callable[[Sequence[Any]], None]
"""Called once with entries that were queued together, when each has its result."""
Group = tuple[Sequence[Entry], Receiver]
Kept = tuple[Entry, ChainHead, bytes]


@dataclass(frozen=True, slots=True)
class Rotation:
    """`limit_bytes`: the size, `limit_s`: the age at which a file ends. 0: no limit."""

    limit_bytes: int = 0
    limit_s: float = 0.0

    def due(self, size_bytes: int, age_s: float) -> str:
        """Returns why a file of this size and age ends now; empty if it does not."""
        if self.limit_bytes and size_bytes >= self.limit_bytes:
            return f"the file has {self.limit_bytes} bytes or more"
        if self.limit_s and age_s >= self.limit_s:
            return f"the file is {self.limit_s:g} s old or older"
        return ""


_NEVER = Rotation()


def _settle(future: Future[tuple[int, str]], entries: Sequence[Entry]) -> None:
    for entry in entries:
        if isinstance(entry.result, ChainHead):
            future.set_result((entry.result.seq, entry.result.hash))
        else:
            future.set_exception(entry.result)


def _sealed(record: LogEntry | Mapping[str, Any] | WrittenRecord, head: ChainHead) -> tuple[bytes, ChainHead]:
    if isinstance(record, LogEntry):
        return seal_small(record.document(), head) if record.is_small else seal(record.document(), head)
    if isinstance(record, WrittenRecord):
        return seal_small(record.document, head) if record.is_small else seal(record.document, head)
    return seal(record, head)


def _drained(queue: SimpleQueue[Group | None], wait_s: float) -> tuple[list[Group], bool]:
    """Returns the queued records, after at most `wait_s` seconds, and whether the log is closed after them."""
    groups: list[Group] = []
    try:
        group = queue.get(timeout=wait_s)
        while group is not None:
            groups += (group,)
            group = queue.get_nowait()
    except Empty:
        return groups, False
    return groups, True


class FileSink:
    """An append-only log in `folder`, opened for this process alone.

    `header`: the members of a new log's header (`log`: a random origin); an existing log keeps its header. Raises
    `AuditError` if the folder cannot be used, another process holds the log, or its end does not verify. `watch_s`:
    seconds between checks of the path. `retry_s`: seconds before the second attempt to recover; each further attempt
    waits twice as long, up to `RETRY_MOST_S`. `disk`: the system calls, for tests. `durable`: is called in the writer
    thread with the header of every new file, and with durable lines; it must return at once. `stated`: the latest
    statements of checkpoints; a file that contradicts its statement is refused. `sealing`: seals private records.
    """

    def __init__(
        self,
        folder: Path | str,
        name: str,
        header: Mapping[str, Any],
        *,
        head_every: int = HEAD_EVERY,
        watch_s: float = WATCH_S,
        retry_s: float = RETRY_S,
        disk: Disk | None = None,
        durable: Callable[[Sequence[bytes]], None] = lambda lines: None,
        rotation: Rotation = _NEVER,
        stated: Stated | None = None,
        sealing: Sealing = NO_SEALING,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise AuditError("the name of a log has only letters, digits, `.`, `_` and `-`")
        self._disk = disk or Disk()
        self._name = name
        self._durable = durable
        self._sealing = sealing
        self._head_every = head_every
        self._watch_s = watch_s
        self._keys_seen_s = 0.0
        self._retry_s = retry_s
        self._wait_s = retry_s
        self._pause_s = 0.0
        self._why = ""
        self._lock = Lock()
        self._queue: SimpleQueue[Group | None] = SimpleQueue()
        self._is_checked = False
        self._closed = False
        self._rotation = rotation
        self._ended: tuple[CoveredLog, ...] = ()
        self._since = 0.0
        self._fault = ""
        self._unsealable = ""
        self.recoveries = 0
        self.warnings: tuple[str, ...] = ()
        try:
            self._segment = open_last(self._disk, Path(folder), name, header, stated)
        except OSError as error:
            raise AuditError(f"{Path(folder) / name}.jsonl: {reason(error)}") from None
        self._new = {key: value for key, value in header.items() if key not in ("log", "follows", "at")}
        self._durable([canonical(self.header) + b"\n"])
        self._thread = Thread(target=self._run, name=f"audit-{name}", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path:
        """Returns the path of the current file."""
        return self._segment.path

    @property
    def header(self) -> Mapping[str, Any]:
        """Returns the header of the current file."""
        return self._segment.header

    @property
    def healthy(self) -> bool:
        """Whether every record can be kept now. If not, `fault` gives the reason. Both are thread-safe."""
        return not (self._fault or self._unsealable or self._closed)

    @property
    def fault(self) -> str:
        """Why a record cannot be kept now; empty if every record can be."""
        return self._fault or self._unsealable

    @property
    def failing_s(self) -> float:
        """Returns for how many seconds a record could not be kept; 0 if every record can be."""
        return max(0.0, time.time() - self._since) if self.fault else 0.0

    @property
    def head(self) -> tuple[int, str]:
        """Returns `seq` and `hash` of the last record on disk; `seq` is -1 if there is no record."""
        return self._segment.head.seq, self._segment.head.hash

    def states(self) -> tuple[CoveredLog, ...]:
        """Returns what a checkpoint states about the files since the start. Any thread may call it."""
        with self._lock:
            return (*self._ended, self._segment.state())

    def put(self, entries: Sequence[Entry], receive: Receiver) -> None:
        """Queues records, which must not change any more. They are kept even if their callers no longer wait.

        `receive` gets the entries, each with its result: an `AuditError` if the record is not JSON, or if the log is closed or
        cannot be written. It is called in the writer thread, or at once if the records are refused. It must return at once and
        raise nothing.
        """
        with self._lock:
            # Under the lock, so that no record comes behind the `None` that ends the thread.
            if not self._fault and not self._closed:
                self._queue.put((entries, receive))
                return
        for entry in entries:
            entry.settle(self._refusal())
        receive(entries)

    def append(self, record: LogEntry | Mapping[str, Any]) -> Future[tuple[int, str]]:
        """Queues a record like `put`. Returns a future of its `seq` and `hash` once it is on disk. The future cannot be
        cancelled."""
        future: Future[tuple[int, str]] = Future()
        future.set_running_or_notify_cancel()
        self.put((Entry(record),), partial(_settle, future))
        return future

    def close(self) -> None:
        """Writes all queued records and the head, and releases the log. May be called again."""
        with self._lock:
            again, self._closed = self._closed, True
            if not again:
                self._queue.put(None)
        self._thread.join()

    def _refusal(self) -> AuditError:
        return AuditError(f"{self.path}: {self.fault or 'the log is closed'}")

    # The writer thread.

    def _run(self) -> None:
        closing = False
        while not closing:
            groups, closing = _drained(self._queue, self._pause_s if self._fault else self._watch_s)
            batch: list[Entry] = []
            for entries, _ in groups:
                batch += entries
            try:
                if self._fault and not closing:
                    self._recover()
                if not self._fault:
                    self._look_at_keys()
                    self._commit(batch, groups)
            except BaseException as error:  # no caller may wait for ever or believe that its record is kept
                self._fail(error)
            for entry in batch:
                if entry.result is None:
                    entry.result = self._refusal()
            for entries, receive in groups:
                receive(entries)
        with suppress(Exception):
            if self._segment.is_in_place():
                self._segment.keep_head()
        self._segment.close()
        self._sealing.close()

    def _look_at_keys(self) -> None:
        """Notes whether records can be sealed, about every `watch_s`: whoever changes a key must not wait for a record that
        needs it. Records that need no key are still kept, as their exchanges have begun."""
        now_s = time.monotonic()
        if now_s - self._keys_seen_s < self._watch_s:
            return
        self._keys_seen_s = now_s
        why = ""
        try:
            self._sealing.check()
        except AuditError as error:
            why = f"no record can be sealed: {reason(error)}"
        if why and not self._unsealable:
            self._since = time.time()
            _log.error(why)
        self._unsealable = why

    def _commit(self, batch: list[Entry], groups: list[Group]) -> None:
        """Returns when the batch is durable in a file to which the path leads. `groups`: who is told then; it is emptied."""
        seal_all(batch, self._sealing)
        if batch and self._rotation != _NEVER:
            self._rotate()
        # The path is looked at before the write and after it: another program may remove the file in between, and the batch
        # with it. Then the batch is written again, into a new file.
        for _ in range(_LIMIT_ROLLS):
            if not (self._is_checked or self._segment.is_in_place()):
                self._roll(GONE)
            self._is_checked = False
            kept = self._write(batch)
            if not kept:
                return
            if self._segment.is_in_place():
                self._is_checked = not self._queue.empty()  # records that wait by now need no check of their own before
                break
        else:
            raise AuditError(GONE)
        self._wait_s = self._retry_s
        for entry, head, _ in kept:
            entry.result = head
        while groups:
            # Taken off the list first: if a later step fails, `_run` tells those that are left, and nobody twice.
            entries, receive = groups[0]
            del groups[0]
            receive(entries)
        self._durable([line for _, _, line in kept])
        if self._segment.head.seq - self._segment.head_kept >= self._head_every:
            self._segment.keep_head()

    def _write(self, batch: list[Entry]) -> list[Kept]:
        """Appends a batch to the file. A record that is not JSON fails without failing the others."""
        head = self._segment.head
        kept: list[Kept] = []
        for entry in batch:
            if entry.result is not None:  # it was refused in the file before
                continue
            try:
                line, head = _sealed(entry.record, head)
            except AuditError as error:
                entry.result = error
                continue
            kept.append((entry, head, line))
        if kept:
            self._segment.append([line for _, _, line in kept], head)
        return kept

    def _fail(self, error: BaseException) -> None:
        """Refuses records until the log can be written again. The first attempt to recover follows at once, unless no
        record was kept since an earlier recovery: on an almost full disk each recovery could take the last bytes."""
        self._why = reason(error)
        with self._lock:
            if not self._fault:
                self._since = time.time()
                _log.error("the audit log cannot be written: %s", self._why)
            self._fault = f"the log cannot be written: {self._why}"
        self._pause_s = 0.0 if self._wait_s == self._retry_s else self._wait_s
        self._wait_s = min(2 * self._wait_s, RETRY_MOST_S)

    def _recover(self) -> None:
        """Makes the log writable again and appends an entry about the gap. Raises an error if that fails."""
        self._sealing.check()
        self._unsealable = ""
        segment, why = self._segment, self._why
        try:
            if not segment.is_in_place():
                why = GONE
                raise AuditError(GONE)
            if segment.lost:
                raise AuditError(why)
            segment.cut()
            gap = Gap(v=ENTRY_VERSION, at=time.time(), since=self._since, why=why)
            line, head = seal(gap.document(), segment.head)
            segment.append([line], head)
            self._durable([line])
        except (OSError, AuditError):
            with suppress(OSError, AuditError):
                if segment.torn and not segment.lost and segment.is_in_place():
                    segment.cut()
            self._roll(why)
        self.recoveries += 1
        with self._lock:
            self._fault = ""
        _log.warning("the audit log can be written again: %s", self._segment.path)

    def _rotate(self) -> None:
        """Continues in a new file if this is large or old. If that fails, the next batch tries again."""
        old = self._segment
        try:
            # A file without a record never ends, so every file has one.
            if old.head.seq >= 0 and (why := self._rotation.due(old.end, time.time() - old.began_s)):
                self._continue(why, is_complete=True)
                _log.info("the audit log continues in %s: %s", self._segment.path.name, why)
        except (OSError, AuditError) as error:
            self._remark(f"audit log {old.path.name} cannot continue in a new file: {reason(error)}")

    def _roll(self, why: str) -> None:
        """Continues in a new file after a fault."""
        old = self._segment
        self._continue(why)
        self._remark(f"audit log {old.path.name} ended ({why}); records continue in {self._segment.path.name}")

    def _remark(self, warning: str) -> None:
        if warning not in self.warnings:
            _log.warning(warning)
            self.warnings = (*self.warnings, warning)[-LIMIT_WARNINGS:]

    def _continue(self, why: str, *, is_complete: bool = False) -> None:
        """Continues in a new file. `why`: the reason, for the header of the new file. `is_complete`: whether this file
        holds only durable records."""
        old = self._segment
        header = {**self._new, "log": secrets.token_hex(8), "at": time.time()}
        new = open_next(self._disk, old, self._name, header, why, is_complete=is_complete)
        with self._lock:
            self._ended, self._segment = (*self._ended, old.state()), new
        self._durable([canonical(self.header) + b"\n"])
        with suppress(OSError):
            if old.is_in_place():
                old.keep_head()
        old.close()
