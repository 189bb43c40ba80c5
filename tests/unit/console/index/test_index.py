"""The index finds exchanges of a log, and reads their lines again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guardproxy.console.index import Cursor, Filter, Index
from guardproxy.console.index.index import LIMIT_REMEMBERED
from guardproxy.engine import LocalEngine
from guardproxy.errors import QueryError, RecordError
from tests.kit.console_log import THRESHOLDS, ConsoleLog, erase_subject, write_console_log

COUNT = 400


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> ConsoleLog:
    return write_console_log(tmp_path_factory.mktemp("log"), COUNT, segment_lines=90)


@pytest.fixture(scope="module")
def index(log: ConsoleLog) -> Iterator[Index]:
    index = Index(log.folder, lambda: THRESHOLDS, LocalEngine(1))
    assert index.follow()
    yield index
    index.close()


def ids(index: Index, chosen: Filter) -> list[str]:
    """Every exchange of a filter, page by page."""
    found: list[str] = []
    before: Cursor | None = None
    while True:
        page = index.rows(chosen, 7, before)
        found += [row.id for row in page.rows]
        if page.older is None:
            return found
        before = page.older


def test_pages_have_every_exchange_once_newest_first(log: ConsoleLog, index: Index) -> None:
    assert ids(index, Filter()) == list(reversed(log.ids))
    assert index.count(Filter()) == COUNT
    assert index.progress.is_complete
    assert index.progress.percent == 100


def test_pages_go_back_to_newer_exchanges(log: ConsoleLog, index: Index) -> None:
    first = index.rows(Filter(), 10)
    second = index.rows(Filter(), 10, before=first.older)
    assert first.newer is None
    assert second.newer is not None
    assert index.rows(Filter(), 10, after=second.newer).rows == first.rows
    newest = index.rows(Filter(), 10, after=first.rows[0].cursor)
    assert newest.rows == ()


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ({"outcome": "blocked"}, {"attack", "answer_blocked"}),
        ({"outcome": "blocked_request"}, {"attack"}),
        ({"outcome": "redacted"}, {"redacted"}),
        ({"outcome": "retried"}, {"retried"}),
        ({"outcome": "refused"}, {"refused", "no_capacity"}),
        ({"outcome": "shadow"}, {"shadow"}),
        ({"outcome": "cached"}, {"cached"}),
        ({"outcome": "upstream_5xx"}, {"upstream_failed"}),
        ({"rule": "calm-tone"}, {"shadow"}),
        ({"label": "injection"}, {"attack"}),
        ({"check": "secrets"}, {"answer_blocked"}),
        ({"outcome": "changed"}, set()),
    ],
)
def test_a_filter_finds_what_it_says(log: ConsoleLog, index: Index, query: dict[str, str], kinds: set[str]) -> None:
    wanted = [name for name in reversed(log.ids) if log.kinds[name] in kinds]
    assert ids(index, Filter.parse(query)) == wanted


def test_every_filter_fits_the_rows_that_it_finds(index: Index) -> None:
    rows = index.rows(Filter(), 1000).rows
    tenants = Counter(row.who for row in rows)
    assert dict(index.groups(Filter(), "tenant")) == tenants
    assert index.count(Filter(tenant="acme")) == tenants["acme"]
    costly = index.rows(Filter(cost_above=0.05), 1000).rows
    assert sorted(row.id for row in costly) == sorted(row.id for row in rows if (row.cost or 0) > 0.05)
    near = index.rows(Filter(near=0.02), 1000).rows
    assert near
    assert all(row.labels for row in near)
    disliked = index.rows(Filter(feedback="down"), 1000).rows
    assert disliked
    assert {row.feedback for row in disliked} == {"down"}
    with_feedback, without = index.count(Filter(feedback="any")), index.count(Filter(feedback="none"))
    assert with_feedback + without == COUNT
    judged = index.rows(Filter(later="judged"), 1000).rows
    assert judged
    assert {row.later for row in judged} == {("judged",)}
    assert index.count(Filter(later="-judged")) == COUNT - len(judged)


def test_neighbours_follow_the_list_of_the_filter(log: ConsoleLog, index: Index) -> None:
    chosen = Filter(outcome="blocked")
    listed = ids(index, chosen)
    assert index.neighbours(listed[1], chosen) == (listed[0], listed[2])
    assert index.neighbours(listed[0], chosen) == (None, listed[1])
    assert index.neighbours("gx_none", chosen) == (None, None)


def test_groups_and_series_count_the_same(index: Index) -> None:
    series = index.series(Filter(), "outcome", 12)
    assert {name: sum(counts) for name, counts in series.counts.items()} == dict(index.groups(Filter(), "outcome"))
    assert sum(index.series(Filter(), None, 5).counts["all"]) == COUNT
    assert index.series(Filter(rule="none"), "rule").counts == {}
    with pytest.raises(QueryError, match="expected one of the columns rule, policy"):
        index.groups(Filter(), "text; DROP TABLE exchanges")


def test_totals_add_up(log: ConsoleLog, index: Index) -> None:
    totals = index.totals(Filter())
    rows = index.rows(Filter(), 1000).rows
    assert totals.count == COUNT
    assert totals.blocked == sum(kind in ("attack", "answer_blocked") for kind in log.kinds.values())
    assert totals.cost == pytest.approx(sum(row.cost or 0 for row in rows))
    assert totals.added_p50_ms is not None
    assert index.totals(Filter(rule="none")).count == 0


def test_a_record_comes_from_its_line(log: ConsoleLog, index: Index) -> None:
    for name in log.ids[::37]:
        found = index.find(name)
        assert found is not None
        assert found.state == "intact"
        assert index.record(name).id == name
    assert index.find("gx_none") is None
    with pytest.raises(RecordError, match="no exchange with this id"):
        index.record("gx_none")


def test_what_the_log_says_later_is_found(index: Index) -> None:
    row = index.rows(Filter(feedback="any"), 1).rows[0]
    (entry, *_) = index.entries(row.id)
    assert entry.feedback.exchange == row.id  # type: ignore[union-attr]


def test_erased_texts_are_said_to_be(tmp_path: Path) -> None:
    log = write_console_log(tmp_path, 60, keep=("sealed",))
    index = Index(tmp_path, engine=LocalEngine(1))
    index.follow()
    assert {row.keep for row in index.rows(Filter(), 100).rows} == {"sealed"}
    assert erase_subject(log, "user-1") > 0
    index.follow()
    erased = [row for row in index.rows(Filter(), 100).rows if row.keep == "erased"]
    assert erased
    assert dict(index.groups(Filter(), "keep"))["erased"] == len(erased)
    index.close()


def test_sums_are_remembered_until_the_index_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_console_log(tmp_path, 40)
    index = Index(tmp_path, engine=LocalEngine(1))
    index.follow()
    asked: list[int] = []
    reading = Index._reading

    def counted(self: Index) -> Any:
        asked.append(1)
        return reading(self)

    monkeypatch.setattr(Index, "_reading", counted)
    for _ in range(3):
        assert index.count(Filter()) == 40
        assert index.count(Filter(tenant="nobody")) == 0
    assert len(asked) == 2
    (tmp_path / "audit-1.jsonl").unlink()
    index.follow()
    assert index.count(Filter()) < 40
    for number in range(300):
        index.count(Filter(tenant=str(number)))
    assert len(index._memory) == LIMIT_REMEMBERED
    monkeypatch.setattr("guardproxy.console.index.index.LARGE_BYTES", 0)
    left = index.count(Filter())
    (tmp_path / "audit-0.jsonl").unlink()
    index.follow()
    assert index.count(Filter()) == left  # a large log: for some seconds
    monkeypatch.setattr("guardproxy.console.index.index.REMEMBERED_S", 0.0)
    assert index.count(Filter()) == 0
    index.close()


def test_a_series_counts_exchanges_that_came_between_its_queries(
    index: Index, log: ConsoleLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, all_times = index._query, sorted(row.at for row in index.rows(Filter(), COUNT).rows)

    def asked(sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Answers as if all but ten exchanges were read after the first query."""
        if "min(at_s)" in sql:
            return [(all_times[-20], all_times[-10])]
        return query(sql, *arguments)

    monkeypatch.setattr(index, "_query", asked)
    assert sum(index.series(Filter(), None, 5).counts["all"]) == COUNT


def test_a_page_reads_the_newest_of_many_mentions(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    names = (row.id for row in index.rows(Filter(), COUNT).rows)
    most = next(name for name in names if len(index.mentions(name)) > 1)
    mentions = index.mentions(most)
    monkeypatch.setattr("guardproxy.console.index.index.LIMIT_MENTIONS", len(mentions) - 1)
    assert index.mentions(most) == mentions[1:]
