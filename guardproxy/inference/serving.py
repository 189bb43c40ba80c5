"""Runs the models for several workers in one process, over a unix socket.

In: the path of a socket. Out: `Serving`, the server, and two clients: `SharedScorer`, a scorer like any other, and
`SharedPairs`, a judge of pairs like any other. Kept: the server keeps each model that an open connection named, with its
cached verdicts, so that the workers share them; a client keeps one connection.

A message is JSON after four bytes with its length. The client first sends what the model gives, its name and its digest, and
the server confirms them. Queries carry numbers and are answered in any order, with pieces or scores, or with the name of an
error. When a client hangs up or cancels a number, the server drops its work.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from guardproxy.checks import PairScores, Query, ScoredPiece, TextPair
from guardproxy.errors import ConfigError, GuardproxyError, NoCapacityError, Shortage
from guardproxy.inference.folders.model import Model, ModelDescription
from guardproxy.inference.pairs.judge import ModelPairJudge, PairAnswer, PairDescription
from guardproxy.inference.pairs.model import KIND as PAIRS
from guardproxy.inference.pairs.model import PairModel
from guardproxy.inference.scoring.scorer import Answer, ModelScorer

_log = logging.getLogger(__name__)

LIMIT_BYTES = 256 * 1024 * 1024
SCORES = "scores"
"""What a model gives that is no judge of pairs, as its configuration says it."""
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


def _sendable(text: str) -> str:
    """Returns a text that JSON can carry: without lone surrogates. The tokenizer would get the same replacement."""
    return text.encode("utf-8", "replace").decode("utf-8")


class Serving:
    """Answers queries on a socket. `scorer(name)` and `pairs(name)` load or find a model; they may block and may raise
    `ConfigError`."""

    def __init__(self, scorer: Callable[[str], ModelScorer], pairs: Callable[[str], ModelPairJudge]) -> None:
        self._models: Mapping[str, Callable[[str], ModelScorer | ModelPairJudge]] = {SCORES: scorer, PAIRS: pairs}

    async def start(self, path: Path) -> asyncio.AbstractServer:
        """Starts to listen. The permissions of the socket's folder decide who can reach it."""
        return await asyncio.start_unix_server(self._answer, path)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks: dict[int, asyncio.Task[None]] = {}
        try:
            model = await self._greet(await _read(reader), writer)
            while model:
                message = await _read(reader)
                if (number := message.get("cancel")) is not None:
                    if task := tasks.get(number):
                        task.cancel()
                    continue
                number = message["id"]
                tasks[number] = asyncio.create_task(_judge(model, number, message["queries"], writer))
                tasks[number].add_done_callback(partial(_forget, tasks, number))
        except (EOFError, ConnectionError):
            pass  # the other side hung up
        finally:
            for task in list(tasks.values()):
                task.cancel()
            writer.close()

    async def _greet(self, hello: Any, writer: asyncio.StreamWriter) -> ModelScorer | ModelPairJudge | None:
        provider = ""
        try:
            model = await asyncio.to_thread(self._models[hello["gives"]], hello["model"])
            error, provider = "", model.provider
            if model.digest != hello["digest"]:
                error = f"the model `{hello['model']}` changed while it was loaded"
        except ConfigError as refused:
            error = str(refused)
        writer.write(_encode({"error": error, "provider": provider}))
        return None if error else model


def _forget(tasks: dict[int, asyncio.Task[None]], number: int, _: object) -> None:
    tasks.pop(number, None)


async def _judge(model: ModelScorer | ModelPairJudge, number: int, rows: Any, writer: asyncio.StreamWriter) -> None:
    try:
        judged = await (_scores(model, rows) if isinstance(model, ModelScorer) else _pairs(model, rows))
        answer = _encode({"id": number, "judged": judged, "own_s": model.own_s(PACE_CHARS)})
    except NoCapacityError as error:
        answer = _encode({"id": number, "error": type(error).__name__, "no_capacity": error.shortage.value})
    except Exception as error:
        name = type(error).__name__  # never the message: it may quote the text
        answer = _encode({"id": number, "error": name})
        _log.error("a model failed", extra={"error": name})
    with suppress(ConnectionError):
        writer.write(answer)
        await writer.drain()


