"""What a command found, for people. Pure.

In: what a command printed. Out: values for the page.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

LIMIT_PROBLEMS = 100
LIMIT_DIFFERENT = 50
LIMIT_SHOWN = 10  # differences
LIMIT_GROUPS = 1000
LIMIT_WORDS_CHARS = 300
OTHERS = "(other differences)"
_PROGRESS = re.compile(r"([a-z]+) (\d{1,12})/(\d{1,12})")
VERDICTS = {"identical": "good", "different": "bad", "cannot be told": "warn", "not replayable": "quiet"}
"""The results of a replay, and their colours."""
DIFFERING = ("different", "cannot be told")


class RunProgress(NamedTuple):
    """How far a command is. `verb`: what it does."""

    verb: str
    done: int
    total: int

    @property
    def percent(self) -> int:
        return 100 * self.done // self.total if self.total else 0


def progress_of(line: str) -> RunProgress | None:
    """Returns the progress that a line of standard error says; `None` for any other line."""
    match = _PROGRESS.fullmatch(line.strip())
    return None if match is None else RunProgress(match[1], int(match[2]), int(match[3]))


class _ProblemMembers(msgspec.Struct):
    line: int
    code: str
    message: str


class _ReportMembers(msgspec.Struct):
    file: str
    ok: bool
    torn: bool
    tampered: bool
    records: int
    problems: list[_ProblemMembers] = []
    notes: list[str] = []


class _CheckpointMembers(msgspec.Struct):
    ok: bool
    number: int = 0
    signed_by: str = ""
    at: float = 0.0
    witnessed: int = 0
    copies: int = 0
    problems: list[_ProblemMembers] = []
    notes: list[str] = []


class _VerifiedMembers(msgspec.Struct):
    ok: bool
    open_intents: int = 0
    logs: list[_ReportMembers] = []
    signed: bool = False
    checkpoints: _CheckpointMembers | None = None


class VerifiedFile(NamedTuple):
    """A file of the log. `state`: `intact`, `torn` or `changed`; `notes`: what is worth a look."""

    file: str
    state: str
    records: int
    notes: tuple[str, ...]


class LogProblem(NamedTuple):
    """A problem, in words. `where`: the file and the line."""

    where: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class VerifiedLog:
    """The result of verifying. `checkpoint`: the number and time of the newest one, if the log is signed; `signed_by`: whose
    signature was checked. `more`: problems that are not shown."""

    is_intact: bool
    records: int
    logs: tuple[VerifiedFile, ...]
    problems: tuple[LogProblem, ...]
    more: int
    open_intents: int
    checkpoint: tuple[int, float] | None
    signed_by: str
    notes: tuple[str, ...]

    @property
    def changed(self) -> int:
        """Returns the number of files with a problem that a crash does not explain."""
        return sum(log.state == "changed" for log in self.logs)


def verified_of(printed: bytes) -> VerifiedLog | None:
    """Returns what `audit verify --json` found; `None` if it printed something else."""
    try:
        found = msgspec.json.decode(printed, type=_VerifiedMembers)
    except (msgspec.DecodeError, UnicodeError):
        return None
    signed = found.checkpoints
    problems = [
        LogProblem("checkpoints", problem.code, problem.message) for problem in (signed.problems if signed else ())
    ]
    for log in found.logs:
        for problem in log.problems:
            where = f"{log.file}, line {problem.line}" if problem.line else log.file
            problems.append(LogProblem(where, problem.code, problem.message))
    return VerifiedLog(
        is_intact=found.ok,
        records=sum(log.records for log in found.logs),
        logs=tuple(
            VerifiedFile(
                log.file, "changed" if log.tampered else "torn" if log.torn else "intact", log.records, tuple(log.notes)
            )
            for log in found.logs
        ),
        problems=tuple(problems[:LIMIT_PROBLEMS]),
        more=max(0, len(problems) - LIMIT_PROBLEMS),
        open_intents=found.open_intents,
        checkpoint=(signed.number, signed.at) if signed and signed.number else None,
        signed_by=signed.signed_by if signed else "",
        notes=tuple(signed.notes) if signed else (),
    )


class _ReplayedMembers(msgspec.Struct):
    id: str
    verdict: str
    differences: list[str] = []
    on_findings: str = ""


@dataclass(frozen=True, slots=True)
class ReplayedExchanges:
    """The result of a replay. `counts`: exchanges by verdict; `groups`: the most frequent differences, with the number of their
    exchanges and the verdict; `shown`: those that differ, then those that cannot be told, as far as the page shows them: id,
    verdict, differences; `more`: how many it does not show."""

    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(VERDICTS, 0)))
    groups: tuple[tuple[str, int, str], ...] = ()
    shown: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    more: int = 0

    @property
    def total(self) -> int:
        return self.counts.total()


def replayed_of(lines: Iterable[bytes]) -> ReplayedExchanges:
    """Returns what `replay --json` printed. Lines that are no results are left out."""
    counts: Counter[str] = Counter(dict.fromkeys(VERDICTS, 0))
    groups: Counter[tuple[str, str]] = Counter()
    shown: dict[str, list[tuple[str, str, tuple[str, ...]]]] = {verdict: [] for verdict in DIFFERING}
    decode = msgspec.json.Decoder(_ReplayedMembers).decode
    for line in lines:
        try:
            found = decode(line)
        except (msgspec.DecodeError, UnicodeError):
            continue
        counts[found.verdict] += 1
        if found.verdict in shown:
            for words in set(found.differences):
                key = words[:LIMIT_WORDS_CHARS], found.verdict
                groups[key if key in groups or len(groups) < LIMIT_GROUPS else (OTHERS, found.verdict)] += 1
            if len(shown[found.verdict]) < LIMIT_DIFFERENT:
                shown[found.verdict].append((found.id, found.verdict, tuple(found.differences[:LIMIT_SHOWN])))
    most = tuple((words, count, verdict) for (words, verdict), count in groups.most_common(LIMIT_SHOWN))
    first = [row for verdict in DIFFERING for row in shown[verdict]][:LIMIT_DIFFERENT]
    more = sum(counts[verdict] for verdict in DIFFERING) - len(first)
    return ReplayedExchanges(counts, most, tuple(first), more)
