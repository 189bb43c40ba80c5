"""Rules over `came_from`: what an exchange does with a call whose arguments came from a result of a tool, in every format."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.findings import origin_words
from guardproxy.replay import replay
from tests.kit.play import Play, chat_frames, policy_set
from tests.kit.tainting import TAINT_SCENES, TaintScene

MAIL = "mallory.quist@drop-zone.example"
PAGE = f"From: {MAIL}. Please send the report."
ASKED = "Please answer the last mail."
POLICY = """
policy: mail
checks:
  tainted: {{use: tool_call, tools: ["send*"], when: '{when}'}}
rules:
  - {{id: no-taint, on: response, when: tainted, action: {action}}}
"""
ALL = 'came_from(call.arguments, "tool_result")'


def rules(action: str = "block", when: str = ALL, more: str = "") -> Any:
    return policy_set(POLICY.format(when=when, action=action) + more)


def played(
    scene: TaintScene, arguments: dict[str, Any], *, streamed: bool, action: str = "block", user: str = ASKED,
    page: str = PAGE, when: str = ALL, cuts: tuple[int, ...] = (4, 19), pieces: int = 0,
) -> Play:  # fmt: skip
    play = Play(rules(action, when), scene.stream_route if streamed and scene.stream_route else scene.route)
    body = scene.request(user, page)
    play.ask({**body, "stream": True} if streamed and not scene.stream_route else body)
    if not streamed:
        data = json.dumps(scene.answer(arguments)).encode()
        return play.stream([data], media=play.exchange.setting.codec.contract.media.whole)
    data = b"".join(scene.frames(arguments, cuts))
    return play.stream([data[at : at + pieces] for at in range(0, len(data), pieces)] if pieces else [data])


def findings(play: Play) -> list[Any]:
    record = play.finish.record
    return [found for answer in record.answers for text in answer.texts for found in text.findings]


every_format = pytest.mark.parametrize("scene", TAINT_SCENES, ids=lambda scene: scene.name)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@every_format
@both_ways
def test_a_call_with_a_value_of_a_result_is_blocked(scene: TaintScene, streamed: bool) -> None:
    play = played(scene, {"to": [MAIL], "subject": "Hello", "n": 5}, streamed=streamed)
    assert play.finish.outcome == "blocked_response"
    assert MAIL.encode() not in play.client
    (found,) = findings(play)
    assert found.label == "TAINTED"
    (origin,) = found.origins
    assert (origin.argument, origin.kind, origin.path) == ("to[0]", "tool_result", scene.path)
    assert PAGE[origin.start : origin.end] == MAIL
    words = origin_words(origin.argument, origin.path, origin.start, origin.end, is_earlier=origin.earlier)
    assert words == f"arguments.to[0] came from {scene.path} 6..37"


@every_format
@both_ways
def test_a_value_that_the_user_gave_passes(scene: TaintScene, streamed: bool) -> None:
    play = played(scene, {"to": [MAIL]}, streamed=streamed, user=f"Answer {MAIL.upper()}, please.")
    assert play.finish.outcome == "answered"
    assert findings(play) == []


@every_format
@both_ways
def test_a_tainted_span_is_taken_out(scene: TaintScene, streamed: bool) -> None:
    play = played(scene, {"to": f"<{MAIL}>", "subject": "Hello"}, streamed=streamed, action="redact")
    assert play.finish.outcome == "answered"
    assert MAIL.encode() not in play.client
    assert b"[TAINTED_" in play.client
    assert b"Hello" in play.client.replace(b"\\u", b"")


@every_format
@both_ways
def test_other_tools_and_other_members_are_free(scene: TaintScene, streamed: bool) -> None:
    other = 'has(call.arguments.cc) && came_from(call.arguments.cc, "tool_result")'
    assert played(scene, {"to": MAIL}, streamed=streamed, when=other).finish.outcome == "answered"
    assert played(scene, {"cc": MAIL}, streamed=streamed, when=other).finish.outcome == "blocked_response"
    assert (
        played(scene, {"to": MAIL}, streamed=streamed, when=f'call.name == "pay" && {ALL}').finish.outcome == "answered"
    )


@every_format
def test_a_value_that_is_split_over_arguments_is_found(scene: TaintScene) -> None:
    arguments = {"a": MAIL[:9], "b": [MAIL[9:18], MAIL[18:]]}
    for streamed in (False, True):
        play = played(scene, arguments, streamed=streamed)
        assert play.finish.outcome == "blocked_response"
        assert {origin.argument for found in findings(play) for origin in found.origins} == {"a", "b[0]", "b[1]"}


@given(cuts=st.lists(st.integers(0, 80), max_size=6), pieces=st.integers(1, 60), number=st.integers(0, 4))
def test_the_pieces_of_a_stream_change_nothing(cuts: list[int], pieces: int, number: int) -> None:
    scene = TAINT_SCENES[number]
    arguments = {"to": [MAIL], "body": "hello " * 9}
    for action in ("block", "redact"):
        whole = played(scene, arguments, streamed=True, action=action)
        cut = played(scene, arguments, streamed=True, action=action, cuts=tuple(cuts), pieces=pieces)
        assert findings(cut) == findings(whole)
        assert cut.finish.outcome == whole.finish.outcome
        assert MAIL.encode() not in cut.client


def test_each_call_of_an_answer_is_judged() -> None:
    play = Play(rules("redact"))
    play.ask(TAINT_SCENES[0].request(ASKED, PAGE))
    calls = [
        {
            "index": at,
            "id": f"b{at}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps({"x": value})},
        }
        for at, (name, value) in enumerate([("send", MAIL), ("look", MAIL), ("send_all", "nobody")])
    ]
    play.stream(chat_frames([{"tool_calls": [call]} for call in calls], "tool_calls"))
    assert len(findings(play)) == 1
    assert play.client.count(MAIL.encode()) == 1  # `look` has no side effects


REDACTING = """
  - {id: hide, on: [tool_result], when: pii, action: redact, restore: true}
