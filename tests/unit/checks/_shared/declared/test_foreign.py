"""Words of other tools: each leads to words of ours, in one sentence, where people write it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

import pytest

from guardproxy import checks
from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.foreign import foreign, hint, table
from guardproxy.checks._shared.pii.extended.recognizers import ENTITIES
from guardproxy.checks._shared.pii.recognizers import recognizers
from guardproxy.checks._shared.pii.setup import NAMED
from guardproxy.errors import PolicyError
from guardproxy.policy.file import keys
from guardproxy.policy.file.load import PolicyErrors, build_checks, parse_all
from guardproxy.policy.sections import cache
from guardproxy.policy.usage.usage_limits import UNITS, WHOSE, StoredLimit
from guardproxy.policy.values import cases
from guardproxy.policy.values.actions import ACTIONS, VERDICTS
from guardproxy.policy.values.document import KEEP, MODES, ON_ERROR, PASSES, SEVERITIES, UNMAPPED, WORDS_OF_ON
from guardproxy.policy.values.retrying import THEN
from guardproxy.policy.yaml.tree import read_tree
from guardproxy.redaction import KINDS
from tests.kit.supervisor import LABELS, FakeScorer, words

OPTIONS = {name for use in checks.check_names() for name in checks.options(use)}
# By place: our words, and a policy with a foreign word instead of WORD (and `true` instead of VALUE).
KNOWN: dict[str, Collection[str]] = {
    "action": ACTIONS,
    "decision": VERDICTS,
    "mode": MODES,
    "on_error": ON_ERROR,
    "passes": PASSES,
    "unmapped": UNMAPPED,
    "keep": KEEP,
    "severity": SEVERITIES,
    "then": THEN,
    "cache mode": cache.MODES,
    "unit": UNITS,
    "per": WHOSE,
    "operator": KINDS,
    "channel": WORDS_OF_ON,
    "check": checks.check_names(),
    "label": ["injection", "content"],
    "entity": [*recognizers(), *ENTITIES, *NAMED],
    "policy": keys.POLICY,
    "rule": keys.RULE,
    "match": keys.MATCH,
    "option": {*OPTIONS, "use"},
    "test": cases.KEYS,
    "expect": cases.EXPECT_KEYS,
    "limit": StoredLimit.__struct_fields__,
    "cache": ["mode", "ttl_s", "tools"],
}
RULE = "checks: {c: {use: pattern, words: [x]}}\nrules: [{id: r, on: request, when: c, action: %s}]\n"
FLAG = RULE % "flag"
WRITTEN = {
    "action": RULE % "'WORD'",
    "decision": FLAG + "tests: [{name: t, request: x, expect: {decision: 'WORD'}}]\n",
    "mode": RULE % "flag, mode: 'WORD'",
    "on_error": FLAG + "on_error: 'WORD'\n",
    "passes": FLAG + "opaque: {image: 'WORD'}\n",
    "unmapped": FLAG + "unmapped: 'WORD'\n",
    "keep": FLAG + "audit: {keep: 'WORD'}\n",
    "severity": RULE % "flag, severity: 'WORD'",
    "then": (RULE % "retry, then: 'WORD'").replace("request", "response"),
    "cache mode": "cache: {mode: 'WORD'}\n",
    "unit": "limits: [{name: a, unit: 'WORD', rate: 1/1m}]\n",
    "per": "limits: [{name: a, unit: requests, rate: 1/1m, per: ['WORD']}]\n",
    "operator": RULE % "redact, operators: {DEFAULT: 'WORD'}, restore: false",
    "channel": FLAG.replace("request", "'WORD'"),
    "check": FLAG.replace("use: pattern, words: [x]", "use: 'WORD'"),
    "label": FLAG.replace("use: pattern, words: [x]", "use: supervisor, label: 'WORD'"),
    "entity": FLAG.replace("use: pattern, words: [x]", "use: pii, entities: ['WORD']"),
    "policy": FLAG + "'WORD': VALUE\n",
    "rule": RULE % "flag, 'WORD': VALUE",
    "match": FLAG + "match: {'WORD': VALUE}\n",
    "option": FLAG.replace("use: pattern, words: [x]", "use: USE, 'WORD': VALUE"),
    "test": FLAG + "tests: [{name: t, request: x, expect: {rule: r}, 'WORD': VALUE}]\n",
    "expect": FLAG + "tests: [{name: t, request: x, expect: {'WORD': VALUE}}]\n",
    "limit": "limits: [{name: a, unit: requests, rate: 1/1m, 'WORD': VALUE}]\n",
    "cache": "cache: {mode: exact, 'WORD': VALUE}\n",
}


class Scorer(FakeScorer):
    """A model with the outputs that the shipped one has."""

    labels = {**LABELS, "content": {"any": ("harm",)}}  # noqa: RUF012 - never changed


def load(text: str) -> None:
    policies = parse_all([("p.yaml", text if text.startswith("{") else f"policy: p\n{text}")])
    build_checks(policies, Resources(scorer=lambda name: Scorer(words)))


def entries() -> list[tuple[str, str, str]]:
    """Every foreign word, with its place and our words for it."""
    return [
        (place, word, ours) for place, of in table().items() for ours, words in of.items() for word in words.split()
    ]


def contexts(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Policies with the keys of a snippet at each place that has keys."""
    check, rule = {"use": "pattern", "words": ["x"]}, {"id": "r", "on": "request", "when": "c", "action": "flag"}
    limit, test = {"name": "a"}, {"name": "t", "request": "x", "expect": {"rule": "none"}}
    whole: dict[str, Any] = {"checks": {"c": check}, "rules": [rule]}
    yield whole | found
    yield whole | {"rules": [rule | found]}
    yield whole | {"checks": {"c": found}}
    yield whole | {"limits": [limit | found]}
    yield whole | {"limits": [limit | {"unit": "requests"} | found]}
    whole["limits"] = [{"name": "a", "unit": "requests", "rate": "1/1m"}]
    yield whole | {"tests": [test | found]}
    yield whole | {"tests": [test | {"expect": found}]}


