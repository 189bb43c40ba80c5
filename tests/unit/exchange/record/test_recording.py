"""The record: texts with masked spans, offsets that count in them, and nothing that was not scanned."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.audit.record import RecordedFeedback, RecordedOpinion
from guardproxy.exchange.exchange import Exchange
from guardproxy.exchange.inputs.setting import Keys
from guardproxy.exchange.inputs.transcript import DataReceived, DownstreamGone, RequestReceived, ResponseStarted
from guardproxy.exchange.record import masking as masked_module
from guardproxy.exchange.record.recording import recorded_feedback
from guardproxy.gateway import StoreAnswered
from guardproxy.redaction.masking import Span, beside, merge
from tests.kit.checks import promise
from tests.kit.media import IMAGE_URL, SIGNATURE
from tests.kit.play import CHAT, MESSAGES, Play, chat_frames, hashed, message_frames, mint, policy_set, setting
from tests.kit.records import members
from tests.kit.retry import Attempts

MAIL = "jo@ab.io"
TOKEN = mint("MAIL", MAIL)
CARD = 4111222233334444
POLICY = r"""
policy: test
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\.io"]}
  card: {use: pattern, label: CARD, patterns: ["\\b[0-9]{16}\\b"]}
  pin:  {use: pattern, label: PIN, patterns: ["\\b[0-9]{5}\\b"]}
  code: {use: pattern, label: CODE, patterns: ["\\bK-[0-9]{4}\\b"]}
rules:
  - {id: mail, on: request, when: mail, action: redact}
  - {id: rest, on: [user, metadata, tool_arguments], when: card or pin or code, action: redact}
"""


def ask(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def test_an_allowed_value_is_an_ordinary_word() -> None:
    """It goes upstream and comes back as it is, no record has it as a finding, and values beside it are masked as ever."""
    policy = POLICY.replace("label: MAIL,", "label: MAIL, allow: [al@ab.io],").replace(
        "when: mail, action: redact", ("when: mail, action: redact, restore: true")
    )
    play = Play(policy_set(policy)).ask(ask(f"al@ab.io or {MAIL}"))
    assert play.upstream["messages"][0]["content"] == f"al@ab.io or {TOKEN}"
    play.stream(chat_frames([{"content": f"al@ab.io, {TOKEN[:5]}"}, {"content": f"{TOKEN[5:]}."}]))
    assert b"al@ab.io, jo@ab.io." in b"".join(
        json.loads(line[6:])["choices"][0]["delta"].get("content", "").encode()
        for line in play.client.split(b"\n\n")
        if line.startswith(b"data: {")
    )
    record = play.record
    (text,) = record["request"]["texts"]
    assert [finding["label"] for finding in text["findings"]] == ["MAIL"]
    assert text["text"].startswith("al@ab.io or [")
    assert MAIL not in json.dumps(record)


def asked(body: dict[str, Any], policy: str = POLICY, route: str = CHAT) -> dict[str, Any]:
    """The record of a request that went upstream, as it is read from a log."""
    play = Play(policy_set(policy), route).ask(body)
    out: dict[str, Any] = members(play.exchange.record("sent"))
    return out


def test_overlapping_spans_become_one() -> None:
    assert merge([]) == []
    assert merge([(5, 7, "b"), (0, 2, "a")]) == [(0, 2, "a"), (5, 7, "b")]
    assert merge([(0, 4, "a"), (2, 6, "b"), (6, 7, "c")]) == [(0, 6, "a"), (6, 7, "c")]
    assert merge([(0, 2, "short"), (0, 5, "long"), (1, 3, "in")]) == [(0, 5, "long")]


SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), max_size=6).map(
    lambda found: merge((start, start + size, f"t{start}") for start, size in found)
)


@promise
@given(SPANS, SPANS)
def test_what_lies_beside_other_spans(spans: list[Span], others: list[Span]) -> None:
    def covered(*which: list[Span]) -> set[int]:
        return {at for one in which for start, end, _ in one for at in range(start, end)}

    left = list(beside(spans, others))
    assert all(start < end for start, end, _ in left)
    assert covered(left) == covered(spans) - covered(others)
    assert left == merge(left), "they are sorted and lie apart"
    tokens = {at: token for start, end, token in spans for at in range(start, end)}
    assert all(tokens[start] == token for start, _, token in left)


def test_a_value_beside_another_inside_of_a_longer_one_is_masked_too() -> None:
    """The longer one is looked for in requests only; in the answer one part of it is found, another is known."""
    policies = policy_set(r"""
