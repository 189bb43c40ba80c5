"""The memory of an exchange: what it asks for, what its record keeps, what it leaves, and the same in a replay."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from guardproxy.errors import ErrorCode
from guardproxy.exchange import (
    Aborted,
    DataReceived,
    DownstreamGone,
    Exchange,
    Finish,
    Input,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    RunScans,
    Scanned,
    SendUpstream,
    line,
    play,
    recollection,
)
from guardproxy.exchange.memory.use import ExchangeMemory, MemoryAsking, MemoryUse
from guardproxy.exchange.phases.states import State
from guardproxy.findings import NO_FACTS, Facts
from guardproxy.replay import replay
from tests.kit.play import policy_set, setting
from tests.kit.remembering import POLICY, SAID, Said, entries, remembering
from tests.kit.responses import RESPONSES

KEY = recollection.MemoryKey("said", "client", "stored:resp_1")
ANSWER = {
    **{"id": "resp_9", "object": "response", "status": "completed", "model": "m"},
    "output": [
        {
            **{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"},
            "content": [{"type": "output_text", "text": "hello", "annotations": []}],
        }
    ],
}
ANSWERED: list[Input] = [
    ResponseStarted(200, "application/json"),
    DataReceived(json.dumps(ANSWER).encode()),
    ResponseEnded(),
]


@pytest.fixture(autouse=True)
def _use() -> Iterator[None]:
    with remembering():
        yield


def scanned(command: RunScans) -> Scanned:
    return Scanned(tuple(job.check.scan([job.window])[0] for job in command.jobs))


def asked(**more: Any) -> RequestReceived:
    named = {name: more.pop(name) for name in ("conversation", "session") if name in more}
    body = {"model": "m", "input": "hi", "previous_response_id": "resp_1", **more}
    return RequestReceived(json.dumps(body).encode(), **named)


def exchange(policy: str = POLICY, **more: Any) -> Exchange:
    return Exchange(setting(policy_set(policy), RESPONSES, **more))


def played(begun: Exchange, inputs: Sequence[Input], **members: Said) -> list[Any]:
    return play(begun, inputs, scanned, remembered=partial(entries, members=members))


def test_an_exchange_asks_once_before_a_check_reads_a_text() -> None:
    begun = exchange()
    assert begun.receive(asked()) == [recollection.RecallMemory((KEY,))]
    assert begun.state is State.RECALLING
    assert begun.receive(Scanned(())) == []
    (scan,) = begun.receive(recollection.MemoryRecalled(({"a": '{"chars": 3}'},)))
    assert isinstance(scan, RunScans)
    assert begun.receive(recollection.MemoryRecalled(({},))) == []


def test_an_exchange_without_such_a_rule_asks_for_nothing() -> None:
    begun = exchange(POLICY.replace("policy: memory", "policy: other"))
    (scan,) = begun.receive(asked())
    assert isinstance(scan, RunScans)
    assert begun.memory_changes == ()
    assert begun.record("answered").recalled == {}


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({}, ("stored:resp_1",)),
        ({"previous_response_id": None}, ()),
        ({"conversation": "c", "session": "s"}, ("stored:resp_1", "header:c", "session:s")),
    ],
)
def test_a_request_names_its_conversations(more: dict[str, Any], names: tuple[str, ...]) -> None:
    (command,) = exchange().receive(asked(**more))
    assert isinstance(command, recollection.RecallMemory)
    assert tuple(key.name for key in command.keys) == names


def test_what_an_exchange_leaves_is_found_under_the_ids_that_the_next_request_can_name() -> None:
    begun = exchange()
    assert begun.memory_changes == ()
    played(begun, [asked(conversation="c"), *ANSWERED])
    changes: tuple[recollection.MemoryChange, ...] = begun.memory_changes
    assert [change.key.name for change in changes] == ["stored:resp_9", "header:c"]
    assert {put.value for change in changes for put in change.puts} == {'{"chars":2}'}
    assert {(change.most, put.ttl_s, put.only) for change in changes for put in change.puts} == {(3, 3600.0, "")}
    assert begun.memory_changes == changes


def test_an_exchange_that_was_not_sent_leaves_what_its_request_names() -> None:
    begun = exchange()
    played(begun, [asked(conversation="c", input="a falcon")])
    assert begun.is_over
    assert [change.key.name for change in begun.memory_changes] == ["header:c"]


def test_the_record_keeps_what_was_recalled_and_a_replay_gets_it_again() -> None:
    begun = exchange()
    (*_, finish) = played(begun, [asked(), *ANSWERED], a=Said(3), b=Said(4))
    assert isinstance(finish, Finish)
    assert finish.record.recalled == {"said": ({"a": '{"chars":3}', "b": '{"chars":4}'},)}
    assert not finish.record.unrecalled
    again = replay(finish.record, begun.setting.policies)
    assert (again.verdict, again.differences) == ("identical", ())


def test_a_value_of_another_form_is_left_out() -> None:
    begun = exchange()
    begun.receive(asked())
    begun.receive(recollection.MemoryRecalled(({"a": '{"chars": "x"}', "b": "{", "c": '{"chars": 1}'},)))
    memory = begun._guard.memory
    assert memory is not None
    assert memory.values(SAID) == {"c": Said(1)}


@pytest.mark.parametrize(
    ("event", "outcome"),
    [(Aborted(ErrorCode.STORE_UNAVAILABLE, "away", 503), "store_unavailable"), (DownstreamGone(), "client_closed")],
)
def test_an_exchange_may_end_while_it_waits_for_the_memory(event: Input, outcome: str) -> None:
    begun = exchange()
    begun.receive(asked())
    (*_, finish) = begun.receive(event)
    assert isinstance(finish, Finish)
    assert (finish.outcome, begun.is_over) == (outcome, True)
    assert replay(finish.record, begun.setting.policies).verdict in ("identical", "not replayable")


def test_inputs_that_come_before_the_memory_wait() -> None:
    begun = exchange()
    begun.receive(asked())
    assert begun.receive(ResponseStarted(200, "application/json")) == []
    assert begun.state is State.RECALLING


def test_facts_of_all_texts_come_from_what_was_recalled() -> None:
    def learn(memory: ExchangeMemory, facts: Facts) -> Facts:
        return Facts(facts.route, facts.model, language=f"{len(memory.values(use))}")

    use: MemoryUse[Said] = MemoryUse(
        "other", Said, wanted=lambda bound: True, keys=lambda asking: ["x"], recalled=learn
    )
    with remembering(use):
        begun = exchange()
        begun.receive(asked())
        (scan,) = begun.receive(recollection.MemoryRecalled(({}, {"a": '{"chars": 3}'})))
    assert isinstance(scan, RunScans)
    assert {job.window.facts.language for job in scan.jobs} == {"1"}


def test_changes_name_their_members_only() -> None:
    use: MemoryUse[Said] = MemoryUse("other", Said, wanted=lambda bound: True, scope="all")
    memory = ExchangeMemory((use,))
    begun = exchange()
    asking = MemoryAsking(begun.setting, None, asked(), "")  # type: ignore[arg-type]  # the use has no keys
    assert memory.ask(asking) == recollection.RecallMemory(())
    assert memory.learn(recollection.MemoryRecalled((), is_reached=False), NO_FACTS) is NO_FACTS
    memory.put(use, "n", "a", Said(1), "absent", ttl_s=5)
    memory.put(use, "n", "a", Said(2))
    memory.put(use, "n", "a", Said(3), "absent")
    memory.drop(use, "n", "b")
    memory.drop(use, "m", "b")
    key = recollection.MemoryKey("other", "all", "n")
    left = memory.changes(None)  # type: ignore[arg-type]  # the use leaves nothing
    assert left == (
        recollection.MemoryChange(key, (recollection.MemoryPut("a", '{"chars":2}', 3600.0),), ("b",)),
        recollection.MemoryChange(recollection.MemoryKey("other", "all", "m"), (), ("b",)),
    )
    assert (memory.is_reached, memory.recorded(), memory.values(use)) == (False, {"other": ()}, {})


def test_lines_say_nothing_of_what_was_left() -> None:
    claim = recollection.ClaimMemory((recollection.MemoryClaim(KEY, "secret"),))
    shown = [
        line(recollection.RecallMemory((KEY,))),
        line(recollection.RecallMemory(())),
        line(recollection.MemoryRecalled(({"secret": "1"},))),
        line(recollection.MemoryRecalled(({},), is_reached=False)),
        line(claim),
        line(recollection.MemoryClaimed(("secret", None))),
    ]
    assert shown == [
        "RecallMemory said",
        "RecallMemory nothing",
        "MemoryRecalled 1 members",
        "MemoryRecalled 0 members, not reached",
        "ClaimMemory 1 members",
        "MemoryClaimed 1 of 2 members",
    ]


def test_an_empty_memory_answers_every_command() -> None:
    claim = recollection.ClaimMemory((recollection.MemoryClaim(KEY, "a"),))
    assert recollection.nothing_remembered(claim) == recollection.MemoryClaimed((None,))
    assert recollection.nothing_remembered(recollection.RecallMemory((KEY,))) == recollection.MemoryRecalled(({},))
    done = play(exchange(), [asked(), *ANSWERED], scanned)
    assert any(isinstance(command, SendUpstream) for command in done)