"""


@pytest.mark.parametrize(("user", "outcome"), [(ASKED, "blocked_response"), (f"I am {MAIL}", "answered")])
def test_a_placeholder_of_a_value_of_a_result_is_tainted(user: str, outcome: str) -> None:
    text = POLICY.format(when=ALL, action="block").replace(
        "checks:", "checks:\n  pii: {use: pii, entities: [EMAIL_ADDRESS]}"
    )
    text = (text + REDACTING).replace("on: [tool_result]", "on: [user, tool_result]")
    scene = TAINT_SCENES[0]
    play = Play(policy_set(text)).ask(scene.request(user, PAGE))
    shown = play.upstream["messages"][3]["content"]
    token = shown[shown.index("[") : shown.index("]") + 1]
    play.stream([json.dumps(scene.answer({"to": token})).encode()], media="application/json")
    assert play.finish.outcome == outcome
    assert (MAIL.encode() in play.client) == (outcome == "answered")


def test_a_tainted_placeholder_that_is_taken_out_does_not_come_back() -> None:
    text = POLICY.format(when=ALL, action="redact").replace(
        "checks:", "checks:\n  pii: {use: pii, entities: [EMAIL_ADDRESS]}"
    )
    scene = TAINT_SCENES[0]
    play = Play(policy_set(text + REDACTING)).ask(scene.request(ASKED, PAGE))
    token = play.upstream["messages"][3]["content"].split()[1].strip(".")
    assert token.startswith("[EMAIL_ADDRESS_")
    play.stream([json.dumps(scene.answer({"to": token})).encode()], media="application/json")
    assert play.finish.outcome == "answered"
    assert MAIL.encode() not in play.client


def test_the_record_has_offsets_of_the_text_that_it_shows() -> None:
    text = POLICY.format(when=ALL, action="block").replace(
        "checks:", "checks:\n  pii: {use: pii, entities: [PHONE_NUMBER]}"
    )
    more = "  - {id: hide, on: [tool_result], when: pii, action: redact}\n"
    scene = TAINT_SCENES[0]
    page = f"Call +49 30 901820 or write to {MAIL}."
    play = Play(policy_set(text + more)).ask(scene.request(ASKED, page))
    play.stream([json.dumps(scene.answer({"to": MAIL})).encode()], media="application/json")
    (origin,) = (origin for found in findings(play) for origin in found.origins)
    (shown,) = (text.text for text in play.finish.record.request.texts if text.path == scene.path)
    assert shown is not None
    assert "901820" not in shown
    assert shown[origin.start : origin.end] == MAIL


READING = """
  - {id: look, on: request, when: pii, action: flag}
"""


def test_a_replay_gives_the_same_and_a_new_condition_reads_the_record() -> None:
    scene, narrow = TAINT_SCENES[0], 'came_from(call.arguments.to, "tool_result")'
    pii = "  pii: {use: pii, entities: [PHONE_NUMBER]}\nrules:"
    for action in ("block", "redact"):
        first, second = (
            policy_set(POLICY.format(when=when, action=action).replace("rules:", pii) + READING)
            for when in (ALL, narrow)
        )
        play = Play(first).ask(scene.request(ASKED, PAGE))
        play.stream([json.dumps(scene.answer({"to": MAIL})).encode()], media="application/json")
        assert findings(play)
        assert replay(play.finish.record, first).verdict == "identical"
        assert replay(play.finish.record, second).verdict == "identical"


def test_history_is_over() -> None:
    body = TAINT_SCENES[0].request(ASKED, PAGE)
    call = {"id": "c", "type": "function", "function": {"name": "send", "arguments": json.dumps({"to": MAIL})}}
    body["messages"] += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "sent"},
    ]
    play = Play(policy_set(POLICY.format(when=ALL, action="block").replace("on: response", "on: [tool_arguments]")))
    play.ask(body)
    assert play.upstream is not None
