"""The thresholds of the policies that are served."""

from __future__ import annotations

from guardproxy.console.inforce import least_scores
from tests.kit.play import policy_set

TEXT = """
policy: measured
checks:
  tongue: {use: language, allow: [en], threshold: 0.7}
  noise: {use: gibberish}
  mail: {use: pattern, label: MAIL, patterns: ["@"]}
rules:
  - {id: a, on: request, when: tongue or noise or mail, action: flag}
"""


def test_the_lowest_score_of_each_check_that_has_a_threshold() -> None:
    scores = least_scores(policy_set(TEXT))
    assert scores["tongue"] == 0.7
    assert "mail" not in scores
