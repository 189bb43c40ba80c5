"""Stop points: every check that loops over a text looks at them, and a check that nobody runs does not care."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.concurrency import ScanStopped, stop_point, stoppable
from guardproxy.findings import Channel, Window

USER = Channel("request", "user", "messages[0].content")
TEXT = "write to jane.roe@example.com or call 212-555-0123, 1.2.3.4; " * 400


def test_without_a_function_a_stop_point_does_nothing() -> None:
    stop_point()


def test_the_function_is_called_in_its_block_alone() -> None:
    calls: list[int] = []
    with stoppable(lambda: calls.append(1)):
        stop_point()
        with stoppable(lambda: calls.append(2)):
            stop_point()
        stop_point()
    stop_point()
    assert calls == [1, 2, 1]


def test_a_check_cannot_handle_it_as_an_error() -> None:
    assert not issubclass(ScanStopped, Exception)


@pytest.mark.parametrize(
    ("use", "options"),
    [("pii", {}), ("secrets", {}), ("pattern", {"patterns": ["[a-z]+@example"], "words": ["jane"]})],
)
@pytest.mark.parametrize("evasions", ["off", "strict"])
def test_a_long_scan_is_stopped_after_a_few_stop_points(use: str, options: Mapping[str, Any], evasions: str) -> None:
    check = build(use, use, {**options, "evasions": evasions}, Resources())
    left = [3]

    def pause() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise ScanStopped

    with stoppable(pause), pytest.raises(ScanStopped):
        check.scan([Window(USER, TEXT)])
    assert left == [-1]
