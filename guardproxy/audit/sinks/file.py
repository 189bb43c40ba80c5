"""A log as a file: `NAME.jsonl` in a folder, one process at a time, durable before a record counts as kept.

In: records from any thread. Out: a future for each, resolved when the record is on disk. Kept: an open file and its
lock, the head of the chain, a queue, one writer thread.

How it works: the thread takes everything that waits, seals it, writes it with one call and syncs once; while it syncs,
the next batch gathers. No timer: alone, a record waits for nothing. A write or sync that fails ends the sink: after a
failed sync the kernel may have dropped the pages and call the next one a success, so there is no second try, and every
record from then on fails. Records of a failed batch may be in the file or not; their callers were told that they fail.

`NAME.head` holds the head of the log, written every `head_every` records and at close. It shows a log that lost its
tail, by accident or by someone who did not think of it. It proves nothing against one who can write both files: for
that, copy heads to where the keeper of the log cannot write. `NAME.torn` keeps the unfinished lines that crashes left.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

from guardproxy.audit.chain import Head, begin, open_line, read_head, seal, verify, write_head
from guardproxy.errors import AuditError

HEAD_EVERY = 1000
TAIL_BYTES = 1 << 20

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_log = logging.getLogger(__name__)

Waiting = tuple[Mapping[str, Any], "Future[tuple[int, str]]"]


def data_sync(fd: int) -> None:
    """Forces a file's data to disk, and its size, but not its times where the system can tell them apart."""
    getattr(os, "fdatasync", os.fsync)(fd)


