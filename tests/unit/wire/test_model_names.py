"""Names of models are scanned like texts, and real ones hold no findings."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardproxy.checks import Check
from guardproxy.findings import Channel
from guardproxy.policytest.scan import findings_of
from guardproxy.wire.json.identifiers import undated
from tests.kit.play import policy_set

NAMES = Path(__file__).with_name("model_names.txt").read_text("utf-8").split()
WHERE = Channel("request", "metadata", "model")


@pytest.fixture(scope="module")
def checks() -> list[Check]:
    found = policy_set(
        "policy: names\nchecks: {pii: {use: pii, evasions: strict}, secrets: {use: secrets, evasions: strict}}\n"
        "rules: [{id: r, when: pii or secrets, action: redact}]\n"
    )
    return list(found.checks.values())


def test_no_name_of_a_real_model_is_taken_for_a_value(checks: list[Check]) -> None:
    assert len(set(NAMES)) > 200
    found = [
        (name, finding.label)
        for check in checks
        for name in NAMES
        for finding in findings_of(check, undated(name), WHERE)
    ]
    assert found == []
    assert any(findings_of(check, "4111 1111 1111 1111", WHERE) for check in checks)
