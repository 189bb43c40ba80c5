"""Values of stored turns come back to the client that gave them, and to nobody else: for every tree of turns of two clients,
and however the answer is cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.exchange import DataReceived, Exchange, ResponseEnded, ResponseStarted, SendUpstream, ValuesFound
from guardproxy.exchange.gate import GivenValues
from guardproxy.exchange.inputs.setting import Keys
from guardproxy.exchange.inputs.transcript import Finish, RequestReceived, RunScans, Scanned, SendData
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.redaction import PLACEHOLDER
from guardproxy.replay import replay
from tests.kit.play import KEY, cut, policy_set, seal, setting
from tests.kit.responses import RESPONSES, response_frames, response_texts

POLICY = """
policy: test
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\\\.io"]}
  code: {use: pattern, label: CODE, patterns: ["K-[0-9]+"]}
rules:
  - {id: mail, on: request, when: mail, action: redact, restore: true}
  - {id: code, on: request, when: code, action: redact, restore: false}
"""
TEXT = "response.output_text"
VALUES = ("a@x.io", "b@x.io", "c@x.io", "d@x.io", "K-1", "K-2")


@cache
def rules() -> PolicySet:
    return policy_set(POLICY)


@dataclass
class Provider:
    """What a provider and the driver keep: the told texts by the id of an answer, and the values by client and id."""

    told: dict[str, tuple[str, ...]] = field(default_factory=dict)
    kept: dict[tuple[str, str], tuple[GivenValues, ...]] = field(default_factory=dict)

    def turn(
        self, client: str, parent: str, values: Sequence[str], cuts: Sequence[int], size: int, streamed: bool
    ) -> str:
        """Plays a turn, whose answer holds every placeholder that anybody ever got. Returns what the client reads."""
        name = f"resp_{len(self.told) + 1}"
        body: dict[str, Any] = {"model": "m", "input": f"I am {' and '.join(values)}.", "stream": streamed}
        exchange = Exchange(setting(rules(), RESPONSES, tenant=client, keys=Keys.of(KEY, client, seal)))
        commands = list(
            exchange.receive(
                RequestReceived(json.dumps(body | ({"previous_response_id": parent} if parent else {})).encode())
            )
        )
        out = bytearray()
        inputs: list[Any] = []
        finish: Finish | None = None
        while commands or inputs:
            if not commands:
                commands += exchange.receive(inputs.pop(0))
                continue
            match command := commands.pop(0):
                case RunScans():
                    commands += exchange.receive(
                        Scanned(tuple(job.check.scan([job.window])[0] for job in command.jobs))
                    )
                case SendUpstream():
                    assert command.earlier == ((parent,) if parent else ())
                    found = [group for old in command.earlier or () for group in self.kept.get((client, old), ())]
                    if found:
                        commands += exchange.receive(ValuesFound(tuple(found)))
                    self.told[name] = (*self.told.get(parent, ()), json.loads(command.body)["input"])
                    said = " ".join(told for texts in self.told.values() for told in texts)
                    inputs = self.answer(name, said, cuts, size, streamed)
                case SendData():
                    out += command.data
                case Finish():
                    finish = command
                    out += command.data
        assert finish is not None
        if (turn := exchange.stored_turn) is not None:
            assert (turn.id, turn.conversations) == (name, ())
            self.kept[client, name] = turn.groups
        assert replay(finish.record, rules()).verdict == "identical"
        assert not any(value in str(finish.record) for value in VALUES)
        return response_texts(bytes(out))[TEXT] if streamed else json.loads(out)["output"][0]["content"][0]["text"]

    @staticmethod
    def answer(name: str, said: str, cuts: Sequence[int], size: int, streamed: bool) -> list[Any]:
        if streamed:
            deltas = [said[start : start + size] for start in range(0, len(said), size)]
            data = b"".join(response_frames(TEXT, deltas)).replace(b'"resp_1"', f'"{name}"'.encode())
            media = "text/event-stream"
        else:
            part = {"type": "output_text", "text": said, "annotations": []}
            item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
            tree = {"id": name, "object": "response", "status": "completed", "model": "m", "output": [item]}
            data, media = json.dumps(tree).encode(), "application/json"
        return [ResponseStarted(200, media), *map(DataReceived, cut(data, cuts)), ResponseEnded()]


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[str, int, list[str], bool]]:
    """Turns: the client, the number of the turn before (-1: none), the values that it gives, and whether it is streamed."""
    count = draw(st.integers(1, 6))
    return [
        (
            draw(st.sampled_from(("one", "two"))),
            draw(st.integers(-1, number - 1)),
            draw(st.lists(st.sampled_from(VALUES), max_size=3)),
            draw(st.booleans()),
        )
        for number in range(count)
    ]


@given(trees(), st.lists(st.integers(0, 4000), max_size=8), st.integers(1, 40))
def test_a_client_gets_back_what_it_gave_in_its_own_branch(
    tree: list[tuple[str, int, list[str], bool]], cuts: list[int], size: int
) -> None:
    provider = Provider()
    mine: list[frozenset[str]] = []  # the values that come back to the client of each turn
    owners: list[str] = []
    for number, (client, before, values, streamed) in enumerate(tree):
        inherited = mine[before] if before >= 0 and owners[before] == client else frozenset()
        owners.append(client)
        mine.append(inherited | {value for value in values if value.startswith(("a", "b", "c", "d"))})
        parent = f"resp_{before + 1}" if before >= 0 else ""
        said = provider.turn(client, parent, values, cuts, size, streamed)
        shown = {value for value in VALUES if value in said}
        assert shown == mine[number]
        given = {value for who, _, told, _ in tree[: number + 1] for value in told}
        assert bool(given - shown) <= bool(PLACEHOLDER.search(said))
