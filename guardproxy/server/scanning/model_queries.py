"""A question to a model, which a scan asks from any thread and may drop.

In: a scorer and queries. Out: the future answer. Kept: nothing beyond the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from guardproxy.checks import Query


class Question:
    """A question to a model, which a thread may submit. After `drop`, the model no longer works on it."""

    def __init__(self, scorer: Any, queries: Sequence[Query]) -> None:
        self._scorer = scorer
        self._queries = queries
        self._answer: Future[Any] | None = None
        self._dropped = False

    def submit(self) -> Future[Any]:
        """Asks the model. Returns the future answer."""
        answer: Future[Any] = self._scorer.submit(self._queries)
        self._answer = answer
        if self._dropped:  # by another thread in the meantime
            answer.cancel()
        return answer

    def drop(self) -> None:
        """Cancels the question; a finished answer stays."""
        self._dropped = True
        if self._answer is not None:
            self._answer.cancel()
