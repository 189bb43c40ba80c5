"""Samples of traffic: what is counted, that names are bounded, and that a saved sample is the sample."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.audit.record.document import Gap
from guardproxy.audit.shipping.intents import closing
from guardproxy.errors import QueryError
from guardproxy.reading.drift import shifts
from guardproxy.reading.period import Hours
from guardproxy.reading.samples import LIMIT_NAMES, HourlySamples, Sample, bin_of, read_sample, start_of, write_sample
from guardproxy.reading.summary import OTHERS
from tests.kit.drift import DAY, NOON_S, exchange, found, random_sample, sample
from tests.kit.records import plain_decision, plain_intent, plain_record

MIDNIGHT = datetime.combine(DAY, datetime.min.time(), UTC)


def test_every_measure_of_an_exchange() -> None:
    seen = sample(
        exchange(
            "hello you",
            "hi",
            found(),
            found(score=0.9),
            outcome="blocked_request",
            decisions=(plain_decision(),) * 2,
            timings={"first_byte": 12.0},
            language="de",
        )
    )
    assert seen.exchanges == 1
    decision = plain_decision()
    rule = f"rule {decision.policy}: {decision.rule}"
    assert seen.marks == {"blocked": 1, rule: 1, "found pii NAME in a request": 1}
    assert {name: list(bins) for name, bins in seen.sizes.items()} == {
        "characters of a request": [bin_of("characters of a request", 9)],
        "texts of a request": [bin_of("texts of a request", 1)],
        "characters of an answer": [bin_of("characters of an answer", 2)],
        "milliseconds to the first byte": [bin_of("milliseconds to the first byte", 12)],
        "score of pii NAME in a request": [45],
    }
    assert seen.names["language"] == {"de": 1}


def test_an_answer_without_text_has_no_length_and_a_closing_only_a_class() -> None:
    seen = sample(plain_record(at=NOON_S))
    assert "characters of an answer" not in seen.sizes
    ended = Sample()
    ended.see(closing(plain_intent("x"), 3.0, "e", "the process ended before"))
    assert (ended.exchanges, dict(ended.marks), ended.sizes) == (1, {"end unknown": 1}, {})


def test_days_are_those_of_utc_and_add_up() -> None:
    days, noon = HourlySamples(), MIDNIGHT + timedelta(hours=12)
    for offset_s in (0.0, 43_199.0, 43_200.0):
        days.see(plain_record(at=NOON_S + offset_s))
    days.see(closing(plain_intent("x"), NOON_S - 86_400, "e", "why"))
    days.see(Gap(v=3, at=NOON_S, since=NOON_S, why="disk full"))
    assert days.within(Hours(MIDNIGHT, MIDNIGHT + timedelta(days=1))).exchanges == 2
    assert days.within(Hours(noon, noon + timedelta(hours=1))).exchanges == 1
    assert [sample.exchanges for _, sample in sorted(days.days.items())] == [1, 2, 1]
    assert days.within(Hours(MIDNIGHT, MIDNIGHT + timedelta(days=2))).exchanges == 3
    assert days.within(Hours(MIDNIGHT + timedelta(days=9), MIDNIGHT + timedelta(days=10))) == Sample()


def test_names_of_clients_are_bounded() -> None:
    seen = sample(*(exchange(model=f"m{number}") for number in range(LIMIT_NAMES + 5)))
    assert len(seen.names["model"]) == LIMIT_NAMES + 1
    assert seen.names["model"][OTHERS] == 5
    many = sample(exchange("a", "b", *(found(label=f"L{number}") for number in range(2 * LIMIT_NAMES))))
    assert len(many.marks) <= LIMIT_NAMES + 1
    assert len(many.sizes) <= LIMIT_NAMES


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.sampled_from(["score of a", "characters"]))
def test_bins_keep_the_order_and_hold_their_values(one: float, two: float, measure: str) -> None:
    if measure.startswith("score"):
        one, two = one / 1e9, two / 1e9
    low, high = sorted((one, two))
    assert bin_of(measure, low) <= bin_of(measure, high)
    assert start_of(measure, bin_of(measure, low)) <= low * (1 + 1e-12) + 1e-12


def test_a_saved_sample_is_read_again() -> None:
    saved = random_sample(random.Random(3), 60)
    assert read_sample(write_sample(saved)) == saved
    assert shifts(read_sample(write_sample(saved)), saved) == shifts(saved, saved)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a file"),
        (b"[]", "not a file"),
        (b'{"version":1,"marks":3}', "not a file"),
        (b'{"version":2}', "not a file"),
    ],
)
def test_another_file_is_no_baseline(data: bytes, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        read_sample(data)
