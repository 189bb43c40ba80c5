"""What the templates of the page Policies show: lines of files with remarks, differences, steps of streams (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from guardproxy.console.pages.policies.tasks import CoverageCell, FileMark, PlayedStream, PolicyWords
from guardproxy.policy.values import VERDICTS, action_of

LIMIT_LINES = 4000
LIMIT_LINE_CHARS = 2000
LIMIT_DIFF_LINES = 1500  # on both sides, between what is equal at the beginning and at the end
AROUND_LINES = 3
WEIGHTS = {"error": "bad", "warning": "warn", "note": "info"}
EFFECTS = {"loosens": "bad", "tightens": "good", "either": "warn", "neutral": "quiet"}
STATES = {"decided": "bad", "held": "warn", "shadow": "info", "no": "quiet"}
_TONES = {"warn": "info", "modify": "warn", "deny": "bad"}
DECISIONS = {name: _TONES[action.verdict] if (action := action_of(name)) else "good" for name in VERDICTS}


@dataclass(frozen=True, slots=True)
class FileLine:
    """A line of a file with its remarks. `anchor`: what begins there."""

    number: int
    text: str
    marks: tuple[FileMark, ...] = ()

    @property
    def kind(self) -> str:
        """The class of the heaviest remark; empty without remarks."""
        found = {mark.weight for mark in self.marks}
        return next((kind for weight, kind in WEIGHTS.items() if weight in found), "")


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file in the list. `errors`, `warnings`, `notes`: the number of remarks. `is_edited`: the person has a draft of it;
    `is_new`: there is only the draft."""

    name: str
    policies: tuple[PolicyWords, ...]
    errors: int
    warnings: int
    notes: int
    is_edited: bool = False
    is_new: bool = False

    @property
    def rules(self) -> int:
        return sum(len(policy.rules) for policy in self.policies)

    @property
    def tests(self) -> int:
        return sum(len(policy.tests) for policy in self.policies)


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line of a difference. `kind`: added, removed, same or left_out. `old`, `new`: line numbers; 0: none."""

    kind: str
    text: str
    old: int = 0
    new: int = 0


@dataclass(frozen=True, slots=True)
class CoveredCheck:
    """A check that reads a kind of text. `is_quiet`: only rules in shadow mode use it, or only some requests have it."""

    name: str
    is_quiet: bool
    title: str


@dataclass(frozen=True, slots=True)
class CoverageTableRow:
    """A kind of text of a format, and the checks that read it."""

    direction: str
    kind: str
    checks: tuple[CoveredCheck, ...]


@dataclass(frozen=True, slots=True)
class CoveredFormat:
    """A wire format. `unread`: the number of kinds of texts that no check reads."""

    name: str
    unread: int


def file_lines(text: str, marks: Iterable[FileMark]) -> tuple[FileLine, ...]:
    """Returns the lines of a file, the first `LIMIT_LINES`. Remarks behind the end are at the last line."""
    lines = text.split("\n")
    if lines[-1] == "" and len(lines) > 1:
        lines = lines[:-1]
    by_line: dict[int, list[FileMark]] = {}
    for mark in marks:
        by_line.setdefault(max(1, min(mark.line, len(lines))), []).append(mark)
    return tuple(
        FileLine(number, _short(line), tuple(by_line.get(number, ())))
        for number, line in enumerate(lines[:LIMIT_LINES], 1)
    )


def _short(line: str) -> str:
    return line if len(line) <= LIMIT_LINE_CHARS else f"{line[:LIMIT_LINE_CHARS]}…"


def file_rows(
    names: Sequence[str], policies: Iterable[PolicyWords], marks: Iterable[FileMark], edited: Iterable[str]
) -> tuple[FileRow, ...]:
    """Returns the files with what is known of them."""
    by_file: dict[str, list[PolicyWords]] = {}
    for policy in policies:
        by_file.setdefault(policy.file, []).append(policy)
    counts = Counter((mark.file, mark.weight) for mark in marks)
    drafts, known = set(edited), set(names)
    return tuple(
        FileRow(
            name,
            tuple(by_file.get(name, ())),
            counts[name, "error"],
            counts[name, "warning"],
            counts[name, "note"],
            name in drafts,
            name not in known,
        )
        for name in (*names, *sorted(drafts - known))
    )


def covered_formats(cells: Iterable[CoverageCell]) -> tuple[CoveredFormat, ...]:
    """Returns the formats of a coverage."""
    unread: dict[str, int] = {}
    for cell in cells:
        unread[cell.format] = unread.get(cell.format, 0) + (not cell.checks)
    return tuple(CoveredFormat(name, count) for name, count in unread.items())


def coverage_rows(cells: Iterable[CoverageCell], format: str) -> tuple[CoverageTableRow, ...]:
    """Returns the kinds of texts of a format, those of requests first."""
    rows = (
        CoverageTableRow(cell.direction, cell.kind, tuple(map(_covered, cell.checks)))
        for cell in cells
        if cell.format == format
    )
    return tuple(sorted(rows, key=lambda row: row.direction != "request"))


def _covered(name: str) -> CoveredCheck:
    is_shadow, is_partial = name.startswith("("), name.endswith("*")
    title = (
        "only in shadow mode" if is_shadow else "only if the policy matches" if is_partial else "reads every request"
    )
    return CoveredCheck(name, is_shadow or is_partial, title)


def diff_lines(old: str, new: str, around: int = AROUND_LINES) -> tuple[DiffLine, ...]:
    """Returns the differences of two texts by lines. What is equal at both ends is left out first, so that large files with
    small changes are compared quickly; if more than `LIMIT_DIFF_LINES` are left, all of them count as changed."""
    before, after = old.splitlines(), new.splitlines()
    low = 0
    while low < min(len(before), len(after)) and before[low] == after[low]:
        low += 1
    high = 0
    while high < min(len(before), len(after)) - low and before[-1 - high] == after[-1 - high]:
        high += 1
    middle_old, middle_new = before[low : len(before) - high], after[low : len(after) - high]
    if not middle_old and not middle_new:
        return ()
    out = [DiffLine("same", _short(before[at]), at + 1, at + 1) for at in range(max(0, low - around), low)]
    out += _middle(middle_old, middle_new, low, around)
    for step in range(min(around, high)):
        at, to = len(before) - high + step, len(after) - high + step
        out.append(DiffLine("same", _short(before[at]), at + 1, to + 1))
    return tuple(out)


def _middle(old: Sequence[str], new: Sequence[str], low: int, around: int) -> list[DiffLine]:
    if len(old) + len(new) > LIMIT_DIFF_LINES:
        return [*_gone(old[:LIMIT_DIFF_LINES], low), *_new(new[:LIMIT_DIFF_LINES], low)]
    out: list[DiffLine] = []
    for tag, old_low, old_high, new_low, new_high in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            out += _gone(old[old_low:old_high], low + old_low)
            out += _new(new[new_low:new_high], low + new_low)
            continue
        same = [
            DiffLine("same", _short(line), low + old_low + step + 1, low + new_low + step + 1)
            for step, line in enumerate(old[old_low:old_high])
        ]
        if len(same) > 2 * around:
            same = [*same[:around], DiffLine("left_out", f"{len(same) - 2 * around} equal lines"), *same[-around:]]
        out += same
    return out


def _gone(lines: Sequence[str], at: int) -> list[DiffLine]:
    return [DiffLine("removed", _short(line), old=at + step + 1) for step, line in enumerate(lines)]


def _new(lines: Sequence[str], at: int) -> list[DiffLine]:
    return [DiffLine("added", _short(line), new=at + step + 1) for step, line in enumerate(lines)]


@dataclass(frozen=True, slots=True)
class HoldBackPlot:
    """The lines of a plot of a stream: what has arrived, and what has left, by steps."""

    arrived: str
    released: str
    area: str
    title: str
    width: int = 600
    height: int = 120


def hold_back_plot(stream: PlayedStream, width: int = 600, height: int = 120) -> HoldBackPlot | None:
    """Returns the plot of a stream; `None` for one of a single step. The area between both lines is what is held."""
    steps = stream.steps
    most = max((max(step.arrived_chars, step.released_chars) for step in steps), default=0)
    if len(steps) < 2 or not most:
        return None

    def line(values: Sequence[int]) -> list[str]:
        return [
            f"{width * number / (len(values) - 1):.1f},{height - height * value / most:.1f}"
            for number, value in enumerate(values)
        ]

    arrived = line([step.arrived_chars for step in steps])
    released = line([step.arrived_chars - step.held_chars for step in steps])
    title = f"{len(steps)} steps; at most {stream.most_held} characters were held back"
    return HoldBackPlot(
        " ".join(arrived), " ".join(released), " ".join([*arrived, *reversed(released)]), title, width, height
    )


def summary_of(counts: Mapping[str, int]) -> str:
    """Returns how many exchanges were compared, in words."""
    total = sum(counts.values())
    parts = ", ".join(f"{number:,} {name}" for name, number in counts.items() if number)
    return f"{total:,} exchanges: {parts}" if total else "no exchange of the log is in this period"
