"""Recognizers whose matches begin with a word: what they find, and that a word is never torn from its value."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.checks._shared.pii.engine import Boost, Engine, Span
from guardproxy.checks._shared.pii.extended.worded import Worded, worded_sources
from guardproxy.checks._shared.pii.words import words
from guardproxy.concurrency import stoppable


def read_match(match: Any) -> Span | None:
    return None if match["value"] == "0" else Span(match.start("value"), match.end("value"), "NUMBER", 0.6, False)


ENGINE = Engine(
    worded_sources(
        [
            Worded("NUMBER", "number", r"[ :]{1,3}(?P<value>[0-9]{1,6})(?![0-9])", read_match),
            Worded("NUMBER", "#", "(?P<value>[0-9])", read_match),
        ],
        words("en"),
        0.4,
    ),
    Boost(0.35, 0.4),
)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("number: 12 and number 34", ["12", "34"]),
        ("number 0", []),
        ("#7 number: #8", ["7", "8"]),
        ("12", []),
        ("number x", []),
    ],
)
def test_a_value_is_found_after_its_word(text: str, values: list[str]) -> None:
    spans, settled = ENGINE.step(text, 0, last=True)
    assert [text[span.start : span.end] for span in spans] == values
    assert settled == len(text)


@pytest.mark.parametrize(
    ("text", "settled"),
    [
        ("a numb", 2),
        ("a number", 2),
        ("a number: ", 2),
        ("a number: 12", 2),
        ("a number: 12 ", 13),
        ("a number or", 11),
        ("number 1 number: 2", 9),
    ],
)
def test_a_word_is_held_as_long_as_its_value_may_come(text: str, settled: int) -> None:
    assert ENGINE.step(text, 0, last=False)[1] == settled


def test_no_recognizers_need_no_source() -> None:
    assert worded_sources([], words("en"), 0.4) == []


def test_other_scans_may_run_at_each_word() -> None:
    stops: list[int] = []
    with stoppable(lambda: stops.append(1)):
        ENGINE.step("#1 " * 50, 0, last=True)
    assert len(stops) > 50
