"""Labelled texts of a log: which texts there are, with which labels, and why others are left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from guardproxy.audit import Judged, Record
from guardproxy.audit.record import RecordedFeedback, RecordedFinding
from guardproxy.errors import ConfigError
from guardproxy.findings import ModelVerdict
from guardproxy.lab.learning.labels import (
    AT_ODDS,
    NO_EXCHANGE,
    NO_VERDICT,
    OPEN,
    REPEATED,
    SEALED,
    labelled_log,
)
from tests.kit.logs import write_log
from tests.kit.records import plain_answer, plain_record, plain_text

ROUTE = "POST /v1/chat/completions"


def finding(label: str = "LEGAL") -> RecordedFinding:
    return RecordedFinding(check="legal", label=label, start=0, end=1, score=1.0)


def asked(name: str, text: str | None, *labels: str, **more: Any) -> Record:
    about = {"checks": ("legal",), "findings": tuple(map(finding, labels)), **more}
    return plain_record(None, plain_text("messages[0].content", text, **about), id=name, tenant="t", route=ROUTE)


def answered(name: str, answer: str | None, tenant: str = "t", **more: Any) -> Record:
    text = plain_text("choices[0].message.content", answer, kind="assistant")
    question = plain_text("messages[0].content", "a question")
    return plain_record(plain_answer(text), question, id=name, tenant=tenant, route=ROUTE, **more)


def judged(name: str, score: int | None, rubric: str = "r", policy: str = "p") -> Judged:
    about: dict[str, Any] = {"v": 3, "engine": "e", "at": 2.0, "upstream": "u", "model": "m", "ms": 12.0}
    return Judged(id=name, policy=policy, rubric=rubric, scale=(1, 5), score=score, **about)


def thumbs(about: str, number: int, tenant: str = "t", outcome: str = "answered", **said: Any) -> Record:
    given = RecordedFeedback(exchange=about, **said)
    more: dict[str, Any] = {"feedback": given, "outcome": outcome, "route": "POST /guard/feedback"}
    return plain_record(None, id=f"f{number}", tenant=tenant, **more)


def test_what_a_check_found_is_a_label(tmp_path: Path) -> None:
    write_log(
        tmp_path, "a", asked("x1", "sue them", "LEGAL"), asked("x2", "hi"), asked("x3", "hi"), asked("x4", None, "LEGAL"),
        asked("x5", "half", open=True), asked("x6", "failed", "check_error"), asked("x7", "not read", checks=("other",)),
        asked("x8", "both", "LEGAL"), asked("x9", "both"), asked("x10", "both"),
    )  # fmt: skip
    log = labelled_log(tmp_path, "legal")
    assert [(text.text, text.is_found, text.group, text.kind) for text in log.texts] == [
        ("sue them", True, "x1", "user"),
        ("hi", False, "x2", "user"),
    ]
    assert log.left_out == {REPEATED: 1, SEALED: 1, OPEN: 1, NO_VERDICT: 1, AT_ODDS: 3}
    assert labelled_log(tmp_path, "nothing").texts == []


def test_what_a_model_said_counts_with_its_cost_and_where_it_said_nothing_the_text_is_left_out(tmp_path: Path) -> None:
    said: dict[str, Any] = {"check": "legal", "upstream": "u", "model": "m", "question": "q"}

    def of(name: str, text: str, *labels: str, **more: Any) -> Record:
        verdicts = (ModelVerdict(**said, path="messages[0].content", **more),)
        about = plain_text("messages[0].content", text, checks=(), findings=tuple(map(finding, labels)))
        return plain_record(None, about, id=name, tenant="t", route=ROUTE, verdicts=verdicts)

    write_log(
        tmp_path, "a", of("x1", "sue them", "LEGAL", answer="yes", cost=1500, ms=700.0), of("x2", "hello", answer="no"),
        of("x3", "known", answer="no", known=True, cost=9, ms=1.0), of("x4", "late", failure="timeout"),
    )  # fmt: skip
    log = labelled_log(tmp_path, "legal")
    assert [(text.text, text.is_found, text.cost, text.ms) for text in log.texts] == [
        ("sue them", True, 1500, 700.0), ("hello", False, None, 0.0), ("known", False, None, None)
    ]  # fmt: skip
    assert log.left_out == {NO_VERDICT: 1}


def test_texts_of_a_conversation_or_a_tenant_are_a_group(tmp_path: Path) -> None:
    write_log(
        tmp_path, "a", answered("x1", "good", conversation="c"), answered("x2", "bad"), judged("x1", 5), judged("x2", 1)
    )
    assert [text.group for text in labelled_log(tmp_path, is_judge=True).texts] == ["t c", "x2"]
    assert {text.group for text in labelled_log(tmp_path, is_judge=True, by="tenant").texts} == {"t"}


def test_scores_of_a_judge_below_the_least_are_found(tmp_path: Path) -> None:
    write_log(
        tmp_path, "a", *(answered(f"x{score}", f"answer {score}") for score in range(1, 6)), answered("s", None),
        *(judged(f"x{score}", score) for score in range(1, 6)), judged("s", 1), judged("gone", 2), judged("failed", None),
    )  # fmt: skip
    log = labelled_log(tmp_path, is_judge=True)
    assert [text.is_found for text in log.texts] == [True, True, True, False, False]
    assert {text.ms for text in log.texts} == {12.0}
    assert log.left_out == {SEALED: 1, NO_EXCHANGE: 1, NO_VERDICT: 1}
    assert [text.is_found for text in labelled_log(tmp_path, is_judge=True, least=2).texts] == [True, *[False] * 4]


def test_scores_of_several_questions_do_not_compare(tmp_path: Path) -> None:
    write_log(tmp_path, "a", answered("x1", "a"), judged("x1", 1), answered("x2", "b"), judged("x2", 1, "other", "q"))
    with pytest.raises(ConfigError, match="2 questions, of the policies p, q: name a policy"):
        labelled_log(tmp_path, is_judge=True)
    assert [text.text for text in labelled_log(tmp_path, is_judge=True, policy="q").texts] == ["b"]


def test_feedback_of_the_owner_is_a_label(tmp_path: Path) -> None:
    write_log(
        tmp_path, "a", *(answered(f"x{at}", f"answer {at}") for at in range(7)),
        thumbs("x0", 0, thumbs="down"), thumbs("x1", 1, thumbs="up", score=0.1), thumbs("x2", 2, score=0.2),
        thumbs("x3", 3, score=0.9), thumbs("x4", 4), thumbs("x5", 5, outcome="blocked_request", thumbs="down"),
        thumbs("x6", 6, tenant="other", thumbs="down"),
    )  # fmt: skip
    log = labelled_log(tmp_path)
    assert [(text.text, text.is_found) for text in log.texts] == [
        ("answer 0", True), ("answer 1", False), ("answer 2", True), ("answer 3", False)
    ]  # fmt: skip
    assert log.left_out == {NO_VERDICT: 1, NO_EXCHANGE: 1}


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no log here"):
        labelled_log(tmp_path / "nowhere", "legal")
