"""Two exchanges side by side."""

from __future__ import annotations

from guardproxy.audit.record import RecordedFinding
from guardproxy.console.pages.exchanges import comparing
from guardproxy.console.pages.exchanges.comparing import compare
from tests.kit.records import plain_answer, plain_decision, plain_record, plain_text


def test_values_findings_and_decisions() -> None:
    finding = RecordedFinding(check="pii", label="NAME", start=0, end=2, score=1.0)
    first = plain_record(
        None,
        plain_text(findings=(finding, finding)),
        decisions=(plain_decision(), plain_decision(mode="shadow")),
        rules=("r",),
        cost=5,
        timings={},
    )
    second = plain_record(None, plain_text(), outcome="blocked_request", status=0)
    both = compare(first, second)
    rows = {row.name: (row.first, row.second, row.differs) for row in both.facts}
    assert rows["outcome"] == ("answered", "blocked_request", True)
    assert rows["cost"] == ("0.000005", "", True)
    assert rows["time, ms"] == ("", "20.0", True)
    assert rows["Request: route"] == ("POST /v1/messages", "POST /v1/messages", False)
    assert [(row.name, row.first, row.second) for row in both.findings] == [
        ("pii: NAME in user of the request", "2", "")
    ]
    assert [row.name for row in both.decisions] == ["p: r (redact)", "p: r (redact) (shadow)"]


def test_texts_are_compared_word_by_word() -> None:
    first = plain_record(plain_answer(plain_text(path="c", text="a b c", kind="assistant")), plain_text(text="same"))
    second = plain_record(plain_answer(plain_text(path="c", text="a x c", kind="assistant")), plain_text(text="same"))
    asked, answered = compare(first, second).texts
    assert asked.same
    assert [part.text for part in asked.first] == ["same"]
    assert answered.place == "c of answer 1"
    assert [part.text for part in answered.first if part.differs] == ["b"]
    assert [part.text for part in answered.second if part.differs] == ["x"]


def test_texts_that_are_missing_or_not_kept() -> None:
    first = plain_record(None, plain_text(path="only", text="here"))
    second = plain_record(None, plain_text(path="other", text=None))
    texts = {text.place: text.note for text in compare(first, second).texts}
    assert texts["only"] == "The second exchange has no such text."
    assert texts["other"] == "The first exchange has no such text. The second record does not keep the text."


def test_hostile_texts_cost_no_more_than_a_few_comparisons() -> None:
    texts = [
        (plain_text(path=f"m{number}", text="a b " * 4000), plain_text(path=f"m{number}", text="b a " * 4000))
        for number in range(100)
    ]
    both = compare(plain_record(None, *(one for one, _ in texts)), plain_record(None, *(other for _, other in texts)))
    assert (len(both.texts), both.more) == (comparing.MOST_TEXTS, 100 - comparing.MOST_TEXTS)
    assert "Only the beginnings" in both.texts[0].note
    assert "not compared word by word" in both.texts[-1].note
    compared = [text for text in both.texts if "not compared" not in text.note]
    assert len(compared) * comparing.LIMIT_CHARS <= comparing.ALL_CHARS
