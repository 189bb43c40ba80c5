"""What the list of exchanges shows of a row, and the groups beside it.

In: rows and groups of the index. Out: words, and links that change the filter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from guardproxy.console.index import Row

_TONES = {"blocked_request": "bad", "blocked_response": "bad", "answered": "good", "passed": "quiet"}
MOST_LABELS = 4


class ListRow(NamedTuple):
    """A row of the list. `tone`: the colour of its outcome; `labels`: the first of them, `more`: how many others; `tokens`,
    `cost`, `ms`: as texts, empty if they are not known; `marks`: words about the exchange."""

    row: Row
    outcome: str
    tone: str
    rules: tuple[str, ...]
    shadow: tuple[str, ...]
    labels: tuple[str, ...]
    more: int
    tokens: str
    cost: str
    ms: str
    marks: tuple[str, ...]


class GroupLink(NamedTuple):
    """A value of a column. `query`: the filter that a click on it makes; `is_chosen`: whether the filter has it."""

    value: str
    exchanges: int
    query: Mapping[str, str]
    is_chosen: bool


class GroupColumn(NamedTuple):
    """A column with its most frequent values. `can_filter`: whether a filter can choose a value."""

    name: str
    links: tuple[GroupLink, ...]
    can_filter: bool


def list_row(row: Row) -> ListRow:
    """Returns what the list shows of an exchange."""
    marks = [
        mark
        for mark, holds in (
            ("stream", row.stream),
            (f"{row.attempts} attempts", row.attempts > 1),
            ("sealed", row.keep == "sealed"),
            ("erased", row.keep == "erased"),
            ("from the cache", row.cache == "hit"),
            ("not all inspected", row.uninspected),
            ("line changed", not row.intact),
        )
        if holds
    ]
    counts = [count for count in (row.tokens_in, row.tokens_out) if count is not None]
    outcome = row.outcome if not row.error or row.error == row.outcome else f"{row.outcome}: {row.error}"
    tone = "info" if row.outcome == "answered" and row.edited else _TONES.get(row.outcome, "warn")
    return ListRow(
        row=row,
        outcome="redacted" if row.outcome == "answered" and row.edited else outcome,
        tone=tone,
        rules=tuple(row.rules[:MOST_LABELS]),
        shadow=tuple(row.shadow[:MOST_LABELS]),
        labels=tuple(row.labels[:MOST_LABELS]),
        more=max(0, len(row.labels) - MOST_LABELS),
        tokens=f"{sum(counts):,}" if counts else "",
        cost="" if row.cost is None else f"{row.cost:.6f}".rstrip("0").rstrip("."),
        ms="" if row.total_ms is None else f"{row.total_ms:,.0f}",
        marks=tuple(marks),
    )


def group_links(groups: Mapping[str, Sequence[tuple[str, int]]], query: Mapping[str, str]) -> tuple[GroupColumn, ...]:
    """Returns the columns beside a list. A click on a value that is chosen takes it out of the filter."""
    columns = []
    for column, values in groups.items():
        rest = {name: value for name, value in query.items() if name != column}
        links = tuple(
            GroupLink(
                value,
                count,
                rest if query.get(column) == value else {**rest, column: value},
                query.get(column) == value,
            )
            for value, count in values
        )
        if links:
            columns.append(GroupColumn(column, links, column != "keep"))
    return tuple(columns)


def outcome_options(outcomes: Mapping[str, tuple[str, str]], chosen: str | None) -> list[tuple[str, str]]:
    """Returns the choices of outcomes, with the chosen one if it is another word."""
    options = [("", "any"), *((name, name) for name in outcomes)]
    if chosen and chosen not in outcomes:
        options.append((chosen, chosen))
    return options
