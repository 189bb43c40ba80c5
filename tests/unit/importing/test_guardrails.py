"""Guardrails of LiteLLM become policies with checks and rules."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from guardproxy.importing.draft import ImportDraft
from guardproxy.importing.guardrails import convert_guardrails
from guardproxy.importing.report import ImportReport
from guardproxy.importing.source import read_source


def converted(**config: Any) -> tuple[ImportDraft, dict[str, tuple[str, str]]]:
    source = read_source(yaml.safe_dump(config).encode(), "f")
    draft, report = ImportDraft(), ImportReport(source, {})
    convert_guardrails(source, draft, report)
    return draft, {note.path: (note.result, note.text) for note in report.notes()}


def guardrail(kind: Any, mode: Any = "pre_call", **params: Any) -> dict[str, Any]:
    return {"guardrail_name": "G", "litellm_params": {"guardrail": kind, "mode": mode, **params}}


def policy(*guardrails: Any) -> Any:
    draft, _ = converted(guardrails=list(guardrails))
    (tree,) = draft.policies.values()
    return tree


def test_presidio_with_actions() -> None:
    params: dict[str, Any] = {
        "pii_entities_config": {"CREDIT_CARD": "BLOCK", "PERSON": "MASK", "NO_SUCH": "MASK", "US_SSN": "DROP"},
        "presidio_score_thresholds": {"ALL": 0.7, "PERSON": 0.9},
        "output_parse_pii": True,
        "presidio_language": "de",
        "presidio_analyzer_api_base": "http://a",
        "default_on": True,
    }
    draft, notes = converted(guardrails=[guardrail("presidio", ["pre_call", "post_call"], **params)])
    tree = draft.policies["g"]
    more = {"threshold": 0.7, "language": "de"}
    assert tree["checks"] == {
        "pii_block": {"use": "pii", "entities": ["CREDIT_CARD"], **more},
        "pii_redact": {"use": "pii", "entities": ["PERSON"], **more},
    }
    assert tree["rules"] == [
        {"id": "block-request", "on": "request", "when": "pii_block", "action": "block"},
        {"id": "block-response", "on": "response", "when": "pii_block", "action": "block"},
        {"id": "redact-request", "on": "request", "when": "pii_redact", "action": "redact", "restore": True},
        {"id": "redact-response", "on": "response", "when": "pii_redact", "action": "redact"},
    ]
    start = "guardrails[0].litellm_params"
    assert notes["guardrails[0].guardrail_name"][0] == notes[f"{start}.default_on"][0] == "taken"
    assert notes[f"{start}.pii_entities_config.NO_SUCH"][0] == "not possible"
    assert notes[f"{start}.pii_entities_config.US_SSN"][1] == "an action is MASK or BLOCK"
    assert notes[f"{start}.presidio_score_thresholds.PERSON"][0] == "not possible"
    assert notes[f"{start}.presidio_analyzer_api_base"][0] == "changed"


def test_presidio_without_options_masks_its_default_entities() -> None:
    draft, notes = converted(guardrails=[guardrail("presidio", presidio_language=7, presidio_score_thresholds={})])
    tree = draft.policies["g"]
    assert set(tree["checks"]) == {"pii_redact"}
    assert "PERSON" in tree["checks"]["pii_redact"]["entities"]
    assert tree["rules"][0].keys() == {"id", "on", "when", "action"}
    assert notes["guardrails[0].guardrail_name"] == (
        "changed",
        "the policy `g` holds for every request; clients do not choose",
    )
    assert notes["guardrails[0].litellm_params.presidio_language"][0] == "not possible"


def test_a_guardrail_that_only_logs_is_a_shadow() -> None:
    assert policy(guardrail("hide-secrets", "logging_only"))["mode"] == "shadow"


@pytest.mark.parametrize(
    ("kind", "use", "action"),
    [
        ("hide_secrets", "secrets", "redact"),
        ("lakera_v2", "supervisor", "block"),
        ("openai_moderation", "supervisor", "block"),
    ],
)
def test_guardrails_with_a_check_of_our_own(kind: str, use: str, action: str) -> None:
    tree = policy(guardrail(kind, "during_call", api_key="os.environ/K"))
    (check,) = tree["checks"].values()
    (rule,) = tree["rules"]
    assert (check["use"], rule["action"], rule.get("parallel")) == (use, action, action == "block" or None)


def test_a_filter_of_words_and_patterns() -> None:
    patterns = [
        {"pattern_type": "prebuilt", "pattern_name": "us_ssn", "action": "BLOCK"},
        {"pattern_type": "prebuilt", "pattern_name": "aws_access_key", "action": "MASK"},
        {"pattern_type": "regex", "name": "Employee id", "pattern": "EMP-[0-9]{6}", "action": "MASK"},
        {"pattern_type": "regex", "name": "employee id", "pattern": "E[0-9]{6}", "action": "MASK"},
        {"pattern_type": "regex", "name": "7", "pattern": "(?=x)y", "action": "MASK"},
        {"pattern_type": "prebuilt", "pattern_name": "moon", "action": "MASK"},
    ]
    words = [{"keyword": "falcon", "action": "BLOCK"}, {"keyword": "a\nb"}, {"keyword": 3}]
    draft, notes = converted(
        guardrails=[guardrail("litellm_content_filter", patterns=patterns, blocked_words=words, categories=["x"])]
    )
    tree = draft.policies["g"]
    assert tree["checks"] == {
        "us_ssn": {"use": "pii", "entities": ["US_SSN"]},
        "aws_access_key": {"use": "secrets"},
        "employee_id": {"use": "pattern", "label": "EMPLOYEE_ID", "patterns": ["EMP-[0-9]{6}"]},
        "employee_id_2": {"use": "pattern", "label": "EMPLOYEE_ID", "patterns": ["E[0-9]{6}"]},
        "word_1": {"use": "pattern", "words": ["falcon"]},
    }
    assert [(rule["id"], rule["action"]) for rule in tree["rules"]] == [
        ("us-ssn-request", "block"),
        ("aws-access-key-request", "redact"),
        ("employee-id-request", "redact"),
        ("employee-id-2-request", "redact"),
        ("word-1-request", "block"),
    ]
    lost = [path for path, (result, _) in notes.items() if result == "not possible"]
    assert [path.removeprefix("guardrails[0].litellm_params.") for path in lost] == [
        "blocked_words[1]",
        "blocked_words[2]",
        "categories[0]",
        "patterns[4]",
        "patterns[5]",
    ]


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (guardrail("own_code.Guard"), "plug-in"),
        (guardrail("bedrock"), "is not asked"),
        (guardrail(None), "missing"),
        (guardrail("litellm_content_filter"), "is not asked"),
        (guardrail("lakera", "post_call"), "is not asked"),
    ],
)
def test_what_cannot_be_taken_is_said(entry: Any, why: str) -> None:
    draft, notes = converted(guardrails=[entry])
    assert not draft.policies
    assert why in notes["guardrails[0]"][1]


def test_a_guardrail_without_a_mode_reads_requests() -> None:
    assert [rule["on"] for rule in policy({"litellm_params": {"guardrail": "hide-secrets"}})["rules"]] == ["request"]


def test_redaction_is_not_parallel() -> None:
    _, notes = converted(guardrails=[guardrail("hide-secrets", ["during_call", "post_call"])])
    assert notes["guardrails[0].litellm_params.mode"][0] == "changed"


@pytest.mark.parametrize("mode", ["pre_mcp_call", {"tags": {"a": "pre_call"}}, ["pre_call", "other"]])
def test_a_mode_that_is_not_known_is_said(mode: Any) -> None:
    draft, notes = converted(guardrails=[guardrail("hide-secrets", mode)])
    assert [rule["on"] for rule in draft.policies["g"]["rules"]] == ["request"]
    found = [result for path, (result, _) in notes.items() if path.startswith("guardrails[0].litellm_params.mode")]
    assert found == ["changed"]


def test_the_older_form() -> None:
    older = [
        {"injection": {"callbacks": ["lakera_prompt_injection", "other", 3], "default_on": True}},
        {"p": {"callbacks": "presidio"}},
    ]
    draft, notes = converted(litellm_settings={"guardrails": older})
    assert sorted(draft.policies) == ["lakera-prompt-injection", "presidio"]
    start = "litellm_settings.guardrails[0].injection"
    assert [notes[f"{start}.callbacks[{index}]"][0] for index in range(3)] == ["taken", "not possible", "not possible"]
