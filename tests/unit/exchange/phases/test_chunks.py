"""Documents and results of tools: cut out by rules, and given to checks that compare an answer with them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.exchange.phases.chunks import NOTE, chunk_of
from guardproxy.policy.file.load import PolicyErrors, parse
from tests.kit.gemini import GEMINI
from tests.kit.play import CHAT, MESSAGES, Play, policy_set
from tests.kit.records import replay, through_log

RESPONSES = "POST /v1/responses"
DROP = """\
policy: p
checks: {bad: {use: pattern, words: [poison]}, odd: {use: pattern, words: [strange]}}
rules:
  - {id: cut, on: [request.tool_result, document], when: bad, action: drop_chunk}
  - {id: hide, on: request, when: odd, action: redact}
"""


def asked(body: dict[str, Any], route: str, policy: str = DROP) -> Play:
    return Play(policy_set(policy), route).ask(body)


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": list(blocks)}]}


def document(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}, **more}


def result(*texts: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": text} for text in texts]}


@pytest.mark.parametrize(
    ("route", "body", "at", "expected"),
    [
        (
            MESSAGES,
            user(document("a poison", title="its title"), document("fine"), {"type": "text", "text": "poison"}),
            ("messages", 0, "content"),
            [document(NOTE, title=""), document("fine"), {"type": "text", "text": "poison"}],
        ),
        (
            MESSAGES,
            user(result("fine", "poison"), result("fine")),
            ("messages", 0, "content"),
            [result(NOTE, ""), result("fine")],
        ),
        (
            CHAT,
            {"model": "m", "messages": [
                {"role": "user", "content": "hi"},
                {"role": "tool", "tool_call_id": "1", "content": [
                    {"type": "text", "text": "fine"}, {"type": "text", "text": "poison"}
                ]},
                {"role": "tool", "tool_call_id": "2", "content": "fine"},
            ]},
            ("messages",),
            [
                {"role": "user", "content": "hi"},
                {"role": "tool", "tool_call_id": "1", "content": [
                    {"type": "text", "text": NOTE}, {"type": "text", "text": ""}
                ]},
                {"role": "tool", "tool_call_id": "2", "content": "fine"},
            ],
        ),
        (
            CHAT,
            {"model": "m", "messages": [{"role": "user", "content": "hi"}], "documents": [{"text": "poison"}, {"text": "b"}]},
            ("documents",),
            [{"text": NOTE}, {"text": "b"}],
        ),
        (
            RESPONSES,
            {"model": "m", "input": [
                {"type": "function_call_output", "call_id": "1", "output": "poison"},
                {"type": "function_call_output", "call_id": "2", "output": "fine"},
            ]},
            ("input",),
            [
                {"type": "function_call_output", "call_id": "1", "output": NOTE},
                {"type": "function_call_output", "call_id": "2", "output": "fine"},
            ],
        ),
    ],
)  # fmt: skip
def test_a_chunk_with_a_finding_is_cut_out(route: str, body: Any, at: Any, expected: Any) -> None:
    done = asked(body, route)
    sent = done.upstream
    for step in at:
        sent = sent[step]
    assert sent == expected
    (outcome,) = done.exchange.outcomes
    assert (outcome.rule, outcome.action, outcome.enforced) == ("cut", "drop_chunk", True)


def test_keys_and_numbers_of_a_result_go_too() -> None:
    response = {"strange key": "poison", "n": 41111111111111, "more": ["other"]}
    body = {"contents": [
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": response}}]},
    ]}  # fmt: skip
    given = asked(body, GEMINI).upstream["contents"][1]["parts"][0]["functionResponse"]
    assert given["name"] == "f"
    note, number, more = given["response"].values()
    assert (note, more) == (NOTE, [""])
    assert number != response["n"]
    assert not any(word in str(given) for word in ("poison", "strange", "other"))


def test_the_record_tells_what_was_cut_and_a_replay_does_the_same() -> None:
    done = asked(user(document("a strange poison"), {"type": "text", "text": "strange"}), MESSAGES)
    assert "poison" not in json.dumps(done.upstream)
    answer = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [{"type": "text", "text": "ok"}],
              "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
    done.stream([json.dumps(answer).encode()], media="application/json")
    record = done.finish.record
    (text,) = [text for text in record.request.texts if text.kind == "document"]
    assert [decision.rule for decision in record.decisions if decision.action == "drop_chunk"] == ["cut"]
    assert len(text.edits) == 1
    assert text.text
    assert text.edits[0][1] == len(text.text)
    assert replay(through_log(record), done.policies).verdict == "identical"
    quiet = policy_set(DROP.replace("action: drop_chunk", "action: drop_chunk, mode: shadow"))
    assert replay(record, quiet).verdict == "different"


def test_in_shadow_mode_nothing_is_cut() -> None:
    done = asked(user(document("poison")), MESSAGES, DROP.replace("drop_chunk", "drop_chunk, mode: shadow"))
    assert "poison" in json.dumps(done.upstream)
    assert [outcome.enforced for outcome in done.exchange.outcomes] == [False]


def test_a_rule_that_blocks_is_stronger() -> None:
    rules = DROP + "  - {id: stop, on: document, when: bad, action: block}\n"
    assert asked(user(document("poison")), MESSAGES, rules).upstream is None


@pytest.mark.parametrize(
    ("path", "tree", "expected"),
    [
        (("system",), {"system": "x"}, ("system",)),
        (("documents", 1, "parts", 0), {"documents": [0, {"text": []}]}, ("documents", 1)),
        (
            ("messages", 0, "content", 2, "text"),
            {"messages": [{"role": "user", "content": []}]},
            ("messages", 0, "content", 2),
        ),
        (("messages", 0, "content", 2, "text"), {"messages": [{"role": "tool", "content": []}]}, ("messages", 0)),
        (("contents", 0, "parts", 1, "x"), {"contents": [{"parts": []}]}, ("contents", 0, "parts", 1)),
    ],
)
def test_the_chunk_of_a_text(path: Any, tree: Any, expected: Any) -> None:
    assert chunk_of(path, tree) == expected


@pytest.mark.parametrize("on", ["user", "response", "[assistant, system]"])
def test_a_rule_that_could_cut_nothing_is_an_error(on: str) -> None:
    with pytest.raises(PolicyErrors, match="drop_chunk cuts documents and results of tools"):
        parse(DROP.replace("[request.tool_result, document]", on), "p.yaml")


@pytest.mark.parametrize("on", ["", "on: request, ", "on: [tool_result, document], "])
def test_a_rule_that_would_leave_a_text_out_is_an_error(on: str) -> None:
    with pytest.raises(PolicyErrors, match="it would not inspect "):
        policy_set(DROP.replace("on: [request.tool_result, document], ", on))


# Checks that compare an answer with the retrieved texts.

GROUNDED = """\
policy: g
checks: {support: {use: grounded}}
rules: [{id: grounded, on: response.assistant, when: support, action: ACTION}]
"""
SOURCE = "The ferry to Lindholm leaves from pier 4 at 7:15."


def answered(action: str, said: str, more: str = "") -> Play:
    done = asked(user(document(SOURCE), {"type": "text", "text": "When does it leave?"}), MESSAGES,
                 GROUNDED.replace("ACTION", action) + more)  # fmt: skip
    answer = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [{"type": "text", "text": said}],
              "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
    return done.stream([json.dumps(answer).encode()], media="application/json")


def test_an_unsupported_sentence_is_flagged_and_replayed() -> None:
    done = answered("flag", "It leaves at 7:15 from pier 4. Lindholm has three castles and a museum.")
    assert done.finish.outcome == "answered"
    (outcome,) = done.exchange.outcomes
    assert outcome.finding.label == "UNSUPPORTED"
    assert replay(through_log(done.finish.record), done.policies).verdict == "identical"
    assert answered("flag", "The ferry leaves at 7:15 from pier 4.").exchange.outcomes == []


def test_the_model_is_told_and_answers_again() -> None:
    done = answered("retry, attempts: 1", "The ferry leaves at 9:45 from pier 4.")
    assert done.upstream["messages"][0]["content"][0]["source"]["data"] == SOURCE
    again = [command for command in done.done if type(command).__name__ == "SendUpstream"][1]
    assert b"a statement that the documents support" in again.body  # type: ignore[union-attr]


def test_the_texts_of_a_request_that_a_check_reads_are_those_that_the_model_gets() -> None:
    more = "  - {id: cut, on: document, when: bad, action: drop_chunk}\n"
    policy = GROUNDED.replace("checks: {", "checks: {bad: {use: pattern, words: [castles]}, ").replace(
        "rules: [{id: grounded, on: response.assistant, when: support, action: ACTION}]\n",
        "rules:\n  - {id: grounded, on: response.assistant, when: support, action: flag}\n" + more,
    )
    body = {**user(document("Lindholm has three castles and a museum.")), "system": "Be brief."}
    done = asked(body, MESSAGES, policy)
    sources = done.exchange._guard.forms.sources
    assert sources
    assert sources.texts == (NOTE,)
