"""Verifies a folder of logs as a whole: every log, its name, the order of its files, copies of heads, and what
checkpoints state.

In: the folder, a folder with copies of `*.head` files, verified checkpoints. Out: a report for each existing or expected log.
Reads only, so it works while the proxy writes.

A log is identified by the id in its header (`log`), not by its file name. A head is compared with the log that has its
id. If no log has the id, the log was removed. If that log has another file name, it was renamed. The `follows` of a
header is the head of the previous file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from guardproxy.audit.proof.lines import RootWatch
from guardproxy.audit.proof.note import PublicKey
from guardproxy.audit.proof.verification import CheckpointReport, Copy, verify_checkpoints
from guardproxy.audit.proof.verifying import VERIFIED_BYTES, ExpectedLog, LogVerification, VerifiedPart, VerifyWork
from guardproxy.audit.record.chain import ChainHead, Code, Problem, Report, head_of, open_line, read_named_head
from guardproxy.audit.record.commands import OPERATOR_FILES, OPERATOR_LOG, holds_commands_only
from guardproxy.engine import HERE, AnyPath, Part, WorkEngine, matching, parts_of
from guardproxy.errors import AuditError, EngineError

LIMIT_HEADER_BYTES = 1 << 24
_OF_COMMANDS = f"{OPERATOR_LOG}.jsonl"
NO_KEY = (
    "These logs have no signature: anyone who can write to this folder can write new logs that verify. Only copies of "
    "*.head files that are stored elsewhere (--heads) reveal that. `guardproxy audit keygen` and `serve --audit-key` sign "
    "the log."
)

LIMIT_LOOKS = 10  # of a folder from which logs are removed again and again


@dataclass(frozen=True, slots=True)
class LogReport:
    """The result of verifying a log. `notes`: what is worth a look and no problem."""

    file: str
    report: Report
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _LogFile:
    """A file, and the statements of other files about it. `ended`: its last record before another file followed it,
    and the reason. `is_complete`: whether nothing may follow this record. `parts`: of an existing file."""

    path: AnyPath
    header: Mapping[str, Any]
    there: bool = True
    parts: Sequence[Part] = ()
    expected: list[ChainHead] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ended: tuple[ChainHead, str] | None = None
    is_complete: bool = False

    @property
    def origin(self) -> str:
        return str(self.header.get("log", ""))

    @property
    def follows(self) -> Mapping[str, Any]:
        follows = self.header.get("follows")
        return follows if isinstance(follows, Mapping) else {}

    def note(self, code: Code, message: str) -> None:
        problem = Problem(0, code, message)
        if problem not in self.problems:
            self.problems.append(problem)


def logs_of(folder: Path) -> list[Path]:
    """Returns the paths of the logs in a folder, by name."""
    return sorted(folder.glob("*.jsonl"))


def header_of(path: AnyPath) -> Mapping[str, Any]:
    """Returns the header of a log; empty if there is no header. Raises `OSError`."""
    with path.open("rb") as lines:
        header = open_line(lines.readline(LIMIT_HEADER_BYTES))
    return header if header is not None and isinstance(header.get("log"), str) and "seq" not in header else {}


def verify_folder(
    folder: AnyPath,
    copies: AnyPath | None = None,
    checkpoints: CheckpointReport | None = None,
    engine: WorkEngine = HERE,
    part_bytes: int = VERIFIED_BYTES,
) -> list[LogReport]:
    """Verifies every log of the folder, and every log that a head, another log or a checkpoint names. `checkpoints`:
    read before the logs, so that a log that grows meanwhile is at least as long as they state. `engine`: reads the logs, in
    parts of `part_bytes`. Raises `OSError`, and `EngineError` if a part cannot be read."""
    # Heads are read before the logs, for the same reason.
    heads = [(path, _read(path)) for place in (folder, copies) if place for path in matching(place, "*.head")]
    signed = checkpoints or CheckpointReport()
    logs = {path.name: _LogFile(path, header_of(path)) for path in matching(folder, "*.jsonl")}
    by_origin: defaultdict[str, list[_LogFile]] = defaultdict(list)
    for log in logs.values():
        if log.origin:
            by_origin[log.origin].append(log)
    for path, head in heads:
        if isinstance(head, tuple):
            origin, named_last = head
            if origin not in by_origin and _is_removed(origin, named_last, signed):
                continue
        _take_head(path.name, f"{path.stem}.jsonl", head, folder, logs, by_origin)
    for label, name, named_head in signed.heads():
        _take_head(label, name, named_head, folder, logs, by_origin)
    for log in list(logs.values()):
        if log.follows:
            _take_follows(log, by_origin, signed)
    for same in by_origin.values():
        for log in same[1:]:
            log.note("twice", f"two logs have the id {log.origin}: this one and {same[0].path.name}")
    if copies:
        copied = {head[0] for path, head in heads if path.parent == copies and isinstance(head, tuple)}
        for log in logs.values():
            if log.there and log.origin not in copied:
                log.notes.append("there is no copy of its head: nothing proves that its end is complete")
    if signed.number:
        _note_uncovered(logs.values(), signed)
    verified = [log for _, log in sorted(logs.items())]
    for log in verified:
        if log.there:
            log.parts = list(parts_of([(log.path, log.path.stat().st_size)], part_bytes))
    claims = {str(log.path): _expected(log, signed) for log in verified}
    found = engine.each(VerifyWork(claims), [part for log in verified for part in log.parts])
    reports = [_verify(log, claims[str(log.path)], found, signed) for log in verified]
    next(found, None)  # the end of the results ends the workers
    return reports


def verify_signed_folder(
    folder: AnyPath,
    keys: Sequence[PublicKey] = (),
    copies_of_checkpoints: Sequence[Copy] = (),
    copies: AnyPath | None = None,
    engine: WorkEngine = HERE,
) -> tuple[CheckpointReport | None, list[LogReport]]:
    """Verifies the checkpoints of a folder, and every log (`verify_checkpoints`, `verify_folder`).

    The proxy may remove old logs meanwhile (`audit_retain_s`): first a checkpoint names them, then their files go. So if a file
    is missing, and the checkpoints name more removed logs than before, all is read again. Raises `OSError` and
    `EngineError`."""
    looks = 0
    while True:
        looks += 1
        signed = verify_checkpoints(folder, keys, copies_of_checkpoints)
        logs: list[LogReport] = []
        missing: Exception | None = None
        try:
            logs = verify_folder(folder, copies, signed, engine)
        except (FileNotFoundError, EngineError) as error:  # an engine reads in other processes
            missing = error
        is_gone = any(problem.code == "gone" for log in logs for problem in log.report.problems)
        if (missing is None and not is_gone) or looks == LIMIT_LOOKS or not _has_removed_more(folder, signed):
            break
    if missing is not None:
        raise missing
    return signed, logs


def _has_removed_more(folder: AnyPath, signed: CheckpointReport | None) -> bool:
    """Whether the checkpoints of a folder name removed logs that they did not name before."""
    newest = verify_checkpoints(folder)
    before = signed.states.removed if signed is not None else {}
    return newest is not None and not newest.states.removed.keys() <= before.keys()


def _expected(log: _LogFile, signed: CheckpointReport) -> ExpectedLog:
    return ExpectedLog(tuple(dict.fromkeys(log.expected)), tuple(signed.stated.get(log.origin, ())))


def _is_removed(origin: str, head: ChainHead, signed: CheckpointReport) -> bool:
    """Whether a checkpoint says that the proxy removed the log, and that this record was in it."""
    removed = signed.states.removed.get(origin)
    if removed is None:
        return False
    # A size counts the header, and the first record behind it has the number 0.
    last = ChainHead(removed.size - 2, removed.hash)
    return head.seq < last.seq or head == last


def _note_uncovered(logs: Iterable[_LogFile], signed: CheckpointReport) -> None:
    """Reports logs that no checkpoint covers. A log that continues the last covered file of its log is allowed, and so is
    the log of commands: the next checkpoint covers them."""
    covered = {*signed.states.covered, *signed.states.removed}
    uncovered = [log for log in logs if log.there and log.origin and log.origin not in covered]
    ended = {str(log.follows.get("log")) for log in logs if log.origin in covered}
    commands = {log.origin for log in uncovered if log.path.name == _OF_COMMANDS and holds_commands_only(log.path)}
    allowed = covered - ended | commands
    grown = True
    while grown:
        more = {log.origin for log in uncovered if log.follows.get("log") in allowed} - allowed
        allowed |= more
        grown = bool(more)
    for log in uncovered:
        if log.origin in commands:
            log.notes.append("no checkpoint covers this log of commands yet: it is not signed")
        elif log.origin in allowed:
            log.notes.append("it began after the newest checkpoint: it is not signed yet")
        elif _has_records(log.path):
            log.note(
                "uncovered",
                "no checkpoint covers this log: it was inserted, or written while the log was not signed (then "
                "`guardproxy audit checkpoint` covers it from now on)",
            )


def _has_records(path: AnyPath) -> bool:
    with path.open("rb") as lines:
        return bool(lines.readline(LIMIT_HEADER_BYTES) and lines.read(1))


def _read(path: AnyPath) -> tuple[str, ChainHead] | str:
    """Returns the log's id and its head, or a description of the error."""
    try:
        return read_named_head(path.read_bytes())
    except AuditError as error:
        return str(error)


