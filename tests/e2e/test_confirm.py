"""Calls that wait for a person, with real servers: approved by the command line, once, with several workers, and with a store
that is away for a while."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from guardproxy.audit import Record
from guardproxy.audit.record.versions import entries_of
from guardproxy.config import Config
from guardproxy.exchange import approvals
from guardproxy.replay import replay
from guardproxy.server.app import Server
from guardproxy.server.intake.listener import Listener
from tests.kit import processes
from tests.kit.confirming import POLICY
from tests.kit.valkey import relayed, valkey

CALL = {"id": "c", "type": "function", "function": {"name": "pay", "arguments": '{"to": "x", "amount": 5}'}}
ANSWER = {
    **{"id": "c", "object": "chat.completion", "created": 1, "model": "m"},
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": None, "tool_calls": [CALL]},
        }
    ],
}
BODY = {"model": "m", "messages": [{"role": "user", "content": "pay"}]}


class Rig:
    """A server and its address."""

    def __init__(self, url: str, server: Server, session: aiohttp.ClientSession) -> None:
        self.url, self.server, self._session = url, server, session

    async def ask(self, key: str = "one", **more: str) -> tuple[int, dict[str, Any]]:
        """Returns the status and the answer of a request whose answer calls the tool."""
        headers = {"Authorization": f"Bearer {key}"}
        async with self._session.post(f"{self.url}/v1/chat/completions", json=BODY | more, headers=headers) as answer:
            return answer.status, await answer.json()

    async def pending(self) -> list[approvals.PendingCall]:
        return await self.server.reviews.pending()


@asynccontextmanager
async def paying(folder: Path, **settings: Any) -> AsyncIterator[Rig]:
    """Runs a server in front of an upstream whose model pays."""
    (folder / "policies").mkdir(parents=True, exist_ok=True)
    (folder / "policies" / "policy.yaml").write_text(settings.pop("policy", POLICY))

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(ANSWER)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    behind = web.AppRunner(app)
    await behind.setup()
    await web.TCPSite(behind, "127.0.0.1", 0).start()
    given: dict[str, Any] = {"policies": folder / "policies", "audit": folder / "audit", "key": "k" * 32, **settings}
    server = Server(Config.of(upstream=(f"http://127.0.0.1:{behind.addresses[0][1]}",), **given))
    listener = Listener(server.handle, limit=99, timeout_head_s=5.0, auto_decompress=False, access_log=None)
    runner = web.ServerRunner(listener)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Rig(f"http://127.0.0.1:{runner.addresses[0][1]}", server, session)
    finally:
        await server.drain()
        await runner.cleanup()
        await server.close()
        await behind.cleanup()


async def test_a_call_passes_once_after_a_person_has_approved_it(tmp_path: Path) -> None:
    async with paying(tmp_path) as rig:
        status, told = await rig.ask()
        assert (status, told["error"]["code"]) == (400, "confirmation_required")
        assert (await rig.ask())[1]["error"]["message"] == told["error"]["message"], "the same call has the same id"
        (call,) = await rig.pending()
        assert call.id in told["error"]["message"]
        shown = (call.tool, json.loads(call.shown), call.policy, call.rule)
        assert shown == ("pay", {"to": "x", "amount": 5}, "asks", "ask")
        done = await rig.server.reviews.decided({"id": call.id, "decision": "approve", "by": "ann"})
        assert done["ok"]
        assert (await rig.ask("two"))[0] == 400, "another client"
        assert (await rig.ask())[0] == 200
        assert (await rig.ask())[0] == 400
        assert len(await rig.pending()) == 2
        policies = rig.server.policies
    entries = [entry for entry in entries_of(tmp_path / "audit" / "audit-0.jsonl") if isinstance(entry, Record)]
    assert [replay(entry, policies).verdict for entry in entries] == ["identical"] * 5
    assert [decision.approved_by for entry in entries for decision in entry.decisions] == ["", "", "", "ann", ""]


async def test_what_is_denied_or_unknown_does_not_pass(tmp_path: Path) -> None:
    async with paying(tmp_path) as rig:
        await rig.ask()
        (call,) = await rig.pending()
        reviews = rig.server.reviews
        assert (await reviews.listed({"id": call.id}))["ok"]
        assert (await reviews.decided({"id": call.id, "decision": "deny"}))["ok"]
        assert not (await reviews.decided({"id": call.id, "decision": "approve"}))["ok"], "somebody has decided"
        for wrong in ("", "x", call.id[:-1], call.id.upper(), "000000000000-0000000000000000"):
            assert not (await reviews.decided({"id": wrong, "decision": "approve"}))["ok"]
            assert not (await reviews.listed({"id": wrong or "x"}))["ok"]
        assert not (await reviews.decided({"id": call.id, "decision": "perhaps"}))["ok"]
        assert (await rig.ask())[0] == 400
        assert (await reviews.listed({}))["ok"]


async def test_of_many_exchanges_at_once_in_two_workers_one_passes(tmp_path: Path) -> None:
    with valkey(tmp_path) as url:
        async with paying(tmp_path / "a", state=url) as here, paying(tmp_path / "b", state=url) as there:
            await here.ask()
            (call,) = await there.pending()
            assert (await there.server.reviews.decided({"id": call.id, "decision": "approve"}))["ok"]
            answers = await asyncio.gather(*(rig.ask() for _ in range(10) for rig in (here, there)))
            assert sorted(status for status, _ in answers) == [200] + [400] * 19


@pytest.mark.parametrize("fault", ["cut", "hang"])
async def test_a_store_that_is_away_is_no_decision(tmp_path: Path, fault: str) -> None:
    with valkey(tmp_path) as url, relayed(tmp_path / "relay.sock", url) as set_fault:
        async with paying(tmp_path, state=f"unix://{tmp_path / 'relay.sock'}") as rig:
            await rig.ask()
            (call,) = await rig.pending()
            await rig.server.reviews.decided({"id": call.id, "decision": "approve"})
            set_fault(fault)
            status, told = await rig.ask()
            assert (status, told["error"]["code"]) == (503, "store_unavailable")
            assert not (await rig.server.reviews.listed({}))["ok"]
            assert not (await rig.server.reviews.decided({"id": call.id, "decision": "deny"}))["ok"]
            set_fault("none")
            async with asyncio.timeout(60):
                while status == 503:
                    status, _ = await rig.ask()
            assert status == 200, "the approval is still there"


async def test_the_store_shows_nothing(tmp_path: Path) -> None:
    import redis.asyncio

    with valkey(tmp_path) as url:
        async with paying(tmp_path, state=url) as rig:
            await rig.ask()
            client = redis.asyncio.Redis.from_url(url)
            names = [key async for key in client.scan_iter("guardproxy:memory:*")]
            stored = str([*names, *[await client.get(name) for name in names]])
            await client.aclose()
            assert len(names) == 2
            assert not [word for word in ("pay", "amount", "asks") if word in stored]


async def test_an_approval_goes_with_an_erased_subject(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"policy": POLICY + "audit: {keep: sealed, subject: user}\n"}
    assert processes.run("audit", "seal-key", str(tmp_path / "key")).returncode == 0
    settings["seal_key"] = (f"file:{tmp_path / 'key'}",)
    async with paying(tmp_path, **settings) as rig:
        await rig.ask(user="u1")
        (call,) = await rig.pending()
        assert call.shown == "", "the texts are only for the operator's key"
        assert (await rig.server.reviews.decided({"id": call.id, "decision": "approve"}))["ok"]
        erase = ("audit", "erase", str(tmp_path / "audit"), "--subject", "u1", "--reason", "asked for")
        ran = await asyncio.to_thread(processes.run, *erase)
        assert ran.returncode == 0, ran.stderr
        status, told = await rig.ask(user="u1")
        assert status == 400
        assert call.id not in told["error"]["message"], "it is another call by now"
        (again,) = await rig.pending()
        assert (await rig.server.reviews.decided({"id": again.id, "decision": "approve"}))["ok"]
        assert (await rig.ask(user="u1"))[0] == 200
