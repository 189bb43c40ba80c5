"""No client learns a name of a policy: with every shipped policy, and with every action, in every format, plain and streamed.

Every check of the policies is replaced by one that finds a word, so that each rule holds wherever it may.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.exchange.exchange import Exchange
from guardproxy.exchange.inputs.transcript import DataReceived, Finish, SendData, SendHead
from guardproxy.library import read_policies, shipped_names
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import parse
from guardproxy.policy.values import ACTIONS
from guardproxy.policy.values.document import Policy
from guardproxy.wire.contract.codec import Codec
from guardproxy.wire.contract.writing import Prompt, Reply
from guardproxy.wire.registry import codecs
from tests.kit.play import Play, setting

WORD = "quokka"
OWN = """
policy: zpolicy
unmapped: UNMAPPED
checks: {zcheck: {use: pattern, words: [quokka]}}
rules: [{id: zrule, WHERE, when: zcheck, ACTION}]
"""
DONE: dict[str, str] = {
    "retry": "action: retry, attempts: 1",
    **{name: f"action: {name}" for name in ACTIONS if name != "retry"},
}
WHERE = {"retry": ("on: response",), "drop_chunk": ("on: tool_result",), "confirm": ("on: tool_arguments",)}
ANSWERED = [codec for codec in codecs() if codec.contract.is_answered(codec.author.ROUTE)]


def own() -> Iterator[str]:
    """A policy for each action, wherever it is allowed."""
    for name, action in DONE.items():
        for where in WHERE.get(name, ("on: request", "on: response")):
            yield OWN.replace("WHERE", where).replace("ACTION", action).replace("UNMAPPED", "scan")
    yield OWN.replace("WHERE", "on: user").replace("ACTION", DONE["flag"]).replace("UNMAPPED", "refuse")


@cache
def loud(name: str) -> PolicySet:
    """A set of policies whose every check finds the word. `name`: of a shipped policy, or the text of one."""
    policies: tuple[Policy, ...] = (parse(name, "p.yaml"),) if name.startswith("\n") else read_policies(Path(name))[0]
    found = {
        (policy.name, check): build("pattern", check, {"words": [WORD], "label": "WORD"}, Resources())
        for policy in policies
        for check in policy.checks
    }
    return PolicySet(policies, found, "sha256:test")


def names(policies: PolicySet) -> set[str]:
    """The names in policies that no client may learn. A client may read `on_error` and other words of the language."""
    every = {policy.name for policy in policies.policies}
    for policy in policies.policies:
        every |= {rule.id for rule in policy.rules} | set(policy.checks)
    return every


def plays(policies: PolicySet, codec: Codec) -> Iterator[Play]:
    """Exchanges in which the word stands in the request or in the answer."""
    author, media = codec.author, codec.contract.media
    bodies: list[dict[str, Any]] = [
        author.request_with(kind, f"a {WORD} b") for kind in codec.contract.carries["request"]
    ]
    bodies += [{**author.request(Prompt("m", "hi")), "x_new": 1}, author.request(Prompt("m", "hi"))]
    for body in bodies:
        yield (
            play_of(policies, codec)
            .ask(body)
            .stream([json.dumps(author.answer(Prompt("m", "hi"), Reply(f"a {WORD}"), "1")).encode()], media=media.whole)
        )
    for parts in ([f"a {WORD} b"], ["a ", f"{WORD} b"]):
        prompt = Prompt("m", "hi", stream=True)
        frames = list(author.frames(prompt, Reply("".join(parts)), "1", lambda text, parts=parts: parts))  # type: ignore[misc]
        yield play_of(policies, codec).ask(author.request(prompt)).stream(frames)
    for kind in codec.contract.carries["response"]:
        if (frames_with := author.frames_with(kind, ["a ", f"{WORD} b"])) is not None:
            yield play_of(policies, codec).ask(author.request(prompt)).stream(frames_with)


def play_of(policies: PolicySet, codec: Codec) -> Play:
    play = Play(policies, codec.author.ROUTE, receipts=True)
    play.exchange = Exchange(setting(policies, codec.author.ROUTE, receipts=True))
    return play


def shown(play: Play, policies: PolicySet) -> str:
    """Everything that the client is sent, less what a policy says in its own words."""
    out = b"".join(command.data for command in play.done if isinstance(command, (SendData, Finish)))
    out += b"".join(command.failed for command in play.done if isinstance(command, Finish))
    heads = [command for command in play.done if isinstance(command, SendHead)]
    text = out.decode() + "".join(f"{head.receipt} {head.headers}" for head in heads)
    for policy in policies.policies:
        for rule in policy.rules:
            text = text.replace(getattr(rule, "message", "") or "\0", "")
    return text


@pytest.mark.parametrize("name", [*shipped_names(), *own()])
@pytest.mark.parametrize("codec", ANSWERED, ids=lambda codec: codec.name)
def test_no_client_learns_a_name(codec: Codec, name: str) -> None:
    policies = loud(name)
    looked_for = re.compile("|".join(rf"\b{re.escape(word)}\b" for word in sorted(names(policies))))
    held: set[str] = set()
    for play in plays(policies, codec):
        held |= {outcome.rule for outcome in play.exchange.outcomes}
        said = b"".join(event.data for event, _ in play.told if isinstance(event, DataReceived)).decode()
        found = Counter(looked_for.findall(shown(play, policies))) - Counter(looked_for.findall(said))
        assert not found, f"{found} in {play.client!r}"
    assert held or "on: tool_" in name
