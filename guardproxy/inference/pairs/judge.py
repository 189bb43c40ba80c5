"""Judges pairs of many callers at once: remembered scores, and the queue of the network.

In: pairs of texts. Out: for each pair its scores, which depend on its two texts alone, never on other pairs, on the cache or on
load. Kept: remembered scores, the queue and its workers. A pair runs alone in the network, without padding.

Decisions:
- docs/decisions/0021-on-a-cpu-rows-of-the-model-run-one-by-one.md
- docs/decisions/0073-one-small-network-judges-pairs-of-texts.md
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from threading import Lock

from guardproxy.checks import PairScores, TextPair
from guardproxy.errors import ConfigError
from guardproxy.inference.pairs.cache import PairCache
from guardproxy.inference.pairs.model import PairModel
from guardproxy.inference.pairs.reader import PairReader, kinds
from guardproxy.inference.running.batching import WAIT_S, Batcher, Network, Queued, Row
from guardproxy.inference.running.meters import ModelMeters
from guardproxy.inference.running.session import Session

PairAnswer = Future[list[PairScores]]

_WARM_UP = tuple(TextPair("warm up " * count, "warm up " * (count // 2)) for count in (0, 2, 12, 24, 48, 96))


class PairDescription:
    """What a folder says about a model that judges pairs. `model`: the folder."""

    def __init__(self, model: PairModel) -> None:
        self.model = model

    @property
    def digest(self) -> str:
        """The digest of the folder."""
        return self.model.digest

    @property
    def points(self) -> Mapping[str, float]:
        """See `guardproxy.checks.PairJudge`."""
        return self.model.points


class PairRows:
    """A network that runs each row alone, on a CPU. Implements `guardproxy.inference.running.batching.Network`. `last`: the
    number of the token after each text; `has_matches`: see `PairModel`."""

    budget = 1

    def __init__(self, session: Session, workers: int, last: int, has_matches: bool) -> None:
        self._session = session
        self._has_matches = has_matches
        self._last = last
        self.provider = session.provider
        self.workers = workers

    def run(self, rows: Sequence[Row]) -> list[list[float]]:
        return [self._logits(row) for row in rows]

    def _logits(self, row: Row) -> list[float]:
        own = kinds(row, self._last, self._has_matches)
        logits: list[float] = self._session.rows("logits", input_ids=row, token_type_ids=own).tolist()
        return logits

    def close(self) -> None:
        """Does nothing: the session needs no close."""


class ModelPairJudge(PairDescription, Queued):
    """Implements `guardproxy.checks.PairJudge`.

    `connect(last)` returns the network; `last` is the number of the token after each text. `queue`: number of requests that may
    wait for the network, for about `wait_s` seconds each. `remembered`: number of pairs whose scores are remembered.
    `provider`: the execution provider, shown on the status page.
    """

    def __init__(
        self,
        model: PairModel,
        connect: Callable[[int], Network],
        meters: ModelMeters,
        queue: int,
        remembered: int,
        wait_s: float = WAIT_S,
    ) -> None:
        """Loads and warms up the model. Raises `ConfigError` when the tokenizer or the network cannot be used."""
        super().__init__(model)
        self.reader = PairReader(model)
        network = connect(self.reader.last)
        logits = network.run([self.reader.row(pair).ids for pair in _WARM_UP])
        if len(logits[0]) != len(PairScores._fields):
            raise ConfigError(f"{model.folder}: the network must have {len(PairScores._fields)} outputs")
        self.meters = meters
        self.provider = network.provider
        self.cache = PairCache(remembered)
        self._batcher = Batcher(network, queue, meters, 2 * wait_s)  # as in scorer.py
        # The workers reference only the queue, so an unused judge is collected, and its finalizer ends them.
        self.close = weakref.finalize(self, self._batcher.close)

    def judge(self, pairs: Sequence[TextPair]) -> list[PairScores]:
        """See `guardproxy.checks.PairJudge.judge`. Waits for the network."""
        return self.submit(pairs).result()

    def submit(self, pairs: Sequence[TextPair]) -> PairAnswer:
        """Returns a future of the result of `judge`; if it is cancelled, its rows do not run. Raises `QueueFull`."""
        job = _PairJob(self, pairs)
        if job.ready:
            job.end()
        else:
            self._batcher.put(job, job.chars)
        return job.answer


class _PairJob:
    """The pairs of one request. Implements `guardproxy.inference.running.batching.ScoringJob`."""

    def __init__(self, judge: ModelPairJudge, pairs: Sequence[TextPair]) -> None:
        self._judge = judge
        self._pairs = [TextPair(*pair) for pair in pairs]
        known = ((pair, judge.cache.get(pair)) for pair in self._pairs)
        self._scores = {pair: scores for pair, scores in known if scores is not None}
        self._unread = deque(dict.fromkeys(pair for pair in self._pairs if pair not in self._scores))
        self.chars = sum(len(text) for pair in self._unread for text in pair)
        self._places: dict[
            Row, list[tuple[TextPair, bool]]
        ] = {}  # the pairs of a pending row, and whether each is whole
        self._placing = Lock()
        self.answer: PairAnswer = Future()
        judge.meters.hits.inc(len(self._scores))
        judge.meters.misses.inc(len(self._unread))

    @property
    def ready(self) -> bool:
        """Whether all pairs were read."""
        return not self._unread

    def is_dropped(self) -> bool:
        return self.answer.done()

    def prepare(self) -> deque[Row]:
        """Returns the row of the next pair, so that many pairs do not delay other jobs."""
        pair = self._unread.popleft()
        if (known := self._judge.cache.get(pair)) is not None:  # another job had it judged meanwhile
            self._scores[pair] = known
            return deque()
        row, is_whole = self._judge.reader.row(pair)
        with self._placing:
            is_new = row not in self._places
            self._places.setdefault(row, []).append((pair, is_whole))
        return deque([row] if is_new else ())

    def has_scores(self, row: Row) -> bool:
        return row not in self._places

    def set_logits(self, row: Row, logits: Sequence[float]) -> None:
        with self._placing:
            places = self._places.pop(row)
        for pair, is_whole in places:
            scores = self._scores[pair] = self._judge.reader.scores(logits, is_whole)
            self._judge.cache.put(pair, scores)

    def end(self) -> None:
        with suppress(InvalidStateError):  # the caller no longer waits, or the job failed
            self.answer.set_result([self._scores[pair] for pair in self._pairs])

    def fail(self, error: Exception) -> None:
        with suppress(InvalidStateError):  # as above
            self.answer.set_exception(error)
