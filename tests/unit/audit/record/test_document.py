"""The typed entries: written in one form, small where nothing is said, the same after a log."""

from __future__ import annotations

import json

import msgspec
import pytest

from guardproxy.audit.record.canonical import canonical
from guardproxy.audit.record.document import Record, RecordedError, RecordedFinding, RecordedPlaces
from guardproxy.audit.record.versions import entry_of
from tests.kit.records import plain_answer, plain_attempt, plain_record, plain_text, through_log


def test_an_entry_is_frozen() -> None:
    with pytest.raises(AttributeError):
        plain_record().outcome = "answered"  # type: ignore[misc]


def test_optional_members_with_their_default_values_are_not_written() -> None:
    document = plain_record(plain_answer(plain_text())).document()
    assert document["kind"] == "exchange"
    assert not {"error", "attempts", "tenant_name", "language", "matched", "restore"} & set(document)
    assert not {"open", "shape", "judged"} & set(document["response"]["texts"][0])
    full = plain_record(error=RecordedError(code="c", field="f"), tenant_name="", language="de").document()
    assert (full["error"], full["tenant_name"], full["language"]) == ({"code": "c", "field": "f"}, "", "de")


def test_names_that_python_does_not_take_are_those_of_the_log() -> None:
    record = plain_record(sizes={"client": 3}, restore=(RecordedPlaces(kinds=None, urls=("a.b",)),))
    document = record.document()
    assert (document["bytes"], *document["restore"]) == ({"client": 3}, {"in": None, "urls": ("a.b",)})
    assert through_log(record) == record


def findings(count: int) -> tuple[RecordedFinding, ...]:
    return tuple(RecordedFinding(check="c", label="L", start=at, end=at + 1, score=0.5) for at in range(count))


def test_a_text_with_many_findings_is_written_like_one_with_few() -> None:
    many = plain_text(findings=findings(1000), shape=("x", ("a", 1)), encoded=True)
    assert msgspec.to_builtins(many) == msgspec.json.decode(msgspec.json.encode(many)) | {
        "checks": (),
        "edits": (),
        "findings": msgspec.to_builtins(many)["findings"],
        "shape": ("x", ("a", 1)),
    }
    assert json.loads(msgspec.json.encode(many)) == json.loads(msgspec.json.encode(many.document()))
    assert through_log(plain_record(plain_answer(many))).response.texts == (many,)


@pytest.mark.parametrize("text", ["é \U0001f600", "\ud800 alone", "\x00\x1f", "a\u2028b"])
def test_any_text_is_written_in_one_form(text: str) -> None:
    record = plain_record(plain_answer(plain_text("p", text)))
    assert through_log(record) == record
    assert entry_of(json.loads(record.to_json())) == record


def test_counts_are_over_all_answers() -> None:
    last = plain_answer(plain_text(findings=findings(2)))
    attempts = plain_attempt(plain_answer(plain_text(findings=findings(3)))), plain_attempt()
    record = plain_record(last, plain_text(findings=findings(4)), attempts=attempts)
    assert record.finding_count == 9
    assert [len(answer.texts[0].findings) for answer in record.answers] == [3, 2]
    assert (record.total_ms, plain_record(timings={}).total_ms) == (20.04, None)


def test_a_route_that_was_passed_through_says_so() -> None:
    assert (plain_record().is_read, plain_record(codec="").is_read) == (True, False)
    assert isinstance(through_log(plain_record(codec="")), Record)


def test_a_large_record_is_written_like_a_small_one() -> None:
    small = plain_record(plain_answer(plain_text(findings=findings(3))), attempts=(plain_attempt(), plain_attempt()))
    large = msgspec.structs.replace(small, sizes={"request": 1 << 20})
    assert canonical({**large.document(), "bytes": {}}) == small.to_json()
