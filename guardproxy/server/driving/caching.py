"""The cache as exchanges use it: looks for an answer before the upstream is asked, and stores the upstream's answer.

In: queries of exchanges, and the bytes of the upstream. Out: a stored answer as the inputs of an upstream's answer, and headers
that tell the client. Kept: the bytes of the answers under way, each up to the size that is stored.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from guardproxy.audit.record import RecordedCache
from guardproxy.errors import SealError, StoreError
from guardproxy.exchange import (
    DataReceived,
    Exchange,
    Input,
    PassThrough,
    ResponseEnded,
    ResponseStarted,
    SendUpstream,
    caching,
    reformed,
)
from guardproxy.server.driving.answer_cache import AnswerCache, FoundAnswer, MemoryAnswers, SharedAnswers
from guardproxy.server.driving.similar.comparing import QuestionComparison, SimilarQuestions
from guardproxy.server.driving.store_cipher import NOBODY, EntryOwner, Owners
from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.upstream.targets import Targets

HEADER = "x-guardproxy-cache"
# Headers that do not change an answer, or that the key of the query stands for (the credential).
_IRRELEVANT = frozenset(
    (
        *("authorization", "x-api-key", "api-key", "x-goog-api-key"),
        *("user-agent", "accept", "accept-language", "accept-encoding", "content-length", "x-goog-api-client"),
        *("traceparent", "tracestate", "baggage", "idempotency-key", "x-idempotency-key", "x-request-id"),
        "x-client-request-id",
    )
)
_IRRELEVANT_BEGINS = "x-stainless-"
SMALL_BYTES = 4096  # a larger answer is written in another form in a thread


class Caches:
    """The caches of a process. `memory`: in this process; `shared`: used instead if replicas share their state. `similar`:
    compares questions; `owners`: of texts that policies seal."""

    def __init__(
        self,
        memory: MemoryAnswers,
        shared: SharedAnswers | None,
        metrics: Metrics,
        similar: SimilarQuestions,
        owners: Owners,
    ) -> None:
        self._memory = memory
        self._shared = shared
        self.similar = similar
        self.owners = owners
        self.metrics = metrics
        self.collected_bytes = 0  # of answers under way
        metrics.cache_answers.set_function(lambda: len(memory))
        metrics.cache_bytes.set_function(lambda: memory.used_bytes)
        metrics.cache_evicted.set_function(lambda: memory.evicted)

    @property
    def answers(self) -> AnswerCache:
        """The cache of answers that is used."""
        return self._memory if self._shared is None else self._shared

    @property
    def is_full(self) -> bool:
        """Whether the answers under way take as much memory as stored answers may take."""
        return self.collected_bytes > self._memory.limit_bytes

    async def purge(self) -> dict[str, object]:
        """Drops all answers, for the admin port."""
        await self._memory.purge()
        self.similar.memory.purge()
        try:
            if self._shared is not None:
                await self._shared.purge()
        except StoreError as error:
            return {"ok": False, "error": str(error)}
        return {"ok": True}

    async def close(self, timeout_s: float) -> None:
        await self.similar.close(timeout_s)
        if self._shared is not None:
            await self._shared.close(timeout_s)


class CachedResponse:
    """Stands for the upstream's response where its headers are forwarded."""

    def __init__(self, media_type: str) -> None:
        self.headers: Mapping[str, str] = {"Content-Type": media_type}


