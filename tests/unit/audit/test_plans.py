"""Plans and routes in a record: they are written, read back, and left out where there are none."""

from __future__ import annotations

from guardproxy.audit.record.tasks import RecordedPlan, RecordedRoute
from tests.kit.records import members, plain_record, through_log


def test_a_route_is_read_back_as_it_was_written() -> None:
    route = RecordedRoute(
        policy="p",
        mode="enforce",
        upstream="a",
        model="m",
        next=("b", "- m2"),
        simple=True,
        measures={"chars": 3},
        passed_over=("c",),
        saved=0.25,
        duties=RecordedPlan(upstream="d", parameters={"n": 1}),
    )
    record = plain_record(routing=(route, RecordedRoute(policy="q", mode="shadow")), plan=RecordedPlan(model="m"))
    again = through_log(record)
    assert (again.routing, again.plan) == (record.routing, record.plan)
    assert members(record)["routing"][1] == {"policy": "q", "mode": "shadow"}


def test_a_record_without_a_route_has_no_member_for_it() -> None:
    assert "routing" not in members(plain_record())
