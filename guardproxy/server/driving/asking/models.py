"""Models at upstreams that checks ask about texts (`use: llm`): budgets, known verdicts, and what became of each question.

In: questions of checks, from the loop or from threads. Out: futures of the answers. Kept: for a bounded number of texts the
verdict, by tenant, model and question; what was asked in the current hour, by tenant and check. Both are of this process
alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from guardproxy.checks import AskedModel, JudgeQuestion, QuestionOutcome
from guardproxy.config import Config
from guardproxy.errors import ErrorCode, OptionError, Shortage, UpstreamError
from guardproxy.gateway import Prices
from guardproxy.policy.usage import MICRO, TokenUse
from guardproxy.server.driving.asking.upstreams import Asking, AskingError, failure_of, is_own
from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.upstream.upstream import OVERLOADED
from guardproxy.wire import Dialect, ModelReply

LIMIT_AT_ONCE = 64
KNOWN_VERDICTS = 20_000
CHARS_A_TOKEN = 4
ANSWER_TOKENS = 64  # of an answer, before it is known
HOUR_S = 3600.0
_SHORT_CODES = {
    ErrorCode.UPSTREAM_TIMEOUT: Shortage.LATE,
    ErrorCode.UPSTREAM_UNREACHABLE: Shortage.GONE,
    ErrorCode.UPSTREAM_UNAVAILABLE: Shortage.GONE,
    ErrorCode.UPSTREAM_FAILED: Shortage.GONE,
    ErrorCode.UPSTREAM_TRUNCATED: Shortage.GONE,
    ErrorCode.NO_CAPACITY: Shortage.FULL,
}
_SHORT_STATUSES = {
    f"status_{status}": shortage
    for status, shortage in (
        (429, Shortage.FULL),
        (502, Shortage.GONE),
        (503, Shortage.FULL),
        (504, Shortage.LATE),
        (OVERLOADED, Shortage.FULL),
    )
}
"""Statuses that say nothing about a text: the upstream, or a proxy in front of it, has no capacity."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Spending:
    """What a check has asked for a tenant in an hour. `cost`: in millionths, with estimates for questions under way."""

    calls: int = 0
    cost: int = 0


