"""Runs the models for several workers in one process, over a unix socket.

In: the path of a socket. Out: `Serving`, the server, and `SharedScorer`, the client, which is a scorer like any other.
Kept: the server keeps each model that an open connection named, with its cached verdicts, so that the workers share
them; the client keeps one connection.

A message is JSON after four bytes with its length. The client first sends the model's name and digest, and the server
confirms them. Queries carry numbers and are answered in any order, with pieces or with the name of an error. When a
client hangs up or cancels a number, the server drops its work.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from guardproxy.checks import Query, ScoredPiece
from guardproxy.errors import ConfigError, GuardproxyError, NoCapacityError, Shortage
from guardproxy.inference.folders.model import Model, ModelDescription
from guardproxy.inference.scoring.scorer import Answer, ModelScorer

_log = logging.getLogger(__name__)

LIMIT_BYTES = 256 * 1024 * 1024
PACE_CHARS = 1_000_000
"""Each answer says how long the model takes for a text of so many characters."""
CONNECT_S = 60.0  # the first client of a model waits until the model is loaded


class SharedError(GuardproxyError):
    """The process that runs the models gave no usable answer."""


class SharedCapacityError(NoCapacityError, SharedError):
    """The process that runs the models has no capacity, or cannot be reached."""


async def _read(reader: asyncio.StreamReader) -> Any:
    """Returns the next message. Raises `EOFError` at the end of the connection."""
    size = int.from_bytes(await reader.readexactly(4))
    if size > LIMIT_BYTES:
        raise EOFError("a message is too long")
    return orjson.loads(await reader.readexactly(size))


def _encode(value: Any) -> bytes:
    content = orjson.dumps(value)
    return len(content).to_bytes(4) + content


class Serving:
    """Answers queries on a socket. `scorer(name)` loads or finds a model; it may block and may raise `ConfigError`."""

    def __init__(self, scorer: Callable[[str], ModelScorer]) -> None:
        self._scorer = scorer

    async def start(self, path: Path) -> asyncio.AbstractServer:
        """Starts to listen. The permissions of the socket's folder decide who can reach it."""
        return await asyncio.start_unix_server(self._answer, path)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks: dict[int, asyncio.Task[None]] = {}
        try:
            scorer = await self._greet(await _read(reader), writer)
            while scorer:
                message = await _read(reader)
                if (number := message.get("cancel")) is not None:
                    if task := tasks.get(number):
                        task.cancel()
                    continue
                number = message["id"]
                tasks[number] = asyncio.create_task(_judge(scorer, number, message["queries"], writer))
                tasks[number].add_done_callback(partial(_forget, tasks, number))
        except (EOFError, ConnectionError):
            pass  # the other side hung up
        finally:
            for task in list(tasks.values()):
                task.cancel()
            writer.close()

    async def _greet(self, hello: Any, writer: asyncio.StreamWriter) -> ModelScorer | None:
        provider = ""
        try:
            scorer = await asyncio.to_thread(self._scorer, hello["model"])
            error, provider = "", scorer.provider
            if scorer.digest != hello["digest"]:
                error = f"the model `{hello['model']}` changed while it was loaded"
        except ConfigError as refused:
            error = str(refused)
        writer.write(_encode({"error": error, "provider": provider}))
        return None if error else scorer


def _forget(tasks: dict[int, asyncio.Task[None]], number: int, _: object) -> None:
    tasks.pop(number, None)


async def _judge(scorer: ModelScorer, number: int, query_rows: Any, writer: asyncio.StreamWriter) -> None:
    try:
        queries = [Query(text, tuple(outputs), first_stage, kind) for text, outputs, first_stage, kind in query_rows]
        judged = await asyncio.wrap_future(scorer.submit(queries))
        pieces = [[(piece.start, piece.end, piece.scores, piece.cleared) for piece in text] for text in judged]
        answer: dict[str, Any] = {"id": number, "judged": pieces, "own_s": scorer.own_s(PACE_CHARS)}
    except NoCapacityError as error:
        answer = {"id": number, "error": type(error).__name__, "no_capacity": error.shortage.value}
    except Exception as error:
        answer = {"id": number, "error": type(error).__name__}  # never the message: it may quote the text
        _log.error("a model failed", extra={"error": answer["error"]})
    with suppress(ConnectionError):
        writer.write(_encode(answer))
        await writer.drain()


