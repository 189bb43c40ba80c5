"""The policies that are served, loaded once for each version of their files, and their thresholds."""

from __future__ import annotations

from pathlib import Path

from guardproxy.console.inforce import ServedPolicies, least_scores
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


POLICY = "policy: p\nchecks: {w: {use: words, words: [x]}}\nrules: [{id: r, on: request, when: w, action: block}]\n"


def test_they_are_loaded_again_when_a_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(POLICY)
    served = ServedPolicies()
    paths = (tmp_path,)
    assert served.ready(paths, False) == (None, "", False)
    first, fault = served.load(paths, False)
    assert first is not None
    assert fault == ""
    assert served.load(paths, False)[0] is first
    assert served.ready(paths, False) == (first, "", True)
    file.write_text(POLICY.replace("[x]", "[yy]"))
    assert served.ready(paths, False) == (None, "", False)
    second, _ = served.load(paths, False)
    assert second is not None
    assert second.digest != first.digest


def test_a_fault_is_told_and_kept(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("policy: p\nrules: 3\n")
    served = ServedPolicies()
    policies, fault = served.load((tmp_path,), False)
    assert policies is None
    assert "rules" in fault
    assert served.ready((tmp_path,), False) == (None, fault, True)


def test_without_a_path_there_is_nothing_to_load(tmp_path: Path) -> None:
    served = ServedPolicies()
    assert served.ready((), False) == (None, "", True)
    assert served.load((), False) == (None, "the console knows no policies")
    assert served.load((tmp_path / "gone",), False)[0] is None


def test_a_single_file(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(POLICY)
    policies, _ = ServedPolicies().load((file,), False)
    assert policies is not None
