"""Shares: bounded in total, no owner takes everything, and what was given back can be had again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.server.intake.fair_share import Shares


def greedy(shares: Shares, owner: str) -> int:
    taken = 0
    while shares.take(owner, 1):
        taken += 1
    return taken


def test_one_owner_leaves_room_for_others() -> None:
    shares = Shares(1000, weight=4)
    assert greedy(shares, "one") == 800
    assert greedy(shares, "two") > 100
    assert shares.take("three", 1)


def test_a_thousand_greedy_owners_stay_within_the_total() -> None:
    shares = Shares(1000)
    for number in range(1000):
        greedy(shares, str(number))
    assert shares.used <= 1000


def test_while_little_is_used_a_share_restricts_nobody() -> None:
    shares = Shares(1000)
    assert shares.take("one", 500)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50), st.booleans()), max_size=60))
def test_accounts_always_balance(steps: list[tuple[str, int, bool]]) -> None:
    shares, held = Shares(100), dict.fromkeys("abc", 0)
    for owner, amount, takes in steps:
        if takes:
            fits = shares.fits(owner, amount)
            assert shares.take(owner, amount) == fits
            held[owner] += amount if fits else 0
        else:
            shares.give(owner, amount)
            held[owner] = max(0, held[owner] - amount)
        assert shares.used == sum(held.values()) <= 100
        assert all(shares.held(name) == amount for name, amount in held.items())
    assert shares.owners == sum(1 for amount in held.values() if amount)
