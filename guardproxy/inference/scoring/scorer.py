"""Scores texts of many requests at once: cached verdicts, the first stage, and the queue of the network.

In: queries. Out: for each query the pieces of its text, with the score of each output that it asks for. Kept: cached
verdicts, the queue and its workers. The scores of a text depend on its query alone (the text, its kind of channel, the
first stage), never on other texts, on the cache or on load.
"""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from threading import Lock

from guardproxy.checks import Query, ScoredPiece
from guardproxy.errors import ConfigError
from guardproxy.findings import Kind
from guardproxy.inference.folders.model import Model, ModelDescription
from guardproxy.inference.running.batching import WAIT_S, Batcher, Network, Queued, Row
from guardproxy.inference.running.cache import Cache, Verdicts
from guardproxy.inference.running.meters import ModelMeters
from guardproxy.inference.scoring.reader import ModelReader

Answer = Future[list[tuple[ScoredPiece, ...]]]

_WARM_UP = ("", *("warm up " * count for count in (1, 12, 24, 48, 96, 192)))


class ModelScorer(ModelDescription, Queued):
    """Implements `guardproxy.checks.Scorer`.

    `connect(pad, rows)` returns the network, warmed up with these rows; `pad` is the padding token. `queue`: number of
    requests that may wait for the network, for about `wait_s` seconds each. `remembered`: number of pieces whose
    verdicts are cached. `provider`: the execution provider, shown on the status page.
    """

    def __init__(
        self,
        model: Model,
        connect: Callable[[int, Sequence[Row]], Network],
        meters: ModelMeters,
        queue: int,
        remembered: int,
        digits: int = 6,
        wait_s: float = WAIT_S,
    ) -> None:
        """Loads and warms up the model. Raises `ConfigError` when the tokenizer, first stage or network cannot be
        used."""
        self.reader = ModelReader(model, digits)
        rows = [self.reader.row(piece.ids) for text in _WARM_UP for piece in self.reader.pieces(text)]
        network = connect(self.reader.pad, rows)
        if len(network.run(rows[:1])[0]) != model.width:
            raise ConfigError(
                f"{model.folder}: the number of the network's outputs differs from `outputs` in config.json"
            )
        super().__init__(model)
        self.meters = meters
        self.provider = network.provider
        self.cache = Cache(remembered)
        self.filling = Lock()
        # A new request waits for at most `wait_s` (see the method). Queries of answers that have begun come on top.
        self._batcher = Batcher(network, queue, meters, 2 * wait_s)
        # The workers reference only the queue, so an unused scorer is collected, and its finalizer ends them.
        self.close = weakref.finalize(self, self._batcher.close)

    def score(self, texts: Sequence[str], kind: Kind | None = None) -> list[dict[str, float]]:
        """Returns for each text, in a channel of this kind, the highest score of each output, without the first
        stage."""
        judged = self.judge([Query(text, self.outputs, first_stage=False, kind=kind) for text in texts])
        return [{output: max(piece.scores[output] for piece in pieces) for output in self.outputs} for pieces in judged]

    def judge(self, queries: Sequence[Query]) -> list[tuple[ScoredPiece, ...]]:
        """Returns the scored pieces of each text; see `guardproxy.checks.Scorer.judge`."""
        return self.submit(queries).result()

    def submit(self, queries: Sequence[Query]) -> Answer:
        """Returns a future of the result of `judge`; if it is cancelled, its rows do not run. Raises `QueueFull`."""
        job = _Job(self, queries)
        if job.ready:
            job.end()
        else:
            self._batcher.put(job, job.chars)
        return job.answer


class _Job:
    """The queries of one request. Implements `guardproxy.inference.running.batching.ScoringJob`."""

    def __init__(self, scorer: ModelScorer, queries: Sequence[Query]) -> None:
        self._scorer = scorer
        reader = scorer.reader
        self._verdicts = [(query, scorer.cache.get(query.text, reader.channel(query))) for query in queries]
        self._unread = deque(
            (query, verdicts)
            for query, verdicts in self._verdicts
            if not reader.is_read(verdicts, query) or reader.open_pieces(verdicts, query)
        )
        self.chars = sum(len(query.text) for query, _ in self._unread)  # characters to be judged
        self._places: dict[Row, list[tuple[Query, Verdicts, int]]] = {}  # where the scores of a pending row go
        self._placing = Lock()
        self.answer: Answer = Future()
        scorer.meters.hits.inc(len(queries) - len(self._unread))
        scorer.meters.misses.inc(len(self._unread))

    @property
    def ready(self) -> bool:
        """Whether all texts were read."""
        return not self._unread

    def is_dropped(self) -> bool:
        return self.answer.done()

    def prepare(self) -> deque[Row]:
        """Returns the rows of the next text. It reads one text at a time, so that many texts do not delay other
        jobs."""
        query, verdicts = self._unread.popleft()
        scorer, reader = self._scorer, self._scorer.reader
        if reader.is_read(verdicts, query) and not reader.open_pieces(verdicts, query):
            return deque()  # another check or request had the text judged meanwhile
        reading, channel = reader.read(query, verdicts), reader.channel(query)
        with scorer.filling:  # another job may read the same text at the same time
            if not verdicts.spans:
                verdicts.scores = [None] * len(reading.pieces)
                verdicts.exits = [()] * len(reading.pieces)
                verdicts.added = reading.added
                verdicts.spans = [(piece.start, piece.end) for piece in reading.pieces]
                scorer.cache.count_pieces(query.text, verdicts, channel)
            verdicts.first = reading.first or verdicts.first
        rows: deque[Row] = deque()
        below = reader.stops_below(query)
        with self._placing:
            for at in reader.open_pieces(verdicts, query):
                row = reader.row(reading.pieces[at].ids, channel, below)
                if row not in self._places:
                    rows.append(row)
                self._places.setdefault(row, []).append((query, verdicts, at))
        scorer.meters.cleared.inc(sum(reader.cleared(verdicts, query)))
        return rows

    def has_scores(self, row: Row) -> bool:
        reader = self._scorer.reader
        return all(reader.is_judged(verdicts, at, query) for query, verdicts, at in self._places[row])

    def set_logits(self, row: Row, logits: Sequence[float]) -> None:
        reader = self._scorer.reader
        with self._placing:
            places = self._places.pop(row)
        for query, verdicts, at in places:
            verdicts.exits[at] = reader.exit_estimates(logits, query)
            if not math.isnan(logits[0]):
                added = verdicts.added[at] if verdicts.added else ()
                verdicts.scores[at] = reader.scores(logits, len(verdicts.spans), added)

    def end(self) -> None:
        if self.answer.done():
            return
        try:
            judged = [self._scorer.reader.answer(verdicts, query) for query, verdicts in self._verdicts]
        except ValueError as error:
            self.fail(error)
            return
        with suppress(InvalidStateError):  # the caller no longer waits
            self.answer.set_result(judged)

    def fail(self, error: Exception) -> None:
        with suppress(InvalidStateError):  # as above
            self.answer.set_exception(error)
