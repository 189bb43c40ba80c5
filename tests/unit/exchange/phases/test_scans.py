"""The scans of a gate: what the driver runs, what is searched at once, and one scan at a time."""

from __future__ import annotations

from guardproxy.events import End, Frame, Text
from guardproxy.exchange.inputs.transcript import RunScans
from guardproxy.exchange.phases.scans import Scans
from guardproxy.findings import Channel, Finding, Scan
from guardproxy.redaction import RESTORE
from tests.kit.parts import Parts, parts
from tests.kit.play import policy_set

POLICY = """\
policy: p
checks:
  word: {use: pattern, words: [falcon]}
rules:
  - {id: words, when: word, action: redact, restore: true}
"""
USER = Channel("request", "user", "messages[0].content")
ANSWER = Channel("response", "assistant", "choices[0].message.content")


def scans_of(made: Parts, channel: Channel) -> Scans:
    side = made.ledger.request if channel is USER else made.answer.side
    return Scans(side.gate, made.guard.editor, made.ledger.notes)


def push(scans: Scans, channel: Channel, *texts: str, ends: bool = True) -> None:
    frame = Frame(b"")
    scans.gate.push([Text(channel, text, frame, ()) for text in texts])
    if ends:
        scans.gate.push([End(channel)])


def test_the_driver_runs_the_checks_and_what_they_find_is_edited() -> None:
    made = parts(policy_set(POLICY))
    scans = scans_of(made, USER)
    push(scans, USER, "a falcon")
    command = scans.ask()
    assert isinstance(command, RunScans)
    assert command.jobs == scans.distant
    assert made.ledger.notes.measures.scans == 1
    scans.learn([Scan((Finding(2, 8, "word", "MATCH", 1.0),), 8, 8)])
    assert not scans.pending
    (lane,) = scans.gate.lanes.every
    assert [(start, end) for start, end, _ in lane.rewrite.edits] == [(2, 8)]
    assert scans.ask() is None


def test_placeholders_are_searched_at_once() -> None:
    made = parts(policy_set(POLICY.replace("when: word", "on: request, when: word")))
    made.guard.editor.values["[MATCH_aaaaaaaaaaaa]"] = "falcon"
    scans = scans_of(made, ANSWER)
    push(scans, ANSWER, "a [MATCH_aaaaaaaaaaaa]")
    assert scans.ask() is None, "no check reads answers"
    (lane,) = scans.gate.lanes.every
    assert [replacement for _, _, replacement in lane.rewrite.edits] == ["falcon"]
    assert made.ledger.notes.measures.scans == 0


def test_scans_of_both_kinds_are_given_to_the_gate_in_the_order_of_the_jobs() -> None:
    made = parts(policy_set(POLICY))
    made.guard.editor.values["[MATCH_aaaaaaaaaaaa]"] = "falcon"
    scans = scans_of(made, ANSWER)
    push(scans, ANSWER, "a [MATCH_aaaaaaaaaaaa] owl")
    command = scans.ask()
    assert command is not None
    assert [job.check.name for job in command.jobs] == ["word"]
    assert len(scans.pending) == 2
    scans.learn([job.check.scan([job.window])[0] for job in command.jobs])
    (lane,) = scans.gate.lanes.every
    assert lane.progress.settled == lane.text.total
    assert [finding.check for finding in lane.progress.findings] == [RESTORE]


def test_jobs_that_are_dropped_are_no_longer_under_way() -> None:
    scans = scans_of(parts(policy_set(POLICY)), USER)
    push(scans, USER, "a falcon")
    scans.ask()
    scans.drop()
    assert not scans.pending
    assert not scans.distant
