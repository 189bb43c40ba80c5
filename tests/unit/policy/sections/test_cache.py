"""The section `cache`: what it says, and what several of them say together."""

from __future__ import annotations

from itertools import permutations

import pytest

from guardproxy.policy import CacheSection, PolicyErrors, merge_caches
from guardproxy.policy.load import parse


def read(text: str) -> CacheSection:
    section = parse(f"policy: p\ncache: {text}\n", "p.yaml").sections["cache"]
    assert isinstance(section, CacheSection)
    return section


@pytest.mark.parametrize(
    ("text", "section"),
    [
        ("{mode: exact}", CacheSection("exact", 300.0, tools=False)),
        ("{mode: exact, ttl_s: 1.5, tools: true}", CacheSection("exact", 1.5, tools=True)),
        ("{mode: semantic}", CacheSection("semantic")),
        ("{mode: none}", CacheSection("none")),
    ],
)
def test_a_section_is_read(text: str, section: CacheSection) -> None:
    assert read(text) == section


def test_the_most_careful_part_of_each_counts() -> None:
    sections = (
        CacheSection("semantic", 10.0, tools=True),
        CacheSection("exact", 20.0, tools=True),
        CacheSection("semantic", 30.0, tools=False),
    )
    for order in permutations(sections):
        assert merge_caches(order) == CacheSection("exact", 10.0, tools=False)
        assert merge_caches([*order, CacheSection("none")]) is None
    assert merge_caches(sections[::2]) == CacheSection("semantic", 10.0, tools=False)
    assert merge_caches([]) is None


def test_a_section_without_a_mode_is_an_error() -> None:
    with pytest.raises(PolicyErrors, match="`mode` is missing"):
        read("{ttl_s: 5}")