policy: p
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\.io"]}
  card: {use: pattern, label: CARD, patterns: ["\\b[0-9]{16}\\b"]}
  long: {use: pattern, label: LONG, patterns: ["jo@[a-z.0-9]+"]}
rules:
  - {id: mail, on: response, when: mail, action: redact}
  - {id: card, when: card, action: redact}
  - {id: long, on: request, when: long, action: redact}
""")
    card = "4111222233334444"
    play = Play(policies).ask({"model": "m", "messages": [{"role": "user", "content": f"use {card}, jo@ab.io{card}"}]})
    arguments = json.dumps({f"jo@ab.io{card}": 1})
    play.stream(chat_frames([{"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": arguments}}]}]))
    assert card not in play.finish.record.to_json().decode()
    assert play.record["response"]["texts"][-1]["text"].startswith('{"[MAIL_')


def test_a_request_is_kept_masked_with_offsets_that_count_in_it() -> None:
    record = asked(ask(f"I am {MAIL}, not {MAIL}"))
    shown = f"I am {TOKEN}, not {TOKEN}"
    assert record["request"]["body"]["messages"][0]["content"] == shown
    (text,) = record["request"]["texts"]
    assert (text["path"], text["kind"], text["text"], text["chars"]) == ("messages[0].content", "user", shown, 27)
    assert [shown[one["start"] : one["end"]] for one in text["findings"]] == [TOKEN, TOKEN]
    assert [shown[start:end] for start, end in text["edits"]] == [TOKEN, TOKEN]
    assert text["released"] == len(shown)
    assert text["checks"] == ["card", "code", "mail", "pin"]
    assert [(one["rule"], one["start"], one["action"]) for one in record["decisions"]] == [
        ("mail", 5, "redact"),
        ("mail", shown.rindex("["), "redact"),
    ]


def test_a_value_is_masked_wherever_it_stands() -> None:
    """Also where no check looked: in a model's name, an identifier, a short number, another direction."""
    body = ask("codes K-1234 and 12345", model="K-1234", seed=12345, top_p=0.5)
    call = {
        "id": "K-1234",
        "type": "function",
        "function": {"name": "f", "arguments": '{"a": 12345, "b": "12345", "c": 0.5}'},
    }
    body["messages"].append({"role": "assistant", "tool_calls": [call]})
    play = Play(policy_set(POLICY)).ask(body)
    record = members(play.finish.record)
    assert "K-1234" not in json.dumps(record)
    assert "12345" not in json.dumps(record)
    word = mint("CODE", "K-1234").strip("[]")
    kept = record["request"]["body"]
    assert (kept["model"], kept["messages"][1]["tool_calls"][0]["id"], kept["seed"]) == (word, word, 10000)
    arguments = json.loads(kept["messages"][1]["tool_calls"][0]["function"]["arguments"])
    assert arguments == {"a": 10000, "b": mint("PIN", "12345"), "c": 0.5}
    assert record["outcome"] == "blocked_request", "an identifier cannot be edited"
    assert record["model"] == mint("CODE", "K-1234")
    play = Play(policy_set(POLICY)).ask(ask("codes K-1234"))
    play.stream(chat_frames([{"content": "a K-1234 b"}], "K-1234"))
    record = members(play.finish.record)
    assert record["response"]["texts"][0]["text"] == f"a {mint('CODE', 'K-1234')} b"
    assert record["response"]["finish"] == [mint("CODE", "K-1234")]
    assert "K-1234" not in json.dumps(record)