def is_ours(found: dict[str, Any]) -> bool:
    for policy in contexts(found):
        try:
            load(json.dumps({"policy": "p"} | policy))
        except PolicyError:
            continue
        return True
    return False


@pytest.mark.parametrize("place", KNOWN)
def test_what_is_advised_is_ours(place: str) -> None:
    known = set().union(*KNOWN.values())
    for ours in table()[place]:
        if "`" not in ours and " " not in ours:
            assert ours in KNOWN[place]
            continue
        snippets = [read_tree(text, "").plain() for text in re.findall("`([^`]+)`", ours)]
        assert snippets or "no such key" in ours
        assert known.issuperset(snippet for snippet in snippets if isinstance(snippet, str))
        assert known.issuperset(word for snippet in snippets if isinstance(snippet, list) for word in snippet)
        found = {key: value for snippet in snippets if isinstance(snippet, dict) for key, value in snippet.items()}
        assert not found or is_ours(found), found


def test_the_table_has_each_place_once_and_no_word_of_ours() -> None:
    assert table().keys() == KNOWN.keys() == WRITTEN.keys()
    # A check may have an option that others have not.
    assert not [entry for entry in entries() if entry[1] in KNOWN[entry[0]] and entry[0] != "option"]
    assert len({entry[:2] for entry in entries()}) == len(entries())


@pytest.mark.parametrize("place", KNOWN)
def test_each_word_is_answered_where_it_is_written(place: str) -> None:
    for _, entry, ours in (entry for entry in entries() if entry[0] == place):
        word, _, value = entry.partition(":")
        use = next((use for use in checks.check_names() if ours in checks.options(use)), "secrets")
        with pytest.raises(PolicyErrors) as caught:
            load(WRITTEN[place].replace("USE", use).replace("WORD", word).replace("VALUE", value or "x"))
        (error,) = caught.value.errors
        said = ours if "`" in ours or " " in ours else f"`{ours}`"
        assert f"; write {said}" in error.message or f"did you mean {said}?" in error.message, error


@pytest.mark.parametrize(
    ("word", "known", "place", "said"),
    [
        ("BLOCK", ACTIONS, "action", "; did you mean `block`?"),
        ("Drop-Chunk", ACTIONS, "action", "; did you mean `drop_chunk`?"),
        ("blck", ACTIONS, "action", "; did you mean `block`?"),
        ("Pre Call", WORDS_OF_ON, "channel", "; write `request`"),
        ("deny", ACTIONS, "", ""),
        ("secret", ["secrets", "pii"], "check", "; did you mean `secrets`?"),  # both a foreign word and a near one
        ("regex", ["entities", "threshold"], "option", ""),
        ("regex", ["patterns", "threshold"], "option", "; write `patterns`"),
        ("pre_call", ["entities"], "option", "; write `on: request` in the rule"),
        ("whatever", ACTIONS, "action", ""),
    ],
)
def test_the_nearest_word_comes_first_and_spelling_does_not_matter(
    word: str, known: tuple[str, ...], place: str, said: str
) -> None:
    assert hint(word, tuple(known), place) == said


def test_a_key_is_answered_by_its_value() -> None:
    assert foreign("expect", "blocked", True) == "`decision: block`"
    assert foreign("expect", "blocked", False) == "`decision: pass`"
    assert foreign("expect", "Blocked") == "`decision: block`"
    assert foreign("policy", "enabled", False) == "`mode: shadow`"


def test_a_key_by_another_name_is_one_mistake() -> None:
    with pytest.raises(PolicyErrors) as caught:
        load(FLAG.replace("id: r", "name: r"))
    assert [error.message.split(" (")[0] for error in caught.value.errors] == ["unknown key `name`; write `id`"]
    with pytest.raises(PolicyErrors, match="`use` is missing; write `use` instead of `type`"):
        load(FLAG.replace("use: pattern", "type: regex"))
