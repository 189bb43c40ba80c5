"""Reads the rest of answers that are complete, so that their connections can be used again.

In: answers of which nothing more is needed. Out: connections in the pool, or closed connections. Kept: a
task for each answer whose body has not ended yet.

A stream is complete with its terminal event, but its connection is free only after the end of the body, which may come in
another packet. Closing the connection instead would cost the next request a TCP and a TLS handshake. The rest is bounded in
bytes and in time, and no client waits for it.
"""

from __future__ import annotations

import asyncio

import aiohttp

from guardproxy.server.upstream.connections import UpstreamAnswer

LIMIT_BYTES = 64 * 1024
LIMIT_S = 2.0
LIMIT_ANSWERS = 1_000


class Leftovers:
    """The answers whose rest is being read. `limit_bytes`, `limit_s`: for the rest of an answer; `limit_answers`: at a time."""

    def __init__(
        self, limit_bytes: int = LIMIT_BYTES, limit_s: float = LIMIT_S, limit_answers: int = LIMIT_ANSWERS
    ) -> None:
        self._limit_bytes = limit_bytes
        self._limit_s = limit_s
        self._limit_answers = limit_answers
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """The number of answers whose rest is being read."""
        return len(self._tasks)

    def take(self, response: UpstreamAnswer) -> None:
        """Reads the rest of an answer in the background. Closes its connection if the rest does not come or is too large."""
        if response.content.is_eof():
            response.close()  # its connection is free already
        elif len(self._tasks) >= self._limit_answers:
            response.close()
        else:
            task = asyncio.create_task(self._read(response))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Closes the connections of all answers whose rest is being read."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _read(self, response: UpstreamAnswer) -> None:
        left_bytes = self._limit_bytes
        try:
            async with asyncio.timeout(self._limit_s):
                while left_bytes > 0 and (data := await response.content.readany()):
                    left_bytes -= len(data)
        except (TimeoutError, aiohttp.ClientError, OSError):
            pass
        finally:
            response.close()  # does nothing if the body has ended