def test_a_number_is_masked_by_a_number() -> None:
    """Where its own check found it, and where it only repeats what was found elsewhere."""
    record = asked(ask(str(CARD), metadata={"a": CARD}, new={"b": CARD}))
    assert record["request"]["body"]["metadata"] == {"a": 10**15}
    assert record["request"]["body"]["new"] == {"b": 10**15}
    assert str(CARD) not in json.dumps(record)
    numbers = [one for one in record["request"]["texts"] if one.get("number")]
    assert [one["text"] for one in numbers] == ["1000000000000000"] * 2


def test_encoded_text_keeps_its_shape_and_its_offsets() -> None:
    arguments = json.dumps({"to": MAIL, "n": CARD, "é": f"x {MAIL}"})
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    body = ask()
    body["messages"].append({"role": "assistant", "tool_calls": [call]})
    record = asked(body)
    (text,) = [one for one in record["request"]["texts"] if one.get("encoded")]
    assert json.loads(text["text"]) == {"to": TOKEN, "n": 10**15, "é": f"x {TOKEN}"}
    decoded = "\n".join(["to", TOKEN, "n", "1000000000000000", "é", f"x {TOKEN}"])
    assert [decoded[one["start"] : one["end"]] for one in text["findings"]] == [TOKEN, "1000000000000000", TOKEN]
    assert text["released"] == len(text["text"])


def test_paths_show_no_key_that_is_sensitive() -> None:
    record = asked(ask(metadata={f"of {MAIL}": {"x y": [MAIL]}}))
    paths = [one["path"] for one in record["request"]["texts"]]
    assert paths == [
        "messages[0].content",
        f"metadata.of {TOKEN}#key",
        f"metadata.of {TOKEN}.x y#key",
        f"metadata.of {TOKEN}.x y[0]",
    ]
    assert record["request"]["body"]["metadata"] == {f"of {TOKEN}": {"x y": [TOKEN]}}
    assert {one["path"] for one in record["decisions"]} == {paths[1], paths[3]}


def test_a_key_that_was_not_scanned_is_not_shown() -> None:
    body = ask(metadata={f"of {MAIL}": {"x y": ["a"]}, "plain": "b", "of x": "c"}, model=f"by {MAIL}")
    play = Play(policy_set(POLICY))
    play.tell(RequestReceived(json.dumps(body).encode()))
    play.tell(DownstreamGone())
    record = members(play.finish.record)
    assert MAIL not in json.dumps(record)
    assert [one["path"] for one in record["request"]["texts"]][2:] == [
        "metadata.*#key",
        "metadata.*.*#key",
        "metadata.*.*[0]",
        "metadata.*#key",
        "metadata.*",
        "metadata.*#key",
        "metadata.*",
    ]
    assert record["model"] == ""
    assert {one["text"] for one in record["request"]["texts"]} == {""}
    assert record["request"]["body"] is None


def test_a_policy_keeps_no_text() -> None:
    record = asked(ask(f"I am {MAIL}", metadata={"x y": "z"}), POLICY + "audit: {keep: none}\n")
    assert record["request"]["body"] is None
    assert {one["text"] for one in record["request"]["texts"]} == {None}
    assert [one["path"] for one in record["request"]["texts"]] == [
        "messages[0].content",
        "metadata.*#key",
        "metadata.*",
    ]
    assert record["rules"] == ["mail"]


def test_a_text_above_the_limit_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked_module, "KEPT_LIMIT_CHARS", 10)
    record = asked(ask("x" * 11))
    assert record["request"]["texts"][0]["text"] is None
    assert record["request"]["body"] is None
    assert asked(ask("x" * 10))["request"]["texts"][0]["text"] == "x" * 10