class SharedScorer(ModelDescription):
    """Implements `guardproxy.checks.Scorer` by queries to the process behind a socket. `model`: read from the local
    folder. `provider`: where that process runs the model, shown on the admin port."""

    def __init__(self, model: Model, path: Path) -> None:
        """Raises `ConfigError` when the process does not answer, or serves another model under this name."""
        super().__init__(model)
        self._loop = asyncio.new_event_loop()
        self._line = _Line(model, path)
        self.thread = threading.Thread(target=_live, args=(self._loop, self._line), name="supervisor-line", daemon=True)
        self.thread.start()
        self.close = weakref.finalize(self, self._loop.call_soon_threadsafe, self._loop.stop)
        try:
            asyncio.run_coroutine_threadsafe(self._line.open(), self._loop).result(CONNECT_S)
        except (SharedError, TimeoutError) as error:
            self.close()
            raise ConfigError(
                f"the process that runs the models does not serve `{model.folder.name}`: {error}"
            ) from error
        self.provider = f"{self._line.provider} in a process of its own"

    def judge(self, queries: Sequence[Query]) -> list[tuple[ScoredPiece, ...]]:
        """See `guardproxy.checks.Scorer.judge`."""
        return self.submit(queries).result()

    def own_s(self, chars: int) -> float:
        """Returns the seconds that the model takes for a text of `chars` characters; 0.0 before the first answer."""
        return self._line.pace_s * chars / PACE_CHARS

    def submit(self, queries: Sequence[Query]) -> Answer:
        """Returns a future of the result of `judge`; if it is cancelled, its rows do not run."""
        return asyncio.run_coroutine_threadsafe(self._line.ask(queries), self._loop)


def _live(loop: asyncio.AbstractEventLoop, line: _Line) -> None:
    """Runs the thread of a connection. It references no scorer, so that it ends when the scorer is collected."""
    loop.run_forever()
    loop.run_until_complete(line.close())
    loop.close()


class _Line:
    """The connection and its pending queries; used on one loop alone. `pace_s`: the seconds that the model takes for
    `PACE_CHARS` characters, which any thread may read."""

    def __init__(self, model: Model, path: Path) -> None:
        self._model = model
        self._path = path
        self.provider = ""
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count()
        self.pace_s = 0.0

    async def open(self) -> asyncio.StreamWriter:
        """Returns the open connection, and opens one if necessary. Raises `SharedError`."""
        async with self._opening:
            if self._writer:
                return self._writer
            try:
                reader, writer = await asyncio.open_unix_connection(self._path)
                writer.write(_encode({"model": self._model.folder.name, "digest": self._model.digest}))
                answer = await _read(reader)
            except (OSError, EOFError) as error:
                raise SharedCapacityError(Shortage.GONE, type(error).__name__) from error
            if answer["error"]:
                writer.close()
                raise SharedError(answer["error"])
            self.provider = answer["provider"]
            self._writer = writer
            self._reading = asyncio.create_task(self._read(reader))
            return writer

    async def ask(self, queries: Sequence[Query]) -> list[tuple[ScoredPiece, ...]]:
        writer = await self.open()
        number = next(self._numbers)
        # JSON cannot carry a lone surrogate. The tokenizer would get the same replacement.
        query_rows = [
            (query.text.encode("utf-8", "replace").decode("utf-8"), query.outputs, query.first_stage, query.kind)
            for query in queries
        ]
        answer = self._pending[number] = asyncio.get_running_loop().create_future()
        try:
            writer.write(_encode({"id": number, "queries": query_rows}))
            message = await answer
        except asyncio.CancelledError:
            writer.write(_encode({"cancel": number}))
            raise
        finally:
            del self._pending[number]
        if "no_capacity" in message:
            raise SharedCapacityError(Shortage(message["no_capacity"]), message["error"])
        if "error" in message:
            raise SharedError(message["error"])
        self.pace_s = message["own_s"]
        return [tuple(ScoredPiece(*piece) for piece in pieces) for pieces in message["judged"]]

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                message = await _read(reader)
                waiting = self._pending.get(message["id"])
                if waiting and not waiting.done():
                    waiting.set_result(message)
        except (EOFError, ConnectionError):
            self._hang_up()

    def _hang_up(self) -> None:
        if self._writer:
            self._writer.close()
        self._writer = None
        for waiting in self._pending.values():
            if not waiting.done():
                waiting.set_exception(SharedCapacityError(Shortage.GONE, "the process that runs the models is gone"))

    async def close(self) -> None:
        """Closes the connection for good and fails every query that still waits."""
        self._hang_up()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=1)
