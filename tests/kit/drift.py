"""Samples of traffic for the tests of drift."""

from __future__ import annotations

import math
import random
from datetime import UTC, date, datetime

from guardproxy.audit.record.document import Record, RecordedFinding
from guardproxy.reading.drift import Shift, shifts
from guardproxy.reading.samples import Sample
from tests.kit.records import plain_answer, plain_record, plain_text

DAY = date(2026, 1, 31)
NOON_S = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()


def found(check: str = "pii", label: str = "NAME", score: float = 0.5) -> RecordedFinding:
    return RecordedFinding(check=check, label=label, start=1, end=4, score=score)


def exchange(text: str = "hello", answer: str = "hi", *findings: RecordedFinding, **members: object) -> Record:
    shown = plain_answer(plain_text("choices[0].message.content", answer, kind="assistant"))
    return plain_record(shown, plain_text(text=text, findings=findings), at=NOON_S, **members)


def sample(*records: Record) -> Sample:
    whole = Sample()
    for record in records:
        whole.see(record)
    return whole


def by_measure(baseline: Sample, current: Sample) -> dict[str, Shift]:
    return {shift.measure: shift for shift in shifts(baseline, current)}


def random_sample(chooser: random.Random, size: int, middle: float = 100.0, model: str = "m") -> Sample:
    whole = Sample()
    for _ in range(size):
        text = "x" * int(chooser.lognormvariate(math.log(middle), 1))
        findings = (found(score=chooser.uniform(0.4, 1)),) if chooser.random() < 0.2 else ()
        whole.see(exchange(text, "y" * int(chooser.lognormvariate(4, 1)), *findings, model=model))
    return whole
