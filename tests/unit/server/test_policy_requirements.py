"""Settings that policies need: each that is missing is an error at its place, and all are told together."""

from __future__ import annotations

import pytest

from guardproxy.checks import Embedder, PairJudge
from guardproxy.config import Config
from guardproxy.errors import ConfigError
from guardproxy.inference import Models
from guardproxy.policy.file import PolicyErrors
from guardproxy.server.policy_requirements import check_policies, question_models
from tests.kit.confirming import POLICY as CONFIRM
from tests.kit.play import policy_set
from tests.kit.questions import models

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


ENVOY = "unix:/run/guardproxy.sock"


def test_what_needs_a_second_request_is_refused_with_ext_proc() -> None:
    """Envoy sends each request once, to an upstream that it chooses."""
    with pytest.raises(PolicyErrors) as raised:
        check_policies(policy_set(POLICY), Config.of(upstream=ADDRESSES, seal_key=("file:key",), ext_proc=ENVOY))
    said = [(error.line, error.message.partition(",")[0]) for error in raised.value.errors]
    assert said == [
        (4, "the rule `again` asks for a second answer"),
        (5, "the rule `model` asks for a second answer"),
        (8, "`route` may send a request twice"),
        (9, "`route` sends requests to the upstream `far`"),
    ]


def test_what_one_request_can_do_passes_with_ext_proc() -> None:
    config = Config.of(ext_proc=ENVOY)
    check_policies(policy_set("policy: p\nroute: {models: {small: m}}\n"), config)
    check_policies(
        policy_set("policy: p\nroute: {upstreams: [{model: a}, {model: b}], fallback: {attempts: 0}}\n"), config
    )
    check_policies(
        policy_set("policy: p\njudge: {upstream: grader, model: m, rubric: good}\n"),
        Config.of(ext_proc=ENVOY, upstream=("grader=http://grader.example",)),
    )


ASKS = """policy: p
match: {routes: ["POST /mcp/*"]}
checks: {call: {use: tool_call}}
rules: [{id: ask, on: tool_arguments, when: call, action: confirm}]
"""


def test_several_workers_that_ask_a_person_share_a_state() -> None:
    servers, one = ("files=http://files.example/",), ADDRESSES[:1]
    for policy, config in (
        (ASKS, Config.of(upstream=one, mcp=servers, workers=2)),
        (ASKS.replace('match: {routes: ["POST /mcp/*"]}\n', ""), Config.of(upstream=one, workers=2)),
    ):
        with pytest.raises(PolicyErrors, match="give --state"):
            check_policies(policy_set(policy), config)
    check_policies(policy_set(ASKS), Config.of(upstream=one, mcp=servers))
    check_policies(policy_set(ASKS), Config.of(upstream=one, mcp=servers, workers=2, state="redis://state.example"))


def test_a_policy_for_servers_of_tools_needs_nothing_where_there_are_none() -> None:
    check_policies(policy_set(ASKS), Config.of(upstream=ADDRESSES[:1], workers=2))


def test_several_workers_share_the_answers_of_people() -> None:
    policies = policy_set(CONFIRM)
    with pytest.raises(PolicyErrors, match="several workers do not share the answers: give --state") as raised:
        check_policies(policies, Config.of(upstream=ADDRESSES[:1], workers=2))
    assert [error.line for error in raised.value.errors] == [5]
    check_policies(policies, Config.of(upstream=ADDRESSES[:1], workers=2, state="redis://127.0.0.1:6379/0"))
    check_policies(policies, Config.of(upstream=ADDRESSES[:1]))


class QuestionsOnly(Models):
    """Models that compare questions, of a test; without them, it says why. `fault`: that reason."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.fault = fault

    def embedder(self, name: str = "embedding") -> Embedder:
        if self.fault:
            raise ConfigError(self.fault)
        return models().embedder

    def pairs(self, name: str = "pairs") -> PairJudge:
        return models().judge


SEMANTIC = "policy: p\ncache: {mode: semantic}\n"


def test_models_that_compare_questions_are_loaded_if_a_policy_needs_them() -> None:
    for text in ("policy: p\nset: {seed: 7}\n", "policy: p\ncache: {mode: exact}\n"):
        assert question_models(policy_set(text), QuestionsOnly("not asked")) == (None, "")
    found, fault = question_models(policy_set(SEMANTIC), QuestionsOnly())
    assert found is not None
    assert (found.embedder.digest, found.judge.digest, fault) == ("words-of-the-test", "judge-of-the-test", "")


def test_without_these_models_the_fault_is_told_and_the_policies_are_used(caplog: pytest.LogCaptureFixture) -> None:
    found, fault = question_models(policy_set(SEMANTIC), QuestionsOnly("no model `embedding`"))
    assert (found, fault) == (None, "questions are compared by words alone: no model `embedding`")
    assert "the semantic cache compares words alone" in caplog.text


def test_an_operating_point_that_the_model_does_not_have_is_an_error() -> None:
    for point in ("careful", "0.97"):
        assert question_models(policy_set(SEMANTIC.replace("}", f", point: {point}}}")), QuestionsOnly())[0]
    with pytest.raises(PolicyErrors, match=r":2:1: .*no operating point `odd` \(it has: careful, same\)"):
        question_models(policy_set(SEMANTIC.replace("}", ", point: odd}")), QuestionsOnly())
