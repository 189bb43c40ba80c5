"""Limits of policies, prices and client keys in shadow mode, through a server: what clients get, and what records hold."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from guardproxy.config import Config
from guardproxy.demo.scripted import ScriptedUpstream, start
from guardproxy.errors import DownstreamError
from guardproxy.exchange import Exchange
from guardproxy.gateway import Head, LimitSet, StoreAnswered, UsageLimits, rerun
from guardproxy.gateway.clients import FILE_NAME, StoredClient, new_key, write_client_file
from guardproxy.gateway.clients.client_file import ClientFile, with_new_client
from guardproxy.server.app import Server
from guardproxy.server.intake.listener import Listener
from guardproxy.wire import installed

CHAT = "POST /v1/chat/completions"
LIMITED = """
policy: limited
match: {models: [scripted]}
limits:
  - {name: two, unit: requests, rate: 2/1h, per: [client], when: request.max_tokens > 10}
  - {name: none, unit: requests, rate: 0/1h, mode: shadow}
"""
PRICES = '[price."scripted"]\ninput = 10\noutput = 100\n'


@dataclass
class Rig:
    url: str
    client: aiohttp.ClientSession
    folder: Path
    upstream: ScriptedUpstream
    server: Server

    async def ask(self, key: str = "one", **body: Any) -> tuple[int, Any, Any]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        asked = {
            "model": "scripted",
            "messages": [{"role": "user", "content": "echo: hello"}],
            "max_tokens": 50,
            **body,
        }
        async with self.client.post(f"{self.url}/v1/chat/completions", json=asked, headers=headers) as answer:
            return answer.status, await answer.json(), answer.headers

    def records(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for log in self.folder.glob("*.jsonl") for line in log.read_text().splitlines()]
        return [line for line in lines if "outcome" in line]


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[Rig]:
    (folder / "policies").mkdir()
    (folder / "policies" / "limited.yaml").write_text(LIMITED)
    upstream = await start()
    given = {"policies": folder / "policies", "audit": folder / "audit", "key": "k" * 32, **settings}
    server = Server(Config.of(upstream=(upstream.url,), **given))
    runner = web.ServerRunner(
        Listener(server.handle, limit=9, timeout_head_s=5.0, auto_decompress=False, access_log=None)
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as client:
            yield Rig(f"http://127.0.0.1:{runner.addresses[0][1]}", client, folder / "audit", upstream, server)
    finally:
        await server.drain()
        await runner.cleanup()
        await server.close()
        await upstream.close()


async def test_a_policy_limits_by_the_body_and_the_records_decide_the_same_again(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        answers = [await rig.ask() for _ in range(3)]
        assert [status for status, _, _ in answers] == [200, 200, 429]
        assert answers[2][1]["error"]["code"] == "rate_limit_exceeded"
        assert int(answers[2][2]["Retry-After"]) > 1000
        assert [headers["x-ratelimit-remaining-requests"] for _, _, headers in answers] == ["1", "0", "0"]
        assert (await rig.ask("two"))[0] == 200
        assert (await rig.ask(max_tokens=5))[0] == 200, "a condition on the body"
        assert len(rig.upstream.journal.all()) == 4
        policies = rig.server.policies
    records = rig.records()
    shadow = {"duty": "limits", "name": "none", "policy": "limited", "code": "rate_limit_exceeded", "mode": "shadow"}
    assert [record["refusals"] for record in records[:2]] == [[shadow], [shadow]]
    assert records[2]["refusals"] == [{**shadow, "name": "two", "mode": "enforce"}, shadow]
    duty = UsageLimits(LimitSet, 60, lambda limit, mode: None, lambda: policies)
    codec = installed().codec_for(CHAT)
    assert codec
    body = {"model": "scripted", "messages": [{"role": "user", "content": "echo: hello"}], "max_tokens": 50}
    for record in records[:3]:
        told = [StoreAnswered(answered["duty"], tuple(answered["answers"])) for answered in record["duties"]]
        head = Head(record["id"], route=record["route"], tenant=record["tenant"], unix_s=record["at"])
        request = codec.read_request("/v1/chat/completions", "", json.dumps(body).encode())
        if record["outcome"] == "refused":
            with pytest.raises(DownstreamError, match="a limit of"):
                rerun([duty], head, told, request)
        else:
            assert rerun([duty], head, told, request) == head


async def test_the_cost_of_an_exchange_stands_in_its_record(tmp_path: Path) -> None:
    (tmp_path / "limits.toml").write_text(PRICES)
    async with serving(tmp_path, limits=tmp_path / "limits.toml") as rig:
        usage = (await rig.ask())[1]["usage"]
        assert (await rig.ask(model="unknown"))[0] == 404
    known, refused = rig.records()
    assert known["cost"] == usage["prompt_tokens"] * 10 + usage["completion_tokens"] * 100
    assert refused["cost"] == 0, "what the upstream refused costs nothing"


async def test_an_exchange_that_breaks_off_gives_back_what_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the proxy itself. What nobody gives back stays taken for as long as the longest exchange."""
    (tmp_path / "limits.toml").write_text('[[limit]]\nname = "one"\nunit = "parallel"\nmost = 1\n')
    async with serving(tmp_path, limits=tmp_path / "limits.toml") as rig:
        with monkeypatch.context() as broken:
            broken.setattr(Exchange, "receive", lambda exchange, event: exchange.no_such_attribute)
            async with rig.client.post(f"{rig.url}/v1/chat/completions", json={"model": "scripted"}) as answer:
                assert answer.status == 500
        assert (await rig.ask())[0] == 200


async def test_in_shadow_mode_strangers_pass_with_their_own_key_and_never_with_that_of_the_proxy(
    tmp_path: Path,
) -> None:
    key = new_key("0" * 12, "0" * 43)
    file = with_new_client(ClientFile(), StoredClient("ann", "acme"), key, datetime.now(UTC), None)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / FILE_NAME).write_bytes(write_client_file(file))
    own = ("default=sk-of-the-proxy",)
    settings = {"client_keys": tmp_path / "keys", "upstream_key": own, "client_keys_mode": "shadow"}
    async with serving(tmp_path, **settings) as rig:
        for sent in (key, "sk-of-the-client", ""):
            assert (await rig.ask(sent, max_tokens=5))[0] == 200
        seen = [request.headers.get("authorization", "") for request in rig.upstream.journal.all()]
    assert seen == ["Bearer sk-of-the-proxy", "Bearer sk-of-the-client", ""]
    refusals = [
        [(told["code"], told["mode"]) for told in record["refusals"] if told["duty"] == "client-keys"]
        for record in rig.records()
    ]
    assert refusals == [[], [("unknown_credential", "shadow")], [("missing_credential", "shadow")]]
    assert [record.get("client", "") for record in rig.records()] == ["ann", "", ""]