def _take_head(
    label: str,
    name: str,
    named_head: tuple[str, ChainHead] | str,
    folder: AnyPath,
    logs: dict[str, _LogFile],
    by_origin: Mapping[str, Sequence[_LogFile]],
) -> None:
    """Takes what a head file or a checkpoint (`label`) says about the log in the file `name`."""
    if isinstance(named_head, str):
        _log_file(folder, name, logs).note("rewritten", f"{label}: {named_head}")
        return
    origin, head = named_head
    same = by_origin.get(origin, ())
    for log in same:
        log.expected.append(head)
    if any(log.path.name == name for log in same):
        return
    for log in same:
        log.note("renamed", f"this is the log {origin}, which {label} calls {name}: it was renamed")
    log = _log_file(folder, name, logs)
    if not same and log.there and log.origin:
        message = f"expected the log {origin} with record {head.seq} ({label}), found the log {log.origin}"
        log.note("replaced", f"{message}: it was replaced")
    elif not same and log.there:
        log.expected.append(head)  # its broken header is reported separately
    elif not same:
        log.note("gone", f"expected the log {origin} with record {head.seq} ({label}): it was removed")
    elif not log.there:
        log.note("gone", f"the log {origin} is now {same[0].path.name}")


def _log_file(folder: AnyPath, name: str, logs: dict[str, _LogFile]) -> _LogFile:
    if name not in logs:
        logs[name] = _LogFile(folder / name, {}, there=False)
    return logs[name]


