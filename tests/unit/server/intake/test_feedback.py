"""Feedback through a server: who may give it, what is kept of it, and that no upstream gets it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from typer.testing import CliRunner

from guardproxy.audit.proof.folder import verify_folder
from guardproxy.cli import app
from guardproxy.config import Config
from guardproxy.demo.scripted import start
from guardproxy.gateway.clients import FILE_NAME, StoredClient, new_key, write_client_file
from guardproxy.gateway.clients.client_file import ClientFile, with_new_client
from guardproxy.reading import Period, feedback_rows
from guardproxy.server.app import Server
from guardproxy.server.intake.listener import Listener

POLICY = """
policy: guard
match: {routes: ["POST /v1/chat/completions"]}
checks:
  pii: {use: pattern, words: [mara.lindqvist@example.com]}
  word: {use: pattern, words: [umbrella-corp]}
rules:
  - {id: out, on: request, when: pii, action: redact}
  - {id: no-such-word, on: request, when: word, action: block}
  - {id: look, on: response, when: word, action: flag}
strip: [seed]
"""
MARA = "mara.lindqvist@example.com"


class Rig:
    """A server with feedback, and clients by their keys."""

    def __init__(self, url: str, client: aiohttp.ClientSession, folder: Path, seen: Any) -> None:
        self._url, self._client, self.folder, self.seen = url, client, folder, seen

    async def post(self, path: str, body: Any, key: str = "one") -> tuple[int, Any, str]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with self._client.post(self._url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json(), answer.headers["x-guardproxy-id"]

    async def ask(self, text: str, key: str = "one") -> str:
        """Returns the id of an exchange."""
        messages = [{"role": "user", "content": f"echo: {text}"}]
        status, _, name = await self.post("/v1/chat/completions", {"model": "scripted", "messages": messages}, key)
        assert status == 200
        return name

    async def say(self, name: str, key: str = "one", **said: Any) -> tuple[int, Any]:
        status, answer, _ = await self.post("/guard/feedback", {"id": name, **said}, key)
        return status, answer

    def records(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for log in self.folder.glob("*.jsonl") for line in log.read_text().splitlines()]
        return [line for line in lines if "outcome" in line]


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[Rig]:
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "policy.yaml").write_text(POLICY)
    upstream = await start()
    given = {"policies": folder / "policies", "audit": folder / "audit", "key": "k" * 32, "feedback": "on", **settings}
    server = Server(Config.of(upstream=(upstream.url,), **given))
    listener = Listener(server.handle, limit=9, timeout_head_s=5.0, auto_decompress=False, access_log=None)
    runner = web.ServerRunner(listener)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as client:
            yield Rig(f"http://127.0.0.1:{runner.addresses[0][1]}", client, folder / "audit", upstream.journal)
    finally:
        await server.drain()
        await runner.cleanup()
        await server.close()
        await upstream.close()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with serving(tmp_path) as rig:
        yield rig


async def test_feedback_joins_its_exchange_without_personal_data(rig: Rig) -> None:
    name = await rig.ask(f"write to {MARA}")
    spans = [{"start": 0, "end": 4, "thumbs": "down", "comment": f"not {MARA}"}]
    said: dict[str, Any] = {
        "thumbs": "down",
        "score": 0.123456,
        "comment": f"I am {MARA}",
        "spans": spans,
        "user": "ann",
    }
    assert await rig.say(name, **said) == (200, {"recorded": True})
    exchange, feedback = rig.records()
    assert (exchange["id"], "feedback" in exchange) == (name, False)
    assert feedback["feedback"] == {
        "exchange": name,
        "thumbs": "down",
        "score": 0.1235,
        "spans": [{"start": 0, "end": 4, "thumbs": "down"}],
    }
    assert (feedback["outcome"], feedback["rules"], len(rig.seen.all())) == ("answered", ["out"], 1)
    assert "example.com" not in json.dumps([exchange, feedback])
    unread: Counter[str] = Counter()
    (row,) = map(json.loads, feedback_rows(rig.folder, Period(), unread, unread))
    placeholder = row["comment"].removeprefix("I am ")
    assert row["messages"][0] == {"role": "user", "content": f"echo: write to {placeholder}"}
    assert row["messages"][-1]["role"] == "assistant"
    assert row["spans"] == [{"start": 0, "end": 4, "thumbs": "down", "comment": f"not {placeholder}"}]
    assert (row["id"], row["thumbs"], row["score"], not unread) == (name, "down", 0.1235, True)
    assert not any(log.report.problems for log in verify_folder(rig.folder))


async def test_a_key_for_certain_models_gives_feedback_too(tmp_path: Path) -> None:
    """No model answers feedback, so it names none."""
    key = new_key("0" * 12, "0" * 43)
    client = StoredClient("ann", "acme", models=("scripted",))
    (tmp_path / "keys").mkdir()
    file = with_new_client(ClientFile(), client, key, datetime.now(UTC), None)
    (tmp_path / "keys" / FILE_NAME).write_bytes(write_client_file(file))
    async with serving(tmp_path, client_keys=tmp_path / "keys", upstream_key=("default=sk",)) as rig:
        assert await rig.say(await rig.ask("hello", key), key, thumbs="up") == (200, {"recorded": True})


async def test_an_id_of_another_tenant_is_unknown_and_so_is_one_that_was_made_up(rig: Rig) -> None:
    name = await rig.ask("hello")
    for other, key in (
        (name, "two"),
        (name, ""),
        ("0" * 32, "one"),
        (name[:-1] + ("0" if name[-1] != "0" else "1"), "one"),
        (name[:-1] + "x", "one"),
    ):
        status, answer = await rig.say(other, key, thumbs="up")
        assert (status, "unknown_exchange" in str(answer)) == (400, False) if "x" in other else (404, True)
    assert [record["outcome"] for record in rig.records()] == ["answered", *["refused"] * 5]


async def test_a_comment_that_a_rule_blocks_is_no_feedback(rig: Rig) -> None:
    name = await rig.ask("hello")
    assert (await rig.say(name, thumbs="up", comment="umbrella-corp"))[0] == 400
    assert rig.records()[-1]["outcome"] == "blocked_request"
    assert not list(feedback_rows(rig.folder, Period(), Counter(), Counter()))


async def test_a_body_that_is_too_large_is_refused(rig: Rig) -> None:
    assert (await rig.post("/guard/feedback", {"id": "0" * 32, "comment": "x" * 300_000}))[0] == 413


async def test_an_id_outlives_the_process_and_counts_only_with_the_same_key(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        name = await rig.ask("hello")
    async with serving(tmp_path) as rig:
        assert (await rig.say(name, thumbs="up"))[0] == 200
    async with serving(tmp_path, key="another key" * 3) as rig:
        assert (await rig.say(name, thumbs="up"))[0] == 404


async def test_without_the_setting_there_is_no_route(tmp_path: Path) -> None:
    async with serving(tmp_path, feedback="off") as rig:
        name = await rig.ask("hello")
        assert (len(name), (await rig.say(name, thumbs="up"))[0]) == (24, 404)
        assert rig.records()[-1]["error"]["code"] == "unknown_route"


async def test_without_room_for_records_feedback_is_refused(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    name = await rig.ask("hello")
    monkeypatch.setattr("guardproxy.audit.writing.log_file.FileSink.healthy", False)
    assert (await rig.say(name, thumbs="up"))[0] == 503


async def test_a_sealed_comment_is_erased_with_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "POLICY", POLICY + "audit: {keep: sealed, subject: user}\n")
    key = f"file:{tmp_path / 'key'}"

    def audit(*words: str) -> str:
        return CliRunner().invoke(app, ["audit", *words]).output

    audit("seal-key", str(tmp_path / "key"))
    async with serving(tmp_path, seal_key=(key,)) as rig:
        name = await rig.ask("hello")
        assert await rig.say(name, thumbs="up", comment="a private remark", user="ann") == (200, {"recorded": True})
        feedback = rig.records()[-1]
    assert ("private remark" in json.dumps(feedback), feedback["feedback"]["thumbs"]) == (False, "up")
    opening = "unseal", str(rig.folder), feedback["id"], "--key", key, "--reason", "a test"
    assert "a private remark" in audit(*opening)
    audit("erase", str(rig.folder), "--subject", "ann", "--reason", "she asked")
    assert "a private remark" not in audit(*opening)
