"""A queue is a URL, both ways; samples take the same number of every rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.console.index import Filter
from guardproxy.console.pages.review.queues import (
    KINDS,
    MOST_SIZE,
    TITLES,
    ItemKey,
    ReviewQueue,
    sample_sizes,
    shuffled,
)
from guardproxy.errors import QueryError
from tests.kit.console_rows import row

FILTERS = st.builds(
    Filter,
    rule=st.text("abc-é\u202e", min_size=1, max_size=5),
    tenant=st.none() | st.just("acme"),
    since=st.none() | st.just(1_790_000_000.0),
)


@given(st.sampled_from(KINDS), st.booleans(), st.integers(1, 99), st.integers(1, MOST_SIZE), FILTERS)
def test_a_queue_is_a_url(kind: str, is_double: bool, seed: int, size: int, chosen: Filter) -> None:
    query = {"queue": kind, "seed": str(seed), "size": str(size), **({"double": "1"} if is_double else {})}
    queue = ReviewQueue.parse({**query, **chosen.query()})
    assert ReviewQueue.parse(queue.query()) == queue
    assert queue.readers == (2 if is_double else 1)
    assert str(chosen.rule) in queue.title


def test_every_kind_has_words() -> None:
    assert set(TITLES) == set(KINDS)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"queue": "all"}, "queue: expected one of"),
        ({"queue": "rule"}, "rule: name the rule"),
        ({"seed": "0"}, "seed: expected a number"),
        ({"seed": "\u0661"}, "seed: expected a number"),
        ({"size": "9" * 5000}, "size: expected a number"),
        ({"near": "-1"}, "near: expected a number"),
    ],
)
def test_a_wrong_query_says_what_is_right(query: dict[str, str], words: str) -> None:
    with pytest.raises(QueryError, match=words):
        ReviewQueue.parse(query)


def test_queues_choose_exchanges() -> None:
    assert ReviewQueue.parse({"queue": "near"}).chosen.near == 0.1
    assert ReviewQueue.parse({"queue": "near", "near": "0.3"}).chosen.near == 0.3
    assert ReviewQueue.parse({"queue": "feedback"}).chosen.feedback == "down"


def test_the_rule_of_the_queue_is_judged_or_else_the_first_that_held() -> None:
    held = row("x", rules=("a", "b"), shadow=("c",))
    assert ReviewQueue.parse({"queue": "rule", "rule": "b"}).item_of(held) == ItemKey("x", "b")
    assert ReviewQueue.parse({"queue": "rule", "rule": "c"}).item_of(held) == ItemKey("x", "c")
    assert ReviewQueue.parse({"queue": "rule", "rule": "gone"}).item_of(held) == ItemKey("x", "a")
    assert ReviewQueue.parse({}).item_of(row("x", shadow=("c",))) == ItemKey("x", "c")
    assert ReviewQueue.parse({}).item_of(row("x")) == ItemKey("x", "")


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 500), max_size=12), st.integers(1, 400))
def test_a_sample_takes_the_same_number_of_each_group(groups: dict[str, int], size: int) -> None:
    sizes = sample_sizes(list(groups.items()), size)
    assert sum(sizes.values()) == min(size, sum(groups.values()))
    assert all(0 < taken <= groups[name] for name, taken in sizes.items())
    least = min((sizes.get(name, 0) for name, count in groups.items() if sizes.get(name, 0) < count), default=None)
    if least is not None:  # a group that could give more has at most one less than any other
        assert max(sizes.values(), default=0) <= least + 1


def test_the_seed_alone_orders_a_sample() -> None:
    items = [ItemKey(f"x{at}", "r") for at in range(50)]
    assert shuffled(items, 1) == shuffled(list(reversed(items)), 1)
    assert shuffled(items, 1) != shuffled(items, 2)
    assert sorted(shuffled([*items, *items], 3)) == sorted(items)
