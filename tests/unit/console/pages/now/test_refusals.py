"""Refusals in words: the rule with what its policy says, or the error with its sentence."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.console.index import Row
from guardproxy.console.pages.now.refusals import LIMIT_READ, grouped, newest, refusal_of
from guardproxy.console.proxy_status import ProcessStatus, StatusGuard, StatusRule
from guardproxy.errors import ErrorCode

STATUS = ProcessStatus(
    guards=(
        StatusGuard(
            "strict", "Attacks never reach the bot.", "enforce", (StatusRule("no-attacks", "block", "enforce", "high"),)
        ),
        StatusGuard("plain", "", "enforce", (StatusRule("no-tone", "block", "enforce"),)),
    )
)


def row(**values: Any) -> Row:
    fields: dict[str, Any] = {
        name: () if name in ("policies", "rules", "shadow", "labels", "later") else ""
        for name in Row.__dataclass_fields__
    }
    numbers = dict.fromkeys(("at", "start", "length", "seq", "status", "attempts"), 0)
    nothing = dict.fromkeys(
        ("tokens_in", "tokens_out", "cost", "added_ms", "first_ms", "total_ms", "top_score", "feedback", "distance")
    )
    return Row(
        **{
            **fields,
            **numbers,
            **nothing,
            "intact": True,
            "edited": False,
            "stream": False,
            "uninspected": False,
            **values,
        }
    )


def words(message: str = "", **values: Any) -> tuple[str, str]:
    refusal = refusal_of(row(**values), STATUS, lambda _: message)
    return refusal.title, refusal.detail


def test_a_block_names_the_rule_the_finding_and_the_policy() -> None:
    found: dict[str, Any] = {"top_check": "attack", "top_label": "injection", "top_score": 0.968}
    assert words(outcome="blocked_request", rules=("no-attacks",), **found) == (
        "The rule `no-attacks` blocked the request: injection (attack, score 0.97)",
        "strict: Attacks never reach the bot., severity high",
    )
    assert words(outcome="blocked_response", rules=("no-tone", "gone"), top_check="tone", top_label="rude") == (
        "The rules `no-tone`, `gone` blocked the answer: rude (tone)",
        "plain: block",
    )
    assert words(outcome="blocked_response") == ("A rule blocked the answer", "")


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_error_has_words(code: ErrorCode) -> None:
    title, detail = words(error=code.value, outcome="refused")
    assert title.lower() == code.sentence.lower()
    assert detail == code.meaning
    title, detail = words("the limit `calls` of requests", error=code.value, outcome="refused")
    assert title == "The limit `calls` of requests"
    assert detail.startswith(code.sentence) or not code.meaning


def test_an_outcome_of_another_version_is_shown_as_it_is() -> None:
    assert words(outcome="melted_down") == ("Melted down", "")
    assert words("why", error="melted_down", outcome="refused") == ("Why", "")


def test_who_and_how_it_ended() -> None:
    refusal = refusal_of(row(outcome="refused", error="no_capacity", status=503, tenant="t1", model="m"), STATUS, str)
    assert (refusal.word, refusal.kind, refusal.who, refusal.model) == ("503", "warn", "t1", "m")
    refusal = refusal_of(row(outcome="refused", client="bot", tenant="t1"), STATUS, str)
    assert (refusal.word, refusal.who) == ("refused", "bot")
    assert refusal_of(row(outcome="blocked_request"), STATUS, str).word == "blocked"


def test_names_are_bounded() -> None:
    long = "\u202e<script>" * 100_000
    values = {"rules": (long, long, long), "top_check": long, "top_label": long, "client": long, "model": long}
    refusal = refusal_of(row(outcome="blocked_request", **values), STATUS, str)
    assert sum(map(len, (refusal.title, refusal.detail, refusal.who, refusal.model))) < 2000
    assert len(words(long, error="no_capacity", outcome="refused")[0]) < 400


def test_the_newest_come_first_and_once() -> None:
    first = [row(id=f"a{number}", at=float(number)) for number in range(LIMIT_READ)]
    last = LIMIT_READ - 1
    second = [row(id=f"a{last}", at=float(last)), row(id="b", at=last - 0.5)]
    shown = newest([first, second])
    assert [line.id for line in shown[:3]] == [f"a{last}", "b", f"a{last - 1}"]
    assert len(shown) == LIMIT_READ


def test_those_in_a_row_are_one_line() -> None:
    rows = [row(id="a", error="timeout"), row(id="b", error="timeout"), row(id="c", error="timeout", client="x")]
    lines = grouped(refusal_of(line, STATUS, lambda _: "") for line in (*rows, rows[0]))
    assert [(line.id, line.count) for line in lines] == [("a", 2), ("c", 1), ("a", 1)]
    assert grouped([]) == []
