"""The lines of the audit log: JSON objects that each hold the hash of the previous line. Pure: lines in, lines out.

In: records to seal, or the lines of a log to verify. Out: sealed lines, or a report with line numbers.

The first line of a log is its header: a random origin `log`, the `format`, and further members that the caller adds.
Each further line is a record with `seq` (0, 1, 2 ...) and `prev`, the `hash` of the previous line. The `hash` of a
line is SHA-256(0x00 || line without `hash`), as for the leaves of RFC 6962. Lines are written only in canonical form
(`canonical.py`), so every changed byte is detected. A chain alone cannot detect that lines are missing at its end.
That requires the head (`seq` and `hash` of the last line), stored where the keeper of the log cannot change it.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

import msgspec
import orjson

from guardproxy.audit.record.canonical import around, canonical, one_call
from guardproxy.errors import AuditError

FORMAT = 1
LIMIT_PROBLEMS = 1000

_LEAF = b"\x00"
_MARK = secrets.token_hex(16)
_MARK_BYTES = _MARK.encode()
_MARKED = b'"hash":"%s",' % _MARK_BYTES  # an entry always has keys after `hash`
_HEX = re.compile(r"[0-9a-f]{64}")
Line = Literal["header", "unreadable", "altered", "missing", "order", "link", "torn", "cut", "rewritten", "stopped"]
Code = Literal[Line, "gone", "renamed", "replaced", "twice", "signature", "uncovered"]


class ChainHead(msgspec.Struct, frozen=True):
    """The last line of a log: its `seq` (-1 for the header) and its `hash` (64 hexadecimal digits)."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A rule of the chain that a line (counted from 1) breaks.

    `code`: `header` the first line is not a header; `unreadable` not a sealed JSON object; `altered` the line differs
    from the sealed line; `missing` lines before it were removed; `order` the line was inserted, repeated or moved;
    `link` the line before it was replaced, or it comes from another log; `torn` the last line is unfinished, as after
    a crash; `cut` lines are missing at the end; `rewritten` the expected record differs; `stopped` too many problems.
    Codes of whole logs (`proof/folder.py`): `gone` the log is missing; `renamed` it has another name; `replaced` another log
    is in its place; `twice` two logs have the same id; `uncovered` the log is not one that checkpoints cover. A code of
    checkpoints (`proof/verification.py`): `signature` a checkpoint is not signed with a given key.
    """

    line: int
    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """The result of verifying a log. `head`: the head of the last complete line. `log`: the origin in the header."""

    log: str
    records: int
    head: ChainHead | None
    problems: tuple[Problem, ...]

    @property
    def torn(self) -> bool:
        """Whether the last line is unfinished."""
        return any(problem.code == "torn" for problem in self.problems)

    @property
    def tampered(self) -> bool:
        """Whether there is a problem that a crash does not explain."""
        return any(problem.code != "torn" for problem in self.problems)


def begin(header: Mapping[str, Any]) -> tuple[bytes, ChainHead]:
    """Returns the first line of a log, and its head. `header["log"]`: an origin that no other log has. Raises
    `AuditError`."""
    if not isinstance(header.get("log"), str) or not header["log"]:
        raise AuditError("a header needs `log`, the origin of the log")
    _refuse(header, ("format", "seq", "prev", "hash"))
    return _seal({**header, "format": FORMAT}, -1)


def seal(record: Mapping[str, Any], before: ChainHead) -> tuple[bytes, ChainHead]:
    """Returns the line that follows `before`, with newline, and its head. Raises `AuditError` if the record is not
    JSON."""
    _refuse(record, ("seq", "prev", "hash"))
    return _seal({**record, "seq": before.seq + 1, "prev": before.hash}, before.seq + 1)


def seal_small(entry: dict[str, Any], before: ChainHead) -> tuple[bytes, ChainHead]:
    """Does the work of `seal` in one call of the encoder, for an entry of the log that has no `seq`, `prev` and `hash`. A
    random value, which no text can contain, marks the place of the hash. Changes `entry`."""
    seq = entry["seq"] = before.seq + 1
    entry["prev"] = before.hash
    entry["hash"] = _MARK
    try:
        marked = one_call(entry)
    except TypeError:
        del entry["hash"]
        return _seal(entry, seq)
    digest = hashlib.sha256(_LEAF + marked.replace(_MARKED, b"", 1)).hexdigest()
    return marked.replace(_MARK_BYTES, digest.encode(), 1) + b"\n", ChainHead(seq, digest)


def _refuse(record: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        if key in record:
            raise AuditError(f"a record cannot set `{key}` itself")


def _seal(record: dict[str, Any], seq: int) -> tuple[bytes, ChainHead]:
    """Seals a record. The record is encoded once: its hash is put between the keys that sort before and after
    `hash`."""
    try:
        before, after = around(record, "hash")
    except (TypeError, ValueError, RecursionError):  # `canonical` encodes the whole record, or raises
        digest = _hash(record)
        return canonical({**record, "hash": digest}) + b"\n", ChainHead(seq, digest)
    # A header and a record always have keys after `hash`.
    before[-1] = before[-1].removesuffix(b"}") + (b"," if before != [b"{}"] else b"")
    after[0] = after[0].removeprefix(b"{")
    seal = hashlib.sha256(_LEAF)
    for piece in (*before, *after):
        seal.update(piece)
    digest = seal.hexdigest()
    return b"".join([*before, b'"hash":"', digest.encode(), b'",', *after, b"\n"]), ChainHead(seq, digest)


def _hash(record: dict[str, Any]) -> str:
    return hashlib.sha256(_LEAF + canonical(record)).hexdigest()


def open_line(line: bytes) -> dict[str, Any] | None:
    """Returns the JSON object of a line, `hash` included; `None` if the line is not an object in canonical form."""
    body = line.removesuffix(b"\n")
    # `json` reads values that orjson refuses (lone surrogates) or reads differently (integers above 64 bits).
    for read in (orjson.loads, json.loads):
        try:
            value = read(body)
            if isinstance(value, dict) and canonical(value) == body:
                return value
        except (ValueError, RecursionError, AuditError):
            continue
    return None


def write_head(log: str, head: ChainHead) -> bytes:
    """Returns a head as a line of JSON, to be stored elsewhere."""
    return canonical({"log": log, "seq": head.seq, "hash": head.hash}) + b"\n"


def read_head(data: bytes) -> ChainHead:
    """Reads a head that `write_head` wrote. Raises `AuditError`."""
    return read_named_head(data)[1]


def read_named_head(data: bytes) -> tuple[str, ChainHead]:
    """Reads a head that `write_head` wrote, and the id of its log. Raises `AuditError`."""
    entry = open_line(data)
    if entry is None or not isinstance(entry.get("log"), str) or (head := head_of(entry)) is None:
        raise AuditError("not the head of a log")
    return entry["log"], head


def head_of(entry: Mapping[str, Any]) -> ChainHead | None:
    """Returns the head in `seq` and `hash` of a JSON object; `None` if these members are missing or invalid."""
    if not _is_seq(entry.get("seq"), -1) or not _is_hash(entry.get("hash")):
        return None
    return ChainHead(entry["seq"], entry["hash"])


def _is_seq(value: object, least: int = 0) -> TypeGuard[int]:
    return type(value) is int and value >= least


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and _HEX.fullmatch(value) is not None


def verify(
    lines: Iterable[bytes], expected: ChainHead | Iterable[ChainHead] | None = None, *, whole: bool = True
) -> Report:
    """Verifies the lines of a log, each with its newline (as a binary file yields them).

    `expected`: heads from another place. They may be older than the end of the log; their records must be in it.
    `whole`: `False` for lines from the middle of a log; the first line is then trusted.
    """
    heads = (
        () if expected is None else (expected,) if isinstance(expected, ChainHead) else tuple(dict.fromkeys(expected))
    )
    verifier = Verifier(heads, whole)
    for line in lines:
        verifier.take(line)
        if verifier.is_stopped:
            break
    return verifier.finish()


@dataclass(frozen=True, slots=True)
class VerifiedRun:
    """Lines of a log without a problem, in order. `first`: the `seq` of the first one, -1 for the header. `prev`: its `prev`.
    `head`: the last one. `log`: the origin in the header, if it is among them. `reached`: the expected heads among them."""

    first: int
    prev: str
    head: ChainHead
    lines: int
    log: str
    reached: tuple[ChainHead, ...]


class Verifier:
    """The state of verification: the next `seq`, and the hashes that the next `prev` may have. See `verify`."""

    def __init__(self, expected: Iterable[ChainHead], whole: bool) -> None:
        self.wanted = tuple(expected)
        self.expected = dict.fromkeys(self.wanted)  # expected heads that were not reached yet
        self.whole = whole
        self.problems: list[Problem] = []
        self.log = ""
        self.records = 0
        self.head: ChainHead | None = None
        self.last = 0
        self.unfinished = False
        # An unreadable line breaks the link to the next line as well. Both count as one problem.
        self.next_seq: int | None = 0 if whole else None
        self.links: tuple[str, ...] | None = None
        self.first: int | None = -1 if whole else None
        self.prev = ""  # of the first record, if it is trusted

    @property
    def is_stopped(self) -> bool:
        """Whether there are too many problems to read further."""
        return bool(self.problems) and self.problems[-1].code == "stopped"

    def run(self) -> VerifiedRun | None:
        """Returns what was read, if it has lines and no problem."""
        if self.head is None or self.first is None or self.problems or self.unfinished:
            return None
        reached = tuple(head for head in self.wanted if head not in self.expected)
        return VerifiedRun(self.first, self.prev, self.head, self.last, self.log, reached)

    def fits(self, run: VerifiedRun) -> bool:
        """Whether reading the lines of `run` would find no problem, so that `join` does the same."""
        if self.unfinished or len(self.problems) >= LIMIT_PROBLEMS:
            return False
        if run.first < 0:
            return self.last == 0
        return run.first == self.next_seq and self.links is not None and run.prev in self.links

    def join(self, run: VerifiedRun) -> None:
        """Takes lines that were read elsewhere and that fit."""
        self.log = run.log or self.log
        self.last += run.lines
        self.records += run.lines - (run.first < 0)
        for head in run.reached:
            self.expected.pop(head, None)
        self.arrived(run.head, None)

    def note(self, line: int, code: Code, message: str) -> None:
        self.problems.append(Problem(line, code, message))

    def take(self, line: bytes) -> None:
        """Reads the next line. After too many problems, it is not read, and no line should follow (`is_stopped`)."""
        number = self.last + 1
        if len(self.problems) >= LIMIT_PROBLEMS:
            self.note(number, "stopped", f"more than {LIMIT_PROBLEMS} problems; not read further")
            return
        if self.unfinished:
            self.note(self.last, "unreadable", "a line without a newline, in the middle of the log")
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
        claim = entry.pop("hash", None)
        real = _hash(entry)
        if claim != real:
            self.note(1, "altered", f"the header was changed: its hash is {real}, not the hash that it states")
        self.log = str(entry["log"])
        self.arrived(ChainHead(-1, real), claim)

    def take_record(self, number: int, entry: dict[str, Any] | None) -> None:
        claim = entry.pop("hash", None) if entry is not None else None
        seq = entry.get("seq") if entry is not None else None
        if entry is None or not _is_hash(claim) or not _is_hash(entry.get("prev")) or not _is_seq(seq):
            self.note(number, "unreadable", f"not a sealed record; expected record {self.next_seq}")
            self.next_seq = None if self.next_seq is None else self.next_seq + 1
            # Nobody knows what hash the line had, so the next line cannot be held to it.
            self.links = None
            return
        self.records += 1
        real = _hash(entry)
        if claim != real:
            self.note(number, "altered", f"the record was changed: its hash is {real}, not the hash that it states")
            # an altered line may state a wrong `seq`; the lines around it still prove theirs
            seq = seq if self.next_seq is None else self.next_seq
        else:
            self.check_place(number, seq, entry["prev"])
        self.arrived(ChainHead(seq, real), claim)

    def check_place(self, number: int, seq: int, prev: str) -> None:
        wanted = seq if self.next_seq is None else self.next_seq
        self.prev = prev if self.first is None else self.prev
        if seq > wanted:
            self.note(number, "missing", f"expected record {wanted}, found record {seq}: records between were removed")
        elif seq < wanted:
            self.note(number, "order", f"expected record {wanted}, found record {seq}: inserted, repeated or moved")
        elif self.links is not None and prev not in self.links:
            self.note(
                number,
                "link",
                f"expected prev {self.links[0]}, found {prev}: the previous line was replaced, or this line is foreign",
            )

    def arrived(self, head: ChainHead, claim: object) -> None:
        self.head = head
        self.first = head.seq if self.first is None else self.first
        self.next_seq = head.seq + 1
        # The line behind an altered one may follow the hash that it states, or its real one. Either is accepted, so that
        # one change is reported once.
        self.links = (head.hash, claim) if isinstance(claim, str) and claim != head.hash else (head.hash,)
        self.expected.pop(head, None)

    def finish(self) -> Report:
        """Returns the report. All lines were read."""
        if not self.is_stopped:
            self.end()
        return Report(self.log, self.records, self.head, tuple(self.problems))

    def end(self) -> None:
        if self.unfinished:
            self.note(self.last, "torn", "the last line is incomplete: a crash, or a write in progress")
        elif self.last == 0:
            self.note(1, "header", "expected the header of a log, found an empty file")
        for expected in self.expected:
            self.miss(expected)

    def miss(self, expected: ChainHead) -> None:
        """Reports why the expected record was not reached. It may precede the first line of a partial log."""
        if self.head is None or self.head.seq < expected.seq:
            end = "nothing" if self.head is None else f"record {self.head.seq}" if self.head.seq >= 0 else "the header"
            message = f"expected record {expected.seq}, found {end} as the last: the end was cut off"
            self.note(self.last + 1, "cut", message)
        elif self.first is not None and expected.seq >= self.first:
            self.note(
                self.last,
                "rewritten",
                f"expected record {expected.seq} with hash {expected.hash}, found another record",
            )
