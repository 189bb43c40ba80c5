"""The desk with many items, several people, and a log that changes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from guardproxy.audit.sealing import operator_log
from guardproxy.console.index import Index
from guardproxy.console.pages.review.desk import QueueProgress, ReviewDesk
from guardproxy.console.pages.review.ledger import ReviewLedger
from guardproxy.console.pages.review.queues import ItemKey, ReviewQueue
from tests.kit.console_log import ConsoleLog, erase_subject, write_console_log

MAIL = ReviewQueue.parse({"queue": "rule", "rule": "no-identifiers-out"})


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> ConsoleLog:
    return write_console_log(tmp_path_factory.mktemp("desk") / "audit", 300, keep=("redacted", "sealed"))


@pytest.fixture
def desk(written: ConsoleLog) -> Iterator[ReviewDesk]:
    index = Index(written.folder, lambda: {"attack": 0.62})
    while index.follow():
        pass
    (written.folder / "operator.jsonl").unlink(missing_ok=True)
    (written.folder / "operator.head").unlink(missing_ok=True)
    yield ReviewDesk(written.folder, index)
    index.close()


def all_of(desk: ReviewDesk, queue: ReviewQueue, by: str) -> list[ItemKey]:
    found = []
    while (item := desk.next_item(queue, by)) is not None:
        found.append(item)
        desk.judge(item, "p", "right", by)
    return found


def test_people_at_once_share_a_queue_without_an_item_twice(desk: ReviewDesk) -> None:
    with ThreadPoolExecutor(4) as threads:
        shares = list(threads.map(lambda by: all_of(desk, MAIL, by), ("ann", "bob", "eve", "zoe")))
    every = [item for share in shares for item in share]
    assert len(every) == len(set(every)) == desk.index.count(MAIL.chosen) > 20
    desk.index.follow()
    assert desk.progress(MAIL) == QueueProgress(len(every), len(every))
    assert desk.progress(MAIL).percent == 100


def test_each_item_of_a_double_queue_has_two_readers(desk: ReviewDesk) -> None:
    double = ReviewQueue.parse({**MAIL.query(), "double": "1"})
    first = all_of(desk, double, "ann")
    assert all_of(desk, double, "ann") == []
    assert sorted(all_of(desk, double, "bob")) == sorted(first)
    assert all_of(desk, double, "eve") == []


def test_a_desk_that_starts_again_knows_the_verdicts(desk: ReviewDesk) -> None:
    first = desk.next_item(MAIL, "ann")
    assert first
    desk.judge(first, "p", "right", "ann")
    again = ReviewDesk(desk.folder, desk.index)
    assert again.next_item(MAIL, "bob") not in (None, first)


def test_a_sample_is_the_same_each_time_and_has_each_rule(desk: ReviewDesk) -> None:
    queue = ReviewQueue.parse({"queue": "sampled", "size": "40", "seed": "3"})
    sample = desk.sample(queue)
    assert len(sample) == 40
    assert desk.sample(queue) is sample
    assert ReviewDesk(desk.folder, desk.index).sample(queue) == sample
    rules = {item.rule for _, item in sample}
    assert rules >= {name for name, _ in desk.index.groups(queue.chosen, "rule")} | {""}
    other = desk.sample(ReviewQueue.parse({"queue": "sampled", "size": "40", "seed": "4"}))
    assert {item for _, item in other} != {item for _, item in sample}
    one = desk.sample(ReviewQueue.parse({"queue": "sampled", "rule": "no-attacks", "size": "10"}))
    assert {item.rule for _, item in one} == {"no-attacks"}


def test_queues_near_thresholds_and_by_feedback(desk: ReviewDesk) -> None:
    for kind in ("near", "feedback"):
        queue = ReviewQueue.parse({"queue": kind})
        assert len(all_of(desk, queue, "ann")) == desk.index.count(queue.chosen) > 0


def test_erased_exchanges_are_left_out(desk: ReviewDesk, written: ConsoleLog) -> None:
    erased = ReviewQueue.parse({**MAIL.query(), "id_prefix": "gx_"})
    before = desk.index.count(erased.chosen)
    erase_subject(written, "user-1")
    desk.index.follow()
    items = all_of(desk, erased, "ann")
    kept = [desk.index.row(item.exchange) for item in items]
    assert 0 < len(items) < before
    assert all(row and row.keep != "erased" for row in kept)


def test_a_ledger_reads_what_is_there_and_no_more(tmp_path: Path) -> None:
    ledger = ReviewLedger(None)
    ledger.follow()
    assert ledger.verdicts() == []
    (tmp_path / "operator.jsonl").write_bytes(b'{"kind":"reviewed","v":99}\n"reviewed"\n{"kind":"reviewed","v":3')
    broken = ReviewLedger(tmp_path)
    broken.follow()
    assert broken.verdicts() == []
    (tmp_path / "operator.1.jsonl").mkdir()
    broken.follow()


def test_a_verdict_of_another_program_is_seen(desk: ReviewDesk) -> None:
    item = ItemKey("gx_x", "r")
    other = ReviewDesk(desk.folder, desk.index)
    other.judge(item, "p", "missed", "ann", 2)
    assert desk.folder
    with operator_log(desk.folder, "e"):
        pass
    desk.ledger.follow()
    given = desk.ledger.given(*item)
    assert (given["ann"].verdict, given["ann"].text) == ("missed", 2)
    assert desk.ledger.given("gx_x", "other") == {}
    with pytest.raises(AssertionError):
        ReviewDesk(None, desk.index).judge(item, "p", "right", "ann")
