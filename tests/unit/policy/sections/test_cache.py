"""The section `cache`: what it says, and what several of them say together."""

from __future__ import annotations

from itertools import permutations

import jsonschema_rs
import pytest

from guardproxy.policy.file import PolicyErrors, schema
from guardproxy.policy.file.load import parse, parse_all
from guardproxy.policy.sections import CacheSection, merge_caches
from guardproxy.policy.sections.cache import CACHE, SCOPES


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
        ("{mode: exact, scope: client}", CacheSection("exact")),
        ("{mode: semantic, scope: tenant}", CacheSection("semantic", scope="tenant")),
        ("{mode: exact, scope: all}", CacheSection("exact", scope="all")),
        ("{mode: semantic, point: careful}", CacheSection("semantic", points=("careful",))),
        ("{mode: semantic, point: 0.97}", CacheSection("semantic", points=(0.97,))),
        ("{mode: semantic, point: 1}", CacheSection("semantic", points=(1,))),
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


def test_questions_must_reach_the_points_of_all_sections() -> None:
    default, number, name = (CacheSection("semantic", points=points) for points in ((), (0.97,), ("careful",)))
    for order in permutations((default, number, name)):
        merged = merge_caches(order)
        assert merged is not None
        assert set(merged.every_point) == {0.8, 0.97, "careful"}
    assert merge_caches([default, default]) == default
    assert merge_caches([number, number]) == number
    assert default.every_point == (0.8,)


@pytest.mark.parametrize("point", ["0.4", "1.01", "[0.9]", "''"])
def test_a_point_is_a_name_or_a_probability(point: str) -> None:
    with pytest.raises(PolicyErrors):
        read(f"{{mode: semantic, point: {point}}}")


def test_answers_are_shared_as_far_as_all_sections_say() -> None:
    sections = [CacheSection("exact", scope=scope) for scope in SCOPES]
    for order in permutations(sections):
        assert merge_caches(order) == CacheSection("exact")
    assert merge_caches(sections[1:]) == CacheSection("exact", scope="tenant")


@pytest.mark.parametrize(
    ("mode", "scope", "message"),
    [("semantic", "all", "2:32: `all` is for `mode: exact` only"), ("exact", "team", "unknown word `team`")],
)
def test_another_scope_is_an_error(mode: str, scope: str, message: str) -> None:
    with pytest.raises(PolicyErrors, match=message):
        read(f"{{mode: {mode}, scope: {scope}}}")
    check = jsonschema_rs.Draft202012Validator(schema())
    assert not check.is_valid({"policy": "p", "cache": {"mode": mode, "scope": scope}})
    assert check.is_valid({"policy": "p", "cache": {"mode": mode, "scope": "tenant"}})


def test_a_section_without_a_mode_is_an_error() -> None:
    with pytest.raises(PolicyErrors, match="`mode` is missing"):
        read("{ttl_s: 5}")


@pytest.mark.parametrize(
    ("new", "order"),
    [
        (CacheSection("exact", 300.0), "same"),
        (CacheSection("none", 300.0), "tighter"),
        (CacheSection("exact", 200.0), "tighter"),
        (CacheSection("semantic", 300.0), "looser"),
        (CacheSection("exact", 300.0, tools=True), "looser"),
        (CacheSection("exact", 300.0, scope="tenant"), "looser"),
        (CacheSection("exact", 200.0, scope="tenant"), "unclear"),
        (CacheSection("exact", 300.0, points=(0.8,)), "same"),
        (CacheSection("exact", 300.0, points=("careful",)), "unclear"),
    ],
)
def test_a_section_that_lets_the_cache_do_less_is_stricter(new: CacheSection, order: str) -> None:
    assert CACHE.order(CacheSection("exact", 300.0), new) == order


def test_an_heir_may_let_the_cache_do_less_and_not_more() -> None:
    base = ("a.yaml", "policy: a\ncache: {mode: exact, ttl_s: 9}\n")
    heir = parse_all([base, ("b.yaml", "policy: b\nextends: a\ncache: {mode: exact, ttl_s: 8}\n")])[1]
    assert CACHE.of(heir.sections) == CacheSection("exact", 8.0)
    with pytest.raises(PolicyErrors, match=r"b\.yaml:3:1: `cache` may not be weakened \(a\.yaml:2:1\)"):
        parse_all([base, ("b.yaml", "policy: b\nextends: a\ncache: {mode: exact, ttl_s: 10}\n")])


@pytest.mark.parametrize(
    ("old", "new", "order"),
    [
        ((0.9,), (0.95,), "tighter"),
        ((0.95,), (0.9,), "looser"),
        ((0.9,), (0.9,), "same"),
        ((), (0.9,), "tighter"),
        (("same",), (0.9,), "unclear"),
        (("same", 0.9), (0.95,), "unclear"),
    ],
)
def test_a_higher_point_is_stricter(old: tuple[str | float, ...], new: tuple[str | float, ...], order: str) -> None:
    assert CACHE.order(CacheSection("semantic", points=old), CacheSection("semantic", points=new)) == order
