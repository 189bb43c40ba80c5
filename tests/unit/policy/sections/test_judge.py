"""The section `judge`: what is read, and the defaults. Its mistakes are in `tests/policy/broken`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jsonschema_rs
import pytest

from guardproxy.policy.file import PolicyErrors, parse
from guardproxy.policy.sections import NeededUpstream
from guardproxy.policy.sections.judge import JUDGE, LIMIT_RUBRIC_CHARS, CandidateModel, JudgeSection, is_sampled

POLICY = """
policy: graded
checks: {word: {use: pattern, words: [x]}}
rules: [{id: look, when: word, action: flag}]
"""


def read(text: str) -> Any:
    return parse(f"{POLICY}judge: {text}", "policy.yaml").sections.get("judge")


def test_the_defaults() -> None:
    assert read("{upstream: grader, model: m, rubric: ' good '}") == JudgeSection("grader", "m", "good", 50_000)


def test_every_key() -> None:
    text = "{upstream: u, model: m, rubric: r, sample: 0.5 %, scale: [0, 10], least: 7, max_chars: 100}"
    assert read(text) == JudgeSection("u", "m", "r", 5000, 0, 10, 7, 100)


def test_a_candidate_has_an_upstream_and_a_model() -> None:
    text = "{upstream: u, model: m, rubric: r, candidate: {upstream: cheap, model: small}}"
    assert read(text).candidate == CandidateModel("cheap", "small")
    with pytest.raises(PolicyErrors, match="`model` is missing"):
        read("{upstream: u, model: m, rubric: r, candidate: {upstream: cheap}}")


@pytest.mark.parametrize(("scale", "least"), [("[0, 1]", 0), ("[3, 5]", 4)])
def test_a_good_answer_has_at_least_the_score_below_the_highest(scale: str, least: int) -> None:
    assert read(f"{{upstream: u, model: m, rubric: r, scale: {scale}}}").least == least


@pytest.mark.parametrize("scale", ["[1]", "[1, 1]", "[5, 1]", "[true, 2]", "[0, 1.5]", "[95, 101]", "[-1, 3]"])
def test_a_scale_has_a_few_steps(scale: str) -> None:
    with pytest.raises(PolicyErrors, match="two whole numbers"):
        read(f"{{upstream: u, model: m, rubric: r, scale: {scale}}}")


def test_a_rubric_is_bounded() -> None:
    with pytest.raises(PolicyErrors, match=f"at most {LIMIT_RUBRIC_CHARS} characters"):
        read(f"{{upstream: u, model: m, rubric: {'x' * (LIMIT_RUBRIC_CHARS + 1)}}}")


def test_another_question_has_another_digest() -> None:
    plain = JudgeSection("u", "m", "r", 1)
    others = (JudgeSection("u", "n", "r", 1), JudgeSection("u", "m", "q", 1), JudgeSection("u", "m", "r", 1, high=6))
    assert len({section.digest for section in (plain, *others)}) == 4
    assert plain.digest == JudgeSection("v", "m", "r", 2, least=1).digest


def test_editors_get_a_schema() -> None:
    jsonschema_rs.validator_for(dict(JUDGE.schema)).validate({"upstream": "u", "model": "m", "rubric": "r"})


def test_a_section_without_its_keys_has_no_value() -> None:
    with pytest.raises(PolicyErrors, match="`rubric` is missing"):
        read("{upstream: u, model: m}")


def test_a_sample_has_its_share_and_depends_on_the_id_alone() -> None:
    section = JudgeSection("grader", "m", "be fair", 250_000)
    names = [f"{number:024x}" for number in range(4000)]
    chosen = [name for name in names if is_sampled(section, "p", name)]
    assert len(chosen) == pytest.approx(1000, abs=100)
    assert chosen == [name for name in names if is_sampled(section, "p", name)]
    assert chosen != [name for name in names if is_sampled(section, "q", name)]


def test_a_judge_says_what_it_scores_and_which_upstream_it_needs() -> None:
    section = JudgeSection("grader", "m", "be fair", 50_000)
    assert JUDGE.explain is not None
    assert JUDGE.explain(section) == "m scores 5 % of the answers"
    assert list(JUDGE.needs(section)) == [NeededUpstream("the judge asks", "grader", gets_request=False)]
    beside = replace(section, candidate=CandidateModel("cheap", "small"))
    assert JUDGE.explain(beside) == "m scores 5 % of the answers and compares them with those of small"
    assert list(JUDGE.needs(beside))[1:] == [NeededUpstream("the judge compares with", "cheap", gets_request=False)]
