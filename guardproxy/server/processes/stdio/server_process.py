"""The server process: messages to it in order, its messages with the requests that they answer.

In: messages of clients, lines of the server. Out: lines for the server, answers to requests. Kept: the requests that wait, by
their ids.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
from multidict import CIMultiDict

from guardproxy.errors import ErrorCode, UpstreamError
from guardproxy.server.intake.feedback import OwnAnswer
from guardproxy.server.processes.children import die_with_parent

OWN_VARIABLES = "GUARDPROXY_"
END_S = 2.0  # in which a server must end when its input ends, and again after SIGTERM
_PIPE_BYTES = 64 * 1024
_ACCEPTED = 202


class ServerProcess:
    """A running server. `process`: its process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._waiting: dict[bytes, deque[asyncio.Future[bytes]]] = {}
        self._is_over = False

    @classmethod
    async def start(cls, command: Sequence[str]) -> ServerProcess:
        """Starts a server. Its errors go where ours go. It gets our environment without our settings, which hold secrets. It
        ends with this process, however this process ends. Raises `OSError`."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)}
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,  # a Ctrl-C of the terminal comes to us, and we end it in order
            preexec_fn=partial(die_with_parent, signal.SIGTERM),
        )
        return cls(process)

    async def read(self) -> bytes:
        """Returns the next bytes that the server wrote; empty at the end."""
        assert self.process.stdout is not None  # noqa: S101 - a pipe
        return await self.process.stdout.read(_PIPE_BYTES)

    def send(self, line: bytes) -> None:
        """Writes a message for the server. Raises `UpstreamError` if it has ended."""
        pipe = self.process.stdin
        if self._is_over or pipe is None or pipe.is_closing():
            raise ended()
        pipe.write(line.replace(b"\n", b" ") + b"\n")  # line ends in JSON are spaces

    async def drain(self) -> None:
        """Waits until the server has taken enough of what was written. Raises `UpstreamError` if it has ended."""
        assert self.process.stdin is not None  # noqa: S101 - a pipe
        try:
            await self.process.stdin.drain()
        except (ConnectionError, OSError):
            raise ended() from None

    def expect(self, key: bytes) -> asyncio.Future[bytes]:
        """Returns where the answer to a request comes. `key`: its id as JSON."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(future)
        return future

    def forget(self, key: bytes, future: asyncio.Future[bytes]) -> None:
        """Notes that nobody waits for an answer any more."""
        waiting = self._waiting.get(key)
        if waiting is not None and future in waiting:
            waiting.remove(future)
            if not waiting:
                del self._waiting[key]

    def is_expected(self, key: bytes) -> bool:
        """Whether a request with this id waits for its answer."""
        return key in self._waiting

    def answer(self, key: bytes, line: bytes) -> bool:
        """Takes the answer to a request. Returns whether one waits for it."""
        waiting = self._waiting.get(key)
        while waiting:
            future = waiting.popleft()
            if not waiting:
                del self._waiting[key]
            if not future.done():
                future.set_result(line)
                return True
        return False

    def end(self) -> None:
        """Notes that no further answer comes."""
        self._is_over = True
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(ended())
        self._waiting.clear()

    async def stop(self) -> int:
        """Ends the server: closes its input, then sends SIGTERM, then SIGKILL. Returns its exit code, as a shell gives it."""
        process = self.process
        if process.stdin is not None:
            with suppress(ConnectionError, OSError):
                process.stdin.close()
        # MCP, lifecycle of stdio: first the end of its input, then SIGTERM, then SIGKILL, each after a while.
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                await asyncio.wait_for(process.wait(), END_S)
                break
            except TimeoutError:
                _signal(process, number)
        code = await process.wait()
        _signal(process, signal.SIGKILL)  # what it started and left
        return code if code >= 0 else 128 - code


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def ended() -> UpstreamError:
    return UpstreamError(ErrorCode.UPSTREAM_FAILED, "the server has ended")


def key_of(identifier: Any) -> bytes:
    """Returns the id of a message as a key; "1" and 1 are different ids."""
    return msgspec.json.encode(identifier)


class ToServer:
    """Carries a message to the server, and waits for its answer, in the place of an upstream. `key`: the id of the request;
    `None` for a message that is not answered. `begun`: set once the message was written, or was not."""

    def __init__(self, child: ServerProcess, key: bytes | None) -> None:
        self._child = child
        self._key = key
        self._future: asyncio.Future[bytes] | None = None
        self._fault: UpstreamError | None = None
        self._left = b""
        self.begun = asyncio.Event()
        self.sending: ToServer | None = None
        self.response: OwnAnswer | None = None

    def begin(
        self, method: str, url: str, headers: CIMultiDict[str], body: bytes | None, *, at_once: bool = False
    ) -> None:
        """Writes the message, which policies have edited."""
        self.close()
        self.sending, self.response = self, None
        try:
            self._child.send(body or b"")
            self._future = None if self._key is None else self._child.expect(self._key)
        except UpstreamError as error:
            self._fault = error
        self.begun.set()

    async def head(self) -> OwnAnswer:
        """Returns the answer of the server. Raises `UpstreamError` if it ends without one."""
        self.sending = None
        if self._fault:
            raise self._fault
        await self._child.drain()
        if self._future is None:
            self.response = OwnAnswer(b"", _ACCEPTED)
        else:
            self.response = OwnAnswer(await self._future)
        self._left = self.response.body
        return self.response

    async def read(self) -> bytes:
        """Returns the body, then nothing."""
        return self.arrived()

    def arrived(self) -> bytes:
        """Returns the body, then nothing."""
        data, self._left = self._left, b""
        return data

    def release(self) -> None:
        """Does nothing: there is no connection."""

    def close(self) -> None:
        """Waits for no answer any more."""
        future, self._future = self._future, None
        if future is not None and self._key is not None:
            self._child.forget(self._key, future)
            future.cancel()
        self.begun.set()
