"""Plans: of several, each member is of the plan with the highest priority."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.decisions import UNPLANNED, Plan, merge_plans

WORDS = st.sampled_from(["", "a", "b"])
PLANS = st.builds(
    Plan,
    upstream=WORDS,
    model=WORDS,
    parameters=st.dictionaries(WORDS, st.integers(0, 3), max_size=2),
    reason=WORDS,
    priority=st.integers(0, 3),
)


def test_no_plan_changes_nothing() -> None:
    assert merge_plans([]) == UNPLANNED
    assert merge_plans([Plan(reason="only a reason", priority=3)]) == UNPLANNED
    assert UNPLANNED.is_empty
    assert not UNPLANNED.changes_body


def test_each_member_is_of_the_plan_with_the_highest_priority_that_names_it() -> None:
    cheap = Plan(model="small", parameters={"max_tokens": 100, "top_p": 1}, reason="budget", priority=1)
    near = Plan(upstream="eu", parameters={"max_tokens": 50}, reason="region", priority=2)
    assert merge_plans([cheap, near]) == Plan("eu", "small", {"max_tokens": 50, "top_p": 1}, "region; budget", 2)


def test_of_equal_priorities_the_first_wins() -> None:
    assert merge_plans([Plan(model="a"), Plan(model="b")]).model == "a"


def test_an_upstream_alone_leaves_the_body_as_it_is() -> None:
    assert not Plan(upstream="eu").changes_body
    assert Plan(model="m").changes_body
    assert Plan(parameters={"n": 1}).changes_body


@given(st.lists(PLANS, max_size=3, unique_by=lambda plan: plan.priority))
def test_the_order_of_plans_with_different_priorities_does_not_matter(plans: list[Plan]) -> None:
    assert all(merge_plans(order) == merge_plans(plans) for order in permutations(plans))


@given(PLANS)
def test_one_plan_is_kept_as_it_is(plan: Plan) -> None:
    assert merge_plans([plan]) == (UNPLANNED if plan.is_empty else plan)
