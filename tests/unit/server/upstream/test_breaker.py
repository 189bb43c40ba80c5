"""The circuit breaker: what opens it, what closes it, and that half-open lets exactly one request through."""

from __future__ import annotations

import pytest

from guardproxy.server.upstream.breaker import LIMIT_CLIENTS, Breaker, Thresholds

THRESHOLDS = Thresholds(failures=3, share=0.5, least=10, window_s=10.0, open_s=5.0, open_limit_s=20.0)


def used(breaker: Breaker, result: str, now_s: float) -> None:
    ticket = breaker.enter(now_s)
    assert ticket is not None
    breaker.leave(ticket, result, now_s)  # type: ignore[arg-type]


def opened(now_s: float = 0.0) -> Breaker:
    breaker = Breaker(THRESHOLDS)
    for _ in range(3):
        used(breaker, "failed", now_s)
    assert breaker.state(now_s) == "open"
    return breaker


def test_failures_in_a_row_open_it() -> None:
    breaker = opened()
    assert breaker.enter(4.9) is None
    assert breaker.wait_s(1.0) == 4.0


def test_an_answer_in_between_keeps_it_closed() -> None:
    breaker = Breaker(THRESHOLDS)
    for result in ("failed", "failed", "answered", "failed", "failed"):
        used(breaker, result, 0.0)
    assert breaker.state(0.0) == "closed"


def test_what_tells_nothing_counts_for_nothing() -> None:
    breaker = Breaker(THRESHOLDS)
    for result in ("failed", "unknown", "failed", "unknown"):
        used(breaker, result, 0.0)
    assert breaker.state(0.0) == "closed"
    used(breaker, "failed", 0.0)
    assert breaker.state(0.0) == "open"


def test_a_share_of_failures_opens_it() -> None:
    breaker = Breaker(THRESHOLDS)
    for _ in range(4):
        used(breaker, "answered", 0.0)
        used(breaker, "failed", 0.0)
    assert breaker.state(0.0) == "closed", "too few"
    used(breaker, "answered", 1.0)
    used(breaker, "failed", 1.0)
    assert breaker.state(1.0) == "open"


def test_old_failures_are_forgotten() -> None:
    breaker = Breaker(THRESHOLDS)
    for second in range(100):
        used(breaker, "failed" if second % 3 == 0 else "answered", float(second))
        assert breaker.state(float(second)) == "closed"
    assert len(breaker._window) <= 11


def test_the_probe_closes_it() -> None:
    breaker = opened()
    probe = breaker.enter(5.0)
    assert probe is not None
    assert breaker.enter(5.0) is None, "exactly one"
    assert breaker.state(5.0) == "half_open"
    breaker.leave(probe, "answered", 6.0)
    assert breaker.state(6.0) == "closed"
    assert breaker.enter(6.0)


def test_a_failed_probe_opens_it_for_longer_up_to_a_limit() -> None:
    breaker = opened()
    now_s, waits = 0.0, []
    for _ in range(4):
        now_s += breaker.wait_s(now_s)
        used(breaker, "failed", now_s)
        waits.append(breaker.wait_s(now_s))
    assert waits == [10.0, 20.0, 20.0, 20.0]


def test_a_probe_whose_client_left_makes_room_for_the_next() -> None:
    breaker = opened()
    used(breaker, "unknown", 5.0)
    assert breaker.state(5.0) == "half_open"
    used(breaker, "answered", 5.0)
    assert breaker.state(5.0) == "closed"


@pytest.mark.parametrize("result", ["answered", "failed"])
def test_results_from_before_it_opened_are_ignored(result: str) -> None:
    breaker = Breaker(THRESHOLDS)
    late = [breaker.enter(0.0) for _ in range(5)]
    for _ in range(3):
        used(breaker, "failed", 0.0)
    probe = breaker.enter(5.0)
    assert probe
    for ticket in late:
        assert ticket
        breaker.leave(ticket, result, 5.0)  # type: ignore[arg-type]
    assert breaker.enter(5.0) is None, "the probe is still out"


