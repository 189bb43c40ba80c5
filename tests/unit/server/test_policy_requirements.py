"""Settings that policies need: each that is missing is an error at its place, and all are told together."""

from __future__ import annotations

import pytest

from guardproxy.config import Config
from guardproxy.policy import PolicyErrors
from guardproxy.server.policy_requirements import check_policies
from tests.kit.play import policy_set

POLICY = """policy: p
checks: {word: {use: pattern, words: [umbrella]}}
rules:
  - {id: again, on: response, when: word, action: retry, then: fallback, fallback: {upstream: spare}}
  - {id: model, on: response, when: word, action: retry, then: fallback, fallback: {model: large}}
route:
  upstreams:
    - {model: m}
    - {upstream: far, priority: 1}
judge: {upstream: grader, model: m, rubric: good}
audit: {keep: sealed}
"""
ADDRESSES = ("http://one.example", *(f"{name}=http://{name}.example" for name in ("spare", "far", "grader")))


def test_everything_that_is_missing_is_told_at_once_and_where() -> None:
    with pytest.raises(PolicyErrors) as raised:
        check_policies(policy_set(POLICY), Config.of(upstream=("http://one.example",)))
    assert [(error.path, error.line, error.column, error.message) for error in raised.value.errors] == [
        ("policy0.yaml", 4, 5, "a policy falls back to the upstream `spare`: give --upstream spare=URL"),
        ("policy0.yaml", 9, 7, "a policy routes to the upstream `far`: give --upstream far=URL"),
        ("policy0.yaml", 10, 1, "the judge asks the upstream `grader`: give --upstream grader=URL"),
        ("policy0.yaml", 11, 1, "`keep: sealed` needs the operator's key: give --seal-key"),
    ]


def test_policies_with_all_that_they_need_pass() -> None:
    check_policies(policy_set(POLICY), Config.of(upstream=ADDRESSES, seal_key=("file:key",)))
    check_policies(policy_set("policy: p\nroute: {models: {small: m}}\n"), Config.of(upstream=ADDRESSES[:1]))
