"""The shipped policies: each passes its tests, has enough of them, and no rule without one. Models are loaded once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from guardproxy.policy.document import Policy
from guardproxy.policy.evaluate import PolicySet
from guardproxy.policy.load import Files
from guardproxy.policy.notes import notes
from guardproxy.scanning import loader, shipped_folder, shipped_names
from guardproxy.trials.running import Ran, run_tests, untested

NAMES = (
    "default",
    "agents",
    "eu-ai-act",
    "healthcare",
    "payments",
    "pii-only",
    "shadow-first",
    "strict",
    "structured-output",
)
LOAD = loader()


@cache
def loaded(name: str) -> PolicySet:
    return LOAD(shipped_folder(name))


@cache
def results(name: str) -> tuple[Ran, ...]:
    return tuple(run_tests(loaded(name), Files(shipped_folder(name)).read))


def only(name: str) -> Policy:
    (policy,) = loaded(name).policies
    return policy


def test_these_are_all() -> None:
    assert tuple(shipped_names()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_policy_passes_its_own_tests(name: str) -> None:
    assert {one.name: one.faults for one in results(name) if one.faults} == {}


@pytest.mark.parametrize("name", NAMES)
def test_it_has_ten_tests_and_no_rule_without_one(name: str) -> None:
    assert len(results(name)) >= 10
    assert untested(loaded(name).policies, results(name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_harmless_texts_are_among_them(name: str) -> None:
    harmless = [one for one in results(name) if not one.held and one.test.expected.decision == "pass"]
    assert len(harmless) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_it_is_called_as_its_file_and_says_what_it_is_for(name: str) -> None:
    policy = only(name)
    assert (policy.name, Path(policy.source).name) == (name, f"{name}.yaml")
    assert policy.description
    assert Path(policy.source).read_text("utf-8").startswith("# ")


def test_only_policies_that_ask_again_have_notes() -> None:
    assert {name for name in NAMES if notes(loaded(name).policies)} == {"agents", "eu-ai-act", "structured-output"}
