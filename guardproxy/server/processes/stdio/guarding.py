"""Guards a server over its standard streams: reads messages of both sides, lets each be one exchange, and writes what follows.

A message of the client is a `POST`, and the answer with its id is the answer to it. A message that the server sends by itself
is the answer to a `GET`. So admission, driver and exchange are those of the proxy, and every message has a record.

Messages of a side keep their order: the next message of the client is read when the one before was sent to the server, and the
next of the server when the one before was given to the client. A message that is blocked is answered to its sender: the client
gets what a client of HTTP gets, a server that waits for an answer gets an error, and what waits for nothing is dropped.

Decision: docs/decisions/0066-an-mcp-server-has-a-door.md
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import msgspec
from aiohttp import web

from guardproxy import signals
from guardproxy.audit import numbers, path_of
from guardproxy.config import SETTINGS, Config, needs_no_port
from guardproxy.errors import AuditError, ConfigError, UpstreamError
from guardproxy.server.aiohttp_parts import HttpRequest, ShortResponse
from guardproxy.server.app import Server
from guardproxy.server.driving.recorder import log_of
from guardproxy.server.intake.feedback import OwnAnswer, OwnUpstream
from guardproxy.server.opening import check_folders, naming, starting
from guardproxy.server.processes.stdio.message_request import MessageRequest
from guardproxy.server.processes.stdio.pipes import LineCutter, PipeReader, PipeWriter
from guardproxy.server.processes.stdio.server_process import ServerProcess, ToServer, key_of
from guardproxy.server.upstream.mcp.door import PATH, SERVERS
from guardproxy.server.upstream.upstream import Answering

_log = logging.getLogger(__name__)
CANCELLED_S = 30.0  # after which nobody waits for the answer to a request that the client has cancelled
LAST_S = 1.0  # for the last messages, after one side has ended
TRIES = 5
MOST_LOGS = 256
_REFUSED = 400
_INTERNAL = -32603
_CANCELLED = "notifications/cancelled"


class StdioGuard:
    """A guard around a running server. `name`: of the server, in policies and records."""

    def __init__(self, server: Server, child: ServerProcess, name: str, config: Config) -> None:
        self._server = server
        self._child = child
        self._path = PATH + name
        self._conversation = secrets.token_hex(8)  # of this client with this server
        self._from_client = LineCutter(config.limits.body_bytes)
        self._from_server = LineCutter(config.limits.answer_bytes)
        self._client_in = PipeReader(0)
        self._client_out = PipeWriter(1)
        self._open: dict[asyncio.Task[None], bytes | None] = {}  # with the id of the request, if it is one
        self._given: dict[bytes, asyncio.Event] = {}
        self._stop = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> int:
        """Guards until the client ends its input or reads no more, the server ends, or `stop` is set. Returns the exit code."""
        self._stop = stop
        reading = asyncio.create_task(self._read_client(), name="client")
        answering = asyncio.create_task(self._read_server(), name="server")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait({reading, answering, stopping}, return_when=asyncio.FIRST_COMPLETED)
        reading.cancel()
        if answering.done():  # the server has ended, and the client learns it
            self._child.end()
            await asyncio.wait([*self._open, stopping], timeout=LAST_S)
        code = await self._child.stop()
        with suppress(TimeoutError, ConnectionError):  # what the server wrote at its end is the client's
            await asyncio.wait_for(answering, LAST_S)
        for task in (reading, stopping, *self._open):
            task.cancel()
        faults = await asyncio.gather(reading, answering, stopping, *self._open, return_exceptions=True)
        for fault in faults:
            if isinstance(fault, Exception) and not isinstance(fault, ConnectionError):
                raise fault
        return code

    # Messages of the client.

    async def _read_client(self) -> None:
        while data := await self._client_in.read():
            before = self._from_client.dropped
            for line in self._from_client.feed(data):
                await self._take_of_client(line)
            if self._from_client.dropped > before:
                _log.warning("a message of the client is too large", extra={"limit": "limit_body_bytes"})

    async def _take_of_client(self, line: bytes) -> None:
        """Begins the exchange of a message. Returns when the message was sent or refused."""
        message = _read(line)
        is_request = "method" in message and message.get("id") is not None
        key = key_of(message["id"]) if is_request else None
        carrier = ToServer(self._child, key)
        task = asyncio.create_task(self._exchange_of_client(line, message, key, carrier))
        self._open[task] = key
        task.add_done_callback(self._closed)
        task.add_done_callback(lambda _: carrier.begun.set())
        # The next message of the client waits until this one was written: MCP's order of messages is that of the
        # stream.
        await carrier.begun.wait()
        if message.get("method") == _CANCELLED:
            self._forget_later(message)

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._open.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, ConnectionError):  # nobody reads what the client gets
            self._stop.set()
        elif error:
            _log.error("unexpected fault", extra={"error": type(error).__name__}, exc_info=error)

    def _forget_later(self, message: Mapping[str, Any]) -> None:
        """Ends the exchange of a request that the client has cancelled, if the server does not answer it soon."""
        params = message.get("params")
        key = key_of(params.get("requestId")) if isinstance(params, dict) else b""
        tasks = [task for task, own in self._open.items() if own == key]
        if tasks:
            asyncio.get_running_loop().call_later(CANCELLED_S, tasks[0].cancel)

    async def _exchange_of_client(
        self, line: bytes, message: Mapping[str, Any], key: bytes | None, carrier: ToServer
    ) -> None:
        try:
            status, body = await self._handle("POST", line, carrier)
            if body and (key is not None or not message):
                if status >= _REFUSED and key is not None:
                    body = _addressed(body, message["id"])
                await self._client_out.write(_line(body))
            elif status >= _REFUSED:
                _log.warning("a message did not reach the server", extra={"status": status})
                if "method" not in message:
                    self._tell_server(message, "the answer was refused")
        finally:
            if key is not None and (given := self._given.pop(key, None)):
                given.set()

    # Messages of the server.

    async def _read_server(self) -> None:
        while data := await self._child.read():
            before = self._from_server.dropped
            for line in self._from_server.feed(data):
                await self._take_of_server(line)
            if self._from_server.dropped > before:
                _log.warning("a message of the server is too large", extra={"limit": "limit_answer_bytes"})

    async def _take_of_server(self, line: bytes) -> None:
        """Gives a message to the client, or to the exchange that waits for it. Returns when the client has it."""
        message = _read(line)
        if not message:
            _log.warning("the server wrote a line that is no message", extra={"bytes": len(line)})
        elif "method" in message:
            await self._exchange_of_server(line, message)
        elif self._child.is_expected(key := key_of(message.get("id"))):
            # Noted before the answer is passed on, as its exchange may end at once.
            given = self._given[key] = asyncio.Event()
            if self._child.answer(key, line):
                await given.wait()
            else:
                self._given.pop(key, None)
        else:
            _log.warning("the server answered a request that nobody waits for")

    async def _exchange_of_server(self, line: bytes, message: Mapping[str, Any]) -> None:
        status, body = await self._handle("GET", b"", OwnUpstream(OwnAnswer(line)))
        if status < _REFUSED and body:
            await self._client_out.write(_line(body))
            return
        _log.warning("a message did not reach the client", extra={"status": status})
        self._tell_server(message, "the request was refused")

    def _tell_server(self, message: Mapping[str, Any], why: str) -> None:
        """Tells the server that an answer for which it waits does not come. Does nothing if none has the id of this message, or
        if the server has ended."""
        if message.get("id") is not None:
            with suppress(UpstreamError):
                self._child.send(_error(message["id"], why))

    async def _handle(self, method: str, body: bytes, carrier: Answering) -> tuple[int, bytes]:
        """Lets a message be an exchange. Returns the status and the body of its answer."""
        request = MessageRequest(method, self._path, body, carrier, self._conversation)
        response = await self._server.handle(cast(HttpRequest, request))
        return response.status, _body_of(response)


def _read(line: bytes) -> dict[str, Any]:
    """Returns a message as a tree; empty if it is none."""
    try:
        tree = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _line(body: bytes) -> bytes:
    return body.strip().replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"  # line ends in JSON are spaces


def _addressed(body: bytes, identifier: Any) -> bytes:
    """Returns a refusal with the id of its request. One that came before the request was read has none, and over streams
    nothing else tells the client which request it is for."""
    refusal = _read(body)
    return msgspec.json.encode({**refusal, "id": identifier}) if refusal.get("id", 0) is None else body


def _error(identifier: Any, text: str) -> bytes:
    error = {"code": _INTERNAL, "message": f"guardproxy: {text}"}
    return msgspec.json.encode({"jsonrpc": "2.0", "id": identifier, "error": error})


def _body_of(response: web.StreamResponse) -> bytes:
    if isinstance(response, ShortResponse):
        return response.whole
    body = response.body if isinstance(response, web.Response) else b""
    return body if isinstance(body, bytes) else b""


async def guard(config: Config, name: str, command: Sequence[str]) -> int:
    """Starts a server and guards it to its end. Returns the exit code. Raises `ConfigError`."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    others = {key: setting.default for key, setting in SETTINGS.items() if not needs_no_port(setting)}
    config = config.having(**others | {SERVERS: (f"{name}=stdio:{name}",)})
    with starting(config):
        check_folders(config)
        try:
            child = await ServerProcess.start(command)
        except OSError as error:
            raise ConfigError(f"cannot start `{command[0]}`: {error.strerror or 'it cannot be run'}") from None
    try:
        server = _server(config)  # reads policies and models, while the server starts
    except BaseException:
        await child.stop()
        raise

    def from_signal(call: Callable[[], None]) -> Callable[[], None]:
        def ask() -> None:
            loop.call_soon_threadsafe(call)

        return ask

    with signals.serving(from_signal(stop.set), from_signal(server.reloading.ask)):
        background = [
            asyncio.create_task(work, name=label)
            for label, work in (
                ("reload", server.reloading.run(config.policies.reload_s)),
                ("clients", server.clients.run()),
                ("certificates", server.certificates.run()),
                ("lease", server.state.run()),
            )
        ]
        try:
            return await StdioGuard(server, child, name, config).run(stop)
        finally:
            for task in background:
                task.cancel()
            await server.drain()
            await server.close()


def _free_worker(folder: Path) -> int:
    """Returns the lowest number of a worker whose log no process writes. Another process may take it meanwhile."""
    for worker in range(MOST_LOGS):
        name = log_of(worker)
        path = path_of(folder, name, max(numbers(folder, name), default=0))
        if not path.exists():
            return worker
        with path.open("rb") as opened, suppress(BlockingIOError):
            fcntl.flock(opened.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            return worker
    raise AuditError(f"{MOST_LOGS} processes write their logs there")


def _server(config: Config) -> Server:
    """Returns the server of this process, with a log of its own: clients often start several guards."""
    for attempt in range(TRIES):
        with naming("audit"):
            worker = _free_worker(config.audit.folder)
        try:
            return Server(config, worker)
        except (AuditError, ConfigError) as error:
            if "in use by another process" not in str(error) or attempt == TRIES - 1:
                raise
    raise AssertionError("the last attempt raises")
