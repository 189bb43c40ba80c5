"""Conditions on headers, lists in files, a baseline and a tenant's override, through a whole proxy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.rig import Proxy, Upstream, serve

COMPANY = """\
policy: company
checks: {names: {use: pattern, words: [falcon]}}
rules: [{id: no-names, on: request, when: names, action: block, mode: shadow}]
"""
RED = """\
policy: red
extends: company
match: {headers: {x-team: "red-*"}, when: "request.messages < 3"}
lists: {secret: lists/secret.txt}
checks: {names: {words: [falcon, "${secret}"]}}
rules: [{id: no-names, mode: enforce}]
"""


@pytest.fixture(scope="module")
def proxy(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder: Path = tmp_path_factory.mktemp("language")
    (folder / "policies" / "lists").mkdir(parents=True)
    (folder / "policies" / "red.yaml").write_text(RED)
    (folder / "policies" / "lists" / "secret.txt").write_text("# names\numbrella\n")
    running = serve(shared_upstream.url, folder, COMPANY)
    yield running
    running.stop()


def ask(proxy: Proxy, text: str, messages: int = 1, **headers: str) -> int:
    body = {"model": "scripted", "messages": [{"role": "user", "content": text}] * messages}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{proxy.url}/v1/chat/completions", json=body, headers=named, timeout=60).status_code


def test_a_header_chooses_the_stricter_policy(proxy: Proxy) -> None:
    assert ask(proxy, "echo: falcon", x_team="blue") == 200, "the baseline only watches"
    assert ask(proxy, "echo: falcon", x_team="red-7") == 400
    assert ask(proxy, "echo: umbrella", X_Team="red-7") == 400, "an entry of the list"
    assert ask(proxy, "echo: umbrella", x_team="blue") == 200
    assert ask(proxy, "echo: umbrella", messages=3, x_team="red-7") == 200, "the condition does not hold"
    assert ask(proxy, "echo: umbrella") == 400, "a client does not leave the policy by leaving out the header"


def test_a_record_says_which_policy_spoke_and_no_header(proxy: Proxy) -> None:
    ask(proxy, "echo: falcon", x_team="red-of-a-secret-kind")
    record = proxy.records()[-1]
    assert [(one["policy"], one["mode"]) for one in record["decisions"]] == [("red", "enforce")]
    assert list(record["matched"].values()) == ["yes"]
    assert "red-of-a-secret-kind" not in proxy.log.read_text() + str(record)
