"""What is wrong right now: each cause names the settings that the code declares for it."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.config import SETTINGS, Config
from guardproxy.console.pages.now.causes import LIMIT_CAUSES, CountHistory, LogState, MendingSetting, causes_of
from guardproxy.console.proxy_status import ProcessStatus, StatusCount, Statuses, StatusTrouble
from guardproxy.errors import ErrorCode

FINE: Statuses = {"worker 0": ProcessStatus(engine="guardproxy 1")}
CONFIG = Config.of(upstream=("http://127.0.0.1:9", "anthropic=https://a.example"), confirm_key="k" * 40)


def causes(statuses: Statuses | None = FINE, errors: Any = (), grown: Any = None, **log: Any) -> Any:
    return causes_of(statuses, errors, grown or {}, LogState(**log), (), CONFIG)


def names(cause: Any) -> list[str]:
    return [setting.name for setting in cause.settings]


def test_nothing_is_wrong_with_a_proxy_that_is_fine() -> None:
    assert causes() == ()


def test_a_proxy_that_does_not_answer_comes_first() -> None:
    (cause,) = causes(None)
    assert (cause.kind, cause.title, names(cause)) == ("bad", "The proxy does not answer", ["livez_stall_s"])


@pytest.mark.parametrize(("silent", "title"), [(1, "A worker does not answer"), (2, "2 workers do not answer")])
def test_workers_that_do_not_answer_are_named(silent: int, title: str) -> None:
    gone = {f"worker {number}": None for number in range(silent)}
    (cause,) = causes({**gone, "worker 9": ProcessStatus()})
    assert (cause.title, cause.places) == (title, tuple(gone))


def test_a_trouble_has_its_settings_and_the_requests_that_it_cost() -> None:
    down = StatusTrouble("the upstream `x` is not asked", ("upstream",), "upstream_unavailable", "the host refuses")
    note = StatusTrouble("`audit ship` is behind", ("audit_ship",))
    statuses = {"worker 0": ProcessStatus((down,)), "worker 1": ProcessStatus((down, note))}
    first, second = causes(statuses, [("upstream_unavailable", 7)])
    assert (first.title, first.detail) == ("The upstream `x` is not asked", "The host refuses")
    assert (first.kind, first.requests, first.places) == ("bad", 7, ("worker 0", "worker 1"))
    assert first.settings[0].value == "http://127.0.0.1:9, anthropic=https://a.example"
    assert (second.kind, names(second), second.places) == ("warn", ["audit_ship"], ("worker 1",))


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_error_that_a_setting_controls_is_a_cause_with_that_setting(code: ErrorCode) -> None:
    found = causes(errors=[(code.value, 1)])
    is_controlled = bool(code.settings or code.policy_key) or code.status >= 500
    assert len(found) == is_controlled
    for cause in found:
        assert names(cause) == list(dict.fromkeys(code.settings))
        assert (cause.policy_key, cause.code) == (code.policy_key, code)
        assert code.sentence in cause.title
        assert cause.kind == ("bad" if code.status >= 500 else "warn")


def test_the_worst_and_most_frequent_come_first() -> None:
    found = causes(errors=[("rate_limit_exceeded", 90), ("no_capacity", 2), ("timeout", 5), ("invented <b>", 3)])
    assert [cause.code for cause in found] == ["timeout", "no_capacity", "rate_limit_exceeded"]
    assert found[0].title.startswith("5 requests got 504 in the last 5 minutes")
    (alone,) = causes(errors=[("timeout", 1)])
    assert alone.title.startswith("1 request got 504")


def test_counts_that_grow_are_causes() -> None:
    def counted(value: float) -> ProcessStatus:
        return ProcessStatus(counts=(StatusCount("alerts", "Alerts that failed.", value, ("alert_webhook",)),))

    statuses = {"worker 0": counted(5), "worker 1": counted(9)}
    assert causes(statuses) == ()
    (cause,) = causes(statuses, grown={("worker 0", "alerts"): 2.0, ("worker 1", "alerts"): 1.0})
    assert cause.title == "3 more in the last 5 minutes: Alerts that failed."
    assert (cause.kind, cause.places, names(cause)) == ("warn", ("worker 0", "worker 1"), ["alert_webhook"])
    (alone,) = causes({"worker 0": counted(5)}, grown={("worker 0", "alerts"): 1.0})
    assert alone.places == ()


def test_the_state_of_the_log_is_said() -> None:
    changed, problem, behind = causes(problem="no space left", changed=2, behind=4096)
    assert (changed.kind, changed.title) == ("bad", "2 lines of the log are not what was written")
    assert "no space left" in problem.detail
    assert behind.detail == "4,096 bytes are not in its lists yet."
    assert causes(changed=1)[0].title.startswith("1 line of")


@pytest.mark.parametrize(("count", "shown"), [(1, "1 measure"), (6, "6 measures")])
def test_drift_is_a_cause(count: int, shown: str) -> None:
    shifted = [f"score of <b>{number}" for number in range(count)]
    (cause,) = causes_of(FINE, (), {}, LogState(), shifted, CONFIG)
    assert cause.title.endswith(shown)
    assert cause.detail.count("score of") == min(count, 5)


def test_hostile_and_endless_texts_are_bounded() -> None:
    text = "<script>\u202e" * 100_000
    troubles = tuple(StatusTrouble(f"{number} {text}", ("no_such_setting",)) for number in range(100))
    found = causes({"worker 0": ProcessStatus(troubles)}, problem=text)
    assert len(found) == LIMIT_CAUSES
    assert all(len(cause.title) + len(cause.detail) < 2000 for cause in found)
    assert all(not cause.settings for cause in found), "a name that this version does not know is left out"


@pytest.mark.parametrize("name", list(SETTINGS))
def test_every_setting_is_shown_and_no_secret(name: str) -> None:
    config = Config.of(**{name: SETTINGS[name].default})
    shown = MendingSetting.of(name, config)
    assert shown.flag.startswith("--")
    assert shown.help
    assert MendingSetting.of("confirm_key", CONFIG).value == ""


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("limit_body_bytes", 33_554_432, "33,554,432"),
        ("limit_exchanges", 2000, "2,000"),
        ("livez_stall_s", 0.5, "0.5"),
        ("readyz_upstreams", True, "true"),
        ("upstream", ("https://" + "x" * 300,), "https://" + "x" * 112 + "..."),
    ],
)
def test_values_are_shown_for_people(name: str, value: Any, shown: str) -> None:
    assert MendingSetting.of(name, Config.of(**{name: value})).value == shown


def statuses(**values: float) -> Statuses:
    return {"worker 0": ProcessStatus(counts=tuple(StatusCount(name, "", value) for name, value in values.items()))}


def test_growth_is_counted_within_the_window() -> None:
    history = CountHistory(window_s=10, every_s=1)
    history.add(0, statuses(a=5.0, b=1.0))
    assert history.grown() == {}, "what an earlier time counted is not news"
    history.add(0.5, statuses(a=99.0))
    history.add(2, statuses(a=7.0, b=1.0))
    assert history.grown() == {("worker 0", "a"): 2.0}
    history.add(4, statuses(a=3.0))
    assert history.grown() == {("worker 0", "a"): 5.0}, "a process that started again counts from 0"
    history.add(20, {"worker 0": None})
    history.add(21, statuses(a=3.0))
    assert history.grown() == {}, "it is over"
