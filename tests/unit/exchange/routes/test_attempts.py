"""What the model is told between attempts, and how tokens are counted."""

from __future__ import annotations

import pytest

from guardproxy.decisions import Retry
from guardproxy.exchange.gate.lanes import CHECK_ERROR, Lane
from guardproxy.exchange.routes.attempts import NOT_REPEATED, errors_of, retry_message, shown, tokens_of
from guardproxy.findings import Channel, Detail, Finding
from guardproxy.redaction.placeholders import Restoring
from guardproxy.wire.formats.openai_chat.contract import CONTRACT
from guardproxy.wire.json.text import view

TEXT = Lane(Channel("response", "assistant", "a"), (), encoded=False)
CALL = Lane(Channel("response", "tool_arguments", "a"), (), encoded=True)


@pytest.mark.parametrize(
    ("usage", "cut", "expected"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 3}, False, (10, 3, True)),
        ({"input_tokens": 7, "output_tokens": 3}, False, (10, 3, True)),
        ({"input_tokens": 7, "output_tokens": 3}, True, (8, 3, False)),
        ({"output_tokens": 3}, False, (8, 3, False)),
        ({"input_tokens": 7.5, "output_tokens": 3}, False, (8, 3, False)),
        ({}, False, (8, 3, False)),
        ({"prompt_tokens": -7, "completion_tokens": 3}, False, (8, 3, False)),
        ({"prompt_tokens": 7, "completion_tokens": -3}, False, (8, 3, False)),
        ({"prompt_tokens": True, "completion_tokens": 3}, False, (8, 3, False)),
    ],
)
def test_tokens_are_counted_or_estimated(usage: dict[str, int], cut: bool, expected: tuple[int, int, bool]) -> None:
    assert tokens_of(CONTRACT, usage, 10, 20, cut)[:3] == expected


def test_errors_in_words() -> None:
    details = (Detail("a.b", "a.b", "x", "y"), Detail("", "", "no keys", "another key", "z"))
    found = Finding(0, 1, "c", "invalid", 1.0, details)
    assert errors_of(found) == ["at `a.b`: expected x, found y", "expected no keys, found another key: `z`"]
    assert errors_of(Finding(0, 1, "c", "CREDIT_CARD", 1.0)) == ["it contains this: credit card"]
    assert errors_of(Finding(0, 1, "c", CHECK_ERROR, 1.0)) == ["it could not be checked"]


def test_the_feedback_says_where_the_fault_is() -> None:
    found = Finding(0, 1, "c", "CREDIT_CARD", 1.0)
    assert retry_message(Retry("r", template="<{errors}>"), TEXT, found) == "<- it contains this: credit card>"
    assert retry_message(Retry("r", template="{errors}"), CALL, found).startswith(
        "in the arguments of your tool call: \n- "
    )
    assert "Give the whole answer again" in retry_message(Retry("r"), TEXT, found)


def test_what_was_found_is_masked_up_to_the_end_that_is_shown() -> None:
    lane = Lane(Channel("response", "assistant", "a"), (), encoded=False)
    lane.text.append("call 12345 now")
    lane.rewrite.masks = [(5, 10, "[N]")]
    assert shown(lane, 14) == "call [N] now"
    assert shown(lane, 7) == "call [N]"
    assert shown(lane, 5) == "call "
    encoded = Lane(Channel("response", "tool_arguments", "a"), (), encoded=True)
    encoded.text.append('{"n": "12345"}')
    encoded.text.view = view('{"n": "12345"}')
    encoded.rewrite.masks = [(2, 7, "[N]")]
    assert shown(encoded, 14) == '{"n": "[N]"}'


def quoted(lane: Lane, text: str) -> Lane:
    lane.quotation.lane = Lane(lane.channel, lane.progress.checks, encoded=True)
    lane.quotation.lane.text.append(text)
    lane.quotation.lane.text.view = view(text)
    return lane.quotation.lane


def test_of_a_text_that_was_cut_off_what_was_read_of_it_is_shown() -> None:
    lane = Lane(Channel("response", "assistant", "a"), (), encoded=True)
    lane.quotation.fault_end = 9
    lane.text.append('{"n": "12345"}')
    quoted(lane, '{"n": "12').rewrite.masks = [(2, 4, "[N]")]
    assert shown(lane, 9) == '{"n": "[N]'
    lane.text.view = view('{"n": "12345"}')
    assert shown(lane, 14) == '{"n": "12345"}', "it was read to its end"


def test_what_is_only_judged_is_shown_as_it_was_read() -> None:
    lane = Lane(Channel("response", "tool_arguments", "a"), (), encoded=False, judged=True)
    lane.text.append('{"n": "12345"}')
    assert shown(lane, 14) == '{"n": "12345"}'
    quoted(lane, '{"n": "12345"}').rewrite.masks = [(2, 7, "[N]")]
    assert shown(lane, 14) == '{"n": "[N]"}'


def test_what_a_check_could_not_read_is_not_repeated() -> None:
    check = Restoring({})
    lane = Lane(Channel("response", "assistant", "a"), (check,), encoded=False)
    lane.text.append("12345")
    lane.progress.findings = [Finding(0, 5, "another", CHECK_ERROR, 1.0)]
    assert shown(lane, 5) == "12345", "it was found by one that reads it as it stands"
    lane.progress.findings.append(Finding(0, 5, check.name, CHECK_ERROR, 1.0))
    assert shown(lane, 5) == NOT_REPEATED
