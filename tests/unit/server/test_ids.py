"""Sealed ids through a server, in front of an upstream that stores answers for everybody."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from guardproxy.config import Config
from guardproxy.server.app import Server
from guardproxy.server.intake.listener import Listener

POLICY = """
policy: guard
checks: {mail: {use: pattern, words: [mara@example.com]}}
rules: [{id: out, when: mail, action: redact}]
"""
STORED = ("GET /v1/responses/{id}", "DELETE /v1/responses/{id}", "POST /v1/conversations")


class Upstream:
    """Answers with what it was sent, and gives every answer the same id. `seen`: method, path and body of each request."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, Any]] = []

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        self.seen.append((request.method, request.path, body))
        if request.path == "/v1/conversations":
            return web.json_response({"id": "conv_68af21377c04819", "object": "conversation"})
        text = {"type": "output_text", "annotations": [], "text": json.dumps(body)}
        message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
        tree = {
            "id": "resp_68af21377c04819",
            "object": "response",
            "status": "completed",
            "model": "m",
            "output": [message],
        }
        return web.json_response({**tree, "previous_response_id": (body or {}).get("previous_response_id")})


class Rig:
    """A server, and clients by their keys."""

    def __init__(self, url: str, client: aiohttp.ClientSession, upstream: Upstream) -> None:
        self._url, self._client, self.upstream = url, client, upstream

    async def call(self, method: str, path: str, body: Any = None, key: str = "one") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {key}"}
        async with self._client.request(method, self._url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def ask(self, key: str = "one", **more: Any) -> tuple[int, Any]:
        return await self.call("POST", "/v1/responses", {"model": "m", "input": "hi", **more}, key)


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[Rig]:
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "policy.yaml").write_text(POLICY)
    upstream, app = Upstream(), web.Application()
    app.router.add_route("*", "/{path:.*}", upstream.answer)
    behind = web.AppRunner(app)
    await behind.setup()
    await web.TCPSite(behind, "127.0.0.1", 0).start()
    given: dict[str, Any] = {"policies": folder / "policies", "audit": folder / "audit", "pass_through": STORED}
    given |= {"seal_ids": "on", "key": "k" * 32, **settings}
    server = Server(Config.of(upstream=(f"http://127.0.0.1:{behind.addresses[0][1]}",), **given))
    listener = Listener(server.handle, limit=9, timeout_head_s=5.0, auto_decompress=False, access_log=None)
    runner = web.ServerRunner(listener)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as client:
            yield Rig(f"http://127.0.0.1:{runner.addresses[0][1]}", client, upstream)
    finally:
        await server.drain()
        await runner.cleanup()
        await server.close()
        await behind.cleanup()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with serving(tmp_path) as rig:
        yield rig


async def test_a_tenant_goes_on_with_its_own_answer(rig: Rig) -> None:
    _, answer = await rig.ask()
    name = answer["id"]
    assert (name.startswith("resp_68af21377c04819_"), answer["output"][0]["id"]) == (True, "msg_1")
    status, further = await rig.ask(previous_response_id=name)
    assert (status, further["id"], further["previous_response_id"]) == (200, name, name)
    assert rig.upstream.seen[-1][2]["previous_response_id"] == "resp_68af21377c04819"
    assert (await rig.call("GET", f"/v1/responses/{name}"))[1]["id"] == name
    assert (await rig.call("DELETE", f"/v1/responses/{name}"))[0] == 200
    assert [path for _, path, _ in rig.upstream.seen[-2:]] == ["/v1/responses/resp_68af21377c04819"] * 2
    assert (await rig.call("POST", "/v1/conversations", {}))[1]["id"].startswith("conv_68af21377c04819_")


async def test_an_id_of_another_tenant_is_unknown_before_anything_goes_upstream(rig: Rig) -> None:
    _, answer = await rig.ask("one")
    before = len(rig.upstream.seen)
    for name in (answer["id"], "resp_68af21377c04819", answer["id"][:-1]):
        for status, said in (
            await rig.ask("two", previous_response_id=name),
            await rig.ask("two", conversation={"id": name}),
            await rig.call("GET", f"/v1/responses/{name}", key="two"),
            await rig.call("DELETE", f"/v1/responses/{name}", key="two"),
        ):
            assert (status, said["error"]["code"], "message" in said["error"]) == (404, "unknown_id", True)
    assert len(rig.upstream.seen) == before


