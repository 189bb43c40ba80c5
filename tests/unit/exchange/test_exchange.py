"""The exchange, played by hand. `>>` is what it is told, `<<` what it asks for."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from guardproxy.errors import ErrorCode
from guardproxy.exchange.inputs.setting import ExchangeLimits
from guardproxy.exchange.inputs.transcript import (
    Aborted,
    DataReceived,
    DownstreamGone,
    Refused,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    Scanned,
    SendHead,
    UpstreamFailed,
)
from guardproxy.exchange.phases.states import State
from guardproxy.findings import Finding, Scan
from guardproxy.policy.deciding.evaluate import PolicySet
from tests.kit.check_cost import steps
from tests.kit.play import (
    CHAT,
    MESSAGES,
    Play,
    chat_frames,
    chat_texts,
    cut,
    events,
    message_frames,
    message_texts,
    mint,
    policy_set,
    sse,
)
from tests.kit.records import members

MAIL = "jo@ab.io"
TOKEN = mint("MAIL", MAIL)
CARD = 4111222233334444
CHECKS = r"""
checks:
  mail: {use: pattern, evasions: "off", label: MAIL, patterns: ["[a-z]+@[a-z]+\\.(io|com)"]}
  card: {use: pattern, evasions: "off", label: CARD, patterns: ["\\b[0-9]{16}\\b"]}
  code: {use: pattern, evasions: "off", label: CODE, patterns: ["\\bK-[0-9]{4}\\b"]}
  bad:  {use: pattern, evasions: "off", label: BAD, words: [forbidden]}
"""
POLICY = f"""
policy: test
{CHECKS}
rules:
  - {{id: mail, on: request, when: mail, action: redact, restore: true}}
  - {{id: card, when: card, action: redact}}
  - {{id: code, on: response, when: code, action: redact}}
  - {{id: bad, when: bad, action: block}}
"""
ONE_CHECK = """
policy: one
checks:
  bad: {use: pattern, evasions: "off", label: BAD, words: [forbidden]}
rules:
  - {id: bad, when: bad, action: block}
