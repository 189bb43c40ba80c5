"""Checks that ask a model elsewhere: what leaves, when it is asked, what a verdict does, and that a replay asks nobody."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.errors import ErrorCode, Shortage
from guardproxy.exchange.inputs.setting import ExchangeLimits
from guardproxy.exchange.inputs.transcript import (
    Aborted,
    CancelUpstream,
    DataReceived,
    DownstreamGone,
    Finish,
    ReleaseUpstream,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    RunScans,
    SendData,
    SendUpstream,
    UpstreamFailed,
    Waited,
)
from guardproxy.exchange.phases.states import State
from guardproxy.findings import Scan
from guardproxy.policy.file.load import PolicyErrors
from tests.kit.asked import FakeModels, policies_asking
from tests.kit.play import CHAT, Play, chat_frames, chat_texts, cut, mint
from tests.kit.records import record_of, replay

CHECKS = """\
policy: p
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\\\.io"]}
  key: {use: pattern, label: KEY, words: [sesame]}
  polite: {use: llm, upstream: judge, model: m, rubric: "Is it rude?"}
"""
MAIL = "  - {id: mail, when: mail, action: redact, restore: true}\n"
KEY = "  - {id: key, when: key, action: block, severity: high}\n"
ASKED = "  - {id: rude, on: request, when: polite, action: block}\n"
ANSWERED = "  - {id: rude-answer, on: response, when: polite, action: block}\n"
FLAGGED = "  - {id: seen, on: response, when: polite, action: flag}\n"
RETRIED = "  - {id: again, on: response, when: polite, action: retry, attempts: 1}\n"
BESIDE = "  - {id: rude, on: request, when: polite, action: block, parallel: true}\n"


def rude(text: str) -> Any:
    return next((what for word, what in SAYS.items() if word in text), "no")


SAYS = {"rude": "yes", "odd": "maybe", "slow": Shortage.LATE}


class Asking:
    """An exchange under rules, and what its models were asked."""

    def __init__(self, *rules: str, judge: Any = rude, more: str = "", route: str = CHAT, **about: Any) -> None:
        self.models = FakeModels(judge)
        self.text = CHECKS + "rules:\n" + "".join(rules) + more
        self.play = Play(policies_asking(self.models, self.text), route, **about)

    def ask(self, *texts: str) -> Asking:
        self.play.ask({"model": "m", "messages": [{"role": "user", "content": text} for text in texts]})
        return self

    def answer(self, *parts: str, streamed: bool = True) -> Asking:
        if streamed:
            self.play.stream(chat_frames([{"content": part} for part in parts]))
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": "".join(parts)}, "finish_reason": "stop"}
            self.play.stream([json.dumps({"model": "m", "choices": [choice]}).encode()], media="application/json")
        return self

    def again(self) -> Any:
        """The replay of the record. Nobody can be asked there."""
        return replay(record_of(self.play.record), policies_asking(None, self.text))

    @property
    def outcome(self) -> str:
        return self.play.finish.outcome

    @property
    def state(self) -> State:
        return self.play.exchange.state

    @property
    def sent(self) -> list[Any]:
        return [command for command in self.play.done if isinstance(command, SendUpstream)]


# What leaves.


def test_only_placeholders_leave_and_only_after_every_other_check() -> None:
    asking = Asking(MAIL, ASKED).ask("write to jo@ab.io")
    first, second = [command for command in asking.play.done if isinstance(command, RunScans)]
    assert {job.check.name for job in first.jobs} == {"mail"}
    assert {job.check.name for job in second.jobs} == {"polite"}
    assert asking.models.texts == [f"write to {mint('MAIL', 'jo@ab.io')}"]
    assert asking.play.upstream["messages"][0]["content"] == f"write to {mint('MAIL', 'jo@ab.io')}"


def test_a_value_that_came_back_to_the_client_does_not_go_to_the_model() -> None:
    asking = Asking(MAIL, FLAGGED).ask("write to jo@ab.io").answer("Dear ", mint("MAIL", "jo@ab.io"), "!")
    assert "jo@ab.io" in chat_texts(asking.play.client)["content0"]
    assert asking.models.texts == [f"Dear {mint('MAIL', 'jo@ab.io')}!"]
    assert asking.again().verdict == "identical"


def test_values_that_a_rule_only_flags_and_other_places_of_a_value_leave_as_placeholders() -> None:
    flagged = MAIL.replace("action: redact, restore: true", "action: flag")
    asking = Asking(flagged, ASKED).ask("write to jo@ab.io")
    assert asking.models.texts == [f"write to {mint('MAIL', 'jo@ab.io')}"]


@pytest.mark.parametrize("rule", [ASKED, BESIDE])
def test_a_text_that_another_rule_blocks_does_not_leave(rule: str) -> None:
    asking = Asking(KEY, rule).ask("open sesame, you rude machine")
    assert (asking.outcome, asking.play.record["rules"], asking.models.texts) == ("blocked_request", ["key"], [])


@pytest.mark.parametrize("streamed", [True, False])
def test_an_answer_that_another_rule_blocks_does_not_leave(streamed: bool) -> None:
    asking = Asking(KEY, ANSWERED).ask("hello").answer("a rude ", "sesame ", "end", streamed=streamed)
    assert (asking.outcome, asking.play.record["rules"], asking.models.texts) == ("blocked_response", ["key"], [])


def test_parts_of_a_message_are_asked_about_once_as_one_text() -> None:
    asking = Asking(MAIL, ASKED)
    parts = [{"type": "text", "text": text} for text in ("you are ru", "de, jo@a", "b.io")]
    asking.play.ask({"model": "m", "messages": [{"role": "user", "content": parts}]})
    (asked,) = asking.models.texts
    assert asked.startswith("you are rude, [MAIL_")
    assert asking.outcome == "blocked_request"
    assert [text["findings"] != [] for text in asking.play.record["request"]["texts"]] == [True, True, True]
    assert asking.again().verdict == "identical"


def test_one_check_may_be_asked_before_and_another_beside() -> None:
    more = '  short: {use: llm, upstream: judge, model: m, rubric: "Is it short?"}\n'
    beside = "  - {id: short, on: request, when: short, action: flag, parallel: true}\n"
    models = FakeModels(rude)
    play = Play(policies_asking(models, CHECKS + more + "rules:\n" + ASKED + beside), CHAT)
    parts = [{"type": "text", "text": text} for text in ("one", "two")]
    play.ask({"model": "m", "messages": [{"role": "user", "content": parts}]})
    before, after = [command for command in play.done if isinstance(command, RunScans)]
    assert [(job.check.name, job.joins) for job in before.jobs] == [
        ("polite", False),
        ("polite", False),
        ("polite", True),
    ]
    assert [(job.check.name, job.joins) for job in after.jobs] == [("short", False), ("short", False), ("short", True)]
    assert models.texts == ["onetwo", "onetwo"]


PIECES = st.lists(
    st.sampled_from(["write ", "jo@", "ab.io", "jo@ab.io", " and rude", "\\u0040", "{", '"a": "jo@ab.io"}']), max_size=5
)


@given(st.lists(PIECES, min_size=1, max_size=3), st.booleans(), st.sampled_from([ASKED, BESIDE]))
def test_no_value_that_a_check_found_leaves(messages: list[list[str]], are_parts: bool, rule: str) -> None:
    """However it is split over parts of a message, and wherever it comes again."""
    asking = Asking(MAIL, rule)
    contents: list[Any] = ["".join(pieces) for pieces in messages]
    if are_parts:
        contents = [[{"type": "text", "text": piece} for piece in pieces] for pieces in messages]
    asking.play.ask({"model": "m", "messages": [{"role": "user", "content": content} for content in contents]})
    assert not [text for text in asking.models.texts if "jo@ab.io" in text]
    assert len(asking.models.texts) <= len(messages), "parts of a message are one text"


def test_a_check_that_failed_keeps_a_text_here() -> None:
    """Nobody knows what it would have found, so the record does not show the text either."""
    asking = Asking(MAIL, ASKED, more="on_error: flag\n")
    asking.play.tell(
        RequestReceived(json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode())
    )
    assert asking.play.pending is not None
    asking.play.answer_scan(*[Scan((), 0, 0, "ValueError") for _ in asking.play.pending.jobs])
    asking.play.scan()
    assert asking.models.texts == []
    assert {verdict["failure"] for verdict in asking.play.exchange.record("x").document()["verdicts"]} == {"no_text"}


# What a verdict does.


@pytest.mark.parametrize("rule", [ASKED, BESIDE])
def test_a_verdict_blocks_a_request(rule: str) -> None:
    asking = Asking(rule).ask("fine", "how rude")
    assert (asking.outcome, asking.play.head.status) == ("blocked_request", 400)
    assert bool(asking.sent) == (rule == BESIDE)
    record = asking.play.record
    (decision,) = record["decisions"]
    assert (decision["rule"], decision["path"], decision["start"], decision["end"]) == (
        "rude",
        "messages[1].content",
        0,
        8,
    )
    assert [(verdict["path"], verdict["answer"]) for verdict in record["verdicts"]] == [
        *(("messages[0].content", "no"), ("messages[1].content", "yes")),
    ]
    assert record["verdicts"][1] == {
        **{"check": "polite", "upstream": "judge", "model": "m", "question": "seal", "answer": "yes"},
        **{"tokens": [30, 5], "cost": 7, "ms": 5.0, "path": "messages[1].content"},
    }
    assert asking.again().verdict == "identical"


def test_the_upstream_works_while_the_request_is_judged_beside() -> None:
    asking = Asking(MAIL, BESIDE)
    asking.play.tell(
        RequestReceived(json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode())
    )
    asking.play.tell(asking.play.perform(asking.play.pending))  # type: ignore[arg-type]
    states = [asking.state]
    assert asking.sent[0].parallel
    asking.play.scan()
    assert [*states, asking.state] == [State.CHECKING, State.WAITING]


def test_a_request_that_only_such_checks_read_is_held_until_they_have() -> None:
    asking = Asking(ASKED)
    asking.play.tell(
        RequestReceived(json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode())
    )
    assert (asking.play.exchange.state, asking.sent) == (State.SCANNING, [])
    asking.play.scan()
    assert asking.play.exchange.state is State.WAITING


@pytest.mark.parametrize("streamed", [True, False])
def test_a_verdict_blocks_an_answer_and_nothing_of_it_was_shown(streamed: bool) -> None:
    asking = Asking(ANSWERED).ask("hello").answer("you are ", "so rude", streamed=streamed)
    assert (asking.outcome, asking.play.head.status) == ("blocked_response", 400)
    assert b"you are" not in asking.play.client
    assert asking.again().verdict == "identical"


@pytest.mark.parametrize("streamed", [True, False])
def test_an_answer_that_is_fine_goes_as_it_came(streamed: bool) -> None:
    asking = Asking(ANSWERED).ask("hello").answer("you are ", "kind", streamed=streamed)
    bare = Asking(MAIL).ask("hello").answer("you are ", "kind", streamed=streamed)
    assert asking.play.client == bare.play.client
    assert (asking.outcome, asking.models.texts) == ("answered", ["you are kind"])
    released = [isinstance(command, ReleaseUpstream) for command in asking.play.done]
    assert released.count(True) == [isinstance(command, ReleaseUpstream) for command in bare.play.done].count(True)
    assert asking.again().verdict == "identical"


def test_a_flag_holds_nothing_back_but_the_end() -> None:
    asking = Asking(FLAGGED).ask("hello")
    play = asking.play
    play.tell(ResponseStarted(200, "text/event-stream"))
    for frame in chat_frames([{"content": "so "}, {"content": "rude"}]):
        play.tell(DataReceived(frame))
    shown = b"".join(command.data for command in play.done if isinstance(command, SendData))
    assert (b"so " in shown, b"rude" in shown, b"[DONE]" in shown) == (True, True, False)
    assert play.pending is not None
    assert play.tell(DataReceived(b"data: more\n\n")) == play.tell(ResponseEnded()) == []
    assert play.tell(UpstreamFailed(ErrorCode.UPSTREAM_TRUNCATED, "")) == []
    play.scan()
    assert (asking.outcome, play.record["rules"]) == ("answered", ["seen"])
    assert play.client.count(b"[DONE]") == 1
    assert asking.again().verdict == "identical"


@pytest.mark.parametrize("streamed", [True, False])
def test_the_model_is_asked_again_after_a_verdict(streamed: bool) -> None:
    asking = Asking(RETRIED).ask("hello").answer("how ", "rude", streamed=streamed)
    assert asking.play.exchange.state is State.WAITING
    assert len(asking.sent) == 2
    assert "it contains this: yes" in asking.sent[1].body.decode()
    asking.answer("how ", "kind", streamed=streamed)
    assert (asking.outcome, b"rude" in asking.play.client) == ("answered", False)
    assert [(verdict["answer"], verdict.get("attempt", 0)) for verdict in asking.play.record["verdicts"]] == [
        *(("yes", 0), ("no", 1)),
    ]
    assert asking.again().verdict == "identical"


def test_after_the_last_attempt_an_answer_is_blocked_or_flagged() -> None:
    asking = Asking(RETRIED).ask("hello").answer("rude").answer("rude too")
    assert asking.outcome == "blocked_response"
    flagged = Asking(RETRIED.replace("attempts: 1", "attempts: 1, then: pass_flagged")).ask("hello")
    flagged.answer("rude").answer("rude too")
    assert (flagged.outcome, b"rude too" in flagged.play.client) == ("answered", True)
    assert asking.again().verdict == flagged.again().verdict == "identical"


def test_a_rule_may_need_another_finding_too() -> None:
    both = "  - {id: both, on: request, when: mail and polite, action: block}\n"
    assert Asking(MAIL, both).ask("rude").sent
    assert Asking(MAIL, both).ask("rude jo@ab.io").outcome == "blocked_request"


def test_a_document_that_the_model_does_not_want_is_cut_out() -> None:
    asking = Asking("  - {id: cut, on: request.tool_result, when: polite, action: drop_chunk}\n")
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "a rude page"},
    ]
    asking.play.ask({"model": "m", "messages": messages})
    assert asking.play.upstream["messages"][1]["content"] == "[removed by policy]"


@pytest.mark.parametrize("action", ["redact", "confirm"])
def test_an_action_that_cannot_follow_a_verdict_is_refused(action: str) -> None:
    on = "tool_arguments" if action == "confirm" else "request"
    with pytest.raises(PolicyErrors, match="polite"):
        Asking(f"  - {{id: a, on: {on}, when: polite, action: {action}}}\n")


# No verdict.


def test_no_answer_is_503_before_and_beside_the_upstream_and_for_an_answer() -> None:
    for rule in (ASKED, BESIDE):
        asking = Asking(rule, more="on_error: flag\n").ask("slow")
        assert (asking.outcome, asking.play.head.status) == (ErrorCode.NO_CAPACITY, 503)
        assert asking.play.record["no_capacity"] == {"check": "polite", "reason": "late"}
        assert asking.play.record["verdicts"][-1]["failure"] == "timeout"
        assert any(isinstance(command, CancelUpstream) for command in asking.play.done) == (rule == BESIDE)
    answered = Asking(ANSWERED).ask("hello").answer("so slow")
    assert (answered.outcome, answered.play.head.status) == (ErrorCode.NO_CAPACITY, 503)
    assert answered.play.record["verdicts"][-1]["failure"] == "timeout"


def test_a_shadow_rule_without_an_answer_decides_nothing() -> None:
    asking = Asking(ASKED.replace("action: block", "action: block, mode: shadow")).ask("slow")
    assert len(asking.sent) == 1


@pytest.mark.parametrize("rule", [ASKED, BESIDE, ANSWERED])
@pytest.mark.parametrize("on_error", ["block", "flag"])
def test_an_answer_that_is_none_is_for_on_error(rule: str, on_error: str) -> None:
    asking = Asking(rule, more=f"on_error: {on_error}\n").ask("odd")
    if not asking.play.exchange.is_over:
        asking.answer("odd")
    assert asking.outcome == (
        "answered" if on_error == "flag" else "blocked_" + rule.split("on: ")[1].split(",", maxsplit=1)[0]
    )
    assert "on_error" in asking.play.record["rules"]
    assert asking.play.record["verdicts"][-1]["failure"] == "no_answer"


@pytest.mark.parametrize("event", [DownstreamGone(), Aborted(ErrorCode.TIMEOUT, "late")])
@pytest.mark.parametrize("rule", [ASKED, BESIDE, ANSWERED, FLAGGED])
def test_what_ends_an_exchange_ends_it_while_it_is_judged(rule: str, event: Any) -> None:
    asking = Asking(rule)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
    asking.play.tell(RequestReceived(body))
    if rule in (ANSWERED, FLAGGED):
        asking.play.tell(ResponseStarted(200, "text/event-stream"))
        asking.play.tell(DataReceived(b"".join(chat_frames([{"content": "hi"}]))))
    assert asking.play.pending is not None
    asking.play.tell(event)
    assert asking.play.exchange.is_over
    assert not asking.models.texts


def test_a_client_that_waits_gets_signs_of_life() -> None:
    play = Asking(ANSWERED, limits=ExchangeLimits(quiet_s=5.0)).play
    play.ask({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]})
    play.tell(ResponseStarted(200, "text/event-stream"))
    play.tell(DataReceived(b"".join(chat_frames([{"content": "hi"}]))))
    assert play.exchange.patience_s(0.0) is not None
    assert any(isinstance(command, SendData) for command in play.tell(Waited(1e6)))
    play.scan()
    assert chat_texts(play.client)["content0"] == "hi"


# The promise on chunks.

PARTS = st.lists(st.sampled_from(["so ", "ru", "de", " jo@ab.io", "sesame", "odd", "kind"]), min_size=1, max_size=5)


@given(PARTS, st.lists(st.integers(0, 600), max_size=6), st.sampled_from([ANSWERED, FLAGGED, RETRIED]), st.booleans())
def test_however_an_answer_is_cut_the_same_is_asked_and_decided(
    parts: list[str], cuts: list[int], rule: str, waits: bool
) -> None:
    data = b"".join(chat_frames([{"content": part} for part in parts]))
    whole, pieces = Asking(MAIL, KEY, rule).ask("hello"), Asking(MAIL, KEY, rule).ask("hello")
    whole.play.stream([data])
    pieces.play.stream(cut(data, cuts), [waits] * 9)
    assert whole.models.texts == pieces.models.texts
    assert not [text for text in whole.models.texts if "jo@ab.io" in text]
    if whole.play.exchange.is_over:
        assert pieces.play.client == whole.play.client
        assert pieces.play.record == whole.play.record
        assert whole.again().verdict == "identical"
    else:
        assert [command.body for command in whole.sent] == [command.body for command in pieces.sent]


@pytest.mark.parametrize("rules", [(MAIL, ANSWERED), (ANSWERED,)])
def test_arguments_of_a_tool_are_read_as_they_are_sent(rules: tuple[str, ...]) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"to": "jo@ab.io", "say": "rude"}'}}
    asking = Asking(*rules).ask("hello")
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    tree = {"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    asking.play.stream([json.dumps(tree).encode()], media="application/json")
    assert any('"say": "rude"' in text and ("jo@ab.io" in text) == (len(rules) == 1) for text in asking.models.texts)
    assert asking.outcome == "blocked_response"
    assert asking.again().verdict == "identical"


# Replays and records.


def test_another_rubric_cannot_be_judged_again() -> None:
    asking = Asking(ASKED).ask("fine")
    asking.answer("ok")
    other = asking.text.replace("Is it rude?", "Is it kind?")
    again = replay(record_of(asking.play.record), policies_asking(None, other))
    assert again.verdict == "cannot be told"
    assert again.differences == ("rule `rude`: whether it holds cannot be told; `polite` would have to read a text",)
    assert len(asking.models.texts) == 1, "nobody was asked"


@pytest.mark.parametrize("keep", ["none", "redacted"])
def test_without_texts_in_the_record_the_findings_are_replayed(keep: str) -> None:
    asking = Asking(ASKED, more=f"audit: {{keep: {keep}}}\n").ask("how rude")
    assert (asking.outcome, asking.models.texts[-1]) == ("blocked_request", "how rude")
    assert asking.again().verdict == "identical"
    assert asking.play.record["verdicts"][-1]["question"] == "seal"


def test_an_exchange_without_such_a_check_has_no_verdicts() -> None:
    assert "verdicts" not in Asking(MAIL).ask("hello").answer("hi").play.record


def test_two_checks_of_a_text_are_asked_in_one_scan() -> None:
    more = '  short: {use: llm, upstream: judge, model: m, rubric: "Is it short?"}\n'
    text = CHECKS + more + "rules:\n" + ASKED + "  - {id: short, on: request, when: short, action: flag}\n"
    models = FakeModels(rude)
    play = Play(policies_asking(models, text), CHAT).ask(
        {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    )
    (command,) = [command for command in play.done if isinstance(command, RunScans)]
    assert sorted(job.check.name for job in command.jobs) == ["polite", "short"]


def test_it_ends_with_a_finish_once() -> None:
    asking = Asking(ANSWERED).ask("hello").answer("rude")
    assert sum(isinstance(command, Finish) for command in asking.play.done) == 1
