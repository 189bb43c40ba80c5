"""`play`: the order of inputs, scans and commands, and inputs that arrive while a scan runs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from guardproxy.exchange.exchange import Exchange
from guardproxy.exchange.gate.gate import Job
from guardproxy.exchange.inputs.transcript import (
    Command,
    DataReceived,
    Finish,
    Input,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    RunScans,
    SendUpstream,
    line,
)
from guardproxy.exchange.player import each, play
from guardproxy.findings import Scan
from tests.kit.play import Play, chat_frames, policy_set

POLICY = """\
policy: p
checks:
  word: {use: pattern, words: [falcon]}
rules:
  - {id: words, when: word, action: block}
"""
REQUEST = RequestReceived(
    json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}).encode()
)


def exchange() -> Exchange:
    return Play(policy_set(POLICY)).exchange


def scan(job: Job) -> Scan:
    return job.check.scan([job.window])[0]


def answer(*texts: str) -> list[Input]:
    frames = chat_frames([{"content": text} for text in texts])
    return [ResponseStarted(200, "text/event-stream"), *map(DataReceived, frames), ResponseEnded()]


def test_scans_are_performed_and_all_other_commands_are_returned() -> None:
    commands = play(exchange(), [REQUEST, *answer("a ", "b")], each(scan))
    assert isinstance(commands[0], SendUpstream)
    assert isinstance(commands[-1], Finish)
    assert commands[-1].outcome == "answered"
    assert not [command for command in commands if isinstance(command, RunScans)]


def test_a_request_alone_is_played_until_it_goes_upstream() -> None:
    assert [line(command) for command in play(exchange(), [REQUEST], each(scan))] == [
        f"SendUpstream {len(REQUEST.body)} bytes, 0 edits"
    ]


def test_late_inputs_join_one_window() -> None:
    windows: dict[bool, list[str]] = {}
    for is_late in (False, True):
        seen = windows[is_late] = []

        def record(job: Job, seen: list[str] = seen) -> Scan:
            seen.append(job.window.text)
            return scan(job)

        play(exchange(), [REQUEST, *answer("one ", "two ", "three")], each(record), late=[False] + [is_late] * 6)
    assert len(windows[True]) < len(windows[False])
    assert windows[True][-1].endswith("three")


def test_watch_is_told_every_input_with_its_commands() -> None:
    told: list[tuple[str, list[str]]] = []

    def watch(event: Input, commands: Sequence[Command]) -> None:
        told.append((line(event), [line(command) for command in commands]))

    play(exchange(), [REQUEST], each(scan), watch=watch)
    assert [event.split()[0] for event, _ in told] == ["RequestReceived", "Scanned"]
    assert told[0][1] == ["RunScans word user 0..2"]
    assert told[1][1][0].startswith("SendUpstream")


def test_an_exchange_that_is_over_takes_nothing_more() -> None:
    blocked = exchange()
    commands = play(blocked, [REQUEST, *answer("a falcon", "b")], each(scan))
    assert [command for command in commands if isinstance(command, Finish)] == [commands[-1]]
    assert play(blocked, answer("c"), each(scan)) == []
