"""A server in this process and on its loop, in front of a scripted upstream."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from guardproxy.config import Config
from guardproxy.demo.journal import Journal
from guardproxy.demo.scripted import start
from guardproxy.server.app import Server
from guardproxy.server.intake.listener import Listener

CHAT = "/v1/chat/completions"
HEADERS = {"content-type": "application/json"}


def listening() -> socket.socket:
    """A socket that listens on a free port of this machine."""
    return socket.create_server(("127.0.0.1", 0))


def chat(text: str, **more: Any) -> dict[str, Any]:
    """A request to the scripted model."""
    return {"model": "scripted", "messages": [{"role": "user", "content": text}], **more}


@dataclass
class Rig:
    """A running server. `journal`: what the upstream received. `adapters_url`: where it answers other gateways, if it does."""

    server: Server
    url: str
    journal: Journal
    client: aiohttp.ClientSession
    adapters_url: str = ""

    async def post(self, path: str, body: Any, **headers: str) -> int:
        """Sends a request and reads the whole answer. Returns its status."""
        async with self.client.post(self.url + path, data=json.dumps(body), headers=HEADERS | headers) as answer:
            await answer.read()
            return answer.status


@asynccontextmanager
async def serving(folder: Path, policy: str, **settings: Any) -> AsyncIterator[Rig]:
    """Runs a server under one policy."""
    (folder / "policies").mkdir()
    (folder / "policies" / "policy.yaml").write_text(policy)
    async with AsyncExitStack() as stack:
        upstream = await start()
        stack.push_async_callback(upstream.close)
        given = {"policies": folder / "policies", "audit": folder / "audit", "drain_s": 5.0, **settings}
        server = Server(Config.of(upstream=(upstream.url,), **given))
        stack.push_async_callback(server.close)
        listener = Listener(
            server.handle, limit=100, timeout_head_s=5.0, lingering_time=1.0, auto_decompress=False, access_log=None
        )
        runner = web.ServerRunner(listener)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        stack.push_async_callback(server.drain)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        client = await stack.enter_async_context(aiohttp.ClientSession())
        rig = Rig(server, f"http://127.0.0.1:{runner.addresses[0][1]}", upstream.journal, client)
        if server.adapters is not None:
            calls = web.ServerRunner(Listener(server.handle_call, limit=100, timeout_head_s=5.0, auto_decompress=False))
            await calls.setup()
            stack.push_async_callback(calls.cleanup)
            await web.TCPSite(calls, "127.0.0.1", 0).start()
            rig.adapters_url = f"http://127.0.0.1:{calls.addresses[0][1]}"
        yield rig
