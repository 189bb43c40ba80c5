"""What enforcing a rule would have done."""

from __future__ import annotations

from typing import Any

from guardproxy.console.pages.review.shadow import EXAMPLES, shadow_report
from tests.kit.records import plain_decision, plain_record


def record(name: str, *actions: str, **members: Any) -> Any:
    held = tuple(
        plain_decision(rule="r", action=action, mode="shadow", start=at, end=at + 1)
        for at, action in enumerate(actions)
    )
    return plain_record(id=name, decisions=held, model="m", **members)


def test_effects_are_counted_by_the_strongest() -> None:
    records = [
        record("x1", "block", tenant_name="acme"),
        record("x2", "redact", "redact", tenant_name="acme"),
        record("x3", "flag", tenant_name="globex"),
        record("x4", "redact", "block", outcome="blocked_request", tenant=""),
        record("x5"),
        plain_record(
            id="x6", decisions=(plain_decision(rule="r", mode="enforce"), plain_decision(rule="s", mode="shadow"))
        ),
    ]
    report = shadow_report(records, "r")
    assert report.total == 4
    assert report.effects == (
        ("would be blocked", 1),
        ("would be changed", 1),
        ("would be noted", 1),
        ("stopped by another rule anyway", 1),
    )
    assert report.spans == 2
    assert report.count("would be blocked") == 1
    assert dict(report.tenants) == {"acme": 2, "globex": 1, "no credential": 1}
    assert report.models == (("m", 4),)
    assert [example.id for example in report.examples] == ["x1", "x2", "x3", "x4"]
    assert [example.kind for example in report.examples] == ["bad", "warn", "quiet", "quiet"]
    assert set(report.actions) == {"block", "redact", "flag"}


def test_an_action_of_another_package_counts_as_noted() -> None:
    assert shadow_report([record("x", "page-me")], "r").effects == (("would be noted", 1),)


def test_examples_are_bounded_and_nothing_is_a_report_too() -> None:
    assert len(shadow_report([record(f"x{at}", "block") for at in range(50)], "r").examples) == EXAMPLES
    empty = shadow_report([], "r")
    assert (empty.total, empty.effects, empty.examples) == (0, (), ())
