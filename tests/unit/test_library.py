"""The selections of checks that the command line builds."""

from __future__ import annotations

from guardproxy.library import all_but, only_judges, whole
from guardproxy.policy import parse

POLICY = parse(
    """\
policy: p
checks:
  word: {use: pattern, words: [falcon]}
  sure: {use: supervisor, label: injection, threshold: 0.1%}
  far: {use: http, url: "http://127.0.0.1:1/", labels: [x]}
rules:
  - {id: r, when: word or sure or far, action: block}
""",
    "policy.yaml",
)


def test_judges_are_selected_with_thresholds_that_show_every_score() -> None:
    judges = only_judges(POLICY).checks
    assert judges.keys() == {"sure"}
    assert judges["sure"].options == {"label": "injection", "threshold": 0.0, "first_stage": False}


def test_other_selections() -> None:
    assert whole(POLICY) is POLICY
    assert all_but(["http"])(POLICY).checks.keys() == {"word", "sure"}
