"""Compares two exchanges: their texts, findings, decisions and plans, side by side.

In: two records, as a person may see them. Out: pairs of texts with the parts that differ, and rows of values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from guardproxy.audit import Record
from guardproxy.audit.record import RecordedText
from guardproxy.console.pages.exchanges.about import attempt_rows, groups, money
from guardproxy.console.pages.exchanges.scales import each_text
from guardproxy.console.pages.exchanges.seen import read_text
from guardproxy.policytest import Fragment, contrast

LIMIT_CHARS = 1500
"""The length up to which a text is compared word by word: the cost grows with the product of both lengths."""
ALL_CHARS = 12_000
"""The length of all texts that are compared so. Those after them are shown, and not compared."""
MOST_TEXTS = 60


class ComparedRow(NamedTuple):
    """A value of both exchanges. An empty text: the exchange has none."""

    name: str
    first: str
    second: str

    @property
    def differs(self) -> bool:
        """Whether both values differ."""
        return self.first != self.second


@dataclass(frozen=True, slots=True)
class ComparedText:
    """A text of both exchanges at the same place. `note`: why a part of them is not compared; empty if all is."""

    place: str
    kind: str
    first: tuple[Fragment, ...]
    second: tuple[Fragment, ...]
    same: bool
    note: str


@dataclass(frozen=True, slots=True)
class ComparedExchanges:
    """Two exchanges side by side. `more`: the number of texts that are left out."""

    facts: tuple[ComparedRow, ...]
    findings: tuple[ComparedRow, ...]
    decisions: tuple[ComparedRow, ...]
    texts: tuple[ComparedText, ...]
    more: int


def compare(first: Record, second: Record) -> ComparedExchanges:
    """Compares two exchanges."""
    texts = list(_pairs(first, second))
    return ComparedExchanges(
        facts=tuple(_facts(first, second)),
        findings=tuple(_counted(_findings(first), _findings(second))),
        decisions=tuple(_counted(_decisions(first), _decisions(second))),
        texts=tuple(_texts(texts[:MOST_TEXTS])),
        more=max(0, len(texts) - MOST_TEXTS),
    )


def _facts(first: Record, second: Record) -> Iterator[ComparedRow]:
    tables = [
        {
            "outcome": record.outcome,
            "status": str(record.status or ""),
            "rules": ", ".join(record.rules),
            "shadow rules": ", ".join(record.shadow),
            "cost": money(record.cost),
            "time, ms": "" if record.total_ms is None else f"{record.total_ms:.1f}",
            **{
                f"attempt {row.number + 1}": f"{row.decision} {row.upstream} {row.model}".strip()
                for row in attempt_rows(record)
            },
            **{f"{group.title}: {fact.name}": fact.value for group in groups(record) for fact in group.facts},
        }
        for record in (first, second)
    ]
    for name in dict.fromkeys([*tables[0], *tables[1]]):
        yield ComparedRow(name, tables[0].get(name, ""), tables[1].get(name, ""))


def _findings(record: Record) -> dict[str, int]:
    counts: dict[str, int] = {}
    for direction, _, _, text in each_text(record):
        for finding in text.findings:
            name = f"{finding.check}: {finding.label} in {text.kind} of the {direction}"
            counts[name] = counts.get(name, 0) + 1
    return counts


def _decisions(record: Record) -> dict[str, int]:
    counts: dict[str, int] = {}
    for decision in record.decisions:
        quiet = " (shadow)" if decision.mode == "shadow" else ""
        name = f"{decision.policy}: {decision.rule} ({decision.action}){quiet}"
        counts[name] = counts.get(name, 0) + 1
    return counts


def _counted(first: dict[str, int], second: dict[str, int]) -> Iterator[ComparedRow]:
    for name in sorted({*first, *second}):
        yield ComparedRow(name, str(first.get(name, "")), str(second.get(name, "")))


Places = dict[tuple[str, int, str], RecordedText]


def _places(record: Record) -> Places:
    places: Places = {}
    for direction, attempt, _, text in each_text(record):
        places.setdefault((direction, attempt, text.path), text)
    return places


TextPair = tuple[tuple[str, int, str], tuple[RecordedText | None, RecordedText | None]]


def _pairs(first: Record, second: Record) -> Iterator[TextPair]:
    ours, theirs = _places(first), _places(second)
    # The request of both comes before the answers of both.
    for place in sorted({**ours, **theirs}, key=lambda place: (place[0] != "request", place[1])):
        yield place, (ours.get(place), theirs.get(place))


def _texts(pairs: Sequence[TextPair]) -> Iterator[ComparedText]:
    left = ALL_CHARS
    for (direction, attempt, path), (first, second) in pairs:
        kind = next(text.kind for text in (first, second) if text is not None)
        where = path if direction == "request" else f"{path} of answer {attempt + 1}"
        ours, theirs = (_shown(text) for text in (first, second))
        notes = list(_notes(first, second))
        if max(len(ours), len(theirs)) > LIMIT_CHARS:
            notes.append("Only the beginnings are shown here.")
        left_head, right_head = ours[:LIMIT_CHARS], theirs[:LIMIT_CHARS]
        pair: tuple[tuple[Fragment, ...], tuple[Fragment, ...]]
        if left_head == right_head:
            pair = (Fragment(left_head),), (Fragment(right_head),)
        elif left > 0:
            pair = contrast(left_head, right_head)
            left -= max(len(left_head), len(right_head))
        else:
            pair = (Fragment(left_head, differs=True),), (Fragment(right_head, differs=True),)
            notes.append("They are not compared word by word: the texts before them are long.")
        yield ComparedText(where, kind, pair[0], pair[1], ours == theirs, " ".join(notes))


def _notes(first: RecordedText | None, second: RecordedText | None) -> Iterator[str]:
    for name, text in (("first", first), ("second", second)):
        if text is None:
            yield f"The {name} exchange has no such text."
        elif text.text is None:
            yield f"The {name} record does not keep the text."


def _shown(text: RecordedText | None) -> str:
    return (read_text(text) or "") if text is not None else ""
