"""What limits and budgets leave, as the page shows it. Pure.

In: the answers of the workers to `/all/limits`. Out: lines, the scarcest first. Where each worker counts its own, the worker
with the least left counts: a client may be refused there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from guardproxy.policy.usage import amount_words

LIMIT_LINES = 300
SCARCE, USED_UP = 0.2, 0.0


class _Left(msgspec.Struct, frozen=True):
    limit: str
    unit: str
    most: int
    left: int
    reset_s: float = 0.0
    is_shadow: bool = False
    client: str = ""
    tenant: str = ""
    model: str = ""


class _Words(msgspec.Struct, frozen=True):
    limit: str
    words: str


class _Worker(msgspec.Struct, frozen=True):
    ok: bool = False
    error: str = ""
    left: tuple[_Left, ...] = ()
    limits: tuple[_Words, ...] = ()


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """What a limit leaves. `words`: what it is; `whose`: of whom, such as `acme`; `left`, `most`: amounts in words; `share`:
    the share that is left, from 0 to 1; `again`: when all of it is there again, in words."""

    limit: str
    words: str
    whose: str
    client: str
    tenant: str
    left: str
    most: str
    share: float
    again: str
    kind: str
    is_shadow: bool


@dataclass(frozen=True, slots=True)
class BudgetBoard:
    """All lines. `problem`: why nothing is known. `has_limits`: whether any limit is in force. `is_each`: whether each worker
    counts its own."""

    lines: tuple[BudgetLine, ...] = ()
    problem: str = ""
    has_limits: bool = False
    is_each: bool = False

    def of_client(self, name: str, tenant: str) -> tuple[BudgetLine, ...]:
        """Returns the lines that count the requests of a client: its own, those of its tenant, and those that all share."""
        return tuple(
            line
            for line in self.lines
            if (line.client == name if line.client else not line.tenant or line.tenant == tenant)
        )

    def scarcest(self, name: str, tenant: str) -> BudgetLine | None:
        """Returns the limit of a client with the smallest share left."""
        enforced = (line for line in self.of_client(name, tenant) if not line.is_shadow)
        return min(enforced, key=lambda line: line.share, default=None)


def budgets_of(shown: Any, is_shared: bool) -> BudgetBoard:
    """Returns what the workers say is left. `is_shared`: whether they count in one store."""
    workers = [worker for worker in _workers(shown) if worker is not None]
    if not workers:
        return BudgetBoard(problem="no worker of the proxy says what is left")
    words = {limit.limit: limit.words for worker in workers for limit in worker.limits}
    failed = next((worker.error for worker in workers if not worker.ok), "")
    if failed:
        return BudgetBoard(problem=failed, has_limits=bool(words))
    least: dict[tuple[str, str, str, str], _Left] = {}
    for left in (left for worker in workers for left in worker.left):
        key = left.limit, left.client, left.tenant, left.model
        if key not in least or left.left < least[key].left:
            least[key] = left
    lines = sorted(
        (_line(left, words) for left in least.values()), key=lambda line: (line.share, line.limit, line.whose)
    )
    return BudgetBoard(tuple(lines[:LIMIT_LINES]), "", bool(words), len(workers) > 1 and not is_shared)


def _workers(shown: Any) -> Iterable[_Worker | None]:
    for answer in shown.values() if isinstance(shown, dict) else ():
        try:
            yield msgspec.convert(answer, _Worker, strict=False) if isinstance(answer, dict) else None
        except msgspec.ValidationError:
            yield None


def _line(left: _Left, words: Mapping[str, str]) -> BudgetLine:
    share = max(0.0, min(1.0, left.left / left.most)) if left.most else 0.0
    kind = "bad" if share <= USED_UP else "warn" if share < SCARCE else "good"
    unit = cast(Any, left.unit)
    whose = " · ".join(filter(None, (left.client or left.tenant, left.model))) or "all together"
    return BudgetLine(
        left.limit,
        words.get(left.limit, left.limit).partition(": ")[2] or left.limit,
        whose,
        left.client,
        left.tenant,
        f"{amount_words(left.left, unit)}",
        f"{amount_words(left.most, unit)} {left.unit}",
        share,
        again_words(left.reset_s),
        "quiet" if left.is_shadow else kind,
        left.is_shadow,
    )


def again_words(seconds: float) -> str:
    """Returns a time from now in words; empty for now."""
    if seconds <= 0:
        return ""
    for unit, length in (("day", 86_400.0), ("hour", 3600.0), ("minute", 60.0)):
        if seconds >= 2 * length:
            return f"in {round(seconds / length)} {unit}s"
    return f"in {max(1, round(seconds))} s"
