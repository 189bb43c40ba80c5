"""A section of a policy file: it is read, inherited and bound to requests like the rest of its policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from guardproxy.policy import PolicySet
from guardproxy.policy.file import extending, keys, variables
from guardproxy.policy.file.load import PolicyErrors, parse, parse_all
from guardproxy.policy.sections import SECTIONS, BoundSection, Section
from guardproxy.policy.values.strictness import compare_sets
from guardproxy.policy.yaml.reading import FileReading
from guardproxy.policy.yaml.tree import YamlNode
from guardproxy.policydiff.policies import changes

Pairs = tuple[tuple[str, Any], ...]


def read(reading: FileReading, node: YamlNode) -> Pairs:
    entries = reading.entries(node, "a mapping like `{a: 1}`", ("a", "b"))
    return tuple(sorted((name, value.plain()) for name, value in entries.items()))


def both(values: Sequence[Pairs]) -> Pairs:
    return tuple(sorted({pair for value in values for pair in value}))


PROBE: Section[Pairs] = Section("probe", "A probe.", {"type": "object"}, read)
STACKING = replace(PROBE, merge=both, stacks=True, order=compare_sets)


@pytest.fixture(autouse=True)
def probe(monkeypatch: pytest.MonkeyPatch) -> None:
    section = PROBE
    monkeypatch.setitem(SECTIONS, "probe", section)
    monkeypatch.setitem(keys.POLICY, "probe", keys.Key(section.doc, section.schema))
    monkeypatch.setattr(extending, "INHERITED", (*extending.INHERITED, "probe"))
    monkeypatch.setattr(variables, "PLACES", (*variables.PLACES, "probe"))


def test_a_policy_may_have_sections_alone_with_variables_in_them() -> None:
    assert parse("policy: p\nvars: {x: 3}\nprobe: {a: '${x}'}\n", "p.yaml").sections == {"probe": (("a", 3),)}


def test_errors_have_their_place() -> None:
    with pytest.raises(PolicyErrors, match=r"p\.yaml:2:15: unknown key `c` \(allowed here: a, b\)"):
        parse("policy: p\nprobe: {a: 1, c: 2}\n", "p.yaml")


def test_a_section_is_inherited_and_may_not_change() -> None:
    base = ("a.yaml", "policy: a\nprobe: {a: 1}\n")
    heir = parse_all([base, ("b.yaml", "policy: b\nextends: a\n")])[1]
    assert heir.sections == {"probe": (("a", 1),)}
    with pytest.raises(PolicyErrors, match=r"b\.yaml:3:1: `probe` may not change \(a\.yaml:2:1\)"):
        parse_all([base, ("b.yaml", "policy: b\nextends: a\nprobe: {a: 2}\n")])


def test_sections_of_all_policies_that_apply_are_bound_in_the_order_of_their_names() -> None:
    texts = {
        "c": "policy: c\nprobe: {a: 1}\n",
        "a": "policy: a\nmode: shadow\nprobe: {b: 1}\n",
        "b": "policy: b\nenforce: 0 %\nprobe: {b: 2}\n",
        "d": "policy: d\nmatch: {models: [other]}\nprobe: {b: 3}\n",
    }
    policies = parse_all([(f"{name}.yaml", text) for name, text in texts.items()])
    bound = PolicySet(policies, {}, "digest").bind("POST /v1/messages", "m", None, "conversation")
    assert bound.sections == {
        "probe": (
            BoundSection("a", (("b", 1),), False),
            BoundSection("b", (("b", 2),), False),
            BoundSection("c", (("a", 1),), True),
        )
    }


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("probe: {a: 1}", "probe: {a: 2}", [("the section `probe` changed", "either")]),
        ("probe: {a: 1}", "on_error: block", [("the section `probe` was removed", "either")]),
        ("mode: shadow", "mode: shadow\nprobe: {a: 1}", [("the section `probe` is new", "neutral")]),
        ("probe: {a: 1}", "probe: {a: 1}", []),
    ],
)
def test_a_difference_is_told(old: str, new: str, words: list[tuple[str, str]]) -> None:
    rest = "strip: [user]\n"
    before, after = (parse_all([("p.yaml", f"policy: p\n{rest}{text}\n")]) for text in (old, new))
    assert [(change.words, change.effect) for change in changes(before, after)] == words


def test_a_section_that_stacks_is_merged_over_the_layers_of_a_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECTIONS, "probe", STACKING)
    monkeypatch.setitem(keys.TENANT, "probe", keys.POLICY["probe"])
    base = ("a.yaml", "policy: a\nprobe: {a: 1}\ntenants: {red: {probe: {b: 4}}}\n")
    texts = [base, ("b.yaml", "policy: b\nextends: a\nprobe: {b: 2}\n")]
    found = {policy.name: STACKING.of(policy.sections) for policy in parse_all(texts)}
    assert found == {
        "a": (("a", 1),),
        "a@red": (("a", 1), ("b", 4)),
        "b": (("a", 1), ("b", 2)),
        "b@red": (("a", 1), ("b", 2), ("b", 4)),
    }


def test_more_of_a_section_that_stacks_is_stricter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECTIONS, "probe", STACKING)
    texts = ("", "probe: {a: 1}", "probe: {a: 1, b: 2}")
    policies = [parse_all([("p.yaml", f"policy: p\nstrip: [user]\n{text}\n")]) for text in texts]
    pairs = [(0, 1), (1, 2), (2, 1), (1, 0)]
    effects = [[change.effect for change in changes(policies[old], policies[new])] for old, new in pairs]
    assert effects == [["tightens"], ["tightens"], ["loosens"], ["loosens"]]
