"""Ships the lines of a folder of logs to another system, and goes on where it stopped.

In: the folder, a target, a file for the position. Out: batches of lines, each sent until the target accepts it. Kept: the
position, in its file: for each log the last accepted line.

The shipper reads the files that the proxy writes, so a slow or broken target delays no exchange and takes no memory: what
was not accepted is read again. A batch may be sent twice, after a crash or a lost answer; `log` and `seq` of a line tell
copies apart. Headers are sent before the lines of their file, so a copy verifies like the file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import msgspec

from guardproxy.audit.proof.folder import header_of, logs_of
from guardproxy.audit.record.chain import open_line
from guardproxy.audit.shipping.acknowledged import last_confirmed
from guardproxy.audit.shipping.intents import INTENT_MARK
from guardproxy.audit.storage.disk import Disk, replace_file
from guardproxy.audit.storage.ending import REACH_BYTES, last_lines, whole_lines_end
from guardproxy.errors import AuditError

BATCH_BYTES = 1 << 20
RETRY_S, RETRY_MOST_S = 0.5, 30.0


class Batch(NamedTuple):
    """Whole lines of a log in order. `log`: its id. `first` and `last`: the `seq` of the lines at both ends, -1 for the
    header. `data`: the lines with their newlines."""

    log: str
    first: int
    last: int
    data: bytes


class Target(Protocol):
    """A system that takes copies of lines."""

    def send(self, batch: Batch) -> None:
        """Returns when the system has accepted the lines for good. Raises `AuditError` if it has not."""
        ...

    def close(self) -> None:
        """Releases connections."""
        ...


class _Place(msgspec.Struct, frozen=True):
    """The end of what was accepted of a log: an offset in its file, and the `seq` of the line before."""

    log: str
    offset: int = 0
    seq: int = -2


def position_of(folder: Path, target: str) -> Path:
    """Returns the file in which the position of the lines that a target accepted is kept."""
    return folder / f"ship-{hashlib.sha256(target.encode()).hexdigest()[:12]}.position"


class Sent(NamedTuple):
    """How much of a folder of logs a target has. `written`: the bytes of whole lines in the logs; `accepted`: those that it
    accepted."""

    written: int
    accepted: int


def sent_of(folder: Path, position: Path) -> Sent:
    """Returns how much was sent. A log that cannot be read counts as sent, because it tells nothing. Without a position, and
    with one that cannot be understood, nothing is sent. Raises `OSError`."""
    places: dict[str, _Place] = {}
    with suppress(FileNotFoundError, msgspec.DecodeError):
        places = msgspec.json.decode(position.read_bytes(), type=dict[str, _Place])
    written = accepted = 0
    for path in logs_of(folder):
        with suppress(OSError), path.open("rb") as file:
            end = whole_lines_end(partial(os.pread, file.fileno()), os.fstat(file.fileno()).st_size)
            place = places.get(path.name)
            written += end
            accepted += min(end, place.offset) if place is not None else 0
    return Sent(written, accepted)


class Arrears:
    """How long a target has been behind. In: how much was sent, again and again. A target is behind if it has not accepted
    what the logs held `limit_s` ago; that it accepts something does not matter."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._goal = 0  # what the logs held at `_since_s`
        self._since_s: float | None = None
        self._sent = Sent(0, 0)

    def note(self, sent: Sent, now_s: float) -> None:
        """Takes what was sent by now, in seconds of any monotonic clock."""
        is_shorter = sent.written < self._sent.written  # a log was removed, and what was accepted of it
        self._sent = sent
        if sent.accepted >= sent.written:
            self._since_s = None
        elif self._since_s is None or sent.accepted >= self._goal or is_shorter:
            self._since_s, self._goal = now_s, sent.written

    def behind_s(self, now_s: float) -> float:
        """For how long the target has been behind; 0 if it is not."""
        waited_s = 0.0 if self._since_s is None else now_s - self._since_s
        return waited_s if waited_s > self._limit_s else 0.0

    @property
    def missing_bytes(self) -> int:
        """How many bytes the target does not have."""
        return max(0, self._sent.written - self._sent.accepted)