"""


def rules(*texts: str) -> PolicySet:
    return policy_set(*(texts or (POLICY,)))


def ask(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def unary(text: str, **more: Any) -> bytes:
    message = {"role": "assistant", "content": text}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], **more}).encode()


def message(*blocks: dict[str, Any]) -> bytes:
    return json.dumps(
        {"type": "message", "role": "assistant", "content": list(blocks), "stop_reason": "end_turn"}
    ).encode()


def waiting(policies: PolicySet | None = None, route: str = CHAT, **limits: Any) -> Play:
    """An exchange whose request went upstream. Its transcript begins after that."""
    play = Play(policies or rules(ONE_CHECK), route, ExchangeLimits(**limits))
    play.ask(ask(max_tokens=3))
    assert play.exchange.state == State.WAITING
    play.told.clear()
    return play


def plain(play: Play, body: bytes, status: int = 200, media: str = "application/json") -> Play:
    play.tell(ResponseStarted(status, media))
    play.tell(DataReceived(body))
    play.tell(ResponseEnded())
    play.scan()
    return play


def error(play: Play) -> dict[str, Any]:
    detail: dict[str, Any] = json.loads(play.client)["error"]
    return detail


# Requests.


def test_a_request_is_redacted_and_its_answer_restored() -> None:
    play = (
        Play(rules())
        .ask(ask(f"I am {MAIL}"))
        .stream(chat_frames([{"content": f"Dear {TOKEN[:5]}"}, {"content": f"{TOKEN[5:]})"}]))
    )
    assert play.lines == [
        ">> RequestReceived 74 bytes",
        "<< RunScans bad messages[0].content 0..13, card messages[0].content 0..13, mail messages[0].content 0..13",
        ">> Scanned mail MAIL 5..13 1.00",
        "<< SendUpstream 79 bytes, 1 edits",
        ">> ResponseStarted 200 text/event-stream",
        ">> DataReceived 149 bytes",
        "<< SendHead 200 streamed",
        "<< SendData 149 bytes",
        ">> DataReceived 153 bytes",
        "<< RunScans bad choices[0].message.content 0..10+, card choices[0].message.content 0..10+,"
        " code choices[0].message.content 0..10+",
        ">> Scanned nothing",
        ">> DataReceived 158 bytes",
        "<< RunScans bad choices[0].message.content 6..25+, card choices[0].message.content 6..25+,"
        " code choices[0].message.content 6..25+",
        ">> Scanned nothing",
        "<< SendData 156 bytes",
        ">> DataReceived 133 bytes",
        "<< RunScans bad choices[0].message.content 20..25, card choices[0].message.content 21..25,"
        " code choices[0].message.content 21..25",
        ">> Scanned nothing",
        "<< SendData 277 bytes",
        ">> DataReceived 14 bytes",
        "<< ReleaseUpstream",
        "<< Finish answered 14 bytes",
        ">> ResponseEnded",
    ]
    assert play.upstream["messages"][0]["content"] == f"I am {TOKEN}"
    assert chat_texts(play.client) == {"content0": f"Dear {MAIL})", "finish0": "stop", "done": "!"}
    assert play.record["rules"] == ["mail"]


def test_what_was_found_is_known_to_whoever_sends_headers() -> None:
    play = Play(rules()).ask(ask(f"I am {MAIL}"))
    assert play.exchange.sensitive_values == [MAIL]
    assert Play(rules()).ask(ask()).exchange.sensitive_values == []


def test_what_is_not_edited_goes_on_byte_for_byte() -> None:
    body = b'{ "model":"m",\n"messages" : [{"role":"user","content":"\\u0068i"}] }'
    play = Play(rules(ONE_CHECK)).ask(body)
    assert play.done[-1].body == body  # type: ignore[union-attr]
    answer = unary("hello").replace(b'": ', b'" :  ')
    assert plain(play, answer).client == answer


def test_a_request_is_blocked() -> None:
    play = Play(rules(ONE_CHECK)).ask(ask("a forbidden thing"))
    assert play.lines == [
        ">> RequestReceived 78 bytes",
        "<< RunScans bad messages[0].content 0..17",
        ">> Scanned bad BAD 2..11 1.00",
        "<< SendHead 400 own",
        "<< Finish blocked_request 121 bytes",
    ]
    assert error(play) == {
        "message": "a policy refused this request",
        "type": "invalid_request_error",
        "param": None,
        "code": "content_filter",
    }
    assert play.head == SendHead(400, own=True, headers=(("x-should-retry", "false"),))
    assert play.exchange.is_over


def test_a_rule_says_its_own_words() -> None:
    play = Play(rules(ONE_CHECK.replace("action: block", 'action: block, message: "not here"'))).ask(ask("forbidden"))
    assert error(play)["message"] == "not here"
    play = Play(rules(ONE_CHECK), MESSAGES).ask(ask("forbidden", max_tokens=1))
    assert json.loads(play.client) == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "a policy refused this request (content_filter)"},
    }


def test_a_request_without_texts_needs_no_scan() -> None:
    play = Play(rules()).ask({"model": "m", "messages": [{"role": "assistant", "content": None}]})
    assert [row.split(" bytes")[0] for row in play.lines] == [">> RequestReceived 68", "<< SendUpstream 68"]


MALFORMED = {
    "not JSON": (b"{", "invalid_json"),
    "more JSON": (b"{} {}", "invalid_json"),
    "empty": (b"", "invalid_json"),
    "duplicate key": (b'{"model": "m", "messages": [], "messages": []}', "duplicate_key"),
    "NaN": (b'{"seed": NaN}', "invalid_number"),
    "infinity": (b'{"seed": -Infinity}', "invalid_number"),
    "overflow": (b'{"seed": 1e999}', "invalid_number"),
    "5,000 digits": (b'{"seed": ' + b"1" * 5000 + b"}", "invalid_number"),
    "lone surrogate": (b'{"model": "\\ud800"}', "invalid_encoding"),
    "lone surrogate as a key": (b'{"\\udc00": 1}', "invalid_encoding"),
    "UTF-16": ('{"model": "m"}'.encode("utf-16"), "invalid_encoding"),
    "UTF-16 without a mark": ('{"model": "m"}'.encode("utf-16-le"), "invalid_json"),
    "byte order mark": (b'\xef\xbb\xbf{"model": "m"}', "invalid_encoding"),
    "overlong": (b'{"model": "\xc0\xaf"}', "invalid_encoding"),
    "too deep": (b"[" * 100_000 + b"]" * 100_000, "too_deep"),
    "too deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "too_deep"),
    "array": (b"[]", "invalid_type"),
    "string": (b'"text"', "invalid_type"),
    "null": (b"null", "invalid_type"),
}


@pytest.mark.parametrize("route", [CHAT, MESSAGES])
@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_body_is_refused(name: str, route: str) -> None:
    body, code = MALFORMED[name]
    play = Play(rules(), route)
    play.tell(RequestReceived(body))
    assert play.lines[1] == "<< SendHead 400 own"
    assert play.lines[2].startswith("<< Finish refused")
    assert play.record["error"] == {"code": code}
    assert code in play.client.decode()
    assert play.head.headers == (("x-should-retry", "false"),)


def test_the_steps_of_a_refusal_do_not_depend_on_the_nesting() -> None:
    for body in (b"[" * 200, b"[" * 101 + b'"' + b'\\"' * 200):
        refuse = [
            partial(Play(rules()).tell, RequestReceived(body + body[-2:] * more)) for more in (50_000, 50_000, 100_000)
        ]
        _, small, large = map(steps, refuse)  # the first call makes what is made once
        assert small == large


@pytest.mark.parametrize(
    ("route", "change", "field", "says"),
    [
        (CHAT, {"model": 1}, "model", "`model` must be a string"),
        (CHAT, {"stream": "yes"}, "stream", "`stream` must be true or false"),
        (CHAT, {"messages": None}, "messages", "`messages` is missing"),
        (CHAT, {"messages": "x"}, "messages", "`messages` must be a list"),
        (CHAT, {"messages": []}, "messages", "`messages` must not be empty"),
        (CHAT, {"messages": ["x"]}, "messages[0]", "`messages[0]` must be an object"),
        (CHAT, {"messages": [{"content": "x"}]}, "messages[0].role", "`messages[0].role` is missing"),
        (CHAT, {"messages": [{"role": 5}]}, "messages[0].role", "`messages[0].role` must be a string"),
        (
            CHAT,
            {"messages": [{"role": "user", "content": 5}]},
            "messages[0].content",
            "`messages[0].content` must be a string or a list",
        ),
        (CHAT, {"tools": {}}, "tools", "`tools` must be a list"),
        (CHAT, {"tools": [1]}, "tools[0]", "`tools[0]` must be an object"),
        (CHAT, {"n": True}, "n", "`n` must be a whole number"),
        (CHAT, {"n": 1000}, "n", "`n` must be 1 to 128"),
        (CHAT, {"n": -1}, "n", "`n` must be 1 to 128"),
        (MESSAGES, {"max_tokens": "5"}, "max_tokens", "`max_tokens` must be a whole number"),
        (MESSAGES, {"system": 5}, "system", "`system` must be a string or a list"),
        (MESSAGES, {"messages": [{"role": "user"}]}, "messages[0].content", "`messages[0].content` is missing"),
    ],
)
def test_a_wrong_type_is_named(route: str, change: dict[str, Any], field: str, says: str) -> None:
    play = Play(rules(), route).ask({**ask(), **change})
    assert play.record["outcome"] == "refused"
    assert play.record["error"]["field"] == field
    assert says in error(play)["message"]
    if route == CHAT:
        assert error(play)["param"] == field


def test_unknown_fields_are_scanned_as_unmapped() -> None:
    play = Play(rules()).ask({**ask(), "house_words": f"say {MAIL}", "new": {"deep": ["forbidde", {"x y": 1}]}})
    assert "mail house_words 0..12" in play.lines[1]
    assert "mail new.deep[0] 0..8" in play.lines[1]
    assert "mail new.deep[1].x y#key 0..3" in play.lines[1]
    assert play.upstream["house_words"] == f"say {TOKEN}"
    assert members(play.exchange.record(""))["request"]["unmapped"] == [
        "house_words",
        "new.deep[0]",
        "new.deep[1].x y#key",
    ]


def test_a_policy_refuses_unknown_fields() -> None:
    policies = rules(POLICY + "unmapped: refuse\n")
    play = Play(policies).ask({**ask(), "new": {"deep": ["text"]}})
    assert play.lines[1] == "<< SendHead 400 own"
    assert (error(play)["code"], error(play)["param"]) == ("unmapped_field", "new.deep[0]")
    play = Play(policies).ask({**ask(), "metadata": {}, f"a {MAIL}": "text"})
    assert error(play)["param"] == "*"
    assert MAIL not in play.finish.record.to_json().decode()
    play = Play(policies).ask(ask())
    plain(play, unary("hello", new="text"))
    assert (play.finish.outcome, play.head.status) == ("unmapped_field", 502)
    play = Play(policies).ask(ask()).stream([chat_frames([])[0], sse({"choices": [], "new": "text"})])
    assert play.finish.outcome == "unmapped_field"


def test_a_request_that_the_driver_refused_is_recorded() -> None:
    play = Play(rules())
    play.tell(Refused(ErrorCode.REQUEST_TOO_LARGE, "the body is larger than the limit", "content-length", unix_s=5.0))
    assert play.lines == [
        ">> Refused 413 request_too_large",
        "<< SendHead 413 own",
        "<< Finish refused 171 bytes",
    ]
    assert play.record["at"] == 5.0
    assert play.record["error"] == {"code": "request_too_large", "field": "content-length"}


# Answers.


def test_a_whole_answer() -> None:
    play = plain(waiting(), unary("hello there"))
    assert play.lines == [
        ">> ResponseStarted 200 application/json",
        ">> DataReceived 112 bytes",
        ">> ResponseEnded",
        "<< RunScans bad choices[0].message.content 0..11",
        ">> Scanned nothing",
        "<< SendHead 200",
        "<< Finish answered 112 bytes",
    ]


@pytest.mark.parametrize(
    ("route", "body"), [(CHAT, unary("a forbidden b")), (MESSAGES, message({"type": "text", "text": "a forbidden b"}))]
)
def test_a_whole_answer_is_blocked_before_its_head(route: str, body: bytes) -> None:
    play = plain(waiting(route=route), body)
    assert play.lines[4:] == [
        ">> Scanned bad BAD 2..11 1.00",
        "<< CancelUpstream",
        "<< SendHead 400 own",
        f"<< Finish blocked_response {len(play.client)} bytes",
    ]
    assert error(play)["type"] == "invalid_request_error"
    assert b"forbidden" not in play.client


def test_a_chat_stream_is_stopped_with_the_dialects_ending() -> None:
    play = waiting().stream(chat_frames([{"content": "a b forbidden c"}]))
    assert play.lines[1:] == [
        ">> DataReceived 149 bytes",
        "<< SendHead 200 streamed",
        "<< SendData 149 bytes",
        ">> DataReceived 158 bytes",
        "<< RunScans bad choices[0].message.content 0..15+",
        ">> Scanned bad BAD 4..13 1.00",
        "<< CancelUpstream",
        "<< Finish blocked_response 320 bytes",
        ">> DataReceived 133 bytes",
        ">> DataReceived 14 bytes",
        ">> ResponseEnded",
    ]
    assert chat_texts(play.client) == {"content0": "a b ", "finish0": "content_filter", "done": "!"}


def test_a_messages_stream_is_stopped_with_the_dialects_ending() -> None:
    play = waiting(route=MESSAGES).stream(message_frames([("text", ["a b", " forbidden c"])]))
    assert message_texts(play.client) == {"block0": "a b ", "stop": "refusal", "message_stop": "yes"}
    named = [name for name, _ in events(play.client)]
    assert named[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert next(tree for name, tree in events(play.client) if name == "message_delta")["usage"] == {
        "input_tokens": 3,
        "output_tokens": 1,
    }


def test_the_stop_of_a_first_frame_is_an_error_of_its_own() -> None:
    """Nothing was sent yet, so the client gets a status that it will not retry."""
    first = sse({"choices": [{"index": 0, "delta": {"content": "forbidden x"}}]})
    play = waiting().stream([first])
    assert play.lines[3:7] == [
        ">> Scanned bad BAD 0..9 1.00",
        "<< CancelUpstream",
        "<< SendHead 400 own",
        "<< Finish blocked_response 132 bytes",
    ]


def test_a_stop_at_the_beginning_of_a_frame_sends_nothing_of_it() -> None:
    play = waiting().stream(chat_frames([{"content": "so "}, {"content": "forbidden x"}]))
    assert chat_texts(play.client) == {"content0": "so ", "finish0": "content_filter", "done": "!"}
    play = waiting(route=MESSAGES).stream(message_frames([("text", ["so ", "forbidden x"])]))
    assert message_texts(play.client) == {"block0": "so ", "stop": "refusal", "message_stop": "yes"}


def test_a_stop_in_what_ends_a_message() -> None:
    """Nothing of the frame that would end the answer is sent; the ending is our own."""
    frames = message_frames([("text", ["so"])])
    frames[-2] = sse(
        {"type": "message_delta", "delta": {"stop_reason": "x", "stop_sequence": "a forbidden"}}, "message_delta"
    )
    play = waiting(route=MESSAGES).stream(frames)
    assert message_texts(play.client) == {"block0": "so", "stop": "refusal", "message_stop": "yes"}


def test_choices_interleave_each_in_its_own_text() -> None:
    frames = [
        sse({"choices": [{"index": index, "delta": {"content": part}}]})
        for index, part in [(0, "a K-1"), (1, "K-"), (0, "234 "), (1, "5678 x"), (0, "b"), (1, "y")]
    ]
    ends = [sse({"choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]}) for index in (0, 1)]
    play = waiting(rules()).stream([*frames, *ends, b"data: [DONE]\n\n"])
    assert chat_texts(play.client) == {
        "content0": f"a {mint('CODE', 'K-1234')} b",
        "content1": f"{mint('CODE', 'K-5678')} xy",
        "finish0": "stop",
        "finish1": "stop",
        "done": "!",
    }


def test_a_stop_ends_every_choice_that_was_shown_and_has_not_ended() -> None:
    frames = [
        sse({"choices": [{"index": index, "delta": {"content": part}, "finish_reason": end}]})
        for index, part, end in [(0, "a", None), (1, "b", None), (2, "c", "stop"), (1, " forbidden x", None)]
    ]
    play = waiting().stream(frames)
    assert chat_texts(play.client) == {
        "content0": "a",
        "content1": "b ",
        "content2": "c",
        "finish0": "content_filter",
        "finish1": "content_filter",
        "finish2": "stop",
        "done": "!",
    }


def test_a_second_choice_that_is_cut_off_is_no_success() -> None:
    frames = [
        sse({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}),
        sse({"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": None}]}),
    ]
    assert waiting().stream(frames).finish.outcome == "upstream_truncated"
    tail = sse({"choices": [{"index": 0, "delta": {}, "finish_reason": None}], "usage": {"x": 1}})
    assert waiting().stream([frames[0], tail]).finish.outcome == "answered", "a late frame of a choice that ended"


# Restoring, and types that stay.


def test_values_come_back_in_texts_arguments_and_reasoning() -> None:
    arguments = json.dumps({"to": TOKEN, TOKEN: f"{TOKEN}, {TOKEN}"})
    call = {"index": 0, "id": "t", "type": "function", "function": {"name": "send", "arguments": arguments[:9]}}
    deltas: list[dict[str, Any]] = [
        {"reasoning_content": TOKEN[:7]},
        {"reasoning_content": TOKEN[7:]},
        {"content": f"to {TOKEN}"},
        {"tool_calls": [call]},
        {"tool_calls": [{"index": 0, "function": {"arguments": arguments[9:]}}]},
    ]
    texts = chat_texts(Play(rules()).ask(ask(MAIL)).stream(chat_frames(deltas, "tool_calls")).client)
    assert texts["reasoning_content0"] == MAIL
    assert texts["content0"] == f"to {MAIL}"
    assert json.loads(texts["tool"]) == {"to": MAIL, MAIL: f"{MAIL}, {MAIL}"}
    blocks = [("thinking", [TOKEN[:3], TOKEN[3:]]), ("text", [TOKEN]), ("tool", [arguments[:20], arguments[20:]])]
    texts = message_texts(Play(rules(), MESSAGES).ask(ask(MAIL, max_tokens=2)).stream(message_frames(blocks)).client)
    assert (texts["block0"], texts["block1"]) == (MAIL, MAIL)
    assert json.loads(texts["block2"])["to"] == MAIL


def test_values_come_back_in_a_whole_answer() -> None:
    play = Play(rules()).ask(ask(MAIL))
    call = {"id": "t", "type": "function", "function": {"name": "send", "arguments": json.dumps({"to": TOKEN})}}
    message = {"role": "assistant", "content": TOKEN, "tool_calls": [call]}
    plain(play, json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode())
    shown = json.loads(play.client)["choices"][0]["message"]
    assert shown["content"] == MAIL
    assert json.loads(shown["tool_calls"][0]["function"]["arguments"]) == {"to": MAIL}


def test_what_is_not_to_be_restored_stays() -> None:
    play = Play(rules(POLICY.replace("restore: true", "restore: false"))).ask(ask(MAIL))
    play.stream(chat_frames([{"content": f"to {TOKEN}"}]))
    assert chat_texts(play.client)["content0"] == f"to {TOKEN}"
    other = mint("MAIL", "al@cd.com")
    play = Play(rules()).ask(ask(MAIL)).stream(chat_frames([{"content": f"{other} {TOKEN.lower()} {TOKEN[:-2]}x]"}]))
    assert chat_texts(play.client)["content0"] == f"{other} {TOKEN.lower()} {TOKEN[:-2]}x]"


def test_keys_and_long_numbers_are_redacted_and_keep_their_type() -> None:
    stand_in = 10**15
    arguments = json.dumps({MAIL: CARD, "n": [-5, CARD]})
    call = {"id": "t", "type": "function", "function": {"name": "send", "arguments": arguments}}
    body = ask(metadata={f"of {MAIL}": CARD, "x": 1.5, "y": float(CARD)})
    body["messages"].append({"role": "assistant", "tool_calls": [call]})
    sent = Play(rules()).ask(body).upstream
    assert sent["metadata"] == {f"of {TOKEN}": stand_in, "x": 1.5, "y": stand_in}
    assert json.loads(sent["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {
        TOKEN: stand_in,
        "n": [-5, stand_in],
    }
    body = ask(max_tokens=1)
    body["messages"].append(
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {MAIL: CARD}}]}
    )
    sent = Play(rules(), MESSAGES).ask(body).upstream
    assert sent["messages"][1]["content"][0]["input"] == {TOKEN: stand_in}


def test_a_word_that_every_frame_repeats_is_edited_in_each() -> None:
    frames = [
        sse({"choices": [{"index": 0, "delta": {"content": part}}], "provider": "of K-1234", "x y": CARD})
        for part in ("a", "b", "c")
    ]
    play = waiting(rules()).stream([*frames, b"data: [DONE]\n\n"])
    shown = [tree["provider"] for _, tree in events(play.client) if tree != "[DONE]"]
    assert shown == [f"of {mint('CODE', 'K-1234')}"] * 3
    assert b"4111" not in play.client
    scanned = [row for row in play.lines if "code provider" in row]
    assert len(scanned) == 1, "what was cleared once is not scanned again"


# Upstreams that fail.


@pytest.mark.parametrize("status", [400, 404, 429, 500])
@pytest.mark.parametrize("route", [CHAT, MESSAGES])
def test_an_error_of_the_upstream_is_scanned_and_passed_on(route: str, status: int) -> None:
    body = json.dumps({"type": "error", "error": {"type": "x", "message": f"bad input K-1234 {CARD}"}}).encode()
    play = plain(waiting(rules(), route), body, status)
    assert play.head == SendHead(status)
    assert play.finish.outcome == ("answered" if status < 500 else "upstream_5xx")
    assert b"4111" not in play.client
    assert mint("CODE", "K-1234") in error(play)["message"]


@pytest.mark.parametrize("status", [404, 503])
def test_an_error_that_cannot_be_read_is_replaced(status: int) -> None:
    play = waiting()
    play.tell(ResponseStarted(status, "text/html"))
    assert play.lines == [
        f">> ResponseStarted {status} text/html",
        "<< CancelUpstream",
        f"<< SendHead {status} own",
        f"<< Finish upstream_error {len(play.client)} bytes",
    ]
    assert error(play)["message"] == f"the upstream answered with status {status} and no readable error"


def test_an_answer_of_another_content_type_is_an_error() -> None:
    play = waiting()
    play.tell(ResponseStarted(200, "text/plain"))
    assert play.lines[1:] == [
        "<< CancelUpstream",
        "<< SendHead 502 own",
        f"<< Finish upstream_content_type {len(play.client)} bytes",
    ]


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"", b'{"a": NaN}', b"\xff"])
def test_a_whole_answer_that_is_not_an_object_is_an_error(body: bytes) -> None:
    play = plain(waiting(), body)
    assert (play.finish.outcome, play.head.status) == ("upstream_invalid_json", 502)


def test_a_stream_without_its_end_is_an_error() -> None:
    play = waiting().stream(chat_frames([{"content": "hi there"}])[:2])
    assert play.lines[-3:] == [">> ResponseEnded", "<< CancelUpstream", "<< Finish upstream_truncated 148 bytes"]
    assert chat_texts(play.client) == {"content0": "hi there", "error": "upstream_truncated", "done": "!"}
    play = waiting(route=MESSAGES).stream(message_frames([("text", ["hi there"])])[:-1])
    assert message_texts(play.client)["error"] == "the answer ended before it was complete (upstream_truncated)"
    inside = b"".join(chat_frames([{"content": "hi"}])[:-1]) + b"data: [DO"
    assert waiting().stream([inside]).finish.outcome == "upstream_truncated"


def test_a_stream_that_ends_with_a_reason_only_is_complete() -> None:
    play = waiting().stream(chat_frames([{"content": "hi"}])[:-1])
    assert play.lines[-2:] == [">> ResponseEnded", "<< Finish answered 0 bytes"]


@pytest.mark.parametrize(
    "garbage", [b"data: {oops\n\n", b"data: 5\n\n", b'data: {"a": 1, "a": 2}\n\n', b"data: \xff\n\n"]
)
def test_garbage_in_a_stream_is_an_error(garbage: bytes) -> None:
    for first, outcome in ((b"", 502), (chat_frames([])[0], 200)):
        play = waiting().stream([first + garbage, b"data: [DONE]\n\n"])
        assert play.finish.outcome == "upstream_invalid_json"
        assert play.head.status == outcome


def test_an_event_above_the_limit_is_an_error() -> None:
    first = chat_frames([{"content": "hi"}])[:2]
    for chunks in ([*first, b"data: " + b"x" * 300], [b"".join(first) + b"data: " + b"x" * 300 + b"\n\n"]):
        play = waiting(answer_bytes=200).stream(chunks)
        assert play.finish.outcome == "upstream_event_too_large"
        assert chat_texts(play.client)["content0"] == "hi", "what came before it is shown, however it is cut"


def test_a_whole_answer_above_the_limit_is_an_error() -> None:
    play = waiting(answer_bytes=200)
    play.tell(ResponseStarted(200, "application/json"))
    for part in cut(unary("x" * 200), [100, 200, 250]):
        play.tell(DataReceived(part))
    assert play.lines[-3:] == [
        "<< SendHead 502 own",
        f"<< Finish upstream_too_large {len(play.client)} bytes",
        ">> DataReceived 51 bytes",
    ]


def test_more_held_text_than_the_limit_is_an_error() -> None:
    arguments = [{"tool_calls": [{"index": 0, "function": {"arguments": "1234567890"}}]}] * 3
    play = waiting(held_chars=25).stream(chat_frames(arguments))
    assert play.finish.outcome == "hold_limit"
    assert chat_texts(play.client) == {"error": "hold_limit", "done": "!"}
    assert waiting(held_chars=30).stream(chat_frames(arguments, "tool_calls")).finish.outcome == "answered"


def test_an_error_frame_in_a_stream_is_scanned_and_ends_it() -> None:
    frames = [*chat_frames([{"content": "hi K-12"}])[:2], sse({"error": {"message": "about K-1234", "code": "x"}})]
    play = waiting(rules()).stream([*frames, b"data: [DONE]\n\n"])
    assert play.finish.outcome == "answered"
    texts = chat_texts(play.client)
    assert (texts["content0"], texts["error"], texts["done"]) == ("hi K-12", "x", "!")
    assert b"K-1234" not in play.client
    play = waiting(rules()).stream(frames)
    assert play.finish.outcome == "answered", "the error says that it is over, also without `[DONE]`"
    tree = {"type": "error", "error": {"type": "overloaded_error", "message": "about K-1234"}}
    play = waiting(rules(), MESSAGES).stream([*message_frames([("text", ["hi"])])[:4], sse(tree, "error")])
    assert play.lines[-3:] == [
        "<< ReleaseUpstream",
        f"<< Finish answered {len(play.finish.data)} bytes",
        ">> ResponseEnded",
    ]
    assert message_texts(play.client) == {"block0": "hi", "error": f"about {mint('CODE', 'K-1234')}"}


@pytest.mark.parametrize("route", [CHAT, MESSAGES])
def test_what_comes_after_the_end_is_not_passed_on(route: str) -> None:
    frames = chat_frames([{"content": "hi"}]) if route == CHAT else message_frames([("text", ["hi"])])
    late = frames[2] if route == CHAT else frames[3]
    whole = waiting(route=route).stream(frames)
    assert waiting(route=route).stream([b"".join(frames) + late, late]).client == whole.client
    assert waiting(route=route).stream([*frames, late]).client == whole.client


def test_an_event_name_that_lies_is_written_anew() -> None:
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a forbidden b"}}
    frames = message_frames([("text", ["so "])])
    for name in ("ping", None, "message_stop"):
        play = waiting(route=MESSAGES).stream([*frames[:4], sse(delta, name), *frames[4:]])
        assert message_texts(play.client) == {"block0": "so a ", "stop": "refusal", "message_stop": "yes"}
    evil = {"type": 'x\ndata: {"type":"content_block_delta"}'}
    play = waiting(route=MESSAGES).stream([*frames[:4], sse(evil), *frames[4:]])
    assert [name for name, _ in events(play.client)].count("content_block_delta") == 1


def test_comments_keep_alive_and_say_nothing() -> None:
    play = waiting().stream([b": forbidden\n\n", *chat_frames([{"content": "hi"}])])
    assert play.client.startswith(b":\n\ndata: ")


# The connection, the clock, the client.


def test_the_upstream_fails_before_it_answers() -> None:
    play = waiting()
    play.tell(UpstreamFailed(ErrorCode.UPSTREAM_UNREACHABLE, "no connection to the upstream", 502))
    assert play.lines == [
        ">> UpstreamFailed 502 upstream_unreachable",
        "<< SendHead 502 own",
        f"<< Finish upstream_unreachable {len(play.client)} bytes",
    ]


def test_the_upstream_fails_in_the_middle() -> None:
    play = waiting()
    play.tell(ResponseStarted(200, "text/event-stream"))
    play.tell(DataReceived(b"".join(chat_frames([{"content": "hi fo"}])[:2])))
    play.tell(UpstreamFailed(ErrorCode.UPSTREAM_FAILED, "the upstream closed the connection", 504))
    assert play.lines[-1] == ">> UpstreamFailed 504 upstream_failed", "first the text that came is scanned"
    play.scan()
    assert play.finish.outcome == "upstream_failed"
    assert chat_texts(play.client) == {"error": "upstream_failed", "done": "!"}
    play = waiting()
    play.tell(ResponseStarted(200, "application/json"))
    play.tell(UpstreamFailed(ErrorCode.UPSTREAM_TIMEOUT, "the upstream sent nothing for too long", 504))
    assert play.lines[2:] == [
        "<< CancelUpstream",
        "<< SendHead 504 own",
        f"<< Finish upstream_timeout {len(play.client)} bytes",
    ]


@pytest.mark.parametrize("phase", ["request", "waiting", "answer", "shown"])
def test_the_driver_gives_up(phase: str) -> None:
    play = Play(rules(ONE_CHECK))
    play.tell(RequestReceived(json.dumps(ask()).encode()))
    if phase != "request":
        play.scan()
    if phase in ("answer", "shown"):
        play.tell(ResponseStarted(200, "text/event-stream"))
    if phase == "shown":
        play.tell(DataReceived(chat_frames([])[0]))
    play.told.clear()
    play.tell(Aborted(ErrorCode.TIMEOUT, "the exchange took too long", 504))
    cancel = ["<< CancelUpstream"] if phase in ("answer", "shown") else []
    head = [] if phase == "shown" else ["<< SendHead 504 own"]
    assert play.lines == [
        ">> Aborted 504 timeout",
        *cancel,
        *head,
        f"<< Finish timeout {len(play.finish.data)} bytes",
    ]
    play.answer_scan()
    assert play.lines[-1] == ">> Scanned nothing", "an answer that comes late changes nothing"


@pytest.mark.parametrize("phase", ["new", "request", "waiting", "answer", "scanning"])
def test_the_client_goes_away(phase: str) -> None:
    play = Play(rules(ONE_CHECK))
    if phase != "new":
        play.tell(RequestReceived(json.dumps(ask()).encode()))
    if phase in ("waiting", "answer", "scanning"):
        play.scan()
    if phase in ("answer", "scanning"):
        play.tell(ResponseStarted(200, "text/event-stream"))
        play.tell(DataReceived(b"".join(chat_frames([{"content": "a forbidden b"}])[:2])))
    if phase == "answer":
        play.scan()
        assert play.finish.outcome == "blocked_response"
        return
    play.told.clear()
    play.tell(DownstreamGone())
    assert play.lines == [">> DownstreamGone", "<< CancelUpstream", "<< Finish client_closed 0 bytes"]
    assert members(play.finish.record)["outcome"] == "client_closed"
    if phase == "scanning":
        assert play.record["response"]["texts"][0]["text"] == "", "what was not scanned is not kept"


def test_one_scan_at_a_time_and_what_waits_becomes_one_window() -> None:
    play = waiting()
    play.tell(ResponseStarted(200, "text/event-stream"))
    head, *parts, _, _ = chat_frames([{"content": part} for part in ("one ", "two ", "three ", "four ")])
    play.tell(DataReceived(head))
    for part in parts:
        play.tell(DataReceived(part))
    assert [row for row in play.lines if "Scan" in row] == ["<< RunScans bad choices[0].message.content 0..4+"]
    play.scan()
    assert [row for row in play.lines if "<< RunScans" in row][1:] == [
        "<< RunScans bad choices[0].message.content 0..19+"
    ]


def test_the_end_travels_with_the_record() -> None:
    """`failed` is what the client gets when the record cannot be kept."""
    streamed = waiting().stream(chat_frames([{"content": "hi"}]))
    assert streamed.finish.failed.startswith(b"data: ")
    assert b"audit_unavailable" in streamed.finish.failed
    whole = plain(waiting(), unary("hi"))
    assert json.loads(whole.finish.failed)["error"]["code"] == "audit_unavailable"


# Checks that fail; rules.


def failed(play: Play, error: str = "Boom") -> Play:
    assert play.pending
    play.answer_scan(*(Scan((), job.window.settled, job.window.start, error) for job in play.pending.jobs))
    return play


def test_a_check_that_fails_blocks() -> None:
    play = Play(rules(ONE_CHECK))
    play.tell(RequestReceived(json.dumps(ask()).encode()))
    failed(play)
    assert play.lines[2:] == [
        ">> Scanned Boom",
        "<< SendHead 400 own",
        f"<< Finish blocked_request {len(play.client)} bytes",
    ]
    assert error(play)["message"] == "a check could not be completed"
    assert play.record["rules"] == ["on_error"]
    assert play.record["request"]["texts"][0]["text"] is None


def test_a_check_that_fails_in_the_middle_of_a_stream_stops_it_where_it_failed() -> None:
    play = waiting()
    play.tell(ResponseStarted(200, "text/event-stream"))
    frames = chat_frames([{"content": "one two"}, {"content": " three"}])
    play.tell(DataReceived(frames[0] + frames[1]))
    play.scan()
    play.tell(DataReceived(frames[2]))
    failed(play)
    assert play.finish.outcome == "blocked_response"
    assert chat_texts(play.client) == {"content0": "one two", "finish0": "content_filter", "done": "!"}


def test_a_policy_only_notes_a_check_that_fails() -> None:
    play = Play(rules(ONE_CHECK + "on_error: flag\n"))
    play.tell(RequestReceived(json.dumps(ask()).encode()))
    failed(play)
    assert play.exchange.state == State.WAITING
    assert members(play.exchange.record(""))["rules"] == ["on_error"]
    play.tell(ResponseStarted(200, "text/event-stream"))
    for frame in chat_frames([{"content": "one "}, {"content": "two "}]):
        play.tell(DataReceived(frame))
        if play.pending:
            failed(play)
    assert chat_texts(play.client)["content0"] == "one two "


def test_a_check_that_fails_in_tool_arguments_blocks() -> None:
    call = {"tool_calls": [{"index": 0, "function": {"arguments": '{"a": "b"}'}}]}
    play = waiting()
    play.tell(ResponseStarted(200, "text/event-stream"))
    for frame in chat_frames([call], "tool_calls"):
        play.tell(DataReceived(frame))
        if play.pending:
            failed(play)
    assert play.finish.outcome == "blocked_response"
    assert chat_texts(play.client)["tool"] == "{"


def test_shadow_mode_changes_nothing_and_notes_everything() -> None:
    shadow = POLICY.replace("action: redact", "action: redact, mode: shadow").replace(
        "action: block", "action: block, mode: shadow"
    )
    text = f"forbidden {MAIL} K-1234"
    play = Play(rules(shadow)).ask(ask(text)).stream(chat_frames([{"content": text}]))
    assert play.upstream["messages"][0]["content"] == text
    assert chat_texts(play.client)["content0"] == text
    assert (play.record["rules"], play.record["shadow"]) == ([], ["bad", "code", "mail"])
    assert MAIL not in play.finish.record.to_json().decode()


BOTH = f"""
policy: both
{CHECKS}
rules:
  - {{id: both, on: response, when: mail and code, action: block}}