def test_it_can_be_switched_off() -> None:
    breaker = Breaker(Thresholds(failures=0))
    for _ in range(100):
        used(breaker, "failed", 0.0)
    assert breaker.state(0.0) == "closed"


def ended(breaker: Breaker, client: str | None, result: str, now_s: float = 0.0) -> None:
    ticket = breaker.enter(now_s)
    assert ticket is not None
    breaker.leave(ticket, result, now_s, client)  # type: ignore[arg-type]


def test_one_client_does_not_open_it_for_the_others() -> None:
    """However many of its requests fail, in a row or as a share."""
    breaker = Breaker(THRESHOLDS)
    ended(breaker, "honest", "answered")
    for _ in range(1000):
        ended(breaker, "hostile", "failed")
    assert breaker.state(0.0) == "closed"
    ended(breaker, "honest", "failed")
    assert breaker.state(0.0) == "open", "the upstream fails for everybody"


def test_a_client_alone_opens_it() -> None:
    breaker = Breaker(THRESHOLDS)
    for _ in range(3):
        ended(breaker, "alone", "failed")
    assert breaker.state(0.0) == "open"


def test_two_hostile_clients_among_many_do_not_open_it() -> None:
    breaker = Breaker(THRESHOLDS)
    for number in range(6):
        ended(breaker, f"honest {number}", "answered")
    for _ in range(100):
        ended(breaker, "hostile", "failed")
        ended(breaker, "hostile too", "failed")
    assert breaker.state(0.0) == "closed"
    for number in range(2):
        assert breaker.state(0.0) == "closed"
        ended(breaker, f"honest {number}", "failed")
    assert breaker.state(0.0) == "open", "half of eight fail"


def test_clients_that_were_not_there_for_long_do_not_count() -> None:
    breaker = Breaker(THRESHOLDS)
    ended(breaker, "honest", "answered", 0.0)
    for _ in range(3):
        ended(breaker, "other", "failed", THRESHOLDS.window_s + 0.1)
    assert breaker.state(THRESHOLDS.window_s + 0.1) == "open"


def test_a_failure_that_no_request_can_cause_opens_it_whoever_asks() -> None:
    breaker = Breaker(THRESHOLDS)
    ended(breaker, "honest", "answered")
    for _ in range(3):
        ended(breaker, None, "failed")
    assert breaker.state(0.0) == "open"


def test_the_clients_that_are_remembered_are_bounded() -> None:
    breaker = Breaker(THRESHOLDS)
    for number in range(LIMIT_CLIENTS + 10):
        ended(breaker, str(number), "answered")
    assert len(breaker._clients) == LIMIT_CLIENTS


@pytest.mark.parametrize("is_shared", [False, True])
def test_after_a_failed_probe_of_a_client_another_one_goes_first(is_shared: bool) -> None:
    """Otherwise one busy client whose requests fail would keep it open for the others."""
    breaker = Breaker(THRESHOLDS)
    for client in ("hostile", "honest" if is_shared else "hostile", "hostile"):
        ended(breaker, client, "failed")
    assert breaker.state(0.0) == "open"
    ended(breaker, "hostile", "failed", 5.0)  # the probe
    assert (breaker.enter(15.5, "hostile") is None) == is_shared, "it stays open for 10 s now"
    assert (breaker.enter(15.5, "honest") is None) != is_shared, "a client alone has the probe already"


def test_without_another_client_the_same_one_may_probe_later() -> None:
    breaker = Breaker(THRESHOLDS)
    for client in ("hostile", "honest", "hostile"):
        ended(breaker, client, "failed")
    ended(breaker, "hostile", "failed", 5.0)
    assert breaker.enter(24.9, "hostile") is None
    ended(breaker, "hostile", "answered", 25.1)
    assert breaker.state(25.1) == "closed"
