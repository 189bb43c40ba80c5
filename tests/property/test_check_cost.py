"""What checks cost grows no faster than the text: over hostile texts, whole and streamed, by counting steps."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import pytest

from guardproxy.checks import Check, Resources, build
from guardproxy.checks._engine import Span
from guardproxy.checks._spans import untorn
from guardproxy.checks.pii import _strength, resolve
from guardproxy.findings import Finding, give_way
from guardproxy.testing import whole
from tests.support_check_cost import UNITS, costs, work

MOST = 2.3  # times the steps for twice the text
PROBE = 2000
DEAR = 20  # steps a character from which a text is shorter: its blocks of 4,096 characters count less
SIZES, DEAR_SIZES = (12_288, 24_576, 49_152), (4096, 8192, 16_384)
STREAM_SIZES = (4096, 8192)
CHECKS: dict[str, tuple[str, dict[str, Any]]] = {
    "pii": ("pii", {}),
    "pii, strict": ("pii", {"evasions": "strict"}),
    "secrets, strict": ("secrets", {"evasions": "strict"}),
    "pattern": ("pattern", {"words": ["falcon"], "patterns": ["a.*b", "[0-9]+x", "(?:ab)+c"]}),
}


@pytest.fixture(scope="module")
def built() -> dict[str, Check]:
    found = {name: build(use, name, options, Resources()) for name, (use, options) in CHECKS.items()}
    for check in found.values():  # what is made once is no part of the cost
        whole(check, "ada@example.org +1 212 555 0147 4111 1111 1111 1111 \u200b a b c d e f g h 41 41 41")
    return found


@pytest.mark.parametrize("name", CHECKS)
def test_a_whole_text_costs_what_its_length_says(
    name: str, built: dict[str, Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    steep = {}
    for unit, repeated in UNITS.items():
        (probe,) = costs(monkeypatch, built[name], repeated, (PROBE,))
        found = costs(monkeypatch, built[name], repeated, DEAR_SIZES if probe > DEAR * PROBE else SIZES)
        if found[2] > MOST**2 * found[0]:
            steep[unit] = found
    assert not steep


@pytest.mark.parametrize("name", CHECKS)
def test_a_stream_costs_what_its_length_says(
    name: str, built: dict[str, Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    steep = {}
    for unit, repeated in UNITS.items():
        (probe,) = costs(monkeypatch, built[name], repeated, (PROBE,))
        if probe > DEAR * PROBE:
            continue  # many findings: what is settled is not scanned again
        found = costs(monkeypatch, built[name], repeated, STREAM_SIZES, streamed=32)
        if any(after > MOST * before for before, after in pairwise(found)):
            steep[unit] = found
    assert not steep


def _old_resolve(spans: list[Span]) -> list[Span]:
    """What `resolve` is defined as, pair by pair."""
    kept: list[Span] = []
    for span in sorted(spans, key=_strength):
        if all(span.end <= other.start or span.start >= other.end for other in kept):
            kept.append(span)
    return sorted(kept)


def _spans(random: Random, count: int, size: int) -> list[Span]:
    starts = [random.randint(0, size) for _ in range(count)]
    return [
        Span(
            start,
            random.randint(start, size + 1),
            random.choice("ABC"),
            random.choice([0.4, 0.5, 1]),
            random.random() < 0.5,
        )
        for start in starts
    ]


def test_overlaps_are_settled_as_if_each_pair_were_compared() -> None:
    random = Random(1)
    for _ in range(5000):
        spans = _spans(random, random.randint(0, 12), random.choice([6, 20, 60]))
        assert resolve(spans) == _old_resolve(spans)
        place = random.randint(0, 60)
        torn = [span[:2] for span in spans]
        expected = place
        while moved := [low for low, high in torn if low < expected < high]:
            expected = min(moved)
        assert untorn(torn, place) == expected


def test_settling_overlaps_costs_what_their_number_says(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for count in (1000, 2000, 4000):
        spans = _spans(Random(2), count, 4 * count)
        found.append(work(monkeypatch, count, lambda spans=spans: resolve(spans)))  # type: ignore[misc]
    assert all(after < MOST * before for before, after in pairwise(found))


def test_giving_way_costs_what_the_number_of_findings_says(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for count in (500, 1000, 2000):
        weak = [Finding(at * 10, at * 10 + 8, "c", "A", 1.0) for at in range(count)]
        strong = [Finding(at * 10 + 4, at * 10 + 6, "c", "B", 1.0) for at in range(count)]
        found.append(
            work(monkeypatch, count, lambda weak=weak, strong=strong: give_way(weak, strong, lambda low, high: "x"))
        )  # type: ignore[misc]
    assert all(after < MOST * before for before, after in pairwise(found))
