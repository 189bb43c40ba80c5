"""What limits leave, from the answers of workers."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.console.pages.keys.budgets import LIMIT_LINES, BudgetBoard, again_words, budgets_of

LIMITS = [
    {"limit": "calls", "words": "calls: 60 requests at once, then 60 in 60 s, per client", "unit": "requests"},
    {"limit": "spend", "words": "spend: 5 cost a day, per tenant"},
]


def left(limit: str, left: int, most: int, **more: Any) -> dict[str, Any]:
    return {"limit": limit, "unit": "requests", "left": left, "most": most, **more}


def worker(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "limits": LIMITS, "left": list(rows)}


def test_the_scarcest_limit_comes_first() -> None:
    rows = (
        left("calls", 55, 60, client="bot", tenant="acme", reset_s=5.0),
        left("spend", 500_000, 5_000_000, unit="cost", tenant="acme", reset_s=7200.0),
        left("whole", 0, 7, unit="parallel"),
        left("old", 0, 0, is_shadow=True, model="m"),
    )
    budgets = budgets_of({"worker 0": worker(*rows)}, False)
    assert (budgets.problem, budgets.has_limits, budgets.is_each) == ("", True, False)
    shown = [(line.limit, line.whose, line.left, line.most, line.kind, line.again) for line in budgets.lines]
    assert shown == [
        ("old", "m", "0", "0 requests", "quiet", ""),
        ("whole", "all together", "0", "7 parallel", "bad", ""),
        ("spend", "acme", "0.5", "5 cost", "warn", "in 2 hours"),
        ("calls", "bot", "55", "60 requests", "good", "in 5 s"),
    ]
    assert budgets.lines[2].words == "5 cost a day, per tenant"
    assert budgets.lines[1].words == "whole", "a limit that has no words"


def test_a_client_has_its_own_limits_those_of_its_tenant_and_those_of_all() -> None:
    rows = (
        left("calls", 5, 60, client="bot", tenant="acme"),
        left("calls", 1, 60, client="app", tenant="acme"),
        left("spend", 9, 10, tenant="acme"),
        left("spend", 1, 10, tenant="beta"),
        left("whole", 7, 7),
        left("quiet", 0, 7, is_shadow=True),
    )
    budgets = budgets_of({"worker 0": worker(*rows)}, False)
    assert [(line.limit, line.whose) for line in budgets.of_client("bot", "acme")] == [
        ("quiet", "all together"),
        ("calls", "bot"),
        ("spend", "acme"),
        ("whole", "all together"),
    ]
    scarce = budgets.scarcest("bot", "acme")
    assert scarce is not None
    assert scarce.limit == "calls", "a limit in shadow mode refuses nothing"
    assert BudgetBoard().scarcest("bot", "acme") is None


def test_the_worker_with_the_least_left_counts() -> None:
    shown = {
        "worker 0": worker(left("calls", 9, 60, client="bot")),
        "worker 1": worker(left("calls", 4, 60, client="bot")),
        "worker 2": worker(left("calls", 8, 60, client="bot")),
        "worker 3": None,
    }
    budgets = budgets_of(shown, False)
    assert [(line.left, budgets.is_each) for line in budgets.lines] == [("4", True)]
    assert budgets_of(shown, True).is_each is False


@pytest.mark.parametrize("shown", [None, {}, {"worker 0": None}, {"worker 0": []}, {"worker 0": {"left": 3}}])
def test_no_answer_is_said(shown: Any) -> None:
    assert budgets_of(shown, False).problem == "no worker of the proxy says what is left"


def test_a_store_that_is_away_is_said() -> None:
    shown = {"worker 0": {"ok": False, "error": "the store cannot be reached", "limits": LIMITS, "left": []}}
    budgets = budgets_of(shown, True)
    assert (budgets.problem, budgets.has_limits, budgets.lines) == ("the store cannot be reached", True, ())


def test_the_list_is_bounded_and_a_share_is_a_share() -> None:
    rows = [left("calls", 99, 60, client=f"c{number}") for number in range(1000)]
    lines = budgets_of({"worker 0": worker(*rows)}, False).lines
    assert len(lines) == LIMIT_LINES
    assert {line.share for line in lines} == {1.0}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, ""),
        (-1, ""),
        (0.2, "in 1 s"),
        (90, "in 90 s"),
        (150, "in 2 minutes"),
        (7200, "in 2 hours"),
        (3e5, "in 3 days"),
    ],
)
def test_times_are_shown_for_people(seconds: float, words: str) -> None:
    assert again_words(seconds) == words
