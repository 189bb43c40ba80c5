"""Judges through a server with a scripted judge: what it reads, what joins the log, and what happens if it fails."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from guardproxy.audit import ENTRY_VERSION, Intent, Judged
from guardproxy.audit.proof.folder import verify_folder
from guardproxy.audit.writing.log_file import FileSink
from guardproxy.config import Config
from guardproxy.demo.scripted import start
from guardproxy.server.app import Server
from guardproxy.server.driving import judge
from guardproxy.server.driving.recorder import Recorder
from guardproxy.server.intake.listener import Listener

POLICY = """
policy: graded
checks:
  pii: {use: pattern, words: [mara.lindqvist@example.com]}
rules:
  - {id: out, when: pii, action: redact}
judge: {upstream: grader, model: strict, rubric: "5: good", sample: 100 %}
"""
MARA = "mara.lindqvist@example.com"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def said(content: str) -> web.Response:
    return web.json_response({"choices": [{"message": {"content": content}}]})


class Judge:
    """A scripted judge. `gate`: it answers when this is set."""

    def __init__(self, content: str = '{"reason": "r", "score": 4}', status: int = 200) -> None:
        self.seen: list[tuple[dict[str, Any], str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._content = content
        self._status = status

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append((await request.json(), request.headers["Authorization"]))
        await self.gate.wait()
        response = said(self._content)
        response.set_status(self._status)
        return response


class Rig:
    """A server, and what is behind it."""

    def __init__(self, server: Server, url: str, client: aiohttp.ClientSession, folder: Path) -> None:
        self.server, self._url, self._client, self.folder = server, url, client, folder

    async def ask(self, text: str) -> str:
        body = {"model": "scripted", "messages": [{"role": "user", "content": f"echo: {text}"}]}
        async with self._client.post(f"{self._url}/v1/chat/completions", json=body) as answer:
            assert answer.status == 200
            await answer.read()
            return answer.headers["x-guardproxy-id"]

    async def entries(self, kind: str) -> list[dict[str, Any]]:
        """The entries of a kind, once no question is under way."""
        await self.server.judges.close(20)
        lines = [json.loads(line) for log in self.folder.glob("*.jsonl") for line in log.read_text().splitlines()]
        return [line for line in lines if line.get("kind") == kind]

    def count(self, result: str) -> float:
        labels = {"policy": "graded", "result": result}
        return self.server.metrics.registry.get_sample_value("guardproxy_judged_answers_total", labels) or 0


@asynccontextmanager
async def serving(folder: Path, grader: Judge, policy: str = POLICY) -> AsyncIterator[Rig]:
    (folder / "policies").mkdir()
    (folder / "policies" / "policy.yaml").write_text(policy)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", grader.answer)
    judging = web.AppRunner(app)
    await judging.setup()
    await web.TCPSite(judging, "127.0.0.1", 0).start()
    upstream = await start()
    urls = upstream.url, f"grader=http://127.0.0.1:{judging.addresses[0][1]}"
    given: dict[str, Any] = {"policies": folder / "policies", "audit": folder / "audit"}
    server = Server(Config.of(upstream=urls, upstream_key=("grader=sk-judge",), timeout_write_s=5.0, **given))
    listener = Listener(server.handle, limit=9, timeout_head_s=5.0, auto_decompress=False, access_log=None)
    runner = web.ServerRunner(listener)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as client:
            yield Rig(server, f"http://127.0.0.1:{runner.addresses[0][1]}", client, folder / "audit")
    finally:
        grader.gate.set()
        await server.drain()
        await runner.cleanup()
        await server.close()
        await judging.cleanup()
        await upstream.close()


async def test_a_score_joins_the_record_and_the_judge_reads_placeholders(tmp_path: Path) -> None:
    grader = Judge()
    grader.gate.clear()
    async with serving(tmp_path, grader) as rig:
        name = await rig.ask(f"write to {MARA}")  # the client has its answer, and the judge has not answered
        grader.gate.set()
        (entry,) = await rig.entries("judged")
        (record,) = await rig.entries("exchange")
        assert (rig.count("scored"), not any(log.report.problems for log in verify_folder(rig.folder))) == (1, True)
    ((body, key),) = grader.seen
    assert (body["model"], key) == ("strict", "Bearer sk-judge")
    assert "example.com" not in json.dumps(body)
    assert "[MATCH_" in body["messages"][1]["content"]
    assert {key: entry[key] for key in ("id", "policy", "upstream", "model", "scale", "score")} == {
        **{"id": name, "policy": "graded", "upstream": "grader", "model": "strict", "scale": [1, 5], "score": 4},
    }
    assert (record["id"], record["judges"]) == (name, [{"mode": "enforce", "policy": "graded"}])


@pytest.mark.parametrize(
    ("grader", "policy", "failure"),
    [
        (("I think 4",), POLICY, "no_score"),
        (("{}", 500), POLICY, "status_500"),
        (("{}", 401), POLICY, "upstream_key_refused"),
        (("{}", 302), POLICY, "upstream_redirect"),
        (("x" * 2_000_000,), POLICY, "too_large"),
        ((), POLICY + "audit: {keep: none}\n", "no_text"),
        ((), POLICY.replace("when: pii,", "on: request, when: pii,"), "no_text"),
    ],
)
async def test_why_there_is_no_score_is_in_the_log(
    tmp_path: Path, grader: tuple[Any, ...], policy: str, failure: str
) -> None:
    async with serving(tmp_path, Judge(*grader), policy) as rig:
        await rig.ask("hello")
        (entry,) = await rig.entries("judged")
        assert (entry["failure"], "score" in entry, rig.count("failed")) == (failure, False, 1)


async def test_a_judge_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "TIMEOUT_S", 0.0)
    async with serving(tmp_path, Judge()) as rig:
        await rig.ask("hello")
        (entry,) = await rig.entries("judged")
        assert entry["failure"] == "timeout"


async def test_what_does_not_fit_is_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "LIMIT_WAITING", 1)
    grader = Judge()
    grader.gate.clear()
    async with serving(tmp_path, grader) as rig:
        for _ in range(3):
            await rig.ask("hello")
        assert rig.count("dropped") == 2
        grader.gate.set()
        assert len(await rig.entries("judged")) == 1


async def test_a_judge_that_is_under_way_at_the_end_is_dropped(tmp_path: Path) -> None:
    grader = Judge()
    grader.gate.clear()
    async with serving(tmp_path, grader) as rig:
        await rig.ask("hello")
        await rig.server.judges.close(0)
        assert await rig.entries("judged") == []


async def test_shadow_mode_and_blocked_exchanges_ask_no_judge(tmp_path: Path) -> None:
    grader = Judge()
    async with serving(tmp_path, grader, POLICY + "mode: shadow\n") as rig:
        await rig.ask(MARA)
        assert await rig.entries("judged") == []
        (record,) = await rig.entries("exchange")
        assert (record["judges"], grader.seen) == ([{"mode": "shadow", "policy": "graded"}], [])


async def test_a_log_that_cannot_be_written_loses_the_score_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def commit(sink: FileSink, batch: Sequence[object]) -> None:
        if batch:
            raise OSError(errno.ENOSPC, "no space left")

    grader = Judge()
    grader.gate.clear()
    async with serving(tmp_path, grader) as rig:
        await rig.ask("hello")
        monkeypatch.setattr(FileSink, "_commit", commit)
        grader.gate.set()
        assert await rig.entries("judged") == []
        monkeypatch.undo()


async def test_a_score_closes_no_intent(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 0, "test")
    about: dict[str, Any] = {"v": ENTRY_VERSION, "at": 1.0, "id": "x", "engine": "test"}
    await recorder.keep(Intent(**about, tenant="", route="POST /x", policies="p", seals={}))
    scale: dict[str, Any] = {"policy": "p", "upstream": "u", "model": "m", "rubric": "r", "scale": (1, 5), "ms": 1.0}
    await recorder.keep(Judged(**about, **scale, score=4))
    recorder.close()
    again = Recorder(tmp_path, 0, "test")
    assert again.unknown == 1
    again.close()