def test_what_cannot_be_inspected_is_named_and_not_kept() -> None:
    image = {"type": "image_url", "image_url": {"url": IMAGE_URL}}
    record = asked({"messages": [{"role": "user", "content": [image]}]})
    assert record["request"]["uninspected"] == ["messages[0].content[0].image_url.url"]
    assert record["request"]["body"]["messages"][0]["content"][0]["image_url"] == {
        "url": "data:;base64,(not inspected, not kept)"
    }
    search = {"type": "web_search_tool_result", "content": {f"of {MAIL}": {"encrypted_content": SIGNATURE}}}
    record = asked({"max_tokens": 1, "messages": [{"role": "user", "content": [search]}]}, route=MESSAGES)
    assert record["request"]["uninspected"] == [f"messages[0].content[0].content.of {TOKEN}.encrypted_content"]


def test_an_answer_says_in_which_order_its_texts_came() -> None:
    play = Play(policy_set(POLICY)).ask(ask(MAIL))
    frames = chat_frames([{"reasoning": f"to {TOKEN}"}, {"content": "a "}, {"content": f"{MAIL} b"}])
    play.stream(frames)
    response = play.record["response"]
    assert response["runs"] == [[-1, 0], [0, 3 + len(TOKEN)], [1, 4 + len(TOKEN)], [-1, 0]]
    assert [one["text"] for one in response["texts"]] == [f"to {TOKEN}", f"a {TOKEN} b"]
    assert (response["status"], response["streamed"], response["model"], response["finish"]) == (
        200,
        True,
        "m",
        ["stop"],
    )


def test_usage_holds_numbers_only() -> None:
    play = Play(policy_set(POLICY), MESSAGES).ask({"max_tokens": 1, **ask()})
    frames = message_frames([("text", ["hi"])])
    frames[0] = frames[0].replace(
        b'"input_tokens": 3', b'"input_tokens": 3, "note": "text", "' + MAIL.encode() + b'": 5'
    )
    assert play.stream(frames).record["usage"] == {"input_tokens": 3, "output_tokens": 9}


def test_an_answer_that_was_cut_off_is_kept_as_far_as_it_was_scanned() -> None:
    play = Play(policy_set(POLICY.replace("on: request, ", ""))).ask(ask())
    play.tell(ResponseStarted(200, "text/event-stream"))
    play.tell(DataReceived(b"".join(chat_frames([{"content": "one two 4111"}])[:2])))
    play.tell(DownstreamGone())
    (text,) = play.record["response"]["texts"]
    assert (text["text"], text["open"], text["released"], text["chars"]) == ("", True, 0, 12)


def test_sizes_seals_and_times() -> None:
    sealed: list[bytes] = []

    def seal(data: bytes) -> str:
        sealed.append(data)
        return f"seal {len(sealed)}"

    exchange = Exchange(setting(policy_set(POLICY), id="i", tenant="t", keys=Keys(mint, hashed, seal), engine="e"))
    exchange.receive(RequestReceived(b"{", at_s=10.0, unix_s=5.0))
    record = members(exchange.record("refused"))
    assert (record["v"], record["id"], record["engine"], record["tenant"], record["at"]) == (3, "i", "e", "t", 5.0)
    assert record["bytes"]["request"] == 1
    assert record["timings"] == {"first_byte": 0.0, "finished": 0.0}
    assert record["seals"]["request"] == "seal 1"
    assert sealed[0] == b"{"
    assert record["error"] == {"code": "invalid_json"}
    assert record["checks"] == {}


def test_what_the_store_answered_to_duties_is_kept() -> None:
    play = Play(policy_set(POLICY))
    body = json.dumps(ask()).encode()
    play.tell(RequestReceived(body, answers=(StoreAnswered("limits", (3, None)), StoreAnswered("keys", ("a",)))))
    play.scan()
    kept = members(play.exchange.record("sent"))["duties"]
    assert kept == [{"duty": "limits", "answers": [3, None]}, {"duty": "keys", "answers": ["a"]}]


