"""An upstream that gives prepared answers, one after the other, in both dialects: what a model says when it is asked again."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from aiohttp import web

from guardproxy.demo.script import ScriptedReply, pieces
from guardproxy.wire.registry import installed

PIECE_CHARS = 3


class Answers:
    """Answers the next of `replies` to each request; the last one again and again. `bodies`: what was asked. `gone`: how many
    streams were ended by the other side. A reply with the fault `hang` stops, a stream after its first piece, until
    `go_on` is called."""

    def __init__(self) -> None:
        self.replies: list[ScriptedReply] = []
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.gone = 0
        self._going_on = asyncio.Event()
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="prepared answers", daemon=True)
        self._thread.start()
        self._runner = self._do(self._start())
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def will_say(self, *replies: ScriptedReply | str) -> None:
        """Prepares the answers and forgets what was asked before."""
        self.replies = [ScriptedReply(text=one) if isinstance(one, str) else one for one in replies]
        self.bodies, self.headers, self.gone = [], [], 0
        self._loop.call_soon_threadsafe(self._going_on.clear)

    def go_on(self) -> None:
        """Lets go what hangs, and what would hang later."""
        self._loop.call_soon_threadsafe(self._going_on.set)

    def wait_for(self, count: int) -> None:
        """Returns when so many requests have come."""
        self._wait(lambda: len(self.bodies) >= count)

    def wait_gone(self) -> None:
        """Returns when a stream was ended by the other side."""
        self._wait(lambda: self.gone > 0)

    def _wait(self, what: Callable[[], bool]) -> None:
        with self._changed:
            if not self._changed.wait_for(what, 60):
                raise TimeoutError("it did not happen")

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        self._do(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=60)
        self._loop.close()

    def _do(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=60)

    async def _start(self) -> web.AppRunner:
        built = web.Application()
        built.router.add_post("/{path:.*}", self._answer)
        runner = web.AppRunner(built, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        codec = installed().codec_for(f"{request.method} {request.path}")
        assert codec is not None
        author = codec.author
        tree = await request.json()
        reply = self.replies[min(len(self.bodies), len(self.replies) - 1)]
        self.bodies.append(tree)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self._notify()
        ident = f"{len(self.bodies):024d}"
        if reply.status:
            return web.json_response(author.error(reply.status, reply.text), status=reply.status)
        prompt = author.read(tree)
        hangs = reply.fault == "hang"
        if not prompt.stream:
            if hangs:
                await self._going_on.wait()
            return web.json_response(author.answer(prompt, reply, ident))
        return await self._stream(
            request, list(author.frames(prompt, reply, ident, partial(pieces, size=PIECE_CHARS))), hangs
        )

    async def _stream(self, request: web.Request, frames: Sequence[bytes], hangs: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        try:
            for one in frames:
                await response.write(one)
                if hangs:
                    await self._going_on.wait()
            await response.write_eof()
        except (asyncio.CancelledError, ConnectionError):
            self.gone += 1
            self._notify()
            raise
        return response


def arguments(**values: Any) -> str:
    """The arguments of a call, as a model writes them."""
    return json.dumps(values)
