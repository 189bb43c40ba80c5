"""The checks of an exchange with their findings and scores, each on its scale with its threshold.

In: a record, and what the policies say about thresholds. Out: a row for each check, with a score for each of its labels.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from guardproxy.audit import Record
from guardproxy.audit.record import RecordedFinding, RecordedSide, RecordedText
from guardproxy.checks import Supervisor, TopicCheck
from guardproxy.console.pages.exchanges.seen import read_text
from guardproxy.findings import Direction, origin_words
from guardproxy.policy import CHECK_ERROR, PolicySet
from guardproxy.redaction import PLACEHOLDER, RESTORE

ROWS = 100
"""The number of findings of a part of a table."""
VALUE_CHARS = 80

Thresholds = Callable[[str, str, str], float | None]
"""Returns the lowest score that is a finding, for a check, a label and a kind of text; `None` if it is not known."""


class LabelScore(NamedTuple):
    """The findings of a label. `threshold`: `None` if it is not known, or if the check has none."""

    label: str
    kind: str
    found: int
    highest: float
    lowest: float
    threshold: float | None


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A check that applied. `texts`: how many texts it read; `scores`: by label; `failed`: on how many texts it failed;
    `known`: whether the check that is served now is the same, so that its thresholds are those of the exchange."""

    name: str
    digest: str
    texts: int
    count: int
    failed: int
    scores: tuple[LabelScore, ...]
    known: bool


class FindingRow(NamedTuple):
    """A finding for a table. `value`: the span as the record shows it; `origins`: where it came from, in words; `number`: of
    its text in its direction."""

    direction: Direction
    attempt: int
    number: int
    path: str
    kind: str
    check: str
    label: str
    start: int
    end: int
    score: float
    threshold: float | None
    value: str
    is_edited: bool
    origins: tuple[str, ...]


def thresholds_of(policies: PolicySet, record: Record) -> Thresholds:
    """Returns the thresholds of the checks that are the same as in the record."""
    checks = {check.name: check for check in policies.checks.values() if record.checks.get(check.name) == check.digest}
    options = {
        check.name: policy.checks[name].options.get("threshold")
        for policy in policies.policies
        for name in policy.checks
        if (check := policies.checks.get((policy.name, name))) is not None
    }

    def threshold(name: str, label: str, kind: str) -> float | None:
        check = checks.get(name)
        if isinstance(check, Supervisor):
            places = {str(known): (*check.wanted[known], *check.names[known]) for known in check.wanted}
            least = [
                min(each.thresholds.values())
                for each in places.get(kind, ())
                if each.label == label and each.thresholds
            ]
            return min(least, default=None)
        if isinstance(check, TopicCheck):
            return min((topic.threshold for topic in check.topics if label == topic.topic.name), default=None)
        given = options.get(name) if check is not None else None
        found = given.get(label) if isinstance(given, dict) else given
        return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None

    return threshold


def no_thresholds(name: str, label: str, kind: str) -> float | None:
    """Knows no threshold: the policies of the exchange are not the ones that are served."""
    return None


def check_rows(record: Record, thresholds: Thresholds, known: Callable[[str], bool]) -> tuple[CheckRow, ...]:
    """Returns a row for each check that applied, by name. `known`: whether the check that is served now is the same."""
    rows: dict[str, dict[tuple[str, str], list[float]]] = {name: {} for name in record.checks}
    texts = dict.fromkeys(rows, 0)
    failed = dict.fromkeys(rows, 0)
    for _, _, _, text in each_text(record):
        for name in text.checks:
            texts[name] = texts.get(name, 0) + 1
        for finding in text.findings:
            if finding.check == RESTORE:
                continue
            if finding.label == CHECK_ERROR:
                failed[finding.check] = failed.get(finding.check, 0) + 1
                continue
            rows.setdefault(finding.check, {}).setdefault((finding.label, text.kind), []).append(finding.score)
    return tuple(
        CheckRow(
            name=name,
            digest=record.checks.get(name, ""),
            texts=texts.get(name, 0),
            count=sum(map(len, found.values())),
            failed=failed.get(name, 0),
            scores=tuple(
                LabelScore(label, kind, len(scores), max(scores), min(scores), thresholds(name, label, kind))
                for (label, kind), scores in sorted(found.items())
            ),
            known=known(name),
        )
        for name, found in sorted(rows.items())
        if name != RESTORE
    )


def each_text(record: Record) -> Iterator[tuple[Direction, int, int, RecordedText]]:
    """Yields every text with its direction, the number of its answer and its number there."""
    sides: list[tuple[Direction, int, RecordedSide]] = [("request", 0, record.request)]
    sides += [("response", attempt, answer) for attempt, answer in enumerate(record.answers)]
    for direction, attempt, side in sides:
        for number, text in enumerate(side.texts):
            yield direction, attempt, number, text


def finding_rows(record: Record, thresholds: Thresholds, first: int = 0, rows: int = ROWS) -> tuple[FindingRow, ...]:
    """Returns `rows` findings from number `first` on, in the order of the texts."""
    return tuple(islice(_rows(record, thresholds), max(0, first), max(0, first) + rows))


def finding_total(record: Record) -> int:
    """Returns the number of findings that `finding_rows` has."""
    return sum(
        sum(finding.check != RESTORE for finding in text.findings) + len(text.grounds) for *_, text in each_text(record)
    )


def _rows(record: Record, thresholds: Thresholds) -> Iterator[FindingRow]:
    for direction, attempt, number, text in each_text(record):
        shown = read_text(text) or ""
        edits = sorted(text.edits)
        starts = [start for start, _ in edits]
        for finding in (*text.findings, *text.grounds):
            if finding.check == RESTORE:
                continue
            yield FindingRow(
                direction=direction,
                attempt=attempt,
                number=number,
                path=text.path,
                kind=text.kind,
                check=finding.check,
                label=finding.label,
                start=finding.start,
                end=finding.end,
                score=finding.score,
                threshold=thresholds(finding.check, finding.label, text.kind),
                value=_value(shown, finding),
                is_edited=_is_edited(edits, starts, finding),
                origins=tuple(_origins(finding)),
            )


def _value(shown: str, finding: RecordedFinding) -> str:
    value = shown[max(0, finding.start) : max(0, finding.end)]
    if PLACEHOLDER.fullmatch(value) or len(value) <= VALUE_CHARS:
        return value
    return value[:VALUE_CHARS] + "…"


def _is_edited(edits: list[tuple[int, int]], starts: list[int], finding: RecordedFinding) -> bool:
    at = bisect_right(starts, finding.start) - 1
    return at >= 0 and edits[at][0] <= finding.start and finding.end <= edits[at][1]


def _origins(finding: RecordedFinding) -> Iterator[str]:
    for origin in finding.origins:
        yield origin_words(origin.argument, origin.path, origin.start, origin.end, is_earlier=origin.earlier)