class FileSink:
    """An append-only log in `folder`, opened for this process alone.

    `header`: what a new log says about itself (`log`: a random origin); an existing log keeps its own. Raises
    `AuditError` where the folder cannot be used, another process has the log, or its end does not verify.
    `write`, `sync`: the system's calls, for tests of their failures.
    """

    def __init__(
        self,
        folder: Path | str,
        name: str,
        header: Mapping[str, Any],
        *,
        head_every: int = HEAD_EVERY,
        write: Callable[[int, memoryview], int] = os.write,
        sync: Callable[[int], None] = data_sync,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise AuditError("the name of a log has only letters, digits, `.`, `_` and `-`")
        self.path = Path(folder) / f"{name}.jsonl"
        self._head_every = head_every
        self._write = write
        self._sync = sync
        self._lock = Lock()
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._failure = ""
        self._closed = False
        try:
            self._fd = _open_locked(self.path)
        except OSError as error:
            raise AuditError(f"{self.path}: {_reason(error)}") from None
        try:
            self.header, self._head = self._recover(header)
        except OSError as error:
            os.close(self._fd)
            raise AuditError(f"{self.path}: {_reason(error)}") from None
        except BaseException:
            os.close(self._fd)
            raise
        self._head_kept = self._head.seq
        self._thread = Thread(target=self._run, name=f"audit-{name}", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether a record that is appended now can be kept."""
        return not self._failure and not self._closed

    @property
    def head(self) -> tuple[int, str]:
        """`seq` and `hash` of the last record that is on disk; `seq` is -1 while there is none."""
        return self._head.seq, self._head.hash

    @property
    def waiting(self) -> int:
        """How many records the next batch has so far."""
        return self._queue.qsize()

    def append(self, record: Mapping[str, Any]) -> Future[tuple[int, str]]:
        """Takes a record, which must not change any more; the future gives its `seq` and `hash` once it is on disk.

        The future fails with `AuditError` where the record is not JSON, or the log is closed or failed. It cannot be
        cancelled: what was taken is kept, whoever has stopped waiting for it.
        """
        future: Future[tuple[int, str]] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            if self.healthy:
                self._queue.put((record, future))
                return future
        future.set_exception(self._refusal())
        return future

    def close(self) -> None:
        """Keeps what was taken, writes the head, gives the log back. May be called again."""
        with self._lock:
            again, self._closed = self._closed, True
            if not again:
                self._queue.put(None)
        self._thread.join()
        if not again:
            os.close(self._fd)

    def _refusal(self) -> AuditError:
        return AuditError(f"{self.path}: {self._failure or 'the log is closed'}")

    def _run(self) -> None:
        batch: list[Waiting] = []
        try:
            closing = False
            while not closing:
                batch, closing = self._drain()
                self._commit(batch)
            self._keep_head()
        except BaseException as error:  # whatever it is, nobody may wait for ever or believe that a record is kept
            self._fail(error, batch)

    def _drain(self) -> tuple[list[Waiting], bool]:
        item = self._queue.get()
        batch: list[Waiting] = []
        try:
            while item is not None:
                batch.append(item)
                item = self._queue.get_nowait()
        except Empty:
            return batch, False
        return batch, True

    def _commit(self, batch: list[Waiting]) -> None:
        head = self._head
        lines: list[bytes] = []
        kept: list[tuple[Future[tuple[int, str]], Head]] = []
        for record, future in batch:
            try:
                line, head = seal(record, head)
            except AuditError as error:
                future.set_exception(error)
                continue
            lines.append(line)
            kept.append((future, head))
        if not lines:
            return
        self._put(b"".join(lines))
        self._head = head
        for future, at in kept:
            future.set_result((at.seq, at.hash))
        if head.seq - self._head_kept >= self._head_every:
            self._keep_head()

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = self._write(self._fd, rest)
            if written <= 0:
                raise OSError("nothing was written")
            rest = rest[written:]
        self._sync(self._fd)

    def _fail(self, error: BaseException, batch: list[Waiting]) -> None:
        with self._lock:
            self._failure = f"the log failed and takes no more records: {_reason(error)}"
        while not self._queue.empty():
            item = self._queue.get_nowait()
            batch += [item] if item else []
        for _, future in batch:
            if not future.done():
                future.set_exception(self._refusal())

    def _keep_head(self) -> None:
        """Replaces `NAME.head`. Its failure is no failure of the log: it says so, and the next batch tries again."""
        path = self.path.with_suffix(".head")
        new = path.with_suffix(".head.new")
        try:
            _write_file(new, write_head(str(self.header["log"]), self._head), os.O_TRUNC)
            new.replace(path)
        except OSError as error:
            _log.warning("%s cannot be written: %s", path, _reason(error))
        else:
            self._head_kept = self._head.seq

    def _recover(self, header: Mapping[str, Any]) -> tuple[Mapping[str, Any], Head]:
        """The log's header and head; the end of the log is whole and verified afterwards."""
        expected = self._expected()
        size = os.fstat(self._fd).st_size
        end = self._whole_lines(size)
        if end == 0 and expected is None:
            self._set_aside(end, size)
            line, head = begin(header)
            self._put(line)
            _sync_folder(self.path.parent)
            return _opened(line), head
        start, tail = self._tail(end)
        report = verify(tail.splitlines(keepends=True) if tail else (), expected, whole=start == 0)
        if report.problems or report.head is None:
            found = report.problems[0].message if report.problems else "no records"
            raise AuditError(
                f"{self.path}: {found}; see `guardproxy audit verify`, then move the log to another folder"
            )
        self._set_aside(end, size)
        return _opened(self._first_line(end)), report.head

    def _expected(self) -> Head | None:
        path = self.path.with_suffix(".head")
        try:
            return read_head(path.read_bytes())
        except FileNotFoundError:
            return None
        except AuditError as error:
            raise AuditError(f"{path}: {error}") from None

    def _whole_lines(self, size: int) -> int:
        """The offset after the last newline."""
        end = size
        while end > 0:
            start = max(0, end - TAIL_BYTES)
            at = os.pread(self._fd, end - start, start).rfind(b"\n")
            if at >= 0:
                return start + at + 1
            end = start
        return 0

    def _tail(self, end: int) -> tuple[int, bytes]:
        """The last whole lines before `end`, at least one, and the offset where they begin."""
        reach = TAIL_BYTES
        while True:
            start = max(0, end - reach)
            data = os.pread(self._fd, end - start, start)
            skip = data.find(b"\n") + 1 if start else 0
            if start == 0 or skip < len(data):
                return start + skip, data[skip:]
            reach *= 2

    def _first_line(self, end: int) -> bytes:
        reach = 1 << 16
        while b"\n" not in (data := os.pread(self._fd, min(reach, end), 0)):
            reach *= 2
        return data[: data.index(b"\n") + 1]

    def _set_aside(self, end: int, size: int) -> None:
        if end == size:
            return
        torn = self.path.with_suffix(".torn")
        _write_file(torn, os.pread(self._fd, size - end, end) + b"\n", os.O_APPEND)
        os.ftruncate(self._fd, end)
        self._sync(self._fd)


def _opened(line: bytes) -> Mapping[str, Any]:
    header = open_line(line)
    if header is None or not isinstance(header.get("log"), str):
        raise AuditError("the log has no header")
    return header


def _open_locked(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if isinstance(error, BlockingIOError):
            raise AuditError(f"{path}: in use by another process") from None
        raise
    return fd


def _write_file(path: Path, data: bytes, how: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o600)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return (text or type(error).__name__).lower()