def test_faults_keep_only_plain_words_of_a_schema_that_nobody_read() -> None:
    """A rule for answers alone leaves the request unread."""
    shaped = """policy: p
checks:
  word: {use: pattern, words: [no-such-word]}
  shape:
    use: json_schema
    schema: {inline: {type: object, properties: {sort: {enum: [old, "Jane Doe"]}, "Jane Doe": {type: integer}}}}
rules:
"""
    retried = "  - {id: r, on: response, when: shape, action: retry, attempts: 2}\n"
    watched = "  - {id: w, on: request, when: word, action: flag}\n"
    wrong = json.dumps({"sort": 5}), json.dumps({"Jane Doe": "x"})
    for more, place, enum in (("", "*", '"old", *'), (watched, "Jane Doe", '"old", "Jane Doe"')):
        attempts = Attempts(policy_set(shaped + retried + more), ask())
        for text in (*wrong, "{}"):
            attempts.say(text)
        errors = [error for attempt in attempts.play.record["attempts"] for error in attempt["errors"]]
        assert errors == [
            {"place": "sort", "expected": f"one of {enum}", "found": "another value"},
            {"place": place, "expected": "a whole number", "found": "a string of 1 characters"},
        ]


@pytest.mark.parametrize(
    ("schema", "said", "place", "expected"),
    [
        ({"enum": [4111111111111111, "4111111111111111", 7]}, 5, "a", 'one of *, "*", *'),
        ({"minimum": 4111111111111111}, 5, "a", "a number of at least *"),
        ({"multipleOf": 4.111111111111111e15}, 5, "a", "a multiple of *.*"),
        ({"const": [4111, 1111, 1111, 1111]}, 5, "a", "[*, *, *, *]"),
        ({"properties": {"4111111111111111": {"type": "null"}}}, {"4111111111111111": 5}, "a.*", "null"),
        ({"properties": {"\u0661" * 16: {"type": "null"}}}, {"\u0661" * 16: 5}, "a.*", "null"),
        ({"enum": [1, 2.5, "b"]}, 5, "a", 'one of 1, 2.5, "b"'),
        ({"items": {"maximum": 3}}, [1, 5], "a[1]", "a number of at most 3"),
    ],
)
def test_faults_keep_no_long_number_of_a_schema_that_nobody_read(
    schema: Any, said: Any, place: str, expected: str
) -> None:
    form = {"name": "x", "schema": {"type": "object", "properties": {"a": schema}}}
    body = {**ask(), "response_format": {"type": "json_schema", "json_schema": form}}
    policy = """policy: p
checks: {shape: {use: json_schema, schema: from_request}}
rules: [{id: r, on: response, when: shape, action: retry, attempts: 2}]
"""
    attempts = Attempts(policy_set(policy), body)
    for _ in range(3):
        attempts.say(json.dumps({"a": said}))
    (error,) = attempts.play.record["attempts"][0]["errors"]
    assert (error["place"], error["expected"]) == (place, expected)


def test_comments_of_feedback_are_left_to_the_texts_of_the_request() -> None:
    span = {"start": 1, "end": 2, "thumbs": "up", "comment": "mara@example.com"}
    tree = {"id": "x", "thumbs": "down", "score": 0.41111111, "comment": "mara@example.com", "spans": [span]}
    spans = (RecordedOpinion(start=1, end=2, thumbs="up"),)
    assert recorded_feedback(tree) == RecordedFeedback(exchange="x", thumbs="down", score=0.4111, spans=spans)


def test_what_feedback_does_not_say_is_not_recorded() -> None:
    assert recorded_feedback({"id": "x", "comment": "fine"}) == RecordedFeedback(exchange="x")
