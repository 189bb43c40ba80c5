"""The states of an exchange: the drawing, the types of the methods and the transitions that exchanges take are the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.errors import ErrorCode
from guardproxy.exchange import Exchange, recollection
from guardproxy.exchange.inputs.transcript import (
    Aborted,
    DataReceived,
    DownstreamGone,
    Finish,
    Input,
    Refused,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    RunScans,
    Scanned,
    UpstreamFailed,
    Waited,
)
from guardproxy.exchange.phases.states import TRANSITIONS, State
from guardproxy.findings import failed_scan
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import build_checks, parse
from tests.kit.confirming import MCP, Notebook, begun, run
from tests.kit.confirming import POLICY as ASKS
from tests.kit.play import chat_frames, policy_set, setting
from tests.kit.remembering import remembering
from tests.kit.retry import POLICY, RIGHT, RULE, ask, whole
from tests.kit.supervisor import FakeScorer

BLOCK = """\
policy: p
checks:
  word: {use: pattern, words: [falcon]}
rules:
  - {id: words, when: word, action: block}
"""
AGAIN = "  - {id: again, on: response, when: word, action: retry, attempts: 1, then: fallback, fallback: {model: n}}\n"
ONLY_FORM = """\
policy: p
checks:
  shape: {use: json_schema, schema: from_request}
rules:
"""
BESIDE = """\
policy: p
checks:
  word: {use: pattern, words: [falcon]}
  shape: {use: json_schema, schema: from_request}
  attack: {use: supervisor, label: injection}
rules:
  - {id: beside, on: request, when: attack, action: block, parallel: true}