def _take_follows(log: _LogFile, by_origin: Mapping[str, Sequence[_LogFile]], signed: CheckpointReport) -> None:
    follows = log.follows
    origin, file, why = (str(follows.get(key, "")) for key in ("log", "file", "why"))
    head = head_of(follows)
    same = by_origin.get(origin, ())
    if head is None:
        log.note("header", "`follows` does not name a record")
        return
    if origin in signed.states.removed and not same:
        log.notes.append(f"{file} was removed by the proxy: {signed.states.removed[origin].why}")
    elif not same:
        log.note("gone", f"follows {file} (log {origin}, record {head.seq}), which is not here: {why}")
    for before in same:
        before.expected.append(head)
        before.is_complete = follows.get("complete") is True
        before.ended = head, f"ended ({why}); records continue in {log.path.name}"
        if before.path.name != file:
            before.note("renamed", f"this is {file}, which was renamed: {log.path.name} follows it")


def _verify(log: _LogFile, expected: ExpectedLog, found: Iterator[VerifiedPart], signed: CheckpointReport) -> LogReport:
    """Returns the report of a log. `found`: what was found in its parts, and then in those of the next logs."""
    if not log.there:
        return LogReport(log.path.name, Report("", 0, None, tuple(log.problems)))
    state = LogVerification(expected)
    for part, verified in zip(log.parts, islice(found, len(log.parts)), strict=True):
        state.take(part, verified)
    report = state.verifier.finish()
    problems = report.problems
    if not report.head and not log.expected and log.parts[-1].end == 0:
        problems = (Problem(1, "torn", "the file is empty: a crash at its start, or a start in progress"),)
    if log.ended:
        head, ended = log.ended
        log.notes.append(ended)
        is_longer = report.head is not None and report.head.seq > head.seq
        if not log.is_complete:
            problems = _confirmed(log, report, head, is_longer=is_longer)
        elif is_longer and not problems:
            log.note("order", f"the log ended with record {head.seq}, and records follow it: they were inserted")
    if expected.stated:
        _compare(log, state.watch, sorted({size for size, _ in expected.stated}), signed)
    return LogReport(log.path.name, replace(report, problems=(*problems, *log.problems)), tuple(log.notes))


def _confirmed(log: _LogFile, report: Report, head: ChainHead, *, is_longer: bool) -> tuple[Problem, ...]:
    """Returns the problems up to the last record that the next file names. Records after it were never confirmed: their
    write or sync failed."""
    # Lines count from 1, and the first is the header.
    last_line = head.seq + 2
    before = tuple(
        problem for problem in report.problems if problem.line <= last_line or problem.code in ("cut", "rewritten")
    )
    if not before and (report.problems or is_longer):
        log.notes.append(f"the lines after record {head.seq} were never confirmed")
    return before


def _compare(log: _LogFile, watch: RootWatch, sizes: Sequence[int], signed: CheckpointReport) -> None:
    """Reports the first checkpoint whose lines are not those of the file, and the lines that are not signed."""
    size = watch.finish().size
    if watch.wrong:
        wrong = watch.wrong[0]
        right = max((size for size in sizes if size < wrong), default=0)
        message = f"lines {right + 1} to {wrong} are not those that a checkpoint states: some were changed"
        log.problems.append(Problem(wrong, "rewritten", message))
    if size > sizes[-1]:
        log.notes.append(
            f"{size - sizes[-1]} records after record {sizes[-1] - 2} are newer than the newest checkpoint"
        )
    found = signed.found.get(log.origin, ())
    if found and log.path.match(OPERATOR_FILES):
        log.notes.append(f"commands wrote it: its first {found[-1][1]} lines were signed after they were written")
        return
    for start, end in found:
        log.notes.append(f"lines {start + 1} to {end} were found at a start of the proxy, and signed from then on")
