"""The questions whose answers are stored, in a server with vector search: Redis from version 8, Redis Stack, or Valkey with its
search module.

In: questions with their vectors. Out: those that are nearest to another one. Kept there: a hash for each question, which
expires by itself. Its name is a keyed digest, its text is sealed, and its vector is `hidden`: whoever reads the server cannot
compare it with the vector of a text of their own. This is no encryption: who knows some of the questions may find the order of
the numbers. So questions that policies seal for a subject stay in the process.

A server without vector search says so at the first use, and questions then stay in the process (`fault`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import msgspec

from guardproxy.errors import RefusedError, StoreError
from guardproxy.exchange import caching
from guardproxy.server.driving.similar.questions import LEAST_COSINE, NearQuestion, StoredQuestion, hidden

LACKS = "the server of `state` has no vector search"
_PUT = """
redis.call('HSET', KEYS[1], 'partition', ARGV[1], 'vector', ARGV[2], 'stored', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
"""


Word = str | bytes | int


class AskedServer(Protocol):
    """A server that takes commands."""

    async def ask(self, *words: Word) -> Any:
        """Returns the answer to a command, as the library decodes it. Raises `StoreError`, and `RefusedError` for a command
        that the server refuses."""
        ...


class SharedQuestions:
    """Keeps questions in a server. `model`: the digest of the embedder; `dimensions`: of its vectors; `secret_of`: returns the
    bytes that decide how the vectors of a partition are hidden; `run`: awaits a function in a thread. `fault`: why the server
    cannot be used, as far as known."""

    def __init__(
        self,
        server: AskedServer,
        model: str,
        dimensions: int,
        secret_of: Callable[[str], bytes],
        run: Callable[..., Awaitable[Any]],
    ) -> None:
        self.model = model
        self._server = server
        self._index = f"guardproxy:questions:{model[:16]}"
        self._prefix = f"guardproxy:question:{model[:16]}:"
        self._dimensions = dimensions
        self._secret_of = secret_of
        self._run = run
        self._is_ready = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.fault = ""

    async def is_usable(self) -> bool:
        """Whether the server has vector search. Makes the index if there is none. Raises `StoreError` if it cannot be
        reached."""
        if self._is_ready or self.fault:
            return self._is_ready
        vector: list[Word] = ["TYPE", "FLOAT32", "DIM", self._dimensions, "DISTANCE_METRIC", "COSINE"]
        about: list[Word] = ["ON", "HASH", "PREFIX", 1, self._prefix]
        schema: list[Word] = ["SCHEMA", "partition", "TAG", "vector", "VECTOR", "HNSW", len(vector), *vector]
        try:
            await self._server.ask("FT.CREATE", self._index, *about, *schema)
        except RefusedError as error:
            refusal = str(error).lower()
            if "unknown command" in refusal:
                self.fault = LACKS
                return False
            if "exists" not in refusal:  # such as a replica that takes no writes: the next request asks again
                return False
        self._is_ready = True
        return True

    async def nearest(
        self, question: caching.CachedQuestion, generation: str, vector: bytes, most: int
    ) -> list[NearQuestion]:
        query = f"@partition:{{{_tag(question, generation)}}}=>[KNN {most} @vector $v AS distance]"
        numbers = await self._run(_numbers, vector, self._secret_of(question.partition))
        shown: list[Word] = ["RETURN", 2, "stored", "distance", "LIMIT", 0, most, "DIALECT", 2]
        try:
            answer = await self._server.ask("FT.SEARCH", self._index, query, "PARAMS", 2, "v", numbers, *shown)
        except RefusedError:
            self._is_ready = False  # the index may be gone with the server that had it; the next request makes it again
            raise
        near = [found for fields in _documents(answer) if (found := _near(fields)) is not None]
        return sorted(near, key=lambda found: -found.similarity)

    def put(self, question: caching.CachedQuestion, generation: str, stored: StoredQuestion, ttl_s: float) -> None:
        self._begin(self._put(question, generation, stored, ttl_s))

    async def _put(
        self, question: caching.CachedQuestion, generation: str, stored: StoredQuestion, ttl_s: float
    ) -> None:
        numbers = await self._run(_numbers, stored.vector, self._secret_of(question.partition))
        text = msgspec.json.encode((stored.key, stored.source, stored.sealed))
        name, tag = self._name(stored), _tag(question, generation)
        await self._server.ask("EVAL", _PUT, 1, name, tag, numbers, text, max(1, round(ttl_s * 1000)))

    def drop(self, question: caching.CachedQuestion, stored: StoredQuestion) -> None:
        self._begin(self._drop(stored))

    async def _drop(self, stored: StoredQuestion) -> None:
        await self._server.ask("DEL", self._name(stored))

    def _name(self, stored: StoredQuestion) -> str:
        return f"{self._prefix}{stored.key.removeprefix('cache:')}"

    def _begin(self, work: Any) -> None:
        """Begins what no client waits for."""
        task = asyncio.get_running_loop().create_task(self._done(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _done(work: Awaitable[None]) -> None:
        with suppress(StoreError):  # the question is a miss the next time
            await work

    async def close(self, timeout_s: float) -> None:
        """Waits for what is under way."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)


def _tag(question: caching.CachedQuestion, generation: str) -> str:
    """What the entries of a partition share; digits and letters only. After a purge it is another."""
    return f"{question.partition}{generation}"


def _numbers(vector: bytes, secret: bytes) -> bytes:
    """The vector as the server keeps it."""
    import numpy  # noqa: PLC0415 - only processes with such a cache need it

    return numpy.frombuffer(hidden(vector, secret), numpy.int8).astype("<f4").tobytes()


def _documents(answer: Any) -> list[Mapping[bytes, bytes]]:
    """The fields of the documents of an answer of `FT.SEARCH`, in either version of the protocol."""
    if isinstance(answer, Mapping):
        results: Sequence[Any] = answer.get(b"results") or ()
        return [result.get(b"extra_attributes") or {} for result in results]
    documents: Sequence[Any] = answer[2::2] if isinstance(answer, (list, tuple)) else ()
    return [
        fields if isinstance(fields, Mapping) else dict(zip(fields[::2], fields[1::2], strict=False))
        for fields in documents
    ]


def _near(fields: Mapping[bytes, bytes]) -> NearQuestion | None:
    """The question of a document; `None` if another version wrote it, or if it is too far away."""
    try:
        similarity = round(1 - float(fields[b"distance"]), 4)
        key, source, sealed = msgspec.json.decode(fields[b"stored"], type=tuple[str, str, str])
    except (KeyError, ValueError):
        return None
    return NearQuestion(StoredQuestion(key, source, b"", sealed), similarity) if similarity >= LEAST_COSINE else None
