"""The figures of the page Now, from an index and from what workers say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from guardproxy.config import Config
from guardproxy.console.index import Filter, Index
from guardproxy.console.pages.now.numbers import (
    BUCKETS,
    Figure,
    checkpoint_of,
    figures_of,
    milliseconds,
    read_errors,
    read_window,
)
from guardproxy.console.proxy_status import ProcessStatus, Statuses, StatusTrouble
from tests.kit.console_log import write_console_log

CONFIG = Config.of(workers=2)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("audit")
    write_console_log(folder, 120)
    index = Index(folder)
    while index.follow():
        pass
    yield index
    index.close()


def oldest_s(index: Index) -> float:
    return index.rows(Filter(), 200).rows[-1].at


def figures(index: Index, statuses: Statuses, config: Config = CONFIG, length_s: float = 1e9) -> dict[str, Figure]:
    newest = index.rows(Filter(), 1).rows[0].at + 1
    window = read_window(index, newest, length_s)
    return {figure.label: figure for figure in figures_of(window, statuses, config, length_s)}


def test_numbers_are_those_of_the_index(index: Index) -> None:
    shown = figures(index, {})
    totals = index.totals(Filter())
    assert shown["Exchanges"].value == "120"
    assert sum(shown["Exchanges"].values) == 120
    assert len(shown["Exchanges"].values) == BUCKETS
    for label, group, number in (
        ("Blocked", "blocked", totals.blocked),
        ("Redacted", "redacted", totals.edited),
        ("Retried", "retried", totals.retried),
        ("Refused", "refused", totals.refused),
    ):
        assert number > 0
        assert (shown[label].value, sum(shown[label].values)) == (str(number), number)
        assert (shown[label].query or {})["outcome"] == group
    assert shown["Refused"].kind == "bad"
    assert shown["Latency added"].value.endswith(" ms")
    assert shown["Latency added"].note.endswith(" ms")


def test_a_time_without_traffic_is_zeros(index: Index) -> None:
    first = oldest_s(index)
    window = read_window(index, first - 10, 300.0)
    shown = {figure.label: figure for figure in figures_of(window, {}, CONFIG, 300.0)}
    assert (shown["Exchanges"].value, shown["Blocked"].value, shown["Blocked"].note) == ("0", "0", "")
    assert shown["Exchanges"].values == (0,) * BUCKETS
    assert shown["Latency added"].value == "-"
    assert read_errors(index, first - 10) == []


def test_errors_are_counted_by_their_code(index: Index) -> None:
    coded = index.groups(Filter(), "error")
    newest = index.rows(Filter(), 1).rows[0].at
    assert coded
    assert set(read_errors(index, newest + 1)) <= set(coded)


def test_spend_needs_prices(index: Index, tmp_path: Path) -> None:
    assert figures(index, {})["Spend"].value != "no prices", "this log has costs"
    window = read_window(index, oldest_s(index) - 10, 300.0)
    spend = {figure.label: figure for figure in figures_of(window, {}, CONFIG, 300.0)}["Spend"]
    assert (spend.value, "--prices" in spend.note) == ("no prices", True)
    priced = Config.of(limits=tmp_path / "limits.toml")
    assert {figure.label: figure for figure in figures_of(window, {}, priced, 300.0)}["Spend"].value == "0"


def process(**values: object) -> ProcessStatus:
    return ProcessStatus(engine="guardproxy 1", **values)  # type: ignore[arg-type]


def test_the_queue_is_that_of_all_workers(index: Index) -> None:
    statuses = {
        "worker 0": process(gauges={"open": 2.0, "scans_waiting": 1.0}),
        "worker 1": process(gauges={"open": 3.0}),
    }
    queue = figures(index, {**statuses, "worker 2": None})["Queue"]
    assert (queue.value, "5 open" in queue.note) == ("1", True)


@pytest.mark.parametrize(
    ("states", "value", "kind"),
    [
        ([{"a": "closed", "b": "closed"}], "2 of 2 answer", "good"),
        ([{"a": "closed", "b": "open"}, {"a": "closed", "b": "closed"}], "1 of 2 answer", "bad"),
        ([{"a": "half_open"}], "0 of 1 answer", "bad"),
        ([{}], "none", ""),
        ([], "unknown", ""),
    ],
)
def test_an_upstream_is_as_the_worst_worker_sees_it(
    index: Index, states: list[dict[str, str]], value: str, kind: str
) -> None:
    statuses = {f"worker {number}": process(upstreams=state) for number, state in enumerate(states)}
    shown = figures(index, {**statuses, "worker 9": None})["Upstreams"]
    assert (shown.value, shown.kind) == (value, kind)


def test_the_store_is_told(index: Index) -> None:
    away = StatusTrouble("away", code="store_unavailable")
    for statuses, value in (
        ({}, "unknown"),
        ({"worker 0": process()}, "in memory"),
        ({"worker 0": process(is_shared=True), "worker 1": None}, "reached"),
        ({"worker 0": process(is_shared=True), "worker 1": process(is_shared=True, troubles=(away,))}, "away"),
    ):
        assert figures(index, statuses)["Store"].value == value
    alone = figures(index, {"worker 0": process()}, Config())["Store"]
    assert "of this process" in alone.note


def test_the_log_is_signed_until_the_oldest_of_the_newest_checkpoints() -> None:
    statuses = {"worker 0": process(checkpoint_at=50.0), "worker 1": process(checkpoint_at=40.0), "worker 2": None}
    assert checkpoint_of(statuses) == 40.0
    assert checkpoint_of({}) == 0.0


@pytest.mark.parametrize(("value", "shown"), [(None, "-"), (0.123, "0.1 ms"), (12.3, "12 ms"), (1234.0, "1,234 ms")])
def test_times_are_shown_for_people(value: float | None, shown: str) -> None:
    assert milliseconds(value) == shown
