"""The audit log's lines: JSON objects of which each holds the hash of the one before. Pure: lines in, lines out.

In: records to seal, or the lines of a log to verify. Out: sealed lines, or a report with line numbers. Kept: nothing.

The first line of a log is its header: a random origin `log`, the `format`, and what else the caller wants to say. Each
further line is a record with `seq` (0, 1, 2 ...) and `prev`, the `hash` of the line before. A line's `hash` is
SHA-256(0x00 || line without `hash`), as for the leaves of RFC 6962, and lines are written in one form only
(`canonical.py`), so that no byte of a log can change unseen. What a chain alone cannot show is a tail that was cut off
whole: that takes the head (`seq` and `hash` of the last line), kept where the log's keeper cannot change it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

import orjson

from guardproxy.audit.canonical import around, canonical
from guardproxy.errors import AuditError

FORMAT = 1
LIMIT_PROBLEMS = 1000

_LEAF = b"\x00"
_HEX = re.compile(r"[0-9a-f]{64}")
Line = Literal["header", "unreadable", "altered", "missing", "order", "link", "torn", "cut", "rewritten", "stopped"]
Code = Literal[Line, "gone", "renamed", "replaced", "twice"]


@dataclass(frozen=True, slots=True)
class Head:
    """A log's last line: its `seq` (-1: the header) and its `hash` (64 hexadecimal digits)."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What does not hold, at which line (from 1).

    `code`: `header` the first line is no header; `unreadable` not a sealed JSON object; `altered` the line is not what
    was sealed; `missing` lines were taken out before it; `order` it was put in, repeated or moved; `link` the line
    before it was replaced, or it comes from another log; `torn` the last line was not finished, as after a crash;
    `cut` lines are missing at the end; `rewritten` the expected record is another one; `stopped` too many problems. Of whole
    logs (`folder.py`): `gone` the log is not there; `renamed` it has another name; `replaced` another log is in its place;
    `twice` two logs have one id.
    """

    line: int
    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What verifying a log found. `head`: of the last whole line. `log`: the origin that the header names."""

    log: str
    records: int
    head: Head | None
    problems: tuple[Problem, ...]

    @property
    def torn(self) -> bool:
        """The last line was not finished."""
        return any(problem.code == "torn" for problem in self.problems)

    @property
    def tampered(self) -> bool:
        """Something is wrong that no crash explains."""
        return any(problem.code != "torn" for problem in self.problems)


def begin(header: Mapping[str, Any]) -> tuple[bytes, Head]:
    """The first line of a log, and its head. `header["log"]`: an origin that no other log has. Raises `AuditError`."""
    if not isinstance(header.get("log"), str) or not header["log"]:
        raise AuditError("a header needs `log`, the origin of the log")
    _refuse(header, ("format", "seq", "prev", "hash"))
    return _sealed({**header, "format": FORMAT}, -1)


def seal(record: Mapping[str, Any], before: Head) -> tuple[bytes, Head]:
    """The line that follows `before`, newline included, and its head. Raises `AuditError` for a record not in JSON."""
    _refuse(record, ("seq", "prev", "hash"))
    return _sealed({**record, "seq": before.seq + 1, "prev": before.hash}, before.seq + 1)


