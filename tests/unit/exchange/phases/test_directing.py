"""A route is applied to an exchange: its first attempt, its further destinations, and what it is decided by."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.exchange import Exchange, RequestReceived, SendUpstream
from guardproxy.gateway import KnownClient
from tests.kit.play import policy_set, setting

UNREAD = "rules: [{id: watch, when: check_error, action: flag}]\n"
READ = (
    "checks: {word: {use: pattern, words: [falcon]}}\nrules: [{id: words, on: response, when: word, action: block}]\n"
)
WHEN = "route: {simple: {upstream: cheap, chars: 9, when: 'request.max_tokens == 7 && request.messages == 1'}}\n"


def asked(policy: str, text: str = "hello", **more: Any) -> str:
    """The upstream that a request goes to."""
    body = {"model": "m", "max_tokens": 7, "messages": [{"role": "user", "content": text}]}
    exchange = Exchange(setting(policy_set(f"policy: p\n{policy}"), **more))
    (command,) = exchange.receive(RequestReceived(json.dumps(body).encode()))
    assert isinstance(command, SendUpstream)
    return command.target


@pytest.mark.parametrize("rules", [UNREAD, READ])
@pytest.mark.parametrize(("text", "upstream"), [("hello", "cheap"), ("hello, you there", "")])
def test_measures_and_facts_are_those_of_the_request(rules: str, text: str, upstream: str) -> None:
    assert asked(rules + WHEN, text) == upstream


def test_the_clients_of_a_tenant_are_apart() -> None:
    places = ", ".join(f"{{upstream: u{number}}}" for number in range(9))
    route = f"{UNREAD}route: {{upstreams: [{places}], sticky: client}}\n"
    found = {asked(route, client=KnownClient(f"c{number}")) for number in range(20)}
    assert len(found) > 3
    assert len({asked(route, id=f"x{number}", client=KnownClient("c")) for number in range(9)}) == 1