async def _scores(scorer: ModelScorer, rows: Any) -> list[Any]:
    queries = [Query(text, tuple(outputs), first_stage, kind) for text, outputs, first_stage, kind in rows]
    judged = await asyncio.wrap_future(scorer.submit(queries))
    return [[(piece.start, piece.end, piece.scores, piece.cleared) for piece in text] for text in judged]


async def _pairs(judge: ModelPairJudge, rows: Any) -> list[Any]:
    judged = await asyncio.wrap_future(judge.submit([TextPair(*texts) for texts in rows]))
    return [tuple(scores) for scores in judged]  # JSON has no named tuples


class _Shared:
    """The client of a model that another process runs. `thread`: of its connection, which ends with it. `provider`: where that
    process runs the model, shown on the admin port."""

    def _connect(self, model: Model | PairModel, gives: str, path: Path) -> None:
        """Raises `ConfigError` when the process does not answer, or serves another model under this name."""
        self._loop = asyncio.new_event_loop()
        self._line = _Line({"gives": gives, "model": model.folder.name, "digest": model.digest}, path)
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

    def own_s(self, chars: int) -> float:
        """Returns the seconds that the model takes for `chars` characters; 0.0 before the first answer."""
        return self._line.pace_s * chars / PACE_CHARS


class SharedScorer(ModelDescription, _Shared):
    """Implements `guardproxy.checks.Scorer` by queries to the process behind a socket. `model`: read from the local
    folder."""

    def __init__(self, model: Model, path: Path) -> None:
        """Raises `ConfigError`; see `_Shared`."""
        super().__init__(model)
        self._connect(model, SCORES, path)

    def judge(self, queries: Sequence[Query]) -> list[tuple[ScoredPiece, ...]]:
        """See `guardproxy.checks.Scorer.judge`."""
        return self.submit(queries).result()

    def submit(self, queries: Sequence[Query]) -> Answer:
        """Returns a future of the result of `judge`; if it is cancelled, its rows do not run."""
        rows = [(_sendable(query.text), query.outputs, query.first_stage, query.kind) for query in queries]
        return asyncio.run_coroutine_threadsafe(_pieces(self._line.ask(rows)), self._loop)


async def _pieces(judged: Awaitable[Any]) -> list[tuple[ScoredPiece, ...]]:
    return [tuple(ScoredPiece(*piece) for piece in pieces) for pieces in await judged]


class SharedPairs(PairDescription, _Shared):
    """Implements `guardproxy.checks.PairJudge` by queries to the process behind a socket. `model`: read from the local
    folder."""

    def __init__(self, model: PairModel, path: Path) -> None:
        """Raises `ConfigError`; see `_Shared`."""
        super().__init__(model)
        self._connect(model, PAIRS, path)

    def judge(self, pairs: Sequence[TextPair]) -> list[PairScores]:
        """See `guardproxy.checks.PairJudge.judge`."""
        return self.submit(pairs).result()

    def submit(self, pairs: Sequence[TextPair]) -> PairAnswer:
        """Returns a future of the result of `judge`; if it is cancelled, its rows do not run."""
        rows = [[_sendable(text) for text in pair] for pair in pairs]
        return asyncio.run_coroutine_threadsafe(_pair_scores(self._line.ask(rows)), self._loop)


async def _pair_scores(judged: Awaitable[Any]) -> list[PairScores]:
    return [PairScores(*scores) for scores in await judged]


def _live(loop: asyncio.AbstractEventLoop, line: _Line) -> None:
    """Runs the thread of a connection. It references no client, so that it ends when the client is collected."""
    loop.run_forever()
    loop.run_until_complete(line.close())
    loop.close()


class _Line:
    """The connection and its pending queries; used on one loop alone. `hello`: its first message. `pace_s`: the seconds that
    the model takes for `PACE_CHARS` characters, which any thread may read."""

    def __init__(self, hello: Mapping[str, str], path: Path) -> None:
        self._hello = hello
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
                writer.write(_encode(self._hello))
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

    async def ask(self, rows: Sequence[Any]) -> Any:
        """Returns the answers to the rows of a message. Raises `SharedError`."""
        writer = await self.open()
        number = next(self._numbers)
        answer = self._pending[number] = asyncio.get_running_loop().create_future()
        try:
            writer.write(_encode({"id": number, "queries": rows}))
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
        return message["judged"]

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