class Budgets:
    """What was asked in the current hour, by tenant and check. `clock`: returns seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._hour = 0
        self._spent: dict[tuple[str, str], Spending] = {}

    def reserve(self, tenant: str, model: AskedModel, cost: int) -> Spending | None:
        """Counts a question that is about to be asked; returns where its cost belongs, or `None` if the budget is used up.
        `cost`: an estimate in millionths."""
        hour = int(self._clock() // HOUR_S)
        if hour != self._hour:
            self._hour = hour
            self._spent = {}
        spent = self._spent.setdefault((tenant, model.check), Spending())
        if model.calls is not None and spent.calls >= model.calls:
            return None
        if model.cost is not None and spent.cost + cost > model.cost * MICRO:
            return None
        spent.calls += 1
        spent.cost += cost
        return spent


class KnownVerdicts:
    """AllowedAnswers on texts that were judged before; the least recently used are dropped first."""

    def __init__(self, most: int = KNOWN_VERDICTS) -> None:
        self._most = most
        self._verdicts: OrderedDict[tuple[str, ...], QuestionOutcome] = OrderedDict()

    def get(self, key: tuple[str, ...]) -> QuestionOutcome | None:
        """Returns a verdict, if it is known."""
        if (known := self._verdicts.get(key)) is not None:
            self._verdicts.move_to_end(key)
        return known

    def put(self, key: tuple[str, ...], outcome: QuestionOutcome) -> None:
        """Keeps the verdict of a question, and not what it took."""
        self._verdicts[key] = QuestionOutcome(outcome.given, is_known=True)
        self._verdicts.move_to_end(key)
        while len(self._verdicts) > self._most:
            self._verdicts.popitem(last=False)


class AskedModels:
    """The models of a process that checks ask. `prices`: returns those in force. `asking`: how they are asked, set before
    the first question."""

    def __init__(
        self,
        config: Config,
        prices: Callable[[], Prices],
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._prices = prices
        self._metrics = metrics
        self._budgets = Budgets(clock)
        self._known = KnownVerdicts()
        self._turns = asyncio.Semaphore(LIMIT_AT_ONCE)
        self.asking: Asking | None = None

    def __call__(self, model: AskedModel) -> ModelClient:
        """Returns the client of a model. Raises `OptionError` for an upstream that the operator has not named or that is this
        proxy, a format that asks no model, and a limit of cost for a model without a price."""
        name = model.upstream
        if name not in self._config.upstreams.named:
            raise OptionError(
                "upstream", f"the operator has not named the upstream `{name}`: give --upstream {name}=URL"
            )
        if is_own(self._config, name):
            raise OptionError(
                "upstream", f"the upstream `{name}` is this proxy, which would ask itself about each question"
            )
        dialect = Dialect.of(model.wire_format, model.model)
        if dialect is None:
            known = ", ".join(Dialect.names())
            raise OptionError("format", f"no wire format `{model.wire_format}` asks a model; known: {known}")
        if model.cost is not None and self._prices().rates((model.model,)) is None:
            raise OptionError("budget", f"the model `{model.model}` has no price, so no `cost` can be counted")
        return ModelClient(self, model, dialect)

    async def judge(self, model: AskedModel, dialect: Dialect, tenant: str, question: JudgeQuestion) -> QuestionOutcome:
        """Asks a question, unless the verdict is known. Returns what became of it."""
        key = (tenant, model.upstream, model.model, dialect.codec.name, question.digest)
        if model.remembers and (known := self._known.get(key)) is not None:
            self._count(model, "known")
            return known
        rates = self._prices().rates((model.model,), time.time(), _estimate(question).prompt)
        if model.cost is not None and rates is None:  # the price was taken away
            return self._refused(model, "no_price")
        estimate = rates.cost(_estimate(question)) if rates else 0
        spent = self._budgets.reserve(tenant, model, estimate)
        if spent is None:
            return self._refused(model, "budget")
        began_s = time.perf_counter()
        try:
            reply = await self._reply(model, dialect, question)
        except (AskingError, UpstreamError, TimeoutError) as error:
            failure = failure_of(error)
            _log.warning(
                "a model gave no verdict", extra={"check": model.check, "upstream": model.upstream, "reason": failure}
            )
            self._count(model, "failed", time.perf_counter() - began_s)
            # The estimate stays counted: what the upstream did before it failed may have to be paid.
            return QuestionOutcome(failure=failure, shortage=_shortage(error), ms=_ms(began_s))
        given = None if reply.text is None else question.read(reply.text)
        cost = None
        if rates and reply.tokens:
            prompt, answer = reply.tokens
            cost = rates.cost(TokenUse(prompt, answer))
        spent.cost += 0 if cost is None else cost - estimate
        outcome = QuestionOutcome(given, "" if given else "no_answer", None, reply.tokens, cost, _ms(began_s))
        if given is not None and model.remembers:
            self._known.put(key, outcome)
        self._count(model, "failed" if given is None else "answered", time.perf_counter() - began_s, cost or 0)
        return outcome

    async def _reply(self, model: AskedModel, dialect: Dialect, question: JudgeQuestion) -> ModelReply:
        assert self.asking is not None  # noqa: S101 - the server sets it before it takes requests
        async with asyncio.timeout(model.timeout_s), self._turns:  # the wait for a turn counts
            return await self.asking.ask(model.upstream, dialect, question, model.timeout_s)

    def _refused(self, model: AskedModel, failure: str) -> QuestionOutcome:
        self._count(model, "refused")
        return QuestionOutcome(failure=failure)

    def _count(self, model: AskedModel, result: str, took_s: float | None = None, cost: int = 0) -> None:
        if self._metrics is None:
            return
        self._metrics.llm_questions.labels(model.check, result).inc()
        if took_s is not None:
            self._metrics.llm_seconds.labels(model.check).observe(took_s)
        if cost:
            self._metrics.llm_cost.labels(model.check).inc(cost / MICRO)


@dataclass(frozen=True, slots=True)
class ModelClient:
    """The client of one check. `tenant`, `loop`: of the texts, see `for_tenant`."""

    models: AskedModels
    model: AskedModel
    dialect: Dialect
    tenant: str = ""
    loop: asyncio.AbstractEventLoop | None = field(default=None, compare=False)

    def for_tenant(self, tenant: str) -> ModelClient:
        """Returns a client for the texts of a tenant. Called on the loop that asks."""
        return ModelClient(self.models, self.model, self.dialect, tenant, asyncio.get_running_loop())

    def own_s(self, chars: int) -> float:
        """The longest that an answer may take."""
        return self.model.timeout_s

    def submit(self, queries: Sequence[JudgeQuestion]) -> Future[Any]:
        """Asks all questions at once. Any thread may call it. Returns a future with a `QuestionOutcome` for each; if it is
        cancelled, so are the questions."""
        assert self.loop is not None  # noqa: S101 - the scanner has asked for the client of the tenant
        return asyncio.run_coroutine_threadsafe(self._all(queries), self.loop)

    async def _all(self, queries: Sequence[JudgeQuestion]) -> list[QuestionOutcome]:
        asked: list[Coroutine[Any, Any, QuestionOutcome]] = [
            self.models.judge(self.model, self.dialect, self.tenant, question) for question in queries
        ]
        return list(await asyncio.gather(*asked))


def _estimate(question: JudgeQuestion) -> TokenUse:
    """The tokens of a question before it is asked."""
    return TokenUse(-(-(len(question.system) + len(question.text)) // CHARS_A_TOKEN), ANSWER_TOKENS)


def _ms(began_s: float) -> float:
    return round((time.perf_counter() - began_s) * 1000, 3)


def _shortage(error: Exception) -> Shortage | None:
    """Why a question has no verdict; `None` if the upstream has answered, and wrongly."""
    if isinstance(error, TimeoutError):
        return Shortage.LATE
    return _SHORT_CODES.get(error.code) if isinstance(error, UpstreamError) else _SHORT_STATUSES.get(str(error))
