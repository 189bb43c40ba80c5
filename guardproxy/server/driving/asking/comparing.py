"""Compares a candidate with the model that answered: the candidate gets the same request, and a judge says which answer is
better.

In: an exchange that was answered, as its record shows it, and its request as it went upstream. Out: a comparison for the
log. The client has its answer already. The candidate's answer is shown to the judge alone: no check reads it and nothing
keeps it. The judge is asked twice, in both orders, since models prefer a place."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from guardproxy.audit import Better, Comparison
from guardproxy.errors import DownstreamError, UpstreamError
from guardproxy.exchange import llm_judge
from guardproxy.policy.sections import JudgeSection
from guardproxy.policy.usage import Rates, TokenUse
from guardproxy.server.driving.asking.upstreams import Asking, AskingError, failure_of
from guardproxy.wire import Dialect

LIMIT_ANSWER_BYTES = 8 << 20
TIMEOUT_S = 120.0
RequestForAnother = Callable[[str], tuple[Dialect, bytes]]
"""Returns a request for another model: where it goes, and its body."""


_log = logging.getLogger(__name__)


class Comparing:
    """Compares answers by a section `judge` with a candidate. `rates`: returns those of a model, in force for the exchange;
    `again`: returns its request for the candidate."""

    def __init__(
        self, asking: Asking, rates: Callable[[str], Rates | None], section: JudgeSection, again: RequestForAnother
    ) -> None:
        self._asking = asking
        self._rates = rates
        self._section = section
        self._again = again

    async def compare(self, exchange: str, conversation: Sequence[tuple[str, str]], answer: str) -> Comparison:
        """Returns the comparison of an answer with that of the candidate, or why there is none. `exchange`: its id."""
        candidate = self._section.candidate
        assert candidate is not None  # noqa: S101 - the caller has looked
        began_s, tokens = time.perf_counter(), None
        said: list[Better] = []
        failure = None
        try:
            dialect, body = await asyncio.to_thread(self._again, candidate.model)
            reply = await self._asking.send(candidate.upstream, dialect, body, TIMEOUT_S, LIMIT_ANSWER_BYTES)
            tokens = reply.tokens
            if reply.text is None:
                raise AskingError("no_answer")
            other = reply.text
            first = await self._better(exchange, conversation, (answer, other), ("answer", "candidate"))
            second = await self._better(exchange, conversation, (other, answer), ("candidate", "answer"))
            said = [first, second]
        except (AskingError, UpstreamError, TimeoutError) as error:
            failure = failure_of(error)
        except DownstreamError as error:
            failure = str(error.code)
        except Exception as error:  # a score must not be lost with it
            failure = "internal_error"
            _log.error("candidate not compared", extra={"id": exchange, "error": type(error).__name__})
        rates = self._rates(candidate.model) if tokens else None
        return Comparison(
            upstream=candidate.upstream,
            model=candidate.model,
            ms=round((time.perf_counter() - began_s) * 1000, 3),
            said=tuple(said),
            tokens=tokens,
            cost=rates.cost(TokenUse(prompt=tokens[0], answer=tokens[1])) if rates and tokens else None,
            failure=failure,
        )

    async def _better(
        self,
        exchange: str,
        conversation: Sequence[tuple[str, str]],
        answers: tuple[str, str],
        names: tuple[Better, Better],
    ) -> Better:
        """Asks which of two answers is better. Returns its name in `names`, or `equal`. Raises `AskingError`,
        `UpstreamError` and `TimeoutError`."""
        section = self._section
        question = llm_judge.comparison_question(section, conversation, answers, exchange)
        dialect = Dialect.of(section.wire_format, section.model)
        if dialect is None:  # a plug-in was uninstalled
            raise AskingError("no_format")
        reply = await self._asking.ask(section.upstream, dialect, question, TIMEOUT_S)
        given = None if reply.text is None else question.read(reply.text)
        if given is None:
            raise AskingError("no_score")
        return names[0] if given.answer == "first" else names[1] if given.answer == "second" else "equal"
