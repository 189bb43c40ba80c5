"""Checks with their scores and thresholds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from guardproxy.audit.record import RecordedFinding, RecordedOrigin
from guardproxy.checks import TopicCheck
from guardproxy.checks.supervisor import LabelThresholds, Supervisor
from guardproxy.checks.topic import FittedTopic, Topic
from guardproxy.console.pages.exchanges import scales
from guardproxy.findings import QUICK
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.redaction import RESTORE
from tests.kit.play import policy_set
from tests.kit.records import plain_answer, plain_record, plain_text

POLICIES = policy_set(
    """
policy: p
checks:
  pii: {use: pii, entities: [EMAIL_ADDRESS], threshold: 0.3}
  words: {use: words, words: [x]}
rules: [{id: r, on: request, when: pii or words, action: redact}]
"""
)


def found(check: str = "pii", label: str = "EMAIL_ADDRESS", **changes: Any) -> RecordedFinding:
    return RecordedFinding(**{"check": check, "label": label, "start": 0, "end": 2, "score": 0.5, **changes})


def digests(policies: PolicySet) -> dict[str, str]:
    return {check.name: check.digest for check in policies.checks.values()}


def test_thresholds_are_those_of_the_same_check_only() -> None:
    same = scales.thresholds_of(POLICIES, plain_record(checks=digests(POLICIES)))
    assert same("pii", "EMAIL_ADDRESS", "user") == 0.3
    assert same("words", "NAME", "user") is None
    other = scales.thresholds_of(POLICIES, plain_record(checks={"pii": "sha256:old"}))
    assert other("pii", "EMAIL_ADDRESS", "user") is None
    assert scales.no_thresholds("pii", "EMAIL_ADDRESS", "user") is None


def with_check(check: Any, name: str = "pii") -> PolicySet:
    return PolicySet(POLICIES.policies, {("p", name): check, ("p", "words"): POLICIES.checks["p", "words"]}, "d")


def test_thresholds_of_models_depend_on_the_label_and_the_kind() -> None:
    wanted = {"user": (LabelThresholds("injection", {"a": 0.7, "b": 0.4}), LabelThresholds("empty", {}))}
    judge = Supervisor(
        name="pii",
        digest="d",
        wanted=wanted,  # type: ignore[arg-type] # the other kinds do not matter
        names={"user": (LabelThresholds("jailbreak", {"a": 0.9}),)},
        scorer=None,  # type: ignore[arg-type] # is not asked
        cut={},
        first_stage=frozenset(),
        evasions="",
        traits=QUICK,
    )
    threshold = scales.thresholds_of(with_check(judge), plain_record(checks={"pii": "d"}))
    assert threshold("pii", "injection", "user") == 0.4
    assert threshold("pii", "jailbreak", "user") == 0.9
    assert threshold("pii", "empty", "user") is None
    assert threshold("pii", "injection", "assistant") is None
    topic = FittedTopic(Topic("law", "about law", ("x",), None), None, 0.61, ())  # type: ignore[arg-type] # is not asked
    topics = TopicCheck("pii", "d", QUICK, (topic,), None, False, 1, "")  # type: ignore[arg-type] # as above
    threshold = scales.thresholds_of(with_check(topics), plain_record(checks={"pii": "d"}))
    assert threshold("pii", "law", "user") == 0.61
    assert threshold("pii", "sport", "user") is None


def test_a_threshold_for_each_label_and_what_is_no_number() -> None:
    policy = POLICIES.policies[0]
    for given, wanted in (({"EMAIL_ADDRESS": 0.2}, 0.2), ("1%", None), (True, None), (1, 1.0)):
        spec = replace(policy.checks["pii"], options={"threshold": given})
        changed = PolicySet((replace(policy, checks={**policy.checks, "pii": spec}),), POLICIES.checks, "d")
        threshold = scales.thresholds_of(changed, plain_record(checks=digests(POLICIES)))
        assert threshold("pii", "EMAIL_ADDRESS", "user") == wanted


def test_rows_of_checks_count_texts_findings_and_failures() -> None:
    texts = (
        plain_text(checks=("pii", "words"), findings=(found(), found(score=0.9), found(check=RESTORE))),
        plain_text(checks=("pii",), findings=(found(label="check_error"), found(check="unknown", label="X"))),
    )
    record = plain_record(None, *texts, checks={"pii": "d", "words": "w"})
    rows = {row.name: row for row in scales.check_rows(record, lambda *_: 0.4, lambda name: name == "pii")}
    assert set(rows) == {"pii", "words", "unknown"}
    assert (rows["pii"].texts, rows["pii"].count, rows["pii"].failed, rows["pii"].known) == (2, 2, 1, True)
    (score,) = rows["pii"].scores
    assert (score.found, score.highest, score.lowest, score.threshold) == (2, 0.9, 0.5, 0.4)
    assert rows["words"].scores == ()
    assert rows["unknown"].digest == ""


def test_rows_of_findings_come_in_parts() -> None:
    many = tuple(found(start=number, end=number + 1) for number in range(250))
    record = plain_record(
        plain_answer(plain_text(text="z" * 9, findings=(found(),))), plain_text(text="a" * 300, findings=many)
    )
    assert scales.finding_total(record) == 251
    assert len(scales.finding_rows(record, scales.no_thresholds)) == scales.ROWS
    last = scales.finding_rows(record, scales.no_thresholds, 250)
    assert [(row.direction, row.value) for row in last] == [("response", "zz")]
    assert scales.finding_rows(record, scales.no_thresholds, -5)[0].start == 0


def test_a_row_says_what_came_of_a_finding_and_where_it_came_from() -> None:
    origin = RecordedOrigin(argument="to", kind="user", path="m", start=1, end=2)
    text = plain_text(
        text="ab" * 100,
        findings=(
            found(start=0, end=4),
            found(start=6, end=8),
            found(start=0, end=200, origins=(origin,)),
            found(check=RESTORE),
        ),
        grounds=(found(check="grounded", label="supported"),),
        edits=((6, 8), (0, 5)),
    )
    rows = scales.finding_rows(plain_record(None, text), scales.no_thresholds)
    assert [row.is_edited for row in rows] == [True, True, False, True]
    assert rows[2].value.endswith("…")
    assert rows[2].origins == ("arguments.to came from m 1..2",)
    assert rows[3].check == "grounded"


def test_a_text_that_is_not_kept_has_findings_without_values() -> None:
    (row,) = scales.finding_rows(plain_record(None, plain_text(text=None, findings=(found(),))), scales.no_thresholds)
    assert row.value == ""
    assert not row.is_edited
