"""The cost of a check grows no faster than the text, for hostile texts, whole and streamed. The cost is counted in steps.

By default the blocks in which checks work are short, and so are the texts. With `HYPOTHESIS_PROFILE=long` the blocks have
their size of production, the texts are long, and all profiles of evasions are tested.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from guardproxy.checks import Check
from guardproxy.checks._shared.links.places import KINDS
from guardproxy.checks._shared.pii.engine import Span
from guardproxy.checks.control_chars import LABELS
from guardproxy.checks.pii import _strength, resolve
from guardproxy.checks.special_tokens import FAMILIES
from guardproxy.findings import Finding, give_way
from tests.kit.check_cost import READER_UNITS, UNITS, built, cost, counted, short_blocks, steps

MOST = 2.3  # times the steps for twice the text
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
WORDS = ["falcon"]
PATTERNS = ["a.*b", "[0-9]+x", "(?:ab)+c"]
CHECKS: dict[str, tuple[str, dict[str, Any]]] = {
    "pii": ("pii", {}),
    "secrets, strict": ("secrets", {"evasions": "strict"}),
    "pattern": ("pattern", {"words": WORDS, "patterns": PATTERNS}),
    "links": ("links", {"allow": ["a.example"], "kinds": list(KINDS)}),
    "control_chars": ("control_chars", {"kinds": list(LABELS)}),
    "special_tokens": ("special_tokens", {"families": list(FAMILIES), "evasions": "off"}),
}
if LONG:
    CHECKS |= {
        "pii, strict": ("pii", {"evasions": "strict"}),
        "pii, off": ("pii", {"evasions": "off"}),
        "pii, as Presidio": ("pii", {"parity": "strict"}),
        "secrets": ("secrets", {}),
        "pattern, strict": ("pattern", {"words": WORDS, "patterns": PATTERNS, "evasions": "strict"}),
    }
# A single step from one size to its double is jumpy, as a last block may be full or not: two of them are compared. The
# smaller size holds some blocks, or else what is squared within a block would show.
SIZE, PIECE, WORD_LIMIT = (16_384, 512, None) if LONG else (1024, 32, 512)


@pytest.fixture(scope="module")
def checks() -> Iterator[dict[str, Check]]:
    with ExitStack() as stack:
        stack.enter_context(counted())
        if not LONG:
            stack.enter_context(short_blocks())
        yield {name: built(use, options, WORD_LIMIT) for name, (use, options) in CHECKS.items()}


READER = ("links", "control_chars", "special_tokens")


def _steep(check: Check, piece: int) -> dict[str, list[float]]:
    """The texts whose cost grows faster than they do, with the steps for each size. What is steep is looked at once more, four
    times as long: runs of base64 have blocks that are not made short here, and a square stays one."""
    found: dict[str, list[float]] = {}
    for unit, said in (READER_UNITS if check.name in READER else UNITS).items():
        costs = [cost(check, said, size, piece) for size in (SIZE, 4 * SIZE)]
        if costs[-1] > MOST**2 * costs[-2]:
            costs.append(cost(check, said, 16 * SIZE, piece))
        if costs[-1] > MOST**2 * costs[-2]:
            found[unit] = costs
    return found


@pytest.mark.parametrize("name", CHECKS)
def test_a_whole_text_costs_what_its_length_says(name: str, checks: dict[str, Check]) -> None:
    assert _steep(checks[name], 0) == {}


@pytest.mark.parametrize("name", CHECKS)
def test_a_stream_costs_what_its_length_says(name: str, checks: dict[str, Check]) -> None:
    assert _steep(checks[name], PIECE) == {}


def test_a_stream_whose_views_never_agree_costs_what_its_length_says() -> None:
    """Sends addresses without an end to a check that reads letters and digits one by one."""
    with counted(), short_blocks():
        check = built("pii", {"evasions": "strict"}, 1024)
        costs = [cost(check, UNITS["addresses without end"], size, 64) for size in (8192, 32_768)]
    assert costs[1] <= MOST**2 * costs[0]


def _old_resolve(spans: list[Span]) -> list[Span]:
    """The definition of `resolve`, pair by pair."""
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


def test_settling_overlaps_costs_what_their_number_says() -> None:
    found = []
    for count in (1000, 2000, 4000):
        spans = _spans(Random(2), count, 4 * count)
        found.append(steps(lambda spans=spans: resolve(spans)))  # type: ignore[misc]
    assert all(after < MOST * before for before, after in pairwise(found))


def test_giving_way_costs_what_the_number_of_findings_says() -> None:
    found = []
    for count in (500, 1000, 2000):
        weak = [Finding(at * 10, at * 10 + 8, "c", "A", 1.0) for at in range(count)]
        strong = [Finding(at * 10 + 4, at * 10 + 6, "c", "B", 1.0) for at in range(count)]
        found.append(steps(lambda weak=weak, strong=strong: give_way(weak, strong, lambda low, high: "x")))  # type: ignore[misc]
    assert all(after < MOST * before for before, after in pairwise(found))
