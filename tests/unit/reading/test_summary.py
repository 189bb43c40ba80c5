"""The sums of a period: every exchange is in one class, and parts of a period add up to the whole."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.audit.record.document import Gap, RecordedError, RecordedFinding, RecordedRequest
from guardproxy.audit.record.entries import AnyEntry
from guardproxy.audit.record.tasks import RecordedRefusal
from guardproxy.audit.shipping.intents import closing
from guardproxy.reading.period import Period
from guardproxy.reading.summary import (
    BLOCKED,
    CLASSES,
    INSPECTED,
    LIMIT_NAMES,
    OTHERS,
    REDACTED,
    REFUSED,
    UNKNOWN,
    UNREAD,
    TrafficSummary,
    class_of,
)
from tests.kit.records import plain_answer, plain_decision, plain_intent, plain_record, plain_text

CHECKED: dict[str, Any] = {"checks": {"pii": "sha256:1"}}


def summed(*entries: AnyEntry, period: Period | None = None) -> TrafficSummary:
    summary = TrafficSummary(period or Period())
    for entry in entries:
        summary.see(entry)
    return summary


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        (plain_record(**CHECKED), INSPECTED),
        (plain_record(None, plain_text(edits=((0, 2),)), **CHECKED), REDACTED),
        (plain_record(plain_answer(plain_text(edits=((0, 2),))), **CHECKED), REDACTED),
        (plain_record(None, plain_text(edits=((0, 2),)), outcome="blocked_response", **CHECKED), BLOCKED),
        (plain_record(outcome="blocked_request", **CHECKED), BLOCKED),
        (plain_record(outcome="passed", codec=""), UNREAD),
        (plain_record(), UNREAD),
        (plain_record(outcome="refused"), REFUSED),
        (plain_record(outcome="no_capacity", **CHECKED), REFUSED),
        (plain_record(outcome="upstream_timeout", **CHECKED), INSPECTED),
        (closing(plain_intent(), 2.0, "e", "why"), UNKNOWN),
    ],
)
def test_the_class_of_an_exchange(entry: Any, wanted: str) -> None:
    assert class_of(entry) == wanted
    assert summed(entry).classes == {wanted: 1}


def test_what_is_counted() -> None:
    found = RecordedFinding(check="pii", label="NAME", start=0, end=2, score=1.0)
    held = plain_decision(action="flag", mode="shadow")
    record = plain_record(
        plain_answer(plain_text("a", findings=(found,)), uninspected=("a[1]",), uninspected_kinds=("image",)),
        plain_text(findings=(found, found)),
        **{**CHECKED, "decisions": (held, held), "tenant_name": "team"},
    )
    summary = summed(record, plain_record(id="x1", at=1_750_003_600.0, tenant="", model="", **CHECKED))
    assert summary.total == 2
    assert summary.findings == {("pii", "NAME", "request"): 2, ("pii", "NAME", "response"): 1}
    assert summary.rules == {("p", "r", "flag", "shadow"): 1}, "counted once for each exchange"
    assert (summary.partly_unread, summary.parts_unread) == (1, {"image": 1})
    assert summary.names["tenants"] == {"team": 1, "(no credential)": 1}
    assert summary.names["models asked for"] == {"small": 1}
    policies = summary.in_force["policies"]["sha256:p"]
    assert (policies.first_s, policies.last_s, policies.count) == (1_750_000_000.25, 1_750_003_600.0, 2)
    assert set(summary.in_force) == {"policies", "programs", "models", "checks"}
    assert [counts.total() for counts in summary.hours.values()] == [1, 1]


def test_everything_that_a_record_calls_uninspected() -> None:
    request = RecordedRequest(body=None, texts=(), uninspected=("*",), unmapped=())
    assert summed(plain_record(request=request, **CHECKED)).parts_unread == {"everything": 1}
    assert summed(plain_record(request=request)).partly_unread == 0, "counted as not inspected already"


def test_entries_outside_the_period_only_show_how_far_the_log_reaches() -> None:
    entries = [plain_record(at=float(at), id=str(at), **CHECKED) for at in (10, 20, 30)]
    gaps = [Gap(v=3, at=at, since=at - 2.0, why="full") for at in (5.0, 21.0, 22.0, 40.0)]
    late = closing(plain_intent(at=20.0), 50.0, "e", "why"), closing(plain_intent(at=5.0), 20.5, "e", "why")
    summary = summed(*entries, *gaps, *late, plain_intent(at=20.5), period=Period(20.0, 30.0))
    assert summary.classes == {INSPECTED: 1, UNKNOWN: 1}
    assert summary.gaps == [(19.0, 21.0, "full"), (20.0, 22.0, "full")]
    assert (summary.oldest_s, summary.newest_s) == (5.0, 50.0)


def test_names_that_clients_choose_take_bounded_memory() -> None:
    records = (plain_record(id=str(at), model=f"m{at}", route=f"GET /{at}") for at in range(LIMIT_NAMES + 5))
    summary = summed(*records)
    assert summary.names["models asked for"][OTHERS] == 5
    assert len(summary.names["routes"]) == LIMIT_NAMES + 1
    assert len(summary.in_force["models"]) == 1, "the fixture's answers name one model"
    answers = (plain_record(plain_answer(model=f"m{at}")) for at in range(LIMIT_NAMES + 5))
    assert summed(*answers).in_force["models"][OTHERS].count == 5


OUTCOMES = ("answered", "blocked_request", "blocked_response", "refused", "passed", "no_capacity", "upstream_timeout")
RECORDS = st.builds(
    lambda at, outcome, codec, checks, edited: plain_record(
        None,
        plain_text(edits=((0, 1),) if edited else ()),
        **{"at": float(at), "outcome": outcome, "codec": codec, "checks": {"c": "d"} if checks else {}},
    ),
    st.integers(0, 20_000),
    st.sampled_from(OUTCOMES),
    st.sampled_from(("", "openai_chat")),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=60)
@given(st.lists(RECORDS, max_size=12), st.integers(1, 20_000))
def test_parts_of_a_period_add_up(records: list[AnyEntry], cut: int) -> None:
    whole = summed(*records)
    parts = [summed(*records, period=period) for period in (Period(0.0, cut), Period(cut))]
    assert whole.total == len(records)
    assert set(whole.classes) <= set(CLASSES)
    for name in ("classes", "outcomes", "rules", "findings"):
        total: Counter[Any] = Counter()
        for part in parts:
            total.update(getattr(part, name))
        assert total == getattr(whole, name)
    assert sum((counts for counts in whole.hours.values()), Counter()) == whole.classes


def test_refusals_are_counted_by_reason_and_rules_by_the_policies_in_force() -> None:
    limit = RecordedRefusal(duty="limits", name="few", code="budget_exceeded", mode="enforce")
    shadow = RecordedRefusal(duty="limits", name="many", code="budget_exceeded", mode="shadow")
    held = plain_record(decisions=(plain_decision(), plain_decision()))
    summary = summed(
        plain_record(outcome="refused", error=RecordedError(code="budget_exceeded"), refusals=(limit, shadow)),
        plain_record(outcome="refused", error=RecordedError(code="too_deep")),
        plain_record(outcome="no_capacity"),
        held,
        held,
    )
    assert summary.refusals == {"budget_exceeded, limit few": 1, "too_deep": 1, "no_capacity": 1}
    assert summary.held == {"sha256:p": {"p: r": 2}}
    for number in range(LIMIT_NAMES + 2):
        summary.see(plain_record(decisions=(plain_decision(),), policies=f"sha256:{number}"))
    assert len(summary.held) <= LIMIT_NAMES + 1
