"""The columns of a line: names and numbers, and no text."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from guardproxy.audit.record.chain import ChainHead, seal
from guardproxy.audit.record.document import RecordedFinding
from guardproxy.audit.record.feedback import RecordedFeedback
from guardproxy.console.index.columns import (
    LIMIT_NAME_CHARS,
    LIMIT_NAMES,
    LIMIT_NUMBER,
    IndexedRow,
    LineColumns,
    columns_of,
    leaf_hash,
    number_of,
    place_of,
)
from tests.kit.console_log import exchange
from tests.kit.records import plain_answer, plain_record, plain_text

BEFORE = ChainHead(4, "0" * 64)


def columns(document: dict[str, Any]) -> LineColumns:
    line, _ = seal(document, BEFORE)
    found = columns_of(line, 3, 77)
    assert found is not None
    assert found.intact
    assert (found.seq, found.prev) == (5, BEFORE.hash)
    return found


def row(**changes: Any) -> IndexedRow:
    found = columns(plain_record(**changes).document()).row
    assert found is not None
    return found


def test_a_number_is_a_place() -> None:
    assert place_of(number_of(3, 77)) == (3, 77)
    assert row().number == number_of(3, 77)


@pytest.mark.parametrize("keep", ["redacted", "none"])
def test_a_row_says_what_happened_and_holds_no_text(keep: str) -> None:
    for number in range(200):
        record = exchange(random.Random(number), "x", 5.5, random.Random(number).choice(("redacted", "retried")), keep)
        found = columns(record.document()).row
        assert found is not None
        assert (found.id, found.at_s, found.tenant, found.model) == ("x", 5.5, record.tenant, record.model)
        assert found.keep == ("none" if keep == "none" else "kept")
        assert found.attempts == max(1, len(record.attempts))
        texts = [text.text for side in (record.request, *record.answers) for text in side.texts if text.text]
        kept = json.dumps([getattr(found, name) for name in IndexedRow.__struct_fields__])
        assert [text for text in texts if text in kept] == []


def finding(check: str, label: str, score: float) -> RecordedFinding:
    return RecordedFinding(check=check, label=label, start=0, end=1, score=score)


def test_the_highest_score_of_each_label_counts() -> None:
    texts = (
        plain_text(
            "a", findings=(finding("pii", "EMAIL", 0.4), finding("pii", "EMAIL", 0.9), finding("pii", "EMAIL", 0.5))
        ),
        plain_text("b", findings=(finding("attack", "injection", 0.7),)),
    )
    answer = plain_answer(*texts[:1])
    found = columns(plain_record(answer, texts[1]).document())
    assert found.row is not None
    assert sorted((each.check, each.score) for each in found.findings) == [("attack", 0.7), ("pii", 0.9)]
    assert (found.row.top_check, found.row.top_label, found.row.top_score) == ("pii", "EMAIL", 0.9)
    many = plain_text("c", findings=tuple(finding("c", f"l{number}", 0.5) for number in range(200)))
    assert len(columns(plain_record(None, many).document()).findings) == LIMIT_NAMES


def test_what_no_check_read_is_marked() -> None:
    side = plain_answer(uninspected=("image",), uninspected_kinds=("image",))
    assert columns(plain_record(side).document()).row.uninspected  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("timings", "added"),
    [
        ({}, None),
        ({"request_scanned": 2.0}, 2.0),
        ({"request_scanned": 2.0, "upstream_answered": 10.0, "first_byte": 15.0}, 7.0),
        ({"request_scanned": 2.0, "upstream_answered": 20.0, "first_byte": 15.0}, 2.0),
    ],
)
def test_the_time_that_was_added(timings: dict[str, float], added: float | None) -> None:
    assert row(timings=timings).added_ms == added


def test_names_and_numbers_have_limits() -> None:
    document = plain_record().document() | {"cost": 1 << 62, "status": -(1 << 60), "model": "m" * 500, "client": "a\0b"}
    found = columns(document).row
    assert found is not None
    assert (found.cost, found.status) == (LIMIT_NUMBER, -LIMIT_NUMBER)
    assert (len(found.model), found.client) == (LIMIT_NAME_CHARS, "a\ufffdb")
    assert len(row(rules=tuple(f"r{number:03}" for number in range(99))).rules) == LIMIT_NAMES


def test_an_error_of_the_upstream_in_an_old_record_is_one() -> None:
    assert row(response=plain_answer(status=502)).outcome == "upstream_5xx"


@pytest.mark.parametrize(
    ("given", "value"),
    [({"thumbs": "down"}, "down"), ({"score": 0.25}, "0.25"), ({}, ""), ({"thumbs": "up", "score": 0.5}, "up")],
)
def test_feedback_is_about_another_exchange(given: dict[str, Any], value: str) -> None:
    found = columns(plain_record(feedback=RecordedFeedback(exchange="other", **given)).document())
    assert found.row is None
    assert found.later is not None
    assert (found.later.exchange, found.later.kind, found.later.value, found.later.tenant) == (
        "other",
        "feedback",
        value,
        "t1",
    )
    refused = plain_record(feedback=RecordedFeedback(exchange="other", **given), outcome="blocked_request")
    assert columns(refused.document()).later is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"[]\n",
        b"{}\n",
        b'{"seq":1}\n',
        b'{"seq":1,"v":99}\n',
        b'{"seq":1,"v":3,"kind":"exchange"}\n',
        b'{"hash":"x","prev":"y","seq":1,"v":3,"at":"\\ud800","kind":"gap","since":1,"why":""}\n',
        b"\xff\n",
    ],
)
def test_what_is_no_line_has_no_row(line: bytes) -> None:
    found = columns_of(line, 1, 0)
    assert found is None or not found.intact or found.row is None


def test_the_hash_is_that_of_the_chain() -> None:
    line, head = seal(plain_record().document(), BEFORE)
    assert leaf_hash(line, head.hash) == head.hash
    assert leaf_hash(line.replace(b"answered", b"refused!"), head.hash) != head.hash
