"""Documents in texts, in the rest of the proxy: origins of arguments, receipts, judges, scans, checks beside the upstream."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from guardproxy.audit import Record
from guardproxy.exchange.record.llm_judge import texts_of
from guardproxy.exchange.record.receipt import members_of
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policytest.scan import scan_text
from tests.kit.play import CHAT, Play, chat_frames, policy_set
from tests.kit.records import replay, through_log

POLICY = """\
policy: p
documents: {{tags: [context], json: /results/*/text{apart}}}
checks: {{bad: {{use: pattern, words: [poison]}}, odd: {{use: pattern, words: [strange]}}{checks}}}
rules:
{rules}
"""
FLAG = "  - {id: note, on: [user, document], when: bad, action: flag}"
HIDE = "  - {id: hide, on: request, when: odd, action: redact}"
TEXT = "Use <context>strange poison and more</context> strange?"


def rules(*lines: str, apart: bool = False, checks: str = "") -> PolicySet:
    return policy_set(POLICY.format(apart=", apart: true" if apart else "", checks=checks, rules="\n".join(lines)))


def body(text: Any = TEXT, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def finished(play: Play, said: str = "ok") -> Record:
    play.stream(chat_frames([{"role": "assistant", "content": said}]))
    return through_log(play.finish.record)


@pytest.mark.parametrize("apart", [False, True])
def test_the_origin_of_an_argument_is_the_document(apart: bool) -> None:
    checks = ", tainted: {use: tool_call, tools: [send], when: 'came_from(call.arguments, \"document\")'}"
    policies = rules("  - {id: no-taint, on: response, when: tainted, action: flag}", HIDE, apart=apart, checks=checks)
    mail, other = "mallory.quist@drop-zone.example", "ann.quist@home.example"
    text = f"Write to {other}. <context>strange {mail}</context>"
    play = Play(policies).ask(body(text))
    arguments = json.dumps({"to": mail, "cc": other})
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "send", "arguments": arguments}}
    play.stream(chat_frames([{"role": "assistant", "tool_calls": [call]}], "tool_calls"))
    record = through_log(play.finish.record)
    (found,) = (each for text in record.response.texts for each in text.findings if each.check == "tainted")
    (origin,) = found.origins
    assert (origin.argument, origin.kind, origin.path) == ("to", "document", "messages[0].content#document[0]")
    document = next(text for text in record.request.texts if text.kind == "document")
    assert (document.text or "")[origin.start : origin.end] == mail
    assert replay(record, policies).verdict == "identical"


@pytest.mark.parametrize("apart", [False, True])
def test_a_receipt_counts_each_character_once(apart: bool) -> None:
    play = Play(rules(FLAG, HIDE, apart=apart)).ask(body())
    (line,) = [member for member in members_of("request", play.exchange._ledger.request) if "user" in member]
    chars = len(TEXT)
    assert line == f"request=(user{' document' if apart else ''});texts={3 if apart else 1};chars={chars};edits=2"


def test_a_judge_reads_each_text_once() -> None:
    text = TEXT.replace("poison", "harm")
    record = finished(Play(rules(FLAG, apart=True)).ask(body(text)), "fine")
    assert texts_of(record) == ([("user", text)], "fine")


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("text", "found"),
    [
        (TEXT, {("odd", 13, 20), ("bad", 21, 27), ("odd", 47, 54)}),
        ('{"results": [{"text": "a\\n\\u0070oison"}]}', {("bad", 26, 37)}),
    ],
)
def test_a_scan_gives_the_places_in_the_text(apart: bool, text: str, found: Any) -> None:
    result = scan_text(rules(FLAG, HIDE, apart=apart), text, "request")
    assert {(each.check, each.start, each.end) for each in result.findings} == found


@pytest.mark.parametrize("apart", [False, True])
def test_checks_beside_the_upstream_read_documents(apart: bool) -> None:
    checks = ", late: {use: control_chars}"
    policies = rules(
        "  - {id: late, on: [user, document], when: late, action: block, parallel: true}", apart=apart, checks=checks
    )
    for text in ("<context>a\u202eb</context>", "a\u202eb <context>c</context>"):
        play = Play(policies).ask(body(text))
        assert play.finish.outcome == "blocked_request"
        paths = {outcome.channel.path for outcome in play.exchange.outcomes}
        document = "messages[0].content#document[0]"
        assert (document in paths) == text.startswith("<context>")
        assert len(paths) == (1 if apart or not text.startswith("<context>") else 2)
    assert Play(policies).ask(body("<context>c</context>")).upstream is not None


def test_a_declared_format_has_documents() -> None:
    declared = """\
formats:
  bot:
    routes: [POST /bot]
    request: {texts: {/rules: system, /turns/*/text: by_role}, role: from}
    answer: {texts: {/text: assistant}}
    stream: {framing: none}
    error: /fault
"""
    text = POLICY.format(
        apart="", checks="", rules="  - {id: cut, on: request.document, when: bad, action: drop_chunk}"
    )
    policies = policy_set(text.replace("documents:", f"{declared}documents:"))
    asked = {"rules": "<context>a poison</context>", "turns": [{"from": "user", "text": TEXT}]}
    note = "[removed by policy]"
    assert Play(policies, "POST /bot").ask(asked).upstream == {
        "rules": f"<context>{note}</context>",
        "turns": [{"from": "user", "text": f"Use <context>{note}</context> strange?"}],
    }


def test_the_cost_of_a_request_is_linear_in_its_documents() -> None:
    """Counts the scans and what they read."""
    for apart in (False, True):
        counts = []
        for number in (20, 40, 80):
            play = Play(rules(FLAG, HIDE, apart=apart)).ask(body("a <context>strange</context> b\n" * number))
            lanes = play.exchange._ledger.request.gate.lanes.every
            counts.append((len(lanes), sum(lane.text.total for lane in lanes)))
            assert "strange" not in json.dumps(play.upstream)
        assert [second - 2 * first for (first, _), (second, _) in pairwise(counts)] <= [1, 1]
        assert counts[2][1] <= 2.05 * counts[1][1]


def test_a_section_costs_a_request_without_marks_nothing_but_the_search() -> None:
    before = Play(policy_set(POLICY.format(apart="", checks="", rules=FLAG).replace("documents:", "#"))).ask(
        body("fine")
    )
    after = Play(rules(FLAG)).ask(body("fine"))
    assert before.lines == after.lines
    assert after.route == CHAT
