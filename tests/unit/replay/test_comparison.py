"""What is said of two records that differ, and of what an answer that was cut off cannot show."""

from __future__ import annotations

from typing import Any

import msgspec

from guardproxy.audit.record.document import Record, RecordedDecision, RecordedText
from guardproxy.replay.comparison import differences
from tests.kit.records import plain_answer, plain_record, plain_text


def text(path: str, released: int = 5, edits: tuple[tuple[int, int], ...] = ()) -> RecordedText:
    return plain_text(path, released=released, edits=edits)


def record(*answer: RecordedText, **more: Any) -> Record:
    return plain_record(plain_answer(*answer), **more)


def decision(rule: str, start: int) -> RecordedDecision:
    place: dict[str, Any] = {"direction": "request", "path": "p", "start": start, "end": 9}
    return RecordedDecision(policy="p", rule=rule, action="flag", mode="enforce", check="c", label="L", **place)


def test_equal_records_do_not_differ() -> None:
    assert differences(record(text("a"), text("a", 3)), record(text("a"), text("a", 3))) == []


def test_each_difference_is_a_line() -> None:
    old = record(text("a", 5, ((0, 2),)), text("b"), rules=("one",), shadow=("quiet",))
    new = record(text("a", 4), rules=("two",), status=400)
    assert differences(old, new) == [
        "status: 200 -> 400",
        "rule `one` no longer holds",
        "rule `two` now holds",
        "shadow rule `quiet` no longer holds",
        "response a: edits [[0, 2]] -> []",
        "response a: released 5 -> 4",
        "response b: the text is gone",
    ]


def test_decisions_are_compared_where_nothing_else_says_it() -> None:
    old, new = record(decisions=(decision("a", 1),)), record(decisions=(decision("a", 2),))
    assert differences(old, new) == ["decisions: 1 -> 1"]
    assert differences(old, msgspec.structs.replace(new, status=400)) == ["status: 200 -> 400"]


def test_a_text_of_which_nothing_left_may_be_missing() -> None:
    assert differences(record(text("a", 0)), record()) == []


def test_of_an_answer_that_was_cut_off_only_edits_of_what_left_count() -> None:
    old, new = text("a", 5, ((0, 2), (6, 8))), text("a", 5, ((0, 2),))
    assert differences(record(old, outcome="upstream_closed"), record(new, outcome="upstream_closed")) == []
    assert differences(record(old), record(new)) == ["response a: edits [[0, 2], [6, 8]] -> [[0, 2]]"]
