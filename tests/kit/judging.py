"""A server with a scripted model behind it that judges: answers, or texts for a check. It speaks every format."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from guardproxy.config import Config
from guardproxy.demo.scripted import start
from guardproxy.events import Text
from guardproxy.server.app import Server
from guardproxy.server.intake.listener import Listener
from guardproxy.wire import Prompt, Reply, installed
from guardproxy.wire.contract import word_parts
from guardproxy.wire.json import write
from tests.kit.asked import asked_about

SCORE = '{"code": "CODE", "reason": "r", "answer": 4}'
ENDS = "The text ends above."


class ScriptedJudge:
    """A model that judges. `content`: what it says, with `CODE` for the code of the question, or a function that returns it
    for a text. `gate`: it answers when this is set. `seen`: the questions, each with the key that came with it; `heads`: their
    headers; `texts`: what they are about. `arrivals`, `left`: a text of each question that comes, and that is taken back."""

    def __init__(self, content: str | Callable[[str], str] = SCORE, status: int = 200) -> None:
        self.seen: list[tuple[dict[str, Any], str]] = []
        self.heads: list[Mapping[str, str]] = []
        self.texts: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrivals: asyncio.Queue[str] = asyncio.Queue()
        self.left: asyncio.Queue[str] = asyncio.Queue()
        self._content = content
        self._status = status

    async def answer(self, request: web.Request) -> web.Response:
        found = installed().served(f"POST {request.path}")
        assert found is not None
        body = await request.read()
        read = found.codec.read_request(request.path, "", body)
        asked = next(event.text for event in read.events() if isinstance(event, Text) and ENDS in event.text)
        code, text = asked_about(asked[asked.index("-----") :])
        header = found.codec.contract.key_header
        self.seen.append((json.loads(body), request.headers.get(header.name, "").removeprefix(header.prefix)))
        self.heads.append(request.headers)
        self.texts.append(text)
        self.arrivals.put_nowait(text)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.left.put_nowait(text)
            raise
        content = self._content if isinstance(self._content, str) else self._content(text)
        reply = Reply(content.replace("CODE", code))
        whole = found.codec.author.answer(Prompt(read.model, "", prompt_words=20), reply, "abc")
        return web.Response(body=write(whole), status=self._status, content_type="application/json")


class ScriptedCandidate:
    """A model that gets the same requests. `says`: its answer. `seen`: the bodies and keys of the requests."""

    def __init__(self, says: str, status: int = 200) -> None:
        self.seen: list[tuple[dict[str, Any], str]] = []
        self._says = says
        self._status = status

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/cheap")
        found = installed().served(f"POST {path}")
        assert found is not None
        body = await request.read()
        codec, read = found.codec, found.codec.read_request(path, "", body)
        header = codec.contract.key_header
        self.seen.append((json.loads(body), request.headers.get(header.name, "").removeprefix(header.prefix)))
        prompt, reply = Prompt(read.model, "", prompt_words=20, stream=read.stream), Reply(self._says)
        if not read.stream:
            whole = write(codec.author.answer(prompt, reply, "abc"))
            return web.Response(body=whole, status=self._status, content_type=codec.contract.media.whole)
        frames = b"".join(codec.author.frames(prompt, reply, "abc", word_parts))
        return web.Response(body=frames, status=self._status, content_type=codec.contract.media.streamed)


def entries_of(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The entries of a kind in the logs of a folder. Without a client that waits for it, a record is there once its server has
    ended."""
    lines = [json.loads(line) for log in folder.glob("*.jsonl") for line in log.read_text().splitlines()]
    return [line for line in lines if line.get("kind") == kind]


class JudgingRig:
    """A server, and what is behind it."""

    def __init__(self, server: Server, url: str, client: aiohttp.ClientSession, folder: Path) -> None:
        self.server, self.url, self.client, self.folder = server, url, client, folder

    async def post(self, text: str, **more: Any) -> tuple[int, str, str]:
        """Asks the model that is guarded; returns the status, the body and the id of the exchange."""
        body = {"model": "scripted", "messages": [{"role": "user", "content": f"echo: {text}"}], **more}
        async with self.client.post(f"{self.url}/v1/chat/completions", json=body) as answer:
            return answer.status, await answer.text(), answer.headers["x-guardproxy-id"]

    async def ask(self, text: str) -> str:
        status, _, name = await self.post(text)
        assert status == 200
        return name

    async def entries(self, kind: str) -> list[dict[str, Any]]:
        """The entries of a kind, once no question is under way."""
        await self.server.judges.close(20)
        return entries_of(self.folder, kind)

    def metric(self, name: str, **labels: str) -> float:
        return self.server.metrics.registry.get_sample_value(f"guardproxy_{name}", labels) or 0

    def count(self, result: str) -> float:
        return self.metric("judged_answers_total", policy="graded", result=result)


@asynccontextmanager
async def serving(
    folder: Path, grader: ScriptedJudge, policy: str, candidate: ScriptedCandidate | None = None, **settings: Any
) -> AsyncIterator[JudgingRig]:
    """A server under a policy, whose upstream `grader` is the model that judges, and `cheap` the candidate."""
    (folder / "policies").mkdir()
    (folder / "policies" / "policy.yaml").write_text(policy)
    app = web.Application(client_max_size=1 << 24)
    if candidate:
        app.router.add_post("/cheap/{path:.*}", candidate.answer)
    app.router.add_post("/{path:.*}", grader.answer)
    judging = web.AppRunner(app, handler_cancellation=True)
    await judging.setup()
    await web.TCPSite(judging, "127.0.0.1", 0).start()
    upstream = await start()
    behind = f"http://127.0.0.1:{judging.addresses[0][1]}"
    urls = (upstream.url, f"grader={behind}", *((f"cheap={behind}/cheap",) if candidate else ()))
    given: dict[str, Any] = {
        "policies": folder / "policies",
        "audit": folder / "audit",
        "timeout_write_s": 5.0,
        **settings,
    }
    runner = server = None
    try:
        server = Server(
            Config.of(
                upstream=urls, upstream_key=("grader=sk-judge", *(("cheap=sk-cheap",) if candidate else ())), **given
            )
        )
        listener = Listener(server.handle, limit=99, timeout_head_s=5.0, auto_decompress=False, access_log=None)
        runner = web.ServerRunner(listener)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession() as client:
            yield JudgingRig(server, f"http://127.0.0.1:{runner.addresses[0][1]}", client, folder / "audit")
    finally:
        grader.gate.set()
        if server is not None and runner is not None:
            await server.drain()
            await runner.cleanup()
            await server.close()
        await judging.cleanup()
        await upstream.close()
