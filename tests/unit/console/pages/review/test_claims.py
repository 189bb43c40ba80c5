"""Nobody gets what another person holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.console.pages.review.claims import LEASE_S, LIMIT_SKIPPED, Claims, HeldItem
from guardproxy.console.pages.review.queues import ItemKey

ITEM, OTHER = ItemKey("x", "r"), ItemKey("y", "r")


def test_one_person_holds_an_item_until_it_is_released_or_the_time_is_over() -> None:
    claims = Claims()
    assert claims.take(ITEM, "ann", 1, 0.0)
    assert claims.take(ITEM, "ann", 1, 1.0), "the same person gets it again"
    assert not claims.take(ITEM, "bob", 1, 2.0)
    assert claims.held(2.0) == [HeldItem("ann", ITEM, 1.0 + LEASE_S)]
    assert claims.take(ITEM, "bob", 1, 1.0 + LEASE_S)
    claims.release(ITEM, "bob")
    assert claims.held(2.0) == []
    claims.release(ITEM, "bob")


def test_two_places_take_two_people() -> None:
    claims = Claims()
    assert [claims.take(ITEM, by, 2, 0.0) for by in ("ann", "bob", "eve")] == [True, True, False]
    claims.release(ITEM, "ann")
    assert claims.take(ITEM, "eve", 2, 0.0)
    assert [held.by for held in claims.held(1.0)] == ["bob", "eve"]
    assert claims.held(LEASE_S) == []


def test_what_a_person_skips_is_free_for_others() -> None:
    claims = Claims()
    claims.take(ITEM, "ann", 1, 0.0)
    claims.skip(ITEM, "ann")
    assert claims.has_skipped(ITEM, "ann")
    assert not claims.has_skipped(ITEM, "bob")
    assert claims.take(ITEM, "bob", 1, 0.0)
    assert claims.take_back("ann")
    assert not claims.take_back("ann")
    assert not claims.has_skipped(ITEM, "ann")


def test_skipped_items_are_bounded() -> None:
    claims = Claims()
    for number in range(LIMIT_SKIPPED + 1):
        claims.skip(ItemKey(str(number), ""), "ann")
    assert not claims.has_skipped(ItemKey("0", ""), "ann")
    assert claims.has_skipped(ItemKey("1", ""), "ann")


STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "release", "skip"]), st.sampled_from([ITEM, OTHER]), st.sampled_from("abc"))
)


@given(STEPS, st.integers(1, 2))
def test_never_more_people_than_places(steps: list[tuple[str, ItemKey, str]], places: int) -> None:
    claims = Claims()
    for now_s, (step, item, by) in enumerate(steps):
        if step == "take":
            claims.take(item, by, places, float(now_s))
        else:
            getattr(claims, step)(item, by)
        held = claims.held(float(now_s))
        assert all(sum(kept.item == item for kept in held) <= places for item in (ITEM, OTHER))
