"""A request must not cost more calls than it did: a ceiling for each kind of request, a few percent above the measured number.

Lower a ceiling after an improvement. `python -m tools.hot_path` shows where the calls are. The writer's calls are those for
the intent and the record of an exchange, which here come in a batch of their own each.
"""

from __future__ import annotations

import pytest

from tools.hot_path import DEFAULT, NO_RULES, measure


@pytest.mark.parametrize(
    ("policy", "streamed", "loop", "writer"),
    [
        pytest.param(NO_RULES, False, 788, 127, id="no rules"),
        pytest.param(NO_RULES, True, 1400, 127, id="no rules, streamed"),
        pytest.param(DEFAULT, False, 1775, 127, id="default policy"),
        pytest.param(DEFAULT, True, 3110, 127, id="default policy, streamed"),
    ],
)
def test_a_request_costs_no_more_calls_than_before(policy: str, streamed: bool, loop: float, writer: float) -> None:
    calls = measure(policy, streamed=streamed)
    assert calls.loop <= loop, calls.by_function.most_common(20)
    assert calls.writer <= writer, calls.by_function.most_common(20)
