"""What queries of the index return: rows of exchanges and what they add up to. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from guardproxy.console.index.filters import Cursor

MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """An exchange in a list. See `IndexedRow` for what the members mean. `log`: the name of its file. `keep`: `kept`, `sealed`,
    `erased` (its key was destroyed) or `none`. `feedback`: the newest thumbs or score of its client; `None` without any.
    `later`: the kinds of what the log says later about it. `distance`: how far the highest score is above the threshold of its
    check, if the filter has `near`; `None` if the threshold is not known."""

    at: float
    id: str
    log: str
    start: int
    length: int
    seq: int
    hash: str
    intact: bool
    tenant: str
    tenant_name: str
    client: str
    route: str
    format: str
    model: str
    served_model: str
    upstream: str
    policies: tuple[str, ...]
    rules: tuple[str, ...]
    shadow: tuple[str, ...]
    labels: tuple[str, ...]
    outcome: str
    error: str
    status: int
    edited: bool
    attempts: int
    stream: bool
    cache: str
    tokens_in: int | None
    tokens_out: int | None
    cost: float | None
    added_ms: float | None
    first_ms: float | None
    total_ms: float | None
    uninspected: bool
    keep: str
    conversation: str
    top_check: str
    top_label: str
    top_score: float | None
    feedback: str | None
    later: tuple[str, ...]
    distance: float | None = None

    @property
    def cursor(self) -> Cursor:
        """Returns its place in lists."""
        return Cursor(self.at, self.id)

    @property
    def who(self) -> str:
        """Returns the tenant by its name, or by its digest without a name."""
        return self.tenant_name or self.tenant


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of exchanges, newest first. `older`, `newer`: where the next pages begin; `None` at an end."""

    rows: tuple[Row, ...]
    older: Cursor | None
    newer: Cursor | None


@dataclass(frozen=True, slots=True)
class Series:
    """Counts over time. `start_s`: of the first bucket; `step_s`: the length of a bucket; `counts`: by the value of the
    column, a number for each bucket."""

    start_s: float
    step_s: float
    counts: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Totals:
    """What exchanges add up to. `cost`: in the unit of prices. `added_p50_ms`, `added_p99_ms`: the median and the 99th
    percentile of the time that checks added; `None` without a value."""

    count: int
    blocked: int
    edited: int
    retried: int
    refused: int
    tokens_in: int
    tokens_out: int
    cost: float
    added_p50_ms: float | None
    added_p99_ms: float | None


class Neighbours(NamedTuple):
    """The ids of the exchanges beside one in a list: the newer one (`previous`) and the older one (`next`)."""

    previous: str | None
    next: str | None


class LogMention(NamedTuple):
    """Where the log says something about an exchange. `kind`: of the entry, or `feedback`."""

    kind: str
    value: str
    by: str
    at: float
    log: str
    start: int
    length: int
    hash: str
