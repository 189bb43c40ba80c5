"""Rows of the list and the groups beside it."""

from __future__ import annotations

from typing import Any

from guardproxy.console.index import OUTCOMES, Row
from guardproxy.console.pages.exchanges.listing import group_links, list_row, outcome_options


def row(**changes: Any) -> Row:
    plain: dict[str, Any] = {
        **{"at": 1.0, "id": "x", "log": "audit", "start": 0, "length": 1, "seq": 0, "hash": "h", "intact": True},
        **{
            "tenant": "t",
            "tenant_name": "",
            "client": "",
            "route": "r",
            "format": "f",
            "model": "m",
            "served_model": "",
        },
        **{"upstream": "", "policies": (), "rules": (), "shadow": (), "labels": (), "outcome": "answered", "error": ""},
        **{"status": 200, "edited": False, "attempts": 1, "stream": False, "cache": "", "tokens_in": None},
        **{
            "tokens_out": None,
            "cost": None,
            "added_ms": None,
            "first_ms": None,
            "total_ms": None,
            "uninspected": False,
        },
        **{"keep": "kept", "conversation": "", "top_check": "", "top_label": "", "top_score": None, "feedback": None},
        **{"later": ()},
    }
    return Row(**{**plain, **changes})


def test_a_plain_row() -> None:
    shown = list_row(row())
    assert (shown.outcome, shown.tone, shown.tokens, shown.cost, shown.ms, shown.marks) == (
        "answered",
        "good",
        "",
        "",
        "",
        (),
    )


def test_a_row_with_everything() -> None:
    shown = list_row(
        row(
            outcome="refused",
            error="rate_limit",
            labels=tuple("abcdef"),
            stream=True,
            attempts=2,
            keep="sealed",
            cache="hit",
            uninspected=True,
            intact=False,
            tokens_in=1000,
            tokens_out=5,
            cost=0.0125,
            total_ms=1234.5,
        )
    )
    assert shown.outcome == "refused: rate_limit"
    assert (shown.tone, shown.labels, shown.more) == ("warn", ("a", "b", "c", "d"), 2)
    assert (shown.tokens, shown.cost, shown.ms) == ("1,005", "0.0125", "1,234")
    assert shown.marks == ("stream", "2 attempts", "sealed", "from the cache", "not all inspected", "line changed")
    assert list_row(row(keep="erased")).marks == ("erased",)


def test_a_redacted_answer_is_named_so() -> None:
    shown = list_row(row(edited=True))
    assert (shown.outcome, shown.tone) == ("redacted", "info")
    assert list_row(row(outcome="x", error="x")).outcome == "x"


def test_a_group_adds_a_value_to_the_filter_and_takes_it_away() -> None:
    columns = group_links(
        {"rule": [("a", 3), ("b", 1)], "keep": [("kept", 4)], "empty": []}, {"rule": "a", "model": "m"}
    )
    rule, keep = columns
    assert [(link.value, link.exchanges, dict(link.query), link.is_chosen) for link in rule.links] == [
        ("a", 3, {"model": "m"}, True),
        ("b", 1, {"model": "m", "rule": "b"}, False),
    ]
    assert (rule.can_filter, keep.can_filter) == (True, False)


def test_an_outcome_that_is_no_group_stays_a_choice() -> None:
    assert outcome_options(OUTCOMES, None)[0] == ("", "any")
    assert outcome_options(OUTCOMES, "blocked")[-1][0] in OUTCOMES
    assert outcome_options(OUTCOMES, "upstream_failed")[-1] == ("upstream_failed", "upstream_failed")
