"""An upstream that stores turns and answers as OpenAI's Responses API does, and a server in front of it.

The model says all that it was ever told in the conversation, so every placeholder of an earlier turn is in its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from openai import AsyncOpenAI

from guardproxy.config import Config
from guardproxy.server.app import Server
from guardproxy.server.intake.listener import Listener
from guardproxy.wire import Prompt, Reply
from guardproxy.wire.formats.openai_responses.writer import author

POLICY = """
policy: guard
checks: {pii: {use: pii, entities: [EMAIL_ADDRESS]}}
rules: [{id: out, on: request, when: pii, action: redact, restore: true}]
"""
STORED = (
    "DELETE /v1/responses/{id}",
    "POST /v1/conversations",
    "DELETE /v1/conversations/{id}",
)


class StoringUpstream:
    """Keeps what it was told by the ids of its answers and conversations. `seen`: the texts of the requests; `cut_chars`: the
    size of the deltas of a stream; `cut_bytes`: that of the pieces in which its bytes are sent; `goes_on`: what a stream waits
    for before its last piece; `say`: makes the answer of what was told; `asked`: the paths of the requests that read back."""

    def __init__(self) -> None:
        self.told: dict[str, tuple[str, ...]] = {}
        self.answers: dict[str, tuple[Prompt, Reply, str]] = {}
        self.asked: list[str] = []
        self.seen: list[str] = []
        self.cut_chars, self.cut_bytes = 5, 1 << 16
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.say: Callable[[Sequence[str]], str] = " | ".join

    async def answer(self, request: web.Request) -> web.StreamResponse:
        tree = await request.json() if request.can_read_body else {}
        if request.method == "GET":
            return await self._read_back(request)
        if request.method != "POST":
            self.told.pop(request.path.rpartition("/")[2], None)
            return web.json_response(
                {"id": request.path.rpartition("/")[2], "object": "response.deleted", "deleted": True}
            )
        if request.path == "/v1/conversations":
            name = f"conv_c{len(self.told):06x}"
            self.told[name] = ()
            return web.json_response({"id": name, "object": "conversation", "created_at": 1, "metadata": {}})
        conversation = tree.get("conversation")
        conversation = conversation.get("id") if isinstance(conversation, dict) else conversation
        before = tree.get("previous_response_id") or conversation or ""
        told = (*self.told.get(before, ()), tree["input"])
        name = f"a{len(self.told):06x}"
        self.told[f"resp_{name}"] = told
        if conversation:
            self.told[conversation] = told
        self.seen.append(tree["input"])
        schema = (tree.get("text") or {}).get("format")
        prompt, reply = Prompt(tree["model"], tree["input"], schema=schema), Reply(self.say(told))
        self.answers[f"resp_{name}"] = prompt, reply, name
        return await self._given(request, prompt, reply, name, streamed=bool(tree.get("stream")))

    async def _read_back(self, request: web.Request) -> web.StreamResponse:
        """Gives back a stored answer, whole or in a stream, or the items of a request or of a conversation."""
        self.asked.append(request.path_qs)
        *_, name, last = request.path.split("/")
        if last in ("input_items", "items"):
            if name not in self.told:
                return web.json_response(author.error(404, "no such response"), status=404)
            items = [
                {
                    "id": f"msg_{at}",
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": text}],
                }
                for at, text in enumerate(self.told[name])
            ]
            page = {"object": "list", "data": items, "first_id": "msg_0", "last_id": "msg_9", "has_more": False}
            return web.json_response(page)
        if last not in self.answers:
            return web.json_response(author.error(404, "no such response"), status=404)
        return await self._given(request, *self.answers[last], streamed=request.query.get("stream") == "true")

    async def _given(
        self, request: web.Request, prompt: Prompt, reply: Reply, name: str, *, streamed: bool
    ) -> web.StreamResponse:
        if not streamed:
            tree = author.answer(prompt, reply, name)
            if prompt.schema is not None:
                tree["text"] = {"format": prompt.schema}
            return web.json_response(tree)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        data = b"".join(author.frames(prompt, reply, name, self._cut))
        for start in range(0, len(data), self.cut_bytes):
            if start + self.cut_bytes >= len(data):
                await self.goes_on.wait()
            await response.write(data[start : start + self.cut_bytes])
        return response

    def _cut(self, text: str) -> list[str]:
        return [text[start : start + self.cut_chars] for start in range(0, len(text), self.cut_chars)]


class Rig:
    """A server and clients by their keys."""

    def __init__(self, url: str, server: Server, upstream: StoringUpstream) -> None:
        self.url, self.server, self.upstream = url, server, upstream
        self._clients: dict[str, AsyncOpenAI] = {}

    def client(self, key: str = "one") -> AsyncOpenAI:
        if key not in self._clients:
            self._clients[key] = AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0)
        return self._clients[key]

    async def ask(self, text: str, key: str = "one", **more: Any) -> tuple[str, str]:
        """Returns the id and the text of an answer."""
        answer = await self.client(key).responses.create(model="m", input=text, **more)
        return answer.id, answer.output_text

    async def stream(self, text: str, key: str = "one", **more: Any) -> tuple[str, str]:
        """The same, with a stream."""
        async with self.client(key).responses.stream(model="m", input=text, **more) as stream:
            deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
            answer = await stream.get_final_response()
        assert "".join(deltas) == answer.output_text
        return answer.id, answer.output_text

    async def retrieve(self, name: str, key: str = "one", *, streamed: bool = False) -> str:
        """Returns the text of a stored answer that is read back."""
        if not streamed:
            return (await self.client(key).responses.retrieve(name)).output_text
        said, whole = "", None
        async for event in await self.client(key).responses.retrieve(name, stream=True):
            said += event.delta if event.type == "response.output_text.delta" else ""
            whole = event.response if event.type == "response.completed" else whole
        assert whole is not None
        assert said == whole.output_text
        return said

    async def items(self, name: str, key: str = "one") -> str:
        """Returns the texts of the items of the request for a stored answer, or of a conversation."""
        client = self.client(key)
        pages: Any = client.conversations.items if name.startswith("conv_") else client.responses.input_items
        return " | ".join([part.text async for item in pages.list(name) for part in item.content])

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()


@asynccontextmanager
async def turns(
    folder: Path, upstream: StoringUpstream | None = None, policy: str = POLICY, **settings: Any
) -> AsyncIterator[Rig]:
    """Runs a server in front of an upstream that stores turns."""
    (folder / "policies").mkdir(parents=True, exist_ok=True)
    (folder / "policies" / "policy.yaml").write_text(policy)
    upstream, app = upstream or StoringUpstream(), web.Application()
    app.router.add_route("*", "/{path:.*}", upstream.answer)
    behind = web.AppRunner(app)
    await behind.setup()
    await web.TCPSite(behind, "127.0.0.1", 0).start()
    given: dict[str, Any] = {"policies": folder / "policies", "audit": folder / "audit", "pass_through": STORED}
    given |= {"key": "k" * 32, **settings}
    server = Server(Config.of(upstream=(f"http://127.0.0.1:{behind.addresses[0][1]}",), **given))
    listener = Listener(server.handle, limit=9, timeout_head_s=5.0, auto_decompress=False, access_log=None)
    runner = web.ServerRunner(listener)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    rig = Rig(f"http://127.0.0.1:{runner.addresses[0][1]}", server, upstream)
    try:
        yield rig
    finally:
        await rig.close()
        await server.drain()
        await runner.cleanup()
        await server.close()
        await behind.cleanup()
