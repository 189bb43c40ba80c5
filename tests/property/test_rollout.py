"""All turns of a conversation are treated alike: on every replica, and in the replay of their records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.exchange.exchange import Exchange
from guardproxy.exchange.inputs.setting import Keys
from guardproxy.exchange.inputs.transcript import DataReceived, Finish, RequestReceived, ResponseEnded, ResponseStarted
from guardproxy.exchange.player import each, play
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policytest.scan import scan_job
from tests.kit.checks import promise
from tests.kit.play import CHAT, KEY, MESSAGES, policy_set, setting
from tests.kit.records import members, replay

POLICIES = """\
policy: p
checks:
  word: {use: pattern, words: [falcon]}
  mail: {use: pii, entities: [EMAIL_ADDRESS]}
rules:
  - {id: no-word, on: request, when: word, action: block, enforce: 50 %}
  - {id: no-mail, on: request, when: mail, action: redact, enforce: 30 %}
  - {id: not-back, on: response, when: word, action: redact, enforce: 80 %}
"""
SET = policy_set(POLICIES)
texts = st.text(max_size=30) | st.sampled_from(["falcon", "mail mara" + "@" + "example.com", ""])


def seal(data: bytes) -> str:
    """A keyed digest, as in the server: every replica with the same key computes the same digest."""
    return hashlib.blake2b(data, digest_size=16, key=KEY).hexdigest()


def run(body: Mapping[str, Any], route: str, policies: PolicySet, named: str = "", tenant: str = "t") -> dict[str, Any]:
    """The record of one exchange."""
    about = setting(policies, route, tenant=tenant, keys=Keys.of(KEY, "t", seal), engine="test")
    answer: dict[str, Any] = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "a falcon"}}]}
    if route == MESSAGES:
        answer = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "a falcon"}]}
    inputs = (
        RequestReceived(json.dumps(body).encode(), conversation=named),
        ResponseStarted(200, "application/json"),
        DataReceived(json.dumps(answer).encode()),
        ResponseEnded(),
    )
    (finish,) = [command for command in play(Exchange(about), inputs, each(scan_job)) if isinstance(command, Finish)]
    return members(finish.record)


def turns(said: list[str], blocks: bool) -> list[dict[str, Any]]:
    """A conversation of these texts, in turns."""
    return [
        {
            "role": "assistant" if number % 2 else "user",
            "content": [{"type": "text", "text": text}] if blocks else text,
        }
        for number, text in enumerate(said)
    ]


@promise
@given(st.lists(texts, min_size=1, max_size=6), st.sampled_from([CHAT, MESSAGES]), st.booleans(), st.booleans())
def test_all_turns_have_the_pseudonym_of_the_first(said: list[str], route: str, first: bool, later: bool) -> None:
    said = ["how it began ", *said]
    found = {
        run({"model": "m", "max_tokens": 9, "messages": turns(said[: end + 1], later if end else first)}, route, SET)[
            "conversation"
        ]
        for end in range(0, len(said), 2)
    }
    assert len(found) == 1


@promise
@given(st.text(max_size=30), st.sampled_from([CHAT, MESSAGES]))
def test_a_replay_finds_the_same_rules_in_shadow(began: str, route: str) -> None:
    messages = turns([f"{began} falcon mara" + "@" + "example.com"], False)
    record = run({"model": "m", "max_tokens": 9, "messages": messages}, route, SET)
    assert {one["mode"] for one in record["decisions"]} <= {"enforce", "shadow"}
    assert replay(record, SET).verdict == "identical"


def test_both_modes_occur_and_the_record_says_which() -> None:
    seen = set()
    for number in range(40):
        body = {"model": "m", "messages": turns([f"{number} falcon"], False)}
        record = run(body, CHAT, SET)
        seen.add((tuple(record["rules"]), tuple(record["shadow"]), record["outcome"]))
    blocked = (("no-word",), (), "blocked_request")
    edited = (("not-back",), ("no-word",), "answered")
    watched = ((), ("no-word", "not-back"), "answered")
    assert seen == {blocked, edited, watched}


def test_what_the_client_names_is_the_conversation() -> None:
    one = run({"model": "m", "messages": turns(["a"], False)}, CHAT, SET, named="c-1")["conversation"]
    other = run({"model": "m", "messages": turns(["b"], False)}, CHAT, SET, named="c-1")["conversation"]
    text = run({"model": "m", "messages": turns(["c-1"], False)}, CHAT, SET)["conversation"]
    assert one == other != text


def test_the_same_words_of_two_tenants_are_two_conversations() -> None:
    body = {"model": "m", "messages": turns(["hello"], False)}
    assert run(body, CHAT, SET)["conversation"] != run(body, CHAT, SET, tenant="u")["conversation"]