class Shipper:
    """Sends what the logs of `folder` hold beyond the position in the file `position`; without a file, the position is kept in
    memory. Raises `AuditError` if the position cannot be read."""

    def __init__(
        self, folder: Path, target: Target, position: Path | None = None, batch_bytes: int = BATCH_BYTES
    ) -> None:
        self._folder = folder
        self._target = target
        self._position = position
        self._batch_bytes = batch_bytes
        self._places: dict[str, _Place] = {}
        if position is None:
            return
        try:
            self._places = msgspec.json.decode(position.read_bytes(), type=dict[str, _Place])
        except FileNotFoundError:
            pass
        except msgspec.DecodeError as error:
            raise AuditError(f"{position}: not a position: {error}") from None

    def skip(self, last: int) -> None:
        """Skips what comes long before the last `last` entries of each log; intents do not count. A log that cannot be read is
        not skipped."""
        for path in logs_of(self._folder):
            with suppress(OSError):
                log = str(header_of(path).get("log", ""))
                offset, line = _near_end(path, last)
                seq = (open_line(line) or {}).get("seq")
                if log and isinstance(seq, int):
                    self._places[path.name] = _Place(log, offset, seq - 1)

    def ship(self) -> int:
        """Sends all whole lines that the logs have now. Returns the number of batches. Raises `AuditError` when the target
        refuses a batch, and `OSError`; what was accepted before is noted."""
        paths = logs_of(self._folder)
        ends = last_confirmed(paths)
        count = 0
        for path in paths:
            for batch, place in self._batches(path, ends.get(path.name)):
                if batch is not None:
                    self._target.send(batch)
                    count += 1
                self._places[path.name] = place
                # After each batch, so that a crash repeats one batch at most.
                self._save()
        return count

    def _batches(self, path: Path, end: int | None) -> Iterator[tuple[Batch | None, _Place]]:
        """Yields the next batches of a file, each with the position after it; `None` for lines of which none is sent. `end`:
        the last confirmed `seq` of a file that another file follows."""
        log = str(header_of(path).get("log", ""))
        if not log:
            return
        with path.open("rb") as file:
            place = self._start(path, log)
            while lines := _whole_lines(file, place.offset, self._batch_bytes):
                first = last = place.seq
                taken: list[bytes] = []
                for line in lines:
                    members = open_line(line) or {}
                    seq = members.get("seq", -1 if "log" in members else None)
                    if not isinstance(seq, int) or (end is not None and seq > end):
                        continue
                    first, last = (seq if not taken else first), seq
                    taken.append(line)
                place = _Place(log, place.offset + sum(map(len, lines)), last)
                yield (Batch(log, first, last, b"".join(taken)) if taken else None), place

    def _start(self, path: Path, log: str) -> _Place:
        """Returns the position in a file, or its start if the file is not the one that was read before."""
        place = self._places.get(path.name)
        if place is None or place.log != log or not self._fits(path, place):
            return _Place(log)
        return place

    def _fits(self, path: Path, place: _Place) -> bool:
        """Whether a line ends at the position, and the next line is the next record."""
        with path.open("rb") as file:
            if place.offset and file.seek(place.offset - 1) >= 0 and file.read(1) != b"\n":
                return False
            line = file.readline()
        members = open_line(line) if line.endswith(b"\n") else None
        return members is None or members.get("seq", -1) == place.seq + 1

    def _save(self) -> None:
        if self._position is not None:
            replace_file(Disk(), self._position, msgspec.json.encode(self._places))


def _near_end(path: Path, last: int) -> tuple[int, bytes]:
    """Returns a line of a log after which the last `last` entries come, and its offset."""
    with path.open("rb") as file:
        read = partial(os.pread, file.fileno())
        end = whole_lines_end(read, os.fstat(file.fileno()).st_size)
        reach_bytes = REACH_BYTES
        while True:
            start, data = last_lines(read, end, reach_bytes)
            first, *lines = data.splitlines(keepends=True) or [b""]
            if start == 0 or sum(INTENT_MARK not in line for line in lines) >= last:
                return start, first
            reach_bytes *= 2


def _whole_lines(file: BinaryIO, offset: int, size_bytes: int) -> list[bytes]:
    """Returns about `size_bytes` of whole lines from `offset`. A line that is being written is read again later, from its
    start."""
    file.seek(offset)
    lines = file.readlines(size_bytes)
    return lines if not lines or lines[-1].endswith(b"\n") else lines[:-1]


def ship_on(shipper: Shipper, wait: Callable[[float], bool], poll_s: float, say: Callable[[str], None]) -> None:
    """Ships until `wait` returns true. `wait`: waits for that many seconds, and returns whether to end. `say`: gets each
    failure; the next attempt follows after a time that doubles up to `RETRY_MOST_S`."""
    retry_s = RETRY_S
    pause_s = 0.0
    while not wait(pause_s):
        try:
            shipper.ship()
        except (AuditError, OSError) as error:
            say(str(error))
            pause_s, retry_s = retry_s, min(2 * retry_s, RETRY_MOST_S)
        else:
            pause_s, retry_s = poll_s, RETRY_S
