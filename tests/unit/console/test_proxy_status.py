"""The answers of the admin port are read as values, whatever they hold."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.console.proxy_status import ProcessStatus, first_status, read_statuses

SHOWN = {
    "troubles": [{"text": "gone", "settings": ["audit"], "code": "audit_unavailable", "is_serious": True}],
    "counts": [{"name": "alerts", "text": "Alerts.", "value": 2.0, "settings": ["alert_webhook"]}],
    "gauges": {"open": 3.0},
    "guards": [{"policy": "strict", "rules": [{"id": "none", "action": "block", "mode": "enforce"}]}],
    "unknown": "of a later version",
}


def test_a_status_is_read() -> None:
    statuses = read_statuses({"worker 0": None, "worker 1": SHOWN})
    status = first_status(statuses)
    assert statuses["worker 0"] is None
    assert status is statuses["worker 1"]
    assert status.troubles[0].settings == ("audit",)
    found = status.rule("none")
    assert found is not None
    assert (found[0].policy, found[1].action) == ("strict", "block")
    assert status.rule("other") is None


@pytest.mark.parametrize("shown", [None, [], "text", {"worker 0": []}, {"worker 0": {"troubles": 3}}])
def test_what_is_no_status_counts_as_no_answer(shown: Any) -> None:
    statuses = read_statuses(shown)
    assert set(statuses.values()) <= {None}
    assert first_status(statuses) == ProcessStatus()