"""
BLOCKING = "  - {id: words, on: request, when: word, action: flag}\n"
REMEMBERING = (
    *(BLOCK, BLOCK.replace("action: block", "on: response, action: block")),
    *(ONLY_FORM + RULE, BESIDE),
)


def judged_beside(text: str) -> PolicySet:
    """Policies whose scorer finds the falcon."""
    parsed = (parse(text, "p.yaml"),)
    scorer = FakeScorer(lambda text, output: float("falcon" in text))
    return PolicySet(parsed, build_checks(parsed, Resources(scorer=lambda name: scorer)), "sha256:p")


POLICIES = [
    policy_set(BLOCK),
    policy_set(BLOCK.replace("block", "flag") + AGAIN),
    policy_set(POLICY + RULE),
    policy_set(ONLY_FORM + RULE),
    *(judged_beside(rules) for rules in (BESIDE, BESIDE + BLOCKING, BESIDE + RULE)),
    policy_set(),
    *(judged_beside(text.replace("policy: p", "policy: memory")) for text in REMEMBERING),
    policy_set("policy: r\nroute: {upstreams: [{upstream: a}, {upstream: b, priority: 1}]}\n"),
]
BODIES: list[bytes] = [
    b"{",
    json.dumps(ask(stream=False)).encode(),
    json.dumps(ask(stream=True)).encode(),
    json.dumps(ask(stream=True, schema=None)).encode(),
    json.dumps(ask(schema={"type": "no such type"})).encode(),
    json.dumps(ask(schema=None) | {"messages": [{"role": "user", "content": "falcon"}]}).encode(),
]
ANSWERS: list[list[Input]] = [
    [ResponseStarted(200, "application/json"), DataReceived(whole(RIGHT)), ResponseEnded()],
    [ResponseStarted(200, "application/json"), DataReceived(whole("a falcon")), ResponseEnded()],
    [
        ResponseStarted(200, "text/event-stream"),
        *map(DataReceived, chat_frames([{"content": "hello "}, {"content": "there "}, {"content": "falcon"}])),
        ResponseEnded(),
    ],
    [ResponseStarted(429, "application/json"), DataReceived(b"{}"), ResponseEnded()],
    [UpstreamFailed(ErrorCode.UPSTREAM_FAILED, "no connection")],
]
INTERRUPTIONS: list[Input] = [
    Aborted(ErrorCode.TIMEOUT, "late"),
    DownstreamGone(),
    Waited(1e6),
    Refused(ErrorCode.NO_CAPACITY, "later"),
    UpstreamFailed(ErrorCode.UPSTREAM_FAILED, "no connection"),
]


def claiming() -> list[State]:
    """The states of an exchange whose request makes an approved call."""
    notebook = Notebook()
    call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "pay", "arguments": {"to": "x"}}}
    run(begun(ASKS, MCP, "/mcp/bank"), notebook, call)
    notebook.approve(notebook.pending[0])
    exchange, found = begun(ASKS, MCP, "/mcp/bank"), [State.EXPECTING]
    commands = exchange.receive(RequestReceived(json.dumps(call).encode()))
    while exchange.state is not State.WAITING:
        found.append(exchange.state)
        (command,) = commands
        commands = exchange.receive(answer(command) if isinstance(command, RunScans) else notebook(command))  # type: ignore[arg-type]
    return [*found, exchange.state]


DRAWN = {(before, after) for before, causes in TRANSITIONS.items() for after in causes}


def returned(state: State) -> set[State]:
    """The states that the method for a state can return, which the type checker holds."""
    method = getattr(Exchange, "_answering" if state is State.HOLDING else f"_{state}")
    following, _ = get_args(get_type_hints(method)["return"])
    return {after for member in get_args(following) for after in get_args(member) or [member]}


def answer(command: RunScans, *, fails: bool = False) -> Scanned:
    if fails:
        return Scanned(tuple(failed_scan(job.window, RuntimeError("broken")) for job in command.jobs))
    return Scanned(tuple(job.check.scan([job.window])[0] for job in command.jobs))


def states(played: Exchange, inputs: Sequence[Input], stop: Input | None = None, at: int = -1) -> Iterator[State]:
    """The states that an exchange goes through. After `at` inputs, those of scans included, `stop` comes."""
    told = 0
    yield played.state
    for event in inputs:
        waiting: list[Input] = [event]
        while waiting:
            told += 1
            commands = played.receive(stop if stop is not None and told == at else waiting.pop())
            waiting += [answer(command) for command in commands if isinstance(command, RunScans)]
            waiting += [
                recollection.nothing_remembered(command)
                for command in commands
                if isinstance(command, recollection.RecallMemory)
            ]
            yield played.state


@pytest.fixture(scope="module")
def taken() -> set[tuple[State, State]]:
    """The transitions of many exchanges, whole and interrupted after each input."""
    found: set[tuple[State, State]] = set()
    for policies in POLICIES:
        for body in BODIES:
            for first in ANSWERS:
                inputs = [RequestReceived(body), *first, *ANSWERS[0]]
                for stop in (None, *INTERRUPTIONS):
                    for at in (1, 2, 3, 5) if stop else (1,):
                        with remembering():
                            went = list(states(Exchange(setting(policies)), inputs, stop, at))
                        found |= {(before, after) for before, after in pairwise(went) if before != after}
    return found | set(pairwise(claiming()))


@pytest.mark.parametrize("state", [state for state in State if state is not State.OVER])
def test_the_types_of_the_methods_are_the_drawing(state: State) -> None:
    together = [State.HOLDING, State.ANSWERING] if state in (State.HOLDING, State.ANSWERING) else [state]
    assert returned(state) == {*together, *(after for each in together for after in TRANSITIONS[each])}


def test_exchanges_take_all_transitions_of_the_drawing_and_no_other(taken: set[tuple[State, State]]) -> None:
    assert taken == DRAWN


def test_nothing_follows_the_end() -> None:
    assert TRANSITIONS[State.OVER] == {}
    assert set(TRANSITIONS) == set(State)


INPUTS: list[Input] = [
    *map(RequestReceived, BODIES),
    *(event for inputs in ANSWERS for event in inputs),
    *INTERRUPTIONS,
    Waited(),
]


@given(st.sampled_from(POLICIES), st.lists(st.sampled_from(INPUTS), max_size=12), st.booleans())
def test_inputs_in_any_order_keep_to_the_table(policies: Any, inputs: list[Input], fails: bool) -> None:
    played = Exchange(setting(policies))
    finished = 0
    for event in inputs:
        waiting: list[Input] = [event]
        while waiting:
            before = played.state
            commands = played.receive(waiting.pop())
            assert played.state == before or played.state in TRANSITIONS[before]
            finished += sum(isinstance(command, Finish) for command in commands)
            waiting += [answer(command, fails=fails) for command in commands if isinstance(command, RunScans)]
    assert finished == played.is_over