"""


def test_an_and_rule_stops_at_the_finding_that_completes_it() -> None:
    play = waiting(rules(BOTH)).stream(chat_frames([{"content": "K-1234 x "}, {"content": f"{MAIL} y K-5678"}]))
    assert chat_texts(play.client)["content0"] == "K-1234 x "
    assert play.finish.outcome == "blocked_response"
    assert waiting(rules(BOTH)).stream(chat_frames([{"content": "K-1234 K-5678"}])).finish.outcome == "answered"


def test_the_strongest_of_several_policies_wins() -> None:
    flag = POLICY.replace("policy: test", "policy: soft").replace("action: block", "action: flag")
    for order in ((flag, POLICY), (POLICY, flag)):
        play = Play(rules(*order)).ask(ask("forbidden"))
        assert play.finish.outcome == "blocked_request"
        assert {(one["policy"], one["action"]) for one in play.record["decisions"]} == {
            ("soft", "flag"),
            ("test", "block"),
        }
    keep = POLICY.replace("policy: test", "policy: keep").replace("restore: true", "restore: false")
    play = Play(rules(POLICY, keep)).ask(ask(MAIL)).stream(chat_frames([{"content": TOKEN}]))
    assert chat_texts(play.client)["content0"] == TOKEN, "of two redactions the one that does not restore wins"


def test_no_policy_for_a_request_lets_it_pass_unscanned() -> None:
    elsewhere = POLICY.replace(CHECKS, f"match: {{models: [other]}}\n{CHECKS}")
    play = Play(rules(elsewhere)).ask(ask(f"forbidden {MAIL}"))
    assert play.lines[1] == f"<< SendUpstream {len(json.dumps(ask(f'forbidden {MAIL}')))} bytes, 0 edits"
    call = {"tool_calls": [{"index": 0, "function": {"arguments": '{"a": "forbidden"}'}}]}
    play.stream(chat_frames([{"content": "forbidden"}, call]))
    assert chat_texts(play.client)["content0"] == "forbidden"
    assert not any("Scan" in row for row in play.lines)


def test_overlapping_findings_are_one_edit() -> None:
    """Two checks see parts of the same text: one placeholder, named after the first and longest."""
    play = waiting(rules())
    play.tell(ResponseStarted(200, "text/event-stream"))
    play.tell(DataReceived(b"".join(chat_frames([{"content": "ab cdef gh "}])[:2])))
    assert play.pending
    found = {
        "card": (Finding(3, 7, "card", "CARD", 1.0),),
        "code": (Finding(5, 10, "code", "CODE", 1.0),),
        "bad": (),
    }
    play.answer_scan(*(Scan(found[job.check.name], 11, 11) for job in play.pending.jobs))
    assert chat_texts(play.client)["content0"] == f"ab {mint('CARD', 'cdef gh')} "


def test_a_finding_that_another_check_cut_into_is_held_whole() -> None:
    play = waiting(rules())
    play.tell(ResponseStarted(200, "text/event-stream"))
    play.tell(DataReceived(b"".join(chat_frames([{"content": "ab cdef gh "}])[:2])))
    assert play.pending
    settled = {"card": 8, "code": 5, "bad": 11}
    found = {"card": (Finding(3, 7, "card", "CARD", 1.0),), "code": (), "bad": ()}
    play.answer_scan(*(Scan(found[job.check.name], settled[job.check.name], 3) for job in play.pending.jobs))
    lane = play.exchange.sides["response"].gate.lanes.every[0]
    assert (lane.progress.settled, lane.progress.findings) == (3, [])


def test_an_answer_to_no_scan_changes_nothing() -> None:
    play = waiting()
    play.answer_scan()
    assert play.lines == [">> Scanned nothing"]


def test_a_policy_that_looks_at_answers_only_leaves_requests_unread() -> None:
    """Nothing asks of a request, so it goes on as it came, and the record says that nobody looked."""
    it = rules(ONE_CHECK.replace("when: bad", "on: response, when: bad"))
    play = Play(it).ask(ask("forbidden", new={"deep": CARD}))
    assert play.lines[1].startswith("<< SendUpstream")
    assert members(play.exchange.record(""))["request"] == {
        "body": None,
        "texts": [],
        "uninspected": ["*"],
        "uninspected_kinds": ["*"],
        "unmapped": [],
    }
    play.stream(chat_frames([{"content": "a forbidden b"}]))
    assert chat_texts(play.client)["content0"] == "a "


def test_a_policy_that_looks_at_requests_only_leaves_answers_unread() -> None:
    it = rules(ONE_CHECK.replace("when: bad", "on: request, when: bad"))
    for route, frames in (
        (CHAT, chat_frames([{"content": "forbidden"}])),
        (MESSAGES, message_frames([("text", ["forbidden"])])),
    ):
        play = waiting(it, route).stream(frames)
        assert b"forbidden" in play.client
        assert not any("Scan" in row for row in play.lines)
        assert play.record["response"]["uninspected"] == ["*"]
        assert waiting(it, route).stream(frames[:2]).finish.outcome == "upstream_truncated", "its end is still watched"
        assert waiting(it, route).stream([frames[0], b"data: {oops\n\n"]).finish.outcome == "upstream_invalid_json"
    assert plain(waiting(it), unary("forbidden")).client == unary("forbidden")
    assert plain(waiting(it), b"<html>").finish.outcome == "upstream_invalid_json"


def test_scans_that_nobody_waits_for_change_nothing() -> None:
    """Those of an answer that was discarded come late."""
    play = Play(rules(ONE_CHECK)).ask(ask())
    play.tell(ResponseStarted(200, "text/event-stream"))
    assert play.pending is None
    assert play.tell(Scanned(())) == []
