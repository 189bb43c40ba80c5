"""The page and the metrics of drift show what shifted, and no markup of a client."""

from __future__ import annotations

import random
import re
from datetime import date, timedelta

from guardproxy.reading.drift import shifts
from guardproxy.reading.drift_page import drift_metrics, drift_page, verdict_of
from guardproxy.reading.samples import Sample
from tests.kit.drift import DAY, exchange, found, random_sample, sample
from tests.kit.pages import PageReader
from tests.kit.records import plain_decision


def shifted_days() -> tuple[Sample, dict[date, Sample]]:
    chooser = random.Random(5)
    baseline = random_sample(chooser, 200)
    days = {DAY + timedelta(days=number): random_sample(chooser, 60, 100.0 * 2**number) for number in range(4)}
    return baseline, {**days, DAY + timedelta(days=1): sample(exchange())}


def test_the_page_shows_what_shifted_by_day() -> None:
    baseline, days = shifted_days()
    name = "z<b>\u202e"
    last = sample(*[exchange("x" * 5000, model=name)] * 60)
    page = drift_page("shop & co", "now against then", baseline, shifts(baseline, last), days)
    read = PageReader(page)
    assert read.open == []
    text = re.sub(r"\s+", " ", read.text)
    for wanted in ("Drift: shop & co", "now against then", "measures shifted much", "By day", "2026-01-31", "\\u202e"):
        assert wanted in text
    assert name not in page
    lines = re.findall(r'<polyline class="l\d" points="([^"]*)"', page)
    assert len(lines) >= 2
    assert {len(line.split()) for line in lines if line} <= {2, 3}, "the day with one exchange is left out"


def test_a_page_without_shifts_has_no_plot() -> None:
    baseline, days = shifted_days()
    page = drift_page("shop", "", baseline, shifts(baseline, baseline), days)
    assert "<polyline" not in page
    assert " 0 measures shifted much" in f" {verdict_of(shifts(baseline, baseline))}"
    assert "<polyline" not in drift_page("shop", "", baseline, shifts(baseline, sample(*[exchange()] * 60)), {})


def test_metrics_have_the_form_of_prometheus() -> None:
    baseline = sample(*[exchange()] * 60)
    current = sample(*[exchange(decisions=(plain_decision(policy='a"\\\n'),))] * 60, exchange("hello", "hi", found()))
    written = drift_metrics(shifts(baseline, current))
    sample_line = re.compile(
        r'guardproxy_drift_(psi|chance_psi)\{measure="(?:[^"\\\n]|\\[\\"n])*"\} ([0-9.e+-]+|\+Inf)'
    )
    lines = written.splitlines()
    assert written.endswith("\n")
    assert all(line.startswith("# ") or sample_line.fullmatch(line) for line in lines)
    assert any('rule a\\"\\\\\\n' in line for line in lines)
    assert not any("score of" in line for line in lines), "what was not judged is not a metric"