class Recall:
    """The cache as one exchange uses it. `coming`: the inputs of a stored answer that the exchange has not received yet.
    `told`: what the cache had. `response`: has the headers of a stored answer; `None` if the upstream answers."""

    def __init__(self, caches: Caches, query: caching.CacheQuery, request: web.BaseRequest) -> None:
        self._caches = caches
        self._query = query
        self._cache = caches.answers
        self._control = ",".join(request.headers.getall("Cache-Control", ())).lower()
        self._found: FoundAnswer | None = None
        self._body = bytearray()
        self._is_stored = False
        self._owner = NOBODY
        self._comparison: QuestionComparison | None = None
        self.coming: deque[Input] = deque()
        self.told: RecordedCache | None = None
        self.response: CachedResponse | None = None

    async def look(self, headers: CIMultiDict[str], at_s: float) -> None:
        """Looks for an answer. If there is one, it is in `coming`. `headers`: those for the upstream."""
        self._query = query = with_headers(self._query, headers)
        try:
            self._owner = await self._owner_of(query)
            self._found = await self._alive(await self._cache.find(query))
        except (SealError, StoreError):
            self._tell("failed")
            return
        # After the look, which every exchange makes: the generation that it brings is needed for a later write.
        self._is_stored = "no-store" not in self._control
        if not self._is_stored or "no-cache" in self._control:
            self._tell("bypass")
            return
        if self._found.answer is None:
            self._found = await self._compared(query, self._found)
        stored = self._found.answer
        answer = None if stored is None else await _reformed(query, stored)
        if answer is None:
            self._tell("miss")
            return
        age_s = round(max(0.0, time.time() - answer.at_s), 3)
        self._tell("hit", source=answer.source, age_s=age_s)
        if not query.is_enforced:
            return
        self.response = CachedResponse(answer.media_type)
        self.coming.append(ResponseStarted(200, answer.media_type, at_s, self.told))
        self.coming.append(DataReceived(answer.body, at_s))
        self.coming.append(ResponseEnded(at_s))

    async def _owner_of(self, query: caching.CacheQuery) -> EntryOwner:
        """The owner of the texts. Raises `SealError`."""
        return NOBODY if query.owner is None else await asyncio.to_thread(self._caches.owners.of, query.owner)

    async def _alive(self, found: FoundAnswer) -> FoundAnswer:
        """What was found, unless the owner of its texts was erased: such an answer is dropped."""
        answer = found.answer
        if answer is None or not answer.owner:
            return found
        if await asyncio.to_thread(self._caches.owners.has, answer.owner, answer.proof):
            return found
        self._cache.drop(found.key)
        return FoundAnswer(found.generation)

    async def _compared(self, query: caching.CacheQuery, missed: FoundAnswer) -> FoundAnswer:
        """Looks for the answer to a question that asks the same in other words. `missed`: the look for this one."""
        if query.question is None or self._caches.similar.models is None:
            return missed
        self._comparison = comparison = await self._caches.similar.compare(query, missed.generation)
        if comparison is None or comparison.found is None:
            return missed
        other = msgspec.structs.replace(query, key=comparison.found.key)
        try:
            found = await self._alive(await self._cache.find(other))
        except StoreError:
            return missed
        # A purge between the two looks must win.
        if found.answer is None or found.generation != missed.generation:
            self._caches.similar.gone(comparison)
            return missed
        return found

    def _tell(self, result: Literal["hit", "miss", "bypass", "failed"], **found: Any) -> None:
        """Notes what the cache had. `found`: members of the record about the answer that was found."""
        query = self._query
        mode: Literal["enforce", "shadow"] = "enforce" if query.is_enforced else "shadow"
        self._caches.metrics.cache_lookups.labels(query.match, mode, result).inc()
        self.told = RecordedCache(
            result=result,
            match=query.match,
            mode=mode,
            policies=query.policies,
            likeness=self._comparison.told if self._comparison else None,
            **found,
        )

    @property
    def headers(self) -> Mapping[str, str]:
        """The header that tells the client what the cache had; none in shadow mode."""
        return {HEADER: self.told.result} if self.told is not None and self._query.is_enforced else {}

    def note(self, data: bytes) -> None:
        """Notes bytes of the upstream's answer."""
        if self._is_stored and self.response is None:
            self._body += data
            self._caches.collected_bytes += len(data)
            if len(self._body) > self._cache.largest_bytes or self._caches.is_full:
                self._is_stored = False
                self.close()

    def give_up(self) -> None:
        """Ends the use of the cache: a rule refused the first answer, so the upstream is asked for another one."""
        self._drop()
        self._is_stored = False
        self.response = None
        self.coming.clear()
        self.close()

    def close(self) -> None:
        """Gives up the bytes of the answer."""
        self._caches.collected_bytes -= len(self._body)
        self._body.clear()

    def finish(self, exchange: Exchange | PassThrough, outcome: str) -> None:
        """Stores the answer of an exchange that has ended, or drops the answer that a rule did not let through again."""
        # A rule that is stricter now refuses the stored answer. It would be found, checked and refused again each time.
        if self.response is not None and outcome.startswith("blocked"):
            self._drop()
        if self.response is not None or self._found is None or not self._is_stored or outcome != "answered":
            return
        assert isinstance(exchange, Exchange)  # noqa: S101 - no other exchange asks the cache
        if (answer := exchange.stored_answer(bytes(self._body), time.time())) is not None:
            owner, query = self._owner, self._query
            if owner.name:
                answer = msgspec.structs.replace(answer, owner=owner.name, proof=owner.proof)
            self._cache.put(query, self._found.generation, answer, owner.secret)
            self._caches.metrics.cache_stored.inc()
            if self._comparison is not None:
                self._caches.similar.keep(self._comparison, query.key, answer.source, query.section.ttl_s, owner)

    def _drop(self) -> None:
        if self.response is not None and self._found is not None:
            self._cache.drop(self._found.key)


async def _reformed(query: caching.CacheQuery, stored: caching.StoredAnswer) -> caching.StoredAnswer | None:
    """`reformed`, in a thread if it takes long."""
    if stored.streamed == query.is_streamed or len(stored.body) <= SMALL_BYTES:
        return reformed(query, stored)
    return await asyncio.to_thread(reformed, query, stored)


async def recalled(
    command: SendUpstream,
    earlier: Recall | None,
    caches: Caches | None,
    request: web.BaseRequest,
    targets: Targets,
) -> Recall | None:
    """Returns the cache for a request that is about to go upstream, after a look for its answer; `None` if it does not use the
    cache. `earlier`: that of the attempt before."""
    if command.cache is not None and caches is not None:
        recall = Recall(caches, command.cache, request)
        await recall.look(targets.ask(command.target)[1], time.perf_counter())
        return recall
    if earlier is not None:
        earlier.give_up()
    return earlier


def with_headers(query: caching.CacheQuery, headers: CIMultiDict[str]) -> caching.CacheQuery:
    """Returns the query for a request with these headers for the upstream. Every header counts but those that are known not to
    change an answer."""
    relevant = sorted(
        (low, value)
        for name, value in headers.items()
        if (low := name.lower()) not in _IRRELEVANT and not low.startswith(_IRRELEVANT_BEGINS)
    )
    given = msgspec.json.encode(relevant)
    question = query.question
    if question is not None:
        question = msgspec.structs.replace(question, partition=_digest(question.partition, given))
    return msgspec.structs.replace(query, key=_digest(query.key, given), question=question)


def _digest(key: str, headers: bytes) -> str:
    return hashlib.blake2b(key.encode() + headers, digest_size=16).hexdigest()
