"""Agreement of a judge with people, against worked examples."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.errors import PolicyError
from guardproxy.policytest.agreement import LabelledCase, agreement_of, kappa, rate, read_cases


def test_a_worked_example() -> None:
    """Two raters of 50 proposals: 20 times both yes, 15 times both no, 5 and 10 times apart. Kappa is 0.4."""
    pairs = [(True, True)] * 20 + [(False, False)] * 15 + [(True, False)] * 5 + [(False, True)] * 10
    found = agreement_of([*pairs, (True, None), (False, None)])
    assert found.kappa.share == pytest.approx(0.4)
    assert (found.kappa.low, found.kappa.high) == pytest.approx((0.1460, 0.6540), abs=1e-3)
    assert (found.agreed.share, found.true_positive.share, found.true_negative.share) == (0.7, 0.8, 0.6)
    assert (found.failed, found.agreed.of) == (2, 50)


def test_people_may_choose_among_several_words() -> None:
    pairs = (
        [("right", "right")] * 20 + [("missed", "missed")] * 15 + [("right", "missed")] * 5 + [("missed", "right")] * 10
    )
    assert kappa(pairs).share == pytest.approx(0.4)
    assert kappa([]).share is None
    assert kappa([("right", "right")]).share is None


def test_an_interval_of_wilson() -> None:
    found = rate(9, 10)
    assert (found.low, found.high) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert rate(0, 0).share is None


@pytest.mark.parametrize("pairs", [[], [(True, True)] * 9, [(False, False)], [(True, None)]])
def test_without_two_kinds_kappa_is_not_defined(pairs: list[tuple[bool, bool | None]]) -> None:
    assert agreement_of(pairs).kappa.share is None


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.booleans())))
def test_every_share_lies_in_its_interval(pairs: list[tuple[bool, bool | None]]) -> None:
    found = agreement_of(pairs)
    for share in (found.kappa, found.agreed, found.true_positive, found.true_negative):
        assert share.share is None or share.low - 1e-9 <= share.share <= share.high + 1e-9


def test_cases_are_read() -> None:
    lines = [
        '{"request": "q", "answer": "a", "good": true}',
        " ",
        '{"name": "n", "messages": [{"role": "system", "content": "s"}], "answer": "b", "good": false}',
    ]
    assert list(read_cases(lines, "f")) == [
        LabelledCase("line 1", (("user", "q"),), "a", True),
        LabelledCase("n", (("system", "s"),), "b", False),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "[]",
        "3",
        '{"answer": "a", "good": true}',
        '{"request": "q", "answer": "a", "good": 1}',
        '{"request": 3, "answer": "a", "good": true}',
        '{"messages": [{"role": "god", "content": "x"}], "answer": "a", "good": true}',
        '{"messages": ["x"], "answer": "a", "good": true}',
    ],
)
def test_a_line_that_is_no_case_is_named(line: str) -> None:
    with pytest.raises(PolicyError, match="f:2:1: expected"):
        list(read_cases(["", line], "f"))
