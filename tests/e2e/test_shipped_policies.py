"""The shipped policies: each passes its tests, has enough of them, and no rule without one. Models are loaded once."""

from __future__ import annotations

import signal
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from guardproxy.library import loader, shipped_folder, shipped_names
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import Files
from guardproxy.policy.tools.coverage_table import coverage
from guardproxy.policy.tools.lint import notes
from guardproxy.policy.values.document import KINDS_OF, Policy
from guardproxy.policytest.running import CaseResult, run_tests, untested
from tests.e2e.rig import wait_logged
from tests.kit import processes
from tools.pages import ROOT, unfilled
from tools.pages.coverage import page

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
def results(name: str) -> tuple[CaseResult, ...]:
    return tuple(run_tests(loaded(name), Files(shipped_folder(name)).read))


def policies(name: str) -> tuple[Policy, ...]:
    """The policies of a folder: that of its name, and those beside it for other routes."""
    return loaded(name).policies


def test_these_are_all() -> None:
    assert tuple(shipped_names()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_policy_passes_its_own_tests(name: str) -> None:
    assert {one.name: one.mismatches for one in results(name) if one.mismatches} == {}


@pytest.mark.parametrize("name", NAMES)
def test_it_has_ten_tests_and_no_rule_without_one(name: str) -> None:
    assert len(results(name)) >= 10
    assert untested(loaded(name).policies, results(name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_rule_can_be_taken_out_without_a_test_that_fails(name: str) -> None:
    for policy in policies(name):
        for rule in policy.rules:
            tests = tuple(ran.test for ran in results(name) if rule.id in ran.rules and ran.policy.name == policy.name)
            without = replace(policy, rules=tuple(one for one in policy.rules if one is not rule), tests=tests)
            ran = run_tests(PolicySet((without,), loaded(name).checks, ""), Files(shipped_folder(name)).read)
            assert any(one.mismatches for one in ran), rule.id


@pytest.mark.parametrize("name", NAMES)
def test_harmless_texts_are_among_them(name: str) -> None:
    harmless = [one for one in results(name) if not one.rules and one.test.expected.decision == "pass"]
    assert len(harmless) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_it_is_called_as_its_file_and_says_what_it_is_for(name: str) -> None:
    assert name in {policy.name for policy in policies(name)}
    for policy in policies(name):
        assert Path(policy.source).name == f"{policy.name}.yaml"
        assert policy.name.startswith(name)
        assert policy.description
        assert Path(policy.source).read_text("utf-8").startswith("# ")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_it_is_likely_to_be_a_mistake(name: str) -> None:
    assert [str(note) for note in notes(loaded(name)) if note.weight == "warning"] == []


def test_the_page_says_what_they_look_at() -> None:
    written = page(lambda folder: loaded("default" if folder.name == "policies" else folder.name))
    assert unfilled((ROOT / "docs/policies/coverage.md").read_text("utf-8")) == unfilled(written), "run `make pages`"


@pytest.mark.parametrize("name", ["default", "agents", "strict"])
@pytest.mark.parametrize("kind", sorted({*KINDS_OF["request"]}))
def test_an_attack_is_looked_for_in_every_text_of_a_request(name: str, kind: str) -> None:
    attacks = {"attack", "attack_sure", "override"}
    rows = [row for row in coverage(loaded(name)) if (row.direction, row.kind) == ("request", kind)]
    for row in rows:
        assert attacks & {looking.check for looking in row.checks if not looking.shadow}, row


def test_a_server_takes_a_shipped_policy_by_its_name(tmp_path: Path) -> None:
    words = ["serve", "--upstream", "http://127.0.0.1:9", "--policies", "payments", "--audit", "audit"]
    output = tmp_path / "output.txt"
    server = processes.start(*words, "--port", "0", "--admin-port", "0", stdout=output, cwd=tmp_path)
    try:
        wait_logged(server, output, "listening")
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(60)
    said = output.read_bytes()
    assert code == 0, said
    assert loaded("payments").digest.encode() in said
