"""The patterns of other languages: each finds an own line, and a prohibition is told from an order."""

from __future__ import annotations

from pathlib import Path

import pytest
import re2

from guardproxy.checks._shared.patterns.overrides_abroad import ABROAD, PROHIBITION

TEXT = (Path(__file__).parents[4] / "policy" / "overrides.txt").read_text("utf-8")
FOUND = TEXT.split("# found: other languages\n")[1].split("# fine")[0].splitlines()
FINE = TEXT.split("# fine: other languages\n")[1].splitlines()


@pytest.mark.parametrize("pattern", ABROAD)
def test_each_pattern_finds_an_order_and_takes_it_for_no_prohibition(pattern: str) -> None:
    found = [match.group() for line in FOUND if (match := re2.search(f"(?i){pattern}", line))]
    assert found
    assert [order for order in found if PROHIBITION.search(order)] == []


def test_each_order_is_found_by_one_language_or_more() -> None:
    assert [line for line in FOUND if not any(re2.search(f"(?i){pattern}", line) for pattern in ABROAD)] == []


def test_orders_not_to_do_so_are_prohibitions() -> None:
    matches = [match.group() for line in FINE for each in ABROAD if (match := re2.search(f"(?i){each}", line))]
    assert len(matches) > 8
    assert [text for text in matches if not PROHIBITION.search(text)] == []
