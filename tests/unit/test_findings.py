"""The nouns: frozen, and findings in the order of their text."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from guardproxy.decisions import Pass
from guardproxy.errors import (
    DownstreamError,
    ErrorCode,
    NoCapacityError,
    OptionError,
    PolicyError,
    Shortage,
    UpstreamError,
)
from guardproxy.findings import (
    KINDS,
    Channel,
    Finding,
    Kind,
    Scan,
    Window,
    failed_scan,
    give_way,
    is_separator,
    join_touching,
)


def test_every_kind_is_listed_once() -> None:
    assert get_args(Kind) == KINDS
    assert len(set(KINDS)) == len(KINDS)


def test_findings_sort_by_their_place() -> None:
    later, longer, first = Finding(5, 6, "a", "A", 1.0), Finding(1, 9, "a", "A", 0.1), Finding(1, 2, "z", "Z", 1.0)
    assert sorted([later, longer, first]) == [first, longer, later]


def test_a_window_is_a_whole_text_unless_it_says_otherwise() -> None:
    window = Window(Channel("request", "user", "x"), "text")
    assert (window.start, window.settled, window.last) == (0, 0, True)
    assert Scan((), 0, 0).error == ""


@pytest.mark.parametrize(
    "value", [Finding(0, 1, "a", "A", 1.0), Scan((), 0, 0), Channel("request", "user", "x"), Pass("r")]
)
def test_values_are_frozen(value: Any) -> None:
    with pytest.raises(AttributeError):
        setattr(value, value.__match_args__[0], 5)


def test_errors_say_where_and_what() -> None:
    refusal = DownstreamError(ErrorCode.REQUEST_TOO_LARGE, "the body is too large", "content-length")
    assert (refusal.status, refusal.code, str(refusal), refusal.field) == (
        413,
        "request_too_large",
        "the body is too large (the setting limit_body_bytes)",
        "content-length",
    )
    failure = UpstreamError(ErrorCode.UPSTREAM_TIMEOUT, "no connection")
    assert (failure.status, failure.code, str(failure)) == (
        504,
        "upstream_timeout",
        "no connection (the settings timeout_connect_s, timeout_first_byte_s and timeout_idle_s)",
    )
    assert str(PolicyError("bad", "p.yaml", 3, 5)) == "p.yaml:3:5: bad"
    assert str(PolicyError("bad")) == "bad"
    option = OptionError("words", "must be a list")
    assert (option.key, option.message, str(option)) == ("words", "must be a list", "must be a list")


@pytest.mark.parametrize(
    ("strong", "left"),
    [
        ([], ["Ada 212 Bo"]),
        ([(4, 7)], ["Ada", "Bo"]),
        ([(4, 6), (5, 7), (7, 8)], ["Ada", "Bo"]),
        ([(0, 3), (8, 10)], ["212"]),
        ([(0, 5), (5, 10)], []),
    ],
)
def test_a_weak_finding_gives_way(strong: list[tuple[int, int]], left: list[str]) -> None:
    text = "Ada 212 Bo"
    weak = Finding(0, 10, "pii", "PERSON", 0.5)
    findings = [Finding(start, end, "pii", "PHONE_NUMBER", 0.9) for start, end in strong]
    kept = give_way([weak], findings, lambda start, end: text[start:end])
    assert [text[finding.start : finding.end] for finding in kept] == left


def test_a_finding_gives_way_to_those_of_its_own_check_alone() -> None:
    weak = Finding(0, 2, "names", "PERSON", 0.5)
    assert give_way([weak], [Finding(0, 2, "pii", "US_SSN", 0.9)], lambda start, end: "ab"[start:end]) == [weak]


@pytest.mark.parametrize(
    ("strong", "weak", "joined"),
    [
        (["Oak St"], ["Leeds", "UK"], ["Oak St, Leeds,\nUK"]),
        (["Oak St", "Leeds"], ["UK"], ["Oak St", "Leeds,\nUK"]),
        (["Oak St", "Leeds", "UK"], [], ["Oak St", "Leeds", "UK"]),
        ([], ["Oak St", "UK"], ["Oak St", "UK"]),
        ([], ["Leeds", "UK", "Bo"], ["Leeds,\nUK", "Bo"]),
    ],
)
def test_what_touches_is_joined(strong: list[str], weak: list[str], joined: list[str]) -> None:
    text = "Oak St, Leeds,\nUK (Bo)"

    def found(values: list[str], score: float) -> list[Finding]:
        return [Finding(text.index(value), text.index(value) + len(value), "pii", "X", score) for value in values]

    kept = join_touching(
        found(strong, 0.9), found(weak, 0.5), frozenset("X"), lambda end, start: is_separator(text[end:start])
    )
    assert [text[finding.start : finding.end] for finding in kept] == joined
    assert kept[0].score == (0.9 if strong else 0.5)


def test_only_findings_of_one_check_and_label_are_joined() -> None:
    parts = [Finding(0, 2, "a", "X", 0.5), Finding(2, 4, "a", "Y", 0.5), Finding(4, 6, "b", "X", 0.5)]
    assert join_touching([], parts, frozenset("X"), lambda end, start: end == start) == parts
    pair = [Finding(0, 2, "a", "Y", 0.5), Finding(2, 4, "a", "Y", 0.5)]
    assert join_touching([], pair, frozenset("X"), lambda end, start: True) == pair


def test_a_joined_finding_has_a_limit() -> None:
    parts = [Finding(at, at + 10, "a", "X", 0.5) for at in range(0, 1000, 10)]
    joined = join_touching([], parts, frozenset("X"), lambda end, start: True)
    assert [finding.end - finding.start for finding in joined] == [250, 250, 250, 250]


def test_a_failed_scan_tells_a_fault_from_a_lack_of_capacity() -> None:
    window = Window(Channel("request", "user", "x"), "text", 5, 7)
    fault = failed_scan(window, ValueError("the text"))
    assert (fault.error, fault.no_capacity, fault.findings, fault.settled) == ("ValueError", None, (), 7)
    late = failed_scan(window, NoCapacityError(Shortage.LATE, "late"))
    assert (late.error, late.no_capacity) == ("NoCapacityError", Shortage.LATE)