def _refuse(record: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        if key in record:
            raise AuditError(f"a record cannot set `{key}` itself")


def _sealed(record: dict[str, Any], seq: int) -> tuple[bytes, Head]:
    """The line of a record. The record is encoded once: its hash is put between the keys before and after `hash`."""
    try:
        before, after = around(record, "hash")
    except (TypeError, ValueError, RecursionError):  # only the whole can be written, or nothing
        digest = _hash(record)
        return canonical({**record, "hash": digest}) + b"\n", Head(seq, digest)
    # Neither a header nor a record lacks keys after `hash`.
    before[-1] = before[-1].removesuffix(b"}") + (b"," if before != [b"{}"] else b"")
    after[0] = after[0].removeprefix(b"{")
    seal = hashlib.sha256(_LEAF)
    for piece in (*before, *after):
        seal.update(piece)
    digest = seal.hexdigest()
    return b"".join([*before, b'"hash":"', digest.encode(), b'",', *after, b"\n"]), Head(seq, digest)


def _hash(record: dict[str, Any]) -> str:
    return hashlib.sha256(_LEAF + canonical(record)).hexdigest()


def open_line(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line, `hash` included, or `None` where there is none or it is not written canonically."""
    body = line.removesuffix(b"\n")
    # The second reader takes what the first does not (lone surrogates) or takes differently (integers above 64 bits).
    for read in (orjson.loads, json.loads):
        try:
            found = read(body)
            if isinstance(found, dict) and canonical(found) == body:
                return found
        except (ValueError, RecursionError, AuditError):
            continue
    return None


def write_head(log: str, head: Head) -> bytes:
    """A head as one line of JSON, to be kept elsewhere."""
    return canonical({"log": log, "seq": head.seq, "hash": head.hash}) + b"\n"


def read_head(data: bytes) -> Head:
    """The head that `write_head` wrote. Raises `AuditError`."""
    return read_named_head(data)[1]


def read_named_head(data: bytes) -> tuple[str, Head]:
    """The head that `write_head` wrote, after the id of its log. Raises `AuditError`."""
    found = open_line(data)
    if found is None or not isinstance(found.get("log"), str) or (head := head_of(found)) is None:
        raise AuditError("not the head of a log")
    return found["log"], head


def head_of(entry: Mapping[str, Any]) -> Head | None:
    """The head that `seq` and `hash` of a JSON object name; `None` where they name none."""
    if not _is_seq(entry.get("seq"), -1) or not _is_hash(entry.get("hash")):
        return None
    return Head(entry["seq"], entry["hash"])


def _is_seq(value: object, least: int = 0) -> TypeGuard[int]:
    return type(value) is int and value >= least


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and _HEX.fullmatch(value) is not None


def verify(lines: Iterable[bytes], expected: Head | Iterable[Head] | None = None, *, whole: bool = True) -> Report:
    """What is wrong with the lines of a log, each with its newline (the way a binary file gives them).

    `expected`: heads known from elsewhere, which may be older than the end of the log: those records must be there.
    `whole`: `False` for lines from the middle of a log, whose first line is taken as it stands.
    """
    heads = () if expected is None else (expected,) if isinstance(expected, Head) else tuple(dict.fromkeys(expected))
    verifier = _Verifier(heads, whole)
    for number, line in enumerate(lines, 1):
        if len(verifier.problems) >= LIMIT_PROBLEMS:
            verifier.note(number, "stopped", f"more than {LIMIT_PROBLEMS} problems; not read further")
            return verifier.report()
        verifier.take(number, line)
    verifier.finish()
    return verifier.report()


class _Verifier:
    """Where the reading of a log stands: the seq that must come next, and the hashes that its `prev` may have."""

    def __init__(self, expected: tuple[Head, ...], whole: bool) -> None:
        self.expected = dict.fromkeys(expected)  # those that were not met yet
        self.whole = whole
        self.problems: list[Problem] = []
        self.log = ""
        self.records = 0
        self.head: Head | None = None
        self.last = 0
        self.unfinished = False
        # After an unreadable line nothing is known of the link, so that one change is one problem and not two.
        self.next_seq: int | None = 0 if whole else None
        self.links: tuple[str, ...] | None = None
        self.first: int | None = -1 if whole else None

    def note(self, line: int, code: Code, message: str) -> None:
        self.problems.append(Problem(line, code, message))

    def report(self) -> Report:
        return Report(self.log, self.records, self.head, tuple(self.problems))

    def take(self, number: int, line: bytes) -> None:
        if self.unfinished:
            self.note(self.last, "unreadable", "a line without an end, in the middle of the log")
        self.last = number
        self.unfinished = not line.endswith(b"\n")
        if self.unfinished:
            return
        entry = open_line(line)
        if number == 1 and self.whole:
            self.take_header(entry)
        else:
            self.take_record(number, entry)

    def take_header(self, entry: dict[str, Any] | None) -> None:
        if entry is None or "log" not in entry or "seq" in entry:
            self.note(1, "header", "expected the header of a log")
            if entry is not None and "seq" in entry:
                self.take_record(1, entry)
            return
        if entry.get("format") != FORMAT:
            self.note(1, "header", f"expected format {FORMAT}")
        stated = entry.pop("hash", None)
        real = _hash(entry)
        if stated != real:
            self.note(1, "altered", f"the header was changed: its hash is {real}, not the one it states")
        self.log = str(entry["log"])
        self.arrived(Head(-1, real), stated)

    def take_record(self, number: int, entry: dict[str, Any] | None) -> None:
        stated = entry.pop("hash", None) if entry is not None else None
        seq = entry.get("seq") if entry is not None else None
        if entry is None or not _is_hash(stated) or not _is_hash(entry.get("prev")) or not _is_seq(seq):
            self.note(number, "unreadable", f"not a sealed record; expected record {self.next_seq}")
            self.next_seq = None if self.next_seq is None else self.next_seq + 1
            self.links = None
            return
        self.records += 1
        real = _hash(entry)
        if stated != real:
            self.note(number, "altered", f"the record was changed: its hash is {real}, not the one it states")
            # what an altered line says of its own place proves nothing; the lines around it still do
            seq = seq if self.next_seq is None else self.next_seq
        else:
            self.check_place(number, seq, entry["prev"])
        self.arrived(Head(seq, real), stated)

    def check_place(self, number: int, seq: int, prev: str) -> None:
        wanted = seq if self.next_seq is None else self.next_seq
        if seq > wanted:
            self.note(number, "missing", f"expected record {wanted}, found record {seq}: what was between is gone")
        elif seq < wanted:
            self.note(number, "order", f"expected record {wanted}, found record {seq}: put in, repeated or moved")
        elif self.links is not None and prev not in self.links:
            self.note(
                number,
                "link",
                f"expected prev {self.links[0]}, found {prev}: the line before was replaced, or this one is foreign",
            )

    def arrived(self, head: Head, stated: object) -> None:
        self.head = head
        self.first = head.seq if self.first is None else self.first
        self.next_seq = head.seq + 1
        self.links = (head.hash, stated) if isinstance(stated, str) and stated != head.hash else (head.hash,)
        self.expected.pop(head, None)

    def finish(self) -> None:
        if self.unfinished:
            self.note(self.last, "torn", "the last line is not finished: a crash, or a write that is going on")
        elif self.last == 0:
            self.note(1, "header", "expected the header of a log, found an empty file")
        for expected in self.expected:
            self.miss(expected)

    def miss(self, expected: Head) -> None:
        """Notes why the expected record was not met; it may lie before lines that begin in the middle."""
        if self.head is None or self.head.seq < expected.seq:
            found = (
                "nothing" if self.head is None else f"record {self.head.seq}" if self.head.seq >= 0 else "the header"
            )
            message = f"expected record {expected.seq}, found {found} at the end: the tail was cut off"
            self.note(self.last + 1, "cut", message)
        elif self.first is not None and expected.seq >= self.first:
            self.note(
                self.last, "rewritten", f"expected record {expected.seq} with hash {expected.hash}, found another"
            )
