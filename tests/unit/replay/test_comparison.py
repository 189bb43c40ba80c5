"""What is said of two records that differ, and of what an answer that was cut off cannot show."""

from __future__ import annotations

from typing import Any

from guardproxy.replay.comparison import differences


def text(path: str, released: int = 5, edits: tuple[tuple[int, int], ...] = ()) -> dict[str, Any]:
    return {"path": path, "kind": "assistant", "released": released, "edits": [list(one) for one in edits]}


def record(*answer: dict[str, Any], **more: Any) -> dict[str, Any]:
    plain = {"outcome": "answered", "status": 200, "rules": [], "shadow": [], "decisions": []}
    return {**plain, "request": {"texts": []}, "response": {"texts": list(answer)}, **more}


def test_equal_records_do_not_differ() -> None:
    assert differences(record(text("a"), text("a", 3)), record(text("a"), text("a", 3))) == []


def test_each_difference_is_a_line() -> None:
    old = record(text("a", 5, ((0, 2),)), text("b"), rules=["one"], shadow=["quiet"])
    new = record(text("a", 4), rules=["two"], status=400)
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
    old, new = record(decisions=[{"rule": "a", "start": 1}]), record(decisions=[{"rule": "a", "start": 2}])
    assert differences(old, new) == ["decisions: 1 -> 1"]
    assert differences(old, {**new, "status": 400}) == ["status: 200 -> 400"]


def test_a_text_of_which_nothing_left_may_be_missing() -> None:
    assert differences(record(text("a", 0)), record()) == []


def test_of_an_answer_that_was_cut_off_only_edits_of_what_left_count() -> None:
    old, new = text("a", 5, ((0, 2), (6, 8))), text("a", 5, ((0, 2),))
    assert differences(record(old, outcome="upstream_closed"), record(new, outcome="upstream_closed")) == []
    assert differences(record(old), record(new)) == ["response a: edits [[0, 2], [6, 8]] -> [[0, 2]]"]
