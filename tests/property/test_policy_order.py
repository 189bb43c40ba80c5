"""The order of files, policies, checks, rules and keys does not matter. The strongest decision wins; of equally strong
decisions, the most severe is reported."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import build_checks, parse_all
from guardproxy.policy.yaml.reading import join
from tests.kit.play import Play, chat_frames

ACTIONS = ("flag", "redact", "block", "retry")
TEXTS = ("harmless", "apple", "apple pie and banana", "cherry banana", "apple banana cherry apple")

RULES = st.builds(
    lambda number, on, when, action, mode, severity: {
        "id": f"r{number}",
        "on": "response" if action == "retry" else on,
        "when": when,
        "action": action,
        "mode": mode,
        "severity": severity,
        **({"message": f"message {number}"} if action in ("block", "retry") else {}),
    },
    st.integers(0, 99),
    st.sampled_from(["request", "response", "[request, response]", "user"]),
    st.sampled_from(["a", "b", "c", "a or b", "b or c"]),
    st.sampled_from(ACTIONS),
    st.sampled_from(["enforce", "enforce", "shadow"]),
    st.sampled_from(["low", "high", "critical"]),
)
POLICIES = st.lists(
    st.tuples(
        st.lists(RULES, min_size=1, max_size=3, unique_by=lambda rule: rule["id"]),
        st.sampled_from(["{}", "{models: [m]}", "{models: [n]}"]),
    ),
    min_size=1,
    max_size=3,
)


def line(rule: dict[str, Any], third: str, shuffle: random.Random) -> str:
    shown = {**rule, "when": rule["when"].replace("c", third)}
    return f"  - {{{', '.join(f'{key}: {value}' for key, value in shuffle.sample(list(shown.items()), len(shown)))}}}\n"


def written(policies: list[tuple[list[dict[str, Any]], str]], shuffle: random.Random) -> PolicySet:
    files = []
    numbered = list(enumerate(policies))
    for number, (rules, match) in shuffle.sample(numbered, len(numbered)):
        third = f"c{number % 2}"  # one check under two names
        checks = [
            f"a: {{use: pattern, words: [apple], label: P{number}}}",  # other checks under one name
            "b: {use: pattern, words: [banana]}",
            f"{third}: {{use: pattern, words: [cherry]}}",
        ]
        keys = [
            f"policy: p{number}\n",
            f"match: {match}\n",
            f"checks: {{{join(shuffle.sample(checks, 3))}}}\n",
            "rules:\n" + "".join(line(rule, third, shuffle) for rule in shuffle.sample(rules, len(rules))),
        ]
        files.append((f"{shuffle.random()}.yaml", "".join(shuffle.sample(keys, 4))))
    loaded = parse_all(files)
    return PolicySet(loaded, build_checks(loaded, Resources()), "same")


def played(policies: PolicySet, asked: str, answered: str) -> tuple[Any, ...]:
    play = Play(policies).ask({"model": "m", "stream": True, "messages": [{"role": "user", "content": asked}]})
    if play.upstream:
        play.stream(chat_frames([{"content": answered}]))
    outcomes = {(one.policy, one.rule, one.enforced, one.finding) for one in play.exchange.outcomes}
    return play.upstream, play.client, outcomes


@given(POLICIES, st.sampled_from(TEXTS), st.sampled_from(TEXTS), st.integers(0, 2**32), st.integers(0, 2**32))
def test_shuffling_files_policies_checks_and_rules_changes_nothing(
    policies: list[tuple[list[dict[str, Any]], str]], asked: str, answered: str, one: int, other: int
) -> None:
    first, second = (played(written(policies, random.Random(seed)), asked, answered) for seed in (one, other))
    assert first == second
