"""Compares the question of a request with those whose answers are stored, by models.

In: the question. Out: the place of the answer to a question that asks the same, and how the two were compared. An embedding
proposes the nearest questions, particulars refuse those that differ in a number, a name or a negation, and a network judges
what is left, two at most, both ways. Only all three together make a hit.

Everything runs in threads of its own and within a time limit. What fails, is late or finds no thread is a miss, never an error:
the upstream answers then. A question is kept sealed, with the key of its owner if policies seal texts.

Decision: docs/decisions/0076-a-model-proposes-and-particulars-refuse.md
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

from guardproxy.audit.record import RecordedLikeness
from guardproxy.checks import Embedder, PairJudge, PairScores, TextPair
from guardproxy.errors import ConfigError, GuardproxyError, NoCapacityError
from guardproxy.exchange import caching
from guardproxy.policy.sections import CacheSection
from guardproxy.server.driving.similar.questions import (
    MemoryQuestions,
    NearQuestion,
    QuestionStore,
    StoredQuestion,
    cosine,
)
from guardproxy.server.driving.similar.shared import SharedQuestions
from guardproxy.server.driving.store_cipher import EntryOwner, Owners, StoreCipher
from guardproxy.server.observing.metrics import Metrics

LIMIT_S = 0.2
"""For which a request waits at most. A hit takes some 10 ms; a model that answers later is busy."""
THREADS = 2
MOST_WAITING = 8
"""Comparisons under way, those included whose exchange no longer waits."""
MOST_NEAR = 16
"""The nearest questions whose particulars are compared."""
MOST_JUDGED = 2
_log = logging.getLogger(__name__)

Result = TypeVar("Result")
_Word = Literal["same", "different", "none", "gone", "late", "busy", "failed"]


@dataclass(frozen=True, slots=True)
class QuestionModels:
    """The models that compare questions. They may be used in any thread."""

    embedder: Embedder
    judge: PairJudge

    def point(self, section: CacheSection) -> float:
        """Returns the lowest probability that counts. Raises `ConfigError` for a point that the model does not have."""
        return max(map(self._value, section.every_point))

    def alike(self) -> Callable[[str, str], float]:
        """Returns a function that gives the cosine of two words. A word is embedded once: texts are compared word by word."""
        vectors: dict[str, bytes] = {}

        def vector(word: str) -> bytes:
            if word not in vectors:
                (vectors[word],) = self.embedder.embed([word])
            return vectors[word]

        return lambda first, second: cosine(vector(first), vector(second))

    def _value(self, point: str | float) -> float:
        if not isinstance(point, str):
            return float(point)
        if point not in self.judge.points:
            known = ", ".join(sorted(self.judge.points))
            raise ConfigError(f"the model that compares questions has no operating point `{point}` (it has: {known})")
        value = self.judge.points[point]
        if value < LEAST_POINT:
            raise ConfigError(f"the operating point `{point}` ({value}) lets other questions through; take `same`")
        return value


LEAST_POINT = 0.5
"""The lowest probability at which two questions may be the same; policies may name no lower number either."""


class _Verdict(NamedTuple):
    """What comparing questions has found. `nearest`: the one that asks the same (`is_same`), or else the first that was judged,
    with its `scores`; `closed`: those that nobody can open any more."""

    is_same: bool
    nearest: NearQuestion | None
    scores: tuple[PairScores, ...]
    closed: tuple[StoredQuestion, ...]


class QuestionComparison:
    """A comparison of the question of one request. `told`: what the record says of it; `found`: the question that asks the
    same. `vector`: of the question, if a model gave one; `questions`: where it was compared; `is_awaited`: whether the request
    still waits."""

    def __init__(self, question: caching.CachedQuestion) -> None:
        self.question = question
        self.told: RecordedLikeness | None = None
        self.found: StoredQuestion | None = None
        self.vector = b""
        self.questions: QuestionStore | None = None
        self.generation = ""
        self.is_awaited = True


class SimilarQuestions:
    """Compares questions in this process. `cipher`: seals questions; `owners`: of texts. `models`: see `use`; `memory`: the
    questions of this process."""

    def __init__(
        self,
        cipher: StoreCipher,
        owners: Owners,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        limit_s: float = LIMIT_S,
    ) -> None:
        self._cipher = cipher
        self._owners = owners
        self._metrics = metrics
        self._shared_for: Callable[[Embedder], SharedQuestions] | None = None
        self._limit_s = limit_s
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="questions")
        self._waiting = 0
        self.memory = MemoryQuestions(self.in_thread, clock)
        self._shared: SharedQuestions | None = None
        self.models: QuestionModels | None = None
        self.fault = ""
        metrics.cache_questions.set_function(lambda: len(self.memory))

    # Models.

    def share(self, shared_for: Callable[[Embedder], SharedQuestions]) -> None:
        """Keeps questions where replicas share them. `shared_for`: returns that place for the vectors of an embedder."""
        self._shared_for = shared_for

    def use(self, models: QuestionModels | None, fault: str = "") -> None:
        """Compares with these models from now on; with none, questions are compared by words alone, because of `fault`. Any
        thread may call it."""
        if models is not None:
            self._cipher.sealed("", b"")  # imports what seals, which takes long
            if self._shared_for and (self._shared is None or self._shared.model != models.embedder.digest):
                self._shared = self._shared_for(models.embedder)
        self.models, self.fault = models, fault

    @property
    def warnings(self) -> tuple[str, ...]:
        """Returns why questions are compared less well than policies ask, for `/readyz`."""
        faults = [self.fault] if self.fault else []
        if self._shared is not None and self._shared.fault:
            faults.append(f"{self._shared.fault}: a process compares questions with its own alone")
        return tuple(f"semantic cache: {fault}" for fault in faults)

    async def in_thread(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Runs a function in a thread. Whoever stops waiting leaves the thread its work, which counts until it is done."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        self._waiting += 1
        future: Future[Result] = self._threads.submit(work, *arguments)

        def end() -> None:
            self._waiting -= 1
            done.set()

        future.add_done_callback(lambda _: _call_soon(loop, end))
        await done.wait()
        return future.result()

    # Comparing.

    async def compare(self, query: caching.CacheQuery, generation: str) -> QuestionComparison | None:
        """Compares the question of a query with stored ones. `None`: it has none, or there are no models. `generation`: of the
        look for the answer."""
        if query.question is None or self.models is None:
            return None
        comparison = QuestionComparison(query.question)
        if self._waiting >= MOST_WAITING:
            self._tell(comparison, "busy")
            return comparison
        try:
            async with asyncio.timeout(self._limit_s):
                await self._compare(comparison, query, generation, self.models)
        except TimeoutError:
            self._tell(comparison, "late")
        except NoCapacityError:
            self._tell(comparison, "busy")
        except Exception as error:  # a model of any kind
            _log.warning("questions not compared", extra={"error": f"{type(error).__name__}: {_safe(error)}"})
            self._tell(comparison, "failed")
        finally:
            comparison.is_awaited = False
        return comparison

    async def _compare(
        self, comparison: QuestionComparison, query: caching.CacheQuery, generation: str, models: QuestionModels
    ) -> None:
        question, point = comparison.question, models.point(query.section)
        generation += models.embedder.digest[:8]  # vectors of another model are not compared
        comparison.vector = await self.in_thread(_vector, models.embedder, question)
        comparison.questions = questions = await self._questions_for(query)
        comparison.generation = generation
        near = await questions.nearest(question, generation, comparison.vector, MOST_NEAR)
        if not near:
            self._tell(comparison, "none", point=point)
            return
        verdict = await self.in_thread(self._judged, models, comparison, near, point)
        for stored in verdict.closed:
            questions.drop(question, stored)
        nearest = verdict.nearest or near[0]
        comparison.found = nearest.stored if verdict.is_same else None
        self._tell(
            comparison,
            "same" if verdict.is_same else "different",
            source=nearest.stored.source,
            similarity=nearest.similarity,
            entails=tuple(scores.entails for scores in verdict.scores),
            contradicts=tuple(scores.contradicts for scores in verdict.scores),
            point=point,
        )

    async def _questions_for(self, query: caching.CacheQuery) -> QuestionStore:
        """Where the questions are with which this one is compared. Those that policies seal never leave the process."""
        if self._shared is None or query.owner is not None or not await self._shared.is_usable():
            return self.memory
        return self._shared

    def _judged(
        self, models: QuestionModels, comparison: QuestionComparison, near: Sequence[NearQuestion], point: float
    ) -> _Verdict:
        """Judges the nearest questions. Runs in a thread, and stops between two of them when nobody waits any more."""
        closed: list[StoredQuestion] = []
        question = comparison.question
        may_ask_the_same = question.particulars(models.alike())
        judged: list[tuple[NearQuestion, tuple[PairScores, ...]]] = []
        for candidate in near:
            if not comparison.is_awaited:
                break
            other = self._opened(question, candidate.stored)
            if other is None:
                closed.append(candidate.stored)
            elif len(judged) < MOST_JUDGED and may_ask_the_same(other):
                scores = _scores(models.judge, question.asked, other.asked, point)
                if all(_is_same(score, point) for score in scores):
                    return _Verdict(True, candidate, scores, tuple(closed))
                judged.append((candidate, scores))
        nearest, scores = judged[0] if judged else (None, ())
        return _Verdict(False, nearest, scores, tuple(closed))

    def _tell(self, comparison: QuestionComparison, result: _Word, **found: Any) -> None:
        self._metrics.cache_compared.labels(result).inc()
        models = self.models
        digests = (models.embedder.digest, models.judge.digest) if models else ()
        comparison.told = RecordedLikeness(result=result, models=digests, **found)

    def gone(self, comparison: QuestionComparison) -> None:
        """Notes that the answer to the question that was found is not stored any more."""
        if comparison.found is not None and comparison.questions is not None:
            comparison.questions.drop(comparison.question, comparison.found)
            self._tell(comparison, "gone", source=comparison.found.source)
            comparison.found = None

    # Keeping.

    def keep(self, comparison: QuestionComparison, key: str, source: str, ttl_s: float, owner: EntryOwner) -> None:
        """Keeps the question of a request whose answer is stored at `key`. `source`: its exchange. Without its vector, it is
        not kept."""
        if not comparison.vector or comparison.questions is None:
            return
        sealed = self._sealed(comparison.question, key, owner.secret)
        stored = StoredQuestion(key, source, comparison.vector, sealed, owner.name)
        comparison.questions.put(comparison.question, comparison.generation, stored, ttl_s)

    def _sealed(self, question: caching.CachedQuestion, key: str, secret: bytes) -> str:
        return self._cipher.sealed(_name(question, key), question.text.encode(), secret)

    def _opened(self, question: caching.CachedQuestion, stored: StoredQuestion) -> caching.CachedQuestion | None:
        """A stored question; `None` if it was changed, or if its owner was erased."""
        secret = self._owners.secret(stored.owner)
        if secret is None:
            return None
        try:
            return question.worded(self._cipher.opened(_name(question, stored.key), stored.sealed, secret).decode())
        except ValueError:
            return None

    async def close(self, timeout_s: float) -> None:
        """Ends the threads, and waits for what a shared server still gets."""
        if self._shared is not None:
            await self._shared.close(timeout_s)
        self._threads.shutdown(wait=False, cancel_futures=True)


def _call_soon(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(work)


def _name(question: caching.CachedQuestion, key: str) -> str:
    return f"{question.partition}:{key}"


def _vector(embedder: Embedder, question: caching.CachedQuestion) -> bytes:
    (vector,) = embedder.embed([question.asked])
    return vector


def _scores(judge: PairJudge, first: str, second: str, point: float) -> tuple[PairScores, ...]:
    """The scores of two questions, both ways. If the second does not follow from the first, the other way is not asked."""
    (forward,) = judge.judge([TextPair(first, second)])
    if not _is_same(forward, point):
        return (forward,)
    (backward,) = judge.judge([TextPair(second, first)])
    return forward, backward


def _is_same(scores: PairScores, point: float) -> bool:
    return scores.entails >= point > scores.contradicts


def _safe(error: Exception) -> str:
    """The message of an error of our own. Those of libraries may quote texts."""
    return str(error) if isinstance(error, GuardproxyError) else ""
