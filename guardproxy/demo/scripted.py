"""The scripted upstream: an HTTP server that speaks every wire format that is installed and misbehaves on request.

In: the routes of the formats (`POST /v1/chat/completions`, `POST /v1/messages`, ...), `GET /v1/models` and `GET /api/tags`.
Out: the replies of `script.py`, as plain answers or streams. Request headers shape the sending, not the content: `x-chunk: N`
gives N characters a delta, `x-bytes: N` writes the body N bytes at a time. Requests for other models than `scripted` are passed
to the real tiny model if it runs. Kept: a bounded journal of the requests, for tests.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, web

from guardproxy.demo.journal import Journal, ReceivedRequest
from guardproxy.demo.script import NAME, ScriptedReply, pieces, reply_to
from guardproxy.errors import DownstreamError
from guardproxy.wire import Codec, Prompt, installed

BODY_LIMIT_BYTES = 64 * 1024 * 1024

RECEIVED = web.AppKey("received", Journal)
SEEN = web.AppKey("seen", Counter[str])
TINY_URL = web.AppKey("tiny_url", str)
SESSION = web.AppKey("session", ClientSession)
_ENTRY = web.RequestKey("entry", ReceivedRequest)


def app(tiny_url: str = "", notice: Callable[[ReceivedRequest], None] | None = None) -> web.Application:
    """The application. `tiny_url`: the base URL of a real model server, or empty. Its journal is `app[RECEIVED]`.

    `notice`: called with each request.
    """
    built = web.Application(client_max_size=BODY_LIMIT_BYTES, middlewares=[_journal])
    built[RECEIVED] = Journal(notice=notice)
    built[SEEN] = Counter()
    built[TINY_URL] = tiny_url.rstrip("/")
    built.cleanup_ctx.append(_session)
    for prefix in ("/v1", "/openai/v1", "/v1beta"):
        built.router.add_get(f"{prefix}/models", _models)
        built.router.add_get(f"{prefix}/models/{{model}}", _model)
    built.router.add_get("/api/tags", _models)
    built.router.add_post("/{path:.*}", _answer)
    return built


@dataclass(frozen=True, slots=True)
class ScriptedUpstream:
    """A running scripted upstream."""

    host: str
    port: int
    journal: Journal
    runner: web.AppRunner

    @property
    def url(self) -> str:
        """The base URL, without a path."""
        return f"http://{self.host}:{self.port}"

    async def close(self) -> None:
        """Stops listening and drops open answers."""
        await self.runner.cleanup()


async def start(
    host: str = "127.0.0.1", port: int = 0, tiny_url: str = "", notice: Callable[[ReceivedRequest], None] | None = None
) -> ScriptedUpstream:
    """Serves on the running loop. `port` 0 takes a free one. Raises `OSError` when the port is taken."""
    built = app(tiny_url, notice)
    # With cancellation, the server notices at once that a peer left, not at the next write.
    runner = web.AppRunner(built, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError:
        await runner.cleanup()
        raise
    return ScriptedUpstream(host, runner.addresses[0][1], built[RECEIVED], runner)


async def _session(built: web.Application) -> AsyncIterator[None]:
    timeout = ClientTimeout(total=None, sock_connect=5)
    async with ClientSession(timeout=timeout, cookie_jar=DummyCookieJar(), trust_env=False) as session:
        built[SESSION] = session
        yield


@web.middleware
async def _journal(request: web.Request, handler: Any) -> web.StreamResponse:
    body = await request.read()
    tree = None
    with suppress(ValueError, RecursionError):
        tree = json.loads(body) if body else None
    headers = {name.lower(): value for name, value in request.headers.items()}
    received = ReceivedRequest(request.method, request.path_qs, headers, body, tree)
    request[_ENTRY] = received
    journal = request.app[RECEIVED]
    journal.add(received)
    try:
        response: web.StreamResponse = await handler(request)
    except (asyncio.CancelledError, ConnectionError):
        journal.end(received, "gone")
        raise
    journal.end(received, "gone" if request.transport is None or request.transport.is_closing() else "answered")
    return response


async def _models(request: web.Request) -> web.StreamResponse:
    names = [NAME]
    if tiny_url := request.app[TINY_URL]:
        with suppress(ClientError, ValueError, KeyError):
            async with request.app[SESSION].get(f"{tiny_url}/v1/models") as response:
                names += [model["id"] for model in (await response.json())["data"]]
    return web.json_response(installed().codec_of_client(request.path, request.headers).author.models(names))


async def _model(request: web.Request) -> web.StreamResponse:
    author = installed().codec_of_client(request.path, request.headers).author
    name = request.match_info["model"]
    if name != NAME:
        return web.json_response(author.error(404, f"the model `{name[:100]}` does not exist"), status=404)
    return web.json_response(author.models([name])["data"][0])


async def _answer(request: web.Request) -> web.StreamResponse:
    route = f"{request.method} {request.path}"
    if (read_by := installed().served(route)) is None:
        return web.Response(status=404, text="404: Not Found")
    codec = read_by.codec.for_request(request.path, request.query_string)
    author = codec.author
    tree = request[_ENTRY].tree
    ident = hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:24]
    headers = {author.ID_HEADER: f"req_{ident}"}
    try:
        prompt = author.read(tree)
        if not prompt.model:  # the path names it, and says whether the answer is a stream
            read = codec.read_request(request.path, request.query_string, request[_ENTRY].body)
            prompt = replace(prompt, model=read.model, stream=read.stream)
    except (ValueError, DownstreamError) as exception:
        return web.json_response(author.error(400, str(exception)), status=400, headers=headers)
    answered = codec.contract.is_answered(read_by.route.text)
    if answered and prompt.model != NAME:
        if request.app[TINY_URL]:
            return await _forward(request)
        refusal = author.error(404, f"the model `{prompt.model[:100]}` does not exist")
        return web.json_response(refusal, status=404, headers=headers)

    counts = request.app[SEEN]
    reply = reply_to(prompt, counts[prompt.text])
    if " once" in prompt.text:
        counts[prompt.text] += 1
    if answered:
        return await _perform(request, codec, prompt, reply, headers, ident)
    own = author.unanswered(read_by.route.text, tree, ident)
    return await _perform(request, codec, replace(prompt, stream=False), reply, headers, ident, own)


async def _perform(
    request: web.Request,
    codec: Codec,
    prompt: Prompt,
    reply: ScriptedReply,
    headers: dict[str, str],
    ident: str,
    own: dict[str, Any] | None = None,
) -> web.StreamResponse:
    """Sends the reply, with its fault. `own`: the plain answer of a route on which no model answers."""
    author, media = codec.author, codec.contract.media
    if reply.fault == "hang early":
        await asyncio.Event().wait()
    if reply.fault == "html":
        return web.Response(text="<html><body><h1>Bad gateway</h1></body></html>", content_type="text/html")
    if reply.fault == "error midstream" and not prompt.stream:
        reply = ScriptedReply(status=500, text="scripted error in the middle")
    if reply.status:
        if reply.status in (429, 503, 529):
            headers |= {"retry-after": "1", "x-ratelimit-remaining-requests": "0"}
        return web.json_response(author.error(reply.status, reply.text), status=reply.status, headers=headers)

    size = _number(request, "x-chunk")
    streamed = prompt.stream != (reply.fault == "wrong type")
    if streamed:
        frames = list(author.frames(prompt, reply, ident, partial(pieces, size=size)))
    else:
        shape = {"choices": "none", "content": 7, "note": [reply.text]}
        tree = shape if reply.fault == "wrong shape" else own or author.answer(prompt, reply, ident)
        frames = [part.encode() for part in json.dumps(tree, ensure_ascii=False, indent=2).splitlines(keepends=True)]
    half = max(1, len(frames) // 2)
    if reply.fault == "wrong shape" and streamed:
        frames = [author.event({"choices": "none", "delta": 7, "note": [reply.text]}), *frames[-1:]]
    if reply.fault in ("error midstream", "cut stream", "reset stream", "hang"):
        frames = frames[:half]
    if reply.fault == "error midstream":
        frames.append(author.error_event("scripted error in the middle"))

    response = web.StreamResponse(headers=headers)
    response.content_type = media.streamed if streamed else media.whole
    if streamed:
        response.headers["cache-control"] = "no-cache"
    elif not reply.fault:
        response.content_length = sum(map(len, frames))
    await response.prepare(request)
    for part in _parts(frames, streamed, _number(request, "x-bytes")):
        await response.write(part)
    if reply.fault == "hang":
        await asyncio.Event().wait()
    if reply.fault == "reset stream" and (transport := request.transport) is not None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        return response
    await response.write_eof()
    return response


def _parts(frames: list[bytes], streamed: bool, size: int | None) -> Iterable[bytes]:
    if size is None:
        return frames if streamed else [b"".join(frames)]
    return _rechunked(b"".join(frames), size)


def _rechunked(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def _number(request: web.Request, header: str) -> int | None:
    value = request.headers.get(header, "")
    return int(value) if value.isascii() and value.isdigit() and int(value) else None


async def _forward(request: web.Request) -> web.StreamResponse:
    """Passes the request to the real tiny model, and its answer back."""
    url = request.app[TINY_URL] + request.path_qs
    headers = {"content-type": "application/json", "accept-encoding": "identity"}
    async with request.app[SESSION].post(url, data=request[_ENTRY].body, headers=headers) as upstream:
        response = web.StreamResponse(status=upstream.status)
        response.headers["content-type"] = upstream.headers.get("content-type", "application/json")
        await response.prepare(request)
        async for data in upstream.content.iter_any():
            await response.write(data)
        await response.write_eof()
        return response
