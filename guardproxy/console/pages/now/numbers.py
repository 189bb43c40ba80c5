"""The numbers of the page Now, over the last 5 minutes, hour or day. Pure, but for what the index reads.

In: what the index says of a time, and what the workers say of themselves. Out: figures with small plots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from guardproxy.config import Config
from guardproxy.console.index import Filter, Series, Totals
from guardproxy.console.proxy_status import Statuses, first_status
from guardproxy.policy.usage import number_words

WINDOWS: Mapping[str, tuple[str, float]] = {
    "5m": ("5 minutes", 300.0),
    "1h": ("hour", 3600.0),
    "1d": ("day", 86_400.0),
}
"""The times that can be chosen: their words and seconds. The first is the default."""
BUCKETS = 30
ERRORS_S = 300.0
_PLOTS = ("blocked", "redacted", "retried", "refused")


class IndexedLog(Protocol):
    """What the numbers read of the index."""

    def totals(self, chosen: Filter) -> Totals: ...

    def series(self, chosen: Filter, column: str | None = None, buckets: int = 48, limit: int = 12) -> Series: ...

    def groups(self, chosen: Filter, column: str, limit: int = 200) -> list[tuple[str, int]]: ...

    def count(self, chosen: Filter) -> int: ...

    def rows(self, chosen: Filter, limit: int = 50) -> object: ...


@dataclass(frozen=True, slots=True)
class Figure:
    """A number on the page. `values`: of its small plot, empty without one. `query`: of the list of exchanges that it counts;
    `None` without a list."""

    label: str
    value: str
    note: str = ""
    kind: str = ""
    values: tuple[int, ...] = ()
    query: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class WindowNumbers:
    """What the index says of a time. `plots`: exchanges for each part of the time, by group of outcomes; `all`: every one."""

    totals: Totals
    plots: Mapping[str, tuple[int, ...]]
    since_s: float
    until_s: float


def read_window(index: IndexedLog, now_s: float, length_s: float) -> WindowNumbers:
    """Reads the numbers of the last `length_s` seconds. It blocks for some milliseconds."""
    since_s = now_s - length_s
    chosen = Filter(since=since_s, until=now_s)
    plots = {"all": _plot(index, chosen)}
    totals = index.totals(chosen)
    for group in _PLOTS if totals.count else ():
        plots[group] = _plot(index, Filter(since=since_s, until=now_s, outcome=group))
    return WindowNumbers(totals, plots, since_s, now_s)


def _plot(index: IndexedLog, chosen: Filter) -> tuple[int, ...]:
    return index.series(chosen, buckets=BUCKETS).counts.get("all", (0,) * BUCKETS)


def read_errors(index: IndexedLog, now_s: float) -> list[tuple[str, int]]:
    """Reads the codes of the errors of the last minutes with the number of requests that got each."""
    return index.groups(Filter(since=now_s - ERRORS_S, until=now_s), "error")


def figures_of(window: WindowNumbers, statuses: Statuses, config: Config, length_s: float) -> tuple[Figure, ...]:
    """Returns the figures of a time."""
    totals, plots = window.totals, window.plots
    since = {"since": f"{round(length_s)}s"}

    def counted(label: str, group: str, number: int) -> Figure:
        kind = "bad" if group == "refused" and number else ""
        return Figure(
            label, f"{number:,}", _part(number, totals.count), kind, plots.get(group, ()), {"outcome": group, **since}
        )

    return (
        Figure("Exchanges", f"{totals.count:,}", _rate(totals.count, length_s), "", plots["all"], since),
        counted("Blocked", "blocked", totals.blocked),
        counted("Redacted", "redacted", totals.edited),
        counted("Retried", "retried", totals.retried),
        counted("Refused", "refused", totals.refused),
        _spend(totals, config),
        _latency(totals),
        _queue(statuses),
        _upstreams(statuses),
        _store(statuses, config),
    )


def _spend(totals: Totals, config: Config) -> Figure:
    tokens = f"{totals.tokens_in:,} tokens in, {totals.tokens_out:,} out"
    if not totals.cost and config.clients.prices == "none" and config.clients.limits is None:
        return Figure("Spend", "no prices", f"{tokens}. `--prices genai-prices` or prices in `--limits` give costs")
    return Figure("Spend", number_words(round(totals.cost, 4)), tokens)


def _latency(totals: Totals) -> Figure:
    if totals.added_p50_ms is None:
        return Figure("Latency added", "-")
    note = f"median; 99 of 100 exchanges within {milliseconds(totals.added_p99_ms)}"
    return Figure("Latency added", milliseconds(totals.added_p50_ms), note)


def _queue(statuses: Statuses) -> Figure:
    waiting, under_way = _sum(statuses, "scans_waiting"), _sum(statuses, "open")
    return Figure("Queue", f"{waiting:,}", f"scans that wait or run, of {under_way:,} open exchanges")


def _upstreams(statuses: Statuses) -> Figure:
    worst: dict[str, str] = {}
    for status in statuses.values():
        for name, state in (status.upstreams if status else {}).items():
            worst[name] = state if state != "closed" else worst.get(name, state)
    if not worst:
        return Figure("Upstreams", "unknown" if not first_status(statuses).engine else "none")
    down = sorted(name for name, state in worst.items() if state != "closed")
    value = f"{len(worst) - len(down)} of {len(worst)} answer"
    return Figure("Upstreams", value, f"not asked: {', '.join(down[:3])}" if down else "", "bad" if down else "good")


def _store(statuses: Statuses, config: Config) -> Figure:
    status = first_status(statuses)
    if not status.engine:
        return Figure("Store", "unknown")
    if not status.is_shared:
        note = "each worker counts its own (`--state` shares)" if config.workers.count > 1 else "of this process"
        return Figure("Store", "in memory", note)
    is_away = any(
        trouble.code == "store_unavailable"
        for status in statuses.values()
        for trouble in (status.troubles if status else ())
    )
    if is_away:
        return Figure("Store", "away", f"`state_down` is {config.clients.state_down}", "bad")
    return Figure("Store", "reached", "all workers and replicas share it", "good")


def _sum(statuses: Statuses, name: str) -> int:
    return round(sum(status.gauges.get(name, 0.0) for status in statuses.values() if status))


def checkpoint_of(statuses: Statuses) -> float:
    """Returns until when all logs have signed checkpoints: the oldest of the workers' newest; 0 without them."""
    times = [status.checkpoint_at for status in statuses.values() if status]
    return min(times, default=0.0)


def _part(number: int, whole: int) -> str:
    return f"{100 * number / whole:.1f} % of all" if whole else ""


def _rate(number: int, length_s: float) -> str:
    return f"{60 * number / length_s:,.1f} a minute"


def milliseconds(value: float | None) -> str:
    """Returns a time in words; a dash if it is not known."""
    if value is None:
        return "-"
    return f"{value:,.0f} ms" if value >= 10 else f"{value:.1f} ms"