async def test_an_unread_route_takes_no_reference_to_an_item_of_another_tenant(rig: Rig) -> None:
    """No check reads the body of `POST /v1/conversations`, and yet it could name an item that another tenant stored."""
    for pad in ("", "x" * 100_000):
        items = [{"role": "user", "content": pad}, {"type": "item_reference", "id": "msg_1"}]
        status, said = await rig.call("POST", "/v1/conversations", {"items": items})
        assert (status, said["error"]["param"]) == (400, "items")
    assert not rig.upstream.seen
    assert (await rig.call("POST", "/v1/conversations", {"items": items[:1]}))[0] == 200
    assert rig.upstream.seen[-1][2] == {"items": items[:1]}


async def test_a_value_has_the_same_placeholder_in_the_next_turn_and_comes_back(rig: Rig) -> None:
    """A value comes back in every turn that says it, and in the turns after it."""
    _, first = await rig.ask(input="I am mara@example.com")
    assert "mara@example.com" in first["output"][0]["content"][0]["text"]
    _, second = await rig.ask(input="again: mara@example.com", previous_response_id=first["id"])
    assert "mara@example.com" in second["output"][0]["content"][0]["text"]
    sent = [json.dumps(body) for _, _, body in rig.upstream.seen]
    (placeholder,) = {text[text.index("[MATCH_") : text.index("]") + 1] for text in sent}
    _, third = await rig.ask(input=f"who is {placeholder}?", previous_response_id=second["id"])
    assert "mara@example.com" in third["output"][0]["content"][0]["text"]
    _, fourth = await rig.ask(input=f"who is {placeholder}?")
    assert placeholder in fourth["output"][0]["content"][0]["text"]


async def test_an_id_outlives_the_process(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        _, answer = await rig.ask()
    async with serving(tmp_path) as rig:
        assert (await rig.ask(previous_response_id=answer["id"]))[0] == 200


@pytest.mark.parametrize(("seal_ids", "status"), [("on", 404), ("accept", 200), ("off", 200)])
async def test_ids_from_before_are_accepted_for_a_time(tmp_path: Path, seal_ids: str, status: int) -> None:
    async with serving(tmp_path, seal_ids=seal_ids) as rig:
        assert (await rig.ask(previous_response_id="resp_68af21377c04819"))[0] == status
        assert ((await rig.ask())[1]["id"] == "resp_68af21377c04819") == (seal_ids == "off")


def tenants(*pairs: str) -> tuple[str, ...]:
    entries = (pair.split("=") for pair in pairs)
    return tuple(f"{name}=sha256:{hashlib.sha256(key.encode()).hexdigest()}" for name, key in entries)


@pytest.mark.parametrize(("scope", "status"), [("client", 404), ("tenant", 200)])
async def test_the_keys_of_a_tenant_share_conversations_where_the_scope_says_so(
    tmp_path: Path, scope: str, status: int
) -> None:
    names = tenants("acme=one", "acme=two", "globex=three")
    async with serving(tmp_path) as rig:
        _, before = await rig.ask("one")
    async with serving(tmp_path, seal_ids_scope=scope, tenants=names) as rig:
        _, answer = await rig.ask("one")
        assert (answer["id"] == before["id"]) == (scope == "client")
        assert (await rig.ask("one", previous_response_id=before["id"]))[0] == 200, "ids from before stay valid"
        assert (await rig.ask("two", previous_response_id=before["id"]))[0] == 404
        assert (await rig.ask("two", previous_response_id=answer["id"]))[0] == status
        assert (await rig.call("GET", f"/v1/responses/{answer['id']}", key="two"))[0] == status
        for stranger in ("three", "four"):
            assert (await rig.ask(stranger, previous_response_id=answer["id"]))[0] == 404
