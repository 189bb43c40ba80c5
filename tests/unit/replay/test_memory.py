"""What a record remembers, and that a recorded exchange takes from it what a live one works out."""

from __future__ import annotations

from typing import Any

import msgspec

from guardproxy.audit import Record
from guardproxy.events import Frame, Opaque
from guardproxy.exchange import recollection
from guardproxy.exchange.gate.gate import Job
from guardproxy.exchange.inputs.transcript import RunScans
from guardproxy.exchange.routes.replay_source import LIVE, History
from guardproxy.findings import Channel, Facts, ToolCall, Window
from guardproxy.replay.memory import Memory, RecordedHistory
from tests.kit.play import Play, chat_frames, policy_set

POLICY = """\
policy: p
checks:
  word: {use: pattern, words: [falcon]}
rules:
  - {id: words, when: word, action: flag}
"""
POLICIES = policy_set(POLICY)
EVENTS = [Opaque(Frame(b"x"))]


def record(text: str = "a falcon") -> Record:
    play = Play(POLICIES).ask({"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]})
    return play.stream(chat_frames([{"content": "hi"}])).finish.record


def job(text: str, policies: Any = POLICIES) -> Job:
    (check,) = policies.checks.values()
    return Job(check, Window(Channel("request", "user", "messages[0].content"), text, last=True))


def history(of: Record, *tokens: int) -> History:
    return RecordedHistory(of, Memory(of, POLICIES), tokens)


def test_an_unchanged_check_is_not_run_again() -> None:
    past = record()
    shown = past.request.texts[0].text
    assert shown is not None
    assert "falcon" not in shown
    memory = Memory(past, POLICIES)
    memory.at_s = 2.0
    scanned = memory.perform(RunScans((job(shown),)))
    assert scanned.at_s == 2.0
    assert [(finding.label, finding.start, finding.end) for scan in scanned.scans for finding in scan.findings] == [
        ("MATCH", 2, len(shown))
    ]
    assert not memory.rescanned


def test_a_changed_check_reads_the_recorded_text() -> None:
    changed = policy_set(POLICY.replace("falcon", "marmot"))
    memory = Memory(record(), changed)
    assert memory.scan(job("a falcon", changed)).findings == ()
    assert memory.rescanned == {"word"}


def test_a_recorded_exchange_takes_its_past_from_the_record() -> None:
    past = msgspec.structs.replace(record(), conversation="c", matched={"m": "unknown"})
    recorded = history(past, 7)
    assert (recorded.conversation, dict(recorded.matched)) == ("c", {"m": "unknown"})
    assert not recorded.restores_system
    assert history(msgspec.structs.replace(past, restore=None)).restores_system
    assert [recorded.tokens(attempt, 5) for attempt in (0, 1)] == [7, 5]
    assert not recorded.quotable(True)
    assert list(recorded.repairable(EVENTS)) == []


def test_a_live_exchange_has_no_past() -> None:
    assert (LIVE.conversation, dict(LIVE.matched), LIVE.restores_system) == ("", {}, False)
    assert LIVE.tokens(0, 5) == 5
    assert LIVE.quotable(True)
    assert LIVE.repairable(EVENTS) is EVENTS


def test_what_stands_for_a_recorded_value_is_never_cut() -> None:
    """A changed check is scanned again. It knows the value by the record, so it waits for the end of its placeholder."""
    people = (
        "policy: p\nchecks: {pii: {use: pii, entities: [EMAIL_ADDRESS], evasions: %s}}\n"
        "rules: [{id: r, when: pii, action: redact}]\n"
    )
    body = {"model": "m", "messages": [{"role": "user", "content": "to ada@example.org, who waits for it"}]}
    past = Play(policy_set(people % '"off"')).ask(body).stream(chat_frames([{"content": "hi"}])).finish.record
    shown = past.request.texts[0].text
    assert shown is not None
    start, end = shown.index("["), shown.index("]") + 1
    (check,) = (changed := policy_set(people % "strict")).checks.values()
    found = set()
    for size in range(1, len(shown) + 1):
        window = Window(Channel("request", "user", "messages[0].content"), shown[:size], last=size == len(shown))
        scan = Memory(past, changed).scan(Job(check, window))
        assert not start < scan.settled < end
        found |= {(finding.start, finding.end) for finding in scan.findings}
    assert found == {(start, end)}


def test_a_masked_value_may_be_one_that_a_changed_policy_allows() -> None:
    """The record does not have the value, so nobody can tell whether the changed check would find it."""
    people = (
        "policy: p\nchecks: {pii: {use: pii, entities: [EMAIL_ADDRESS]%s}}\n"
        "rules: [{id: r, when: pii, action: redact}]\n"
    )
    body = {"model": "m", "messages": [{"role": "user", "content": "to ada@example.org, who waits for it"}]}
    past = Play(policy_set(people % "")).ask(body).stream(chat_frames([{"content": "hi"}])).finish.record
    shown = past.request.texts[0].text
    assert shown is not None
    for more, is_blind in (
        ("", False),
        (", threshold: 0.5", False),
        (", allow: [a@b.io]", True),
        (", allow: []", False),
    ):
        changed = policy_set(people % more)
        (check,) = changed.checks.values()
        memory = Memory(past, changed)
        scan = memory.scan(Job(check, Window(Channel("request", "user", "messages[0].content"), shown, last=True)))
        assert (bool(memory.blind), not scan.findings) == (is_blind, is_blind)


def test_what_was_recalled_comes_again_by_its_use_and_nothing_is_claimed() -> None:
    entries = ({"a": "1"}, {"b": "2"})
    memory = Memory(msgspec.structs.replace(record(), recalled={"said": entries}, unrecalled=True), POLICIES)
    keys = tuple(
        recollection.MemoryKey(use, "client", name) for use, name in (("said", "x"), ("new", "y"), ("said", "z"))
    )
    found = memory.remembered(recollection.RecallMemory(keys))
    assert found == recollection.MemoryRecalled(({"a": "1"}, {}, {"b": "2"}), is_reached=False)
    assert memory.remembered(recollection.RecallMemory((keys[0],) * 3)).entries[2] == {}  # type: ignore[union-attr]
    claim = recollection.ClaimMemory((recollection.MemoryClaim(keys[0], "a"),))
    assert memory.remembered(claim) == recollection.MemoryClaimed((None,))


def test_who_approved_a_call_is_in_its_record() -> None:
    (decision,) = record().decisions
    approved = msgspec.structs.replace(decision, approved_by="ann")
    past = history(msgspec.structs.replace(record(), decisions=(approved,)))
    assert past.approved_by((0, "request", "messages[0].content")) == "ann"
    for place in ((1, "request", "messages[0].content"), (0, "response", "messages[0].content"), (0, "request", "x")):
        assert past.approved_by(place) == ""
    assert LIVE.approved_by((0, "request", "messages[0].content")) == ""


def test_arguments_of_which_the_record_has_only_the_strings_are_not_read_again() -> None:
    calls = policy_set(
        "policy: p\nchecks: {call: {use: tool_call, tools: [pay]}}\n"
        "rules: [{id: r, on: tool_arguments, when: call, action: flag}]\n"
    )
    (check,) = calls.checks.values()
    place = Channel("response", "tool_arguments", "choices[0].message.tool_calls[0].function.arguments.to")
    memory = Memory(record(), calls)
    memory.scan(Job(check, Window(place, "ada", last=True, facts=Facts(call=ToolCall("pay", role="piece")))))
    assert memory.unreadable == check.name
