"""The selections of checks that the command line builds."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardproxy.library import all_but, load, loader, only_judges, whole
from guardproxy.policy.file import PolicyErrors, parse

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


def test_contents_are_loaded_instead_of_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("not a policy")
    content = b"policy: q\nchecks: {w: {use: pattern, words: [x]}}\nrules: [{id: r, when: w, action: block}]\n"
    loaded = loader(instead={"a.yaml": content})(tmp_path)
    assert [policy.name for policy in loaded.policies] == ["q"]


def test_other_selections() -> None:
    assert whole(POLICY) is POLICY
    assert all_but(["http"])(POLICY).checks.keys() == {"word", "sure"}


def test_the_model_of_difficulty_is_loaded_if_a_route_names_it(tmp_path: Path) -> None:
    policies, models = tmp_path / "policies", tmp_path / "models"
    policies.mkdir()
    route = policies / "route.yaml"
    route.write_text("policy: p\nroute: {simple: {model: small}}\n", "utf-8")
    assert load(policies).difficulty is None
    route.write_text("policy: p\nroute: {simple: {model: small, difficulty: 0.5}}\n", "utf-8")
    assert load(policies).difficulty is not None
    (models / "difficulty").mkdir(parents=True)
    (models / "difficulty" / "config.json").write_text("{}", "utf-8")
    with pytest.raises(PolicyErrors, match=r"route\.yaml:1:9: `difficulty` of the route needs a model: .*SHA256SUMS"):
        load(policies, models)
