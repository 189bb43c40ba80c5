"""The scripted upstream over real sockets: the two dialects, its ways of sending, its faults."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, web

from guardproxy.demo.journal import ReceivedRequest
from guardproxy.demo.scripted import ScriptedUpstream, start

PATHS = pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedUpstream]:
    running = await start()
    yield running
    await running.close()


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as made:
        yield made


def ask(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "scripted", "max_tokens": 1000, "messages": [{"role": "user", "content": text}], **more}


async def post(session: ClientSession, url: str, tree: Any, **headers: str) -> tuple[int, Any, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with session.post(url, json=tree, headers=named) as response:
        return response.status, response.headers, await response.read()


def events(body: bytes) -> list[tuple[str, Any]]:
    """(event name, data) of an SSE body."""
    found = []
    for block in body.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append(
            (fields.get("event", ""), fields["data"] if fields["data"] == "[DONE]" else json.loads(fields["data"]))
        )
    return found


async def test_a_chat_stream_has_the_frames_of_the_format(scripted: ScriptedUpstream, session: ClientSession) -> None:
    tree = ask("think and leak a key", stream=True, n=2, stream_options={"include_usage": True})
    status, headers, body = await post(session, f"{scripted.url}/v1/chat/completions", tree, x_chunk="4")
    assert status == 200
    assert headers["content-type"] == "text/event-stream"
    chunks = [data for _, data in events(body)]
    assert chunks.pop() == "[DONE]"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] > 0
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    for index in (0, 1):
        own = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
        assert own[0]["delta"]["role"] == "assistant"
        assert [choice["finish_reason"] for choice in own] == [None] * (len(own) - 1) + ["stop"]
        assert max(len(choice["delta"].get("content") or "") for choice in own) == 4
    starts = [chunk["choices"][0]["index"] for chunk in chunks[:4]]
    assert starts == [0, 1, 0, 1], "choices take turns"


async def test_an_anthropic_stream_has_the_events_of_the_format(
    scripted: ScriptedUpstream, session: ClientSession
) -> None:
    tree = ask('think\ncall tool: send {"to": "x"}', stream=True)
    _, _, body = await post(session, f"{scripted.url}/v1/messages", tree)
    found = events(body)
    assert all(name == data["type"] for name, data in found)
    names = [name for name, _ in found if name != "content_block_delta"]
    assert names == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_stop",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    deltas = [data["delta"] for name, data in found if name == "content_block_delta"]
    assert "".join(delta.get("partial_json", "") for delta in deltas) == '{"to": "x"}'
    assert [delta["type"] for delta in deltas].index("signature_delta") > 0
    assert found[-2][1]["delta"]["stop_reason"] == "tool_use"


@PATHS
@pytest.mark.parametrize("stream", [False, True])
async def test_the_same_request_gets_the_same_bytes_however_they_are_cut(
    stream: bool, path: str, scripted: ScriptedUpstream, session: ClientSession
) -> None:
    url, tree = scripted.url + path, ask("echo: Grüße 🙂", stream=stream)
    _, _, whole = await post(session, url, tree)
    _, _, cut = await post(session, url, tree, x_bytes="1")
    assert cut == whole


@PATHS
@pytest.mark.parametrize("tree", [[], {"model": "scripted"}, {"model": 7, "messages": [{}]}, {"messages": []}])
async def test_no_request_of_the_format(
    tree: Any, path: str, scripted: ScriptedUpstream, session: ClientSession
) -> None:
    status, _, body = await post(session, scripted.url + path, tree)
    assert status == 400
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


@PATHS
async def test_errors_have_headers(path: str, scripted: ScriptedUpstream, session: ClientSession) -> None:
    status, headers, body = await post(session, scripted.url + path, ask("error 429"))
    assert (status, headers["retry-after"]) == (429, "1")
    assert json.loads(body)["error"]["message"] == "scripted error 429"


@PATHS
async def test_an_unknown_model(path: str, scripted: ScriptedUpstream, session: ClientSession) -> None:
    status, _, body = await post(session, scripted.url + path, {**ask("hello"), "model": "other"})
    assert status == 404
    assert "other" in json.loads(body)["error"]["message"]


@PATHS
async def test_faults_of_streams(path: str, scripted: ScriptedUpstream, session: ClientSession) -> None:
    url = scripted.url + path
    _, _, whole = await post(session, url, ask("words: 9", stream=True))
    _, _, cut = await post(session, url, ask("words: 9, cut stream", stream=True))
    assert 0 < len(cut) < len(whole)
    _, _, failed = await post(session, url, ask("words: 9, error midstream", stream=True))
    assert b"scripted error in the middle" in failed
    with pytest.raises(ClientError):
        await post(session, url, ask("words: 9, reset stream", stream=True))
    _, headers, page = await post(session, url, ask("html", stream=True))
    assert headers["content-type"].startswith("text/html")
    assert page.startswith(b"<html>")
    _, headers, _ = await post(session, url, ask("wrong type", stream=True))
    assert headers["content-type"].startswith("application/json")
    _, headers, _ = await post(session, url, ask("wrong type"))
    assert headers["content-type"] == "text/event-stream"
    _, _, shape = await post(session, url, ask("wrong shape"))
    assert json.loads(shape) == {"choices": "none", "content": 7, "note": ["You wrote: wrong shape"]}
    _, _, shape = await post(session, url, ask("wrong shape", stream=True))
    assert b'"choices":"none"' in shape


@pytest.mark.parametrize("phrase", ["hang early", "hang"])
async def test_a_peer_that_leaves_is_noted(phrase: str, scripted: ScriptedUpstream, session: ClientSession) -> None:
    asked = asyncio.ensure_future(
        post(session, f"{scripted.url}/v1/chat/completions", ask(f"words: 9, {phrase}", stream=True))
    )
    journal = scripted.journal
    await asyncio.to_thread(journal.wait, lambda entries: entries)
    asked.cancel()
    gone = await asyncio.to_thread(journal.wait, lambda entries: [one for one in entries if one.ended == "gone"])
    assert gone[0].path == "/v1/chat/completions"


async def test_it_lists_its_models_in_both_dialects(scripted: ScriptedUpstream, session: ClientSession) -> None:
    async with session.get(f"{scripted.url}/v1/models") as response:
        assert [model["id"] for model in (await response.json())["data"]] == ["scripted"]
    async with session.get(f"{scripted.url}/v1/models", headers={"anthropic-version": "2023-06-01"}) as response:
        assert (await response.json())["first_id"] == "scripted"


async def test_token_counts(scripted: ScriptedUpstream, session: ClientSession) -> None:
    status, _, body = await post(session, f"{scripted.url}/v1/messages/count_tokens", ask("one two", system="three"))
    assert (status, json.loads(body)) == (200, {"input_tokens": 3})
    status, _, _ = await post(session, f"{scripted.url}/v1/messages/count_tokens", {})
    assert status == 400


async def test_other_models_are_passed_to_the_real_server(session: ClientSession) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"asked": await request.json()}, status=202)

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "tiny"}]})

    tiny = web.Application()
    tiny.router.add_post("/v1/chat/completions", answer)
    tiny.router.add_get("/v1/models", models)
    runner = web.AppRunner(tiny)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    seen: list[ReceivedRequest] = []
    front = await start(tiny_url=f"http://127.0.0.1:{runner.addresses[0][1]}/", notice=seen.append)
    try:
        tree = {**ask("hello"), "model": "tiny"}
        status, _, body = await post(session, f"{front.url}/v1/chat/completions", tree)
        assert (status, json.loads(body)) == (202, {"asked": tree})
        assert seen[0].tree == tree
        async with session.get(f"{front.url}/v1/models") as response:
            assert [model["id"] for model in (await response.json())["data"]] == ["scripted", "tiny"]
    finally:
        await front.close()
        await runner.cleanup()


async def test_a_taken_port_is_an_error(scripted: ScriptedUpstream) -> None:
    with pytest.raises(OSError, match=r"address already in use|error while attempting to bind"):
        await start(port=scripted.port)
