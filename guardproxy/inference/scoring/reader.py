"""The steps before and after the network: cuts a text into pieces and rows, and turns the logits of a row into scores.

In: texts, logits. Out: pieces with their token numbers, scores. Kept: the tokenizer, and the first stage if the model
has one. No text is truncated: a text with more tokens than the network takes becomes overlapping pieces. A model that reads
in spans has a piece for each span: the tokens that the network takes and that end with the span.

Decisions:
- docs/decisions/0054-a-long-text-needs-a-higher-score.md
- docs/decisions/0058-every-span-is-read-cheaply.md
- docs/decisions/0061-the-encoder-has-an-exit.md
- docs/decisions/0092-depth-0-counts-in-the-score-of-an-attack.md
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Encoding

from guardproxy.checks import Query, ScoredPiece
from guardproxy.errors import ConfigError
from guardproxy.findings import KINDS, Kind
from guardproxy.inference.folders import tokens
from guardproxy.inference.folders.model import FIRST_STAGE, NGRAMS, Model
from guardproxy.inference.folders.spans import ANY, SPAN, DepthPart, EncoderExit, SpanReading
from guardproxy.inference.running.batching import Row, StoppableRow
from guardproxy.inference.running.cache import Verdicts
from guardproxy.inference.scoring.depth import DepthZero, Logits
from guardproxy.inference.scoring.first_stage import ClearingLimits, FirstStage

MARGIN = 0.01
"""How far below its limit a column of the exit must lie for the run to stop there, beside a step of the score. So rounding
cannot stop a row that is not cleared. Between the two a row runs to its end, and its score is the exit's all the same."""


@dataclass(frozen=True, slots=True)
class TokenPiece:
    """Characters `start` to `end` of a text, and their tokens without the special tokens."""

    start: int
    end: int
    ids: Row


@dataclass(frozen=True, slots=True)
class TextReading:
    """A text before the network: its pieces, and for each of them the estimates of the first stage (empty if it did not read
    them) and what depth 0 adds to the logits (empty for a model that does not read in spans)."""

    pieces: list[TokenPiece]
    first: list[tuple[float, ...]]
    added: list[tuple[float, ...]]


class ModelReader:
    """Reads texts and logits for one model. `digits`: of a score, which has no more precision. `pad`: the padding
    token."""

    def __init__(self, model: Model, digits: int) -> None:
        """Raises `ConfigError` when the tokenizer, the tokens of the channels or the first stage cannot be used."""
        special = model.special
        self._tokenizer, (self._first, self._last, self.pad) = tokens.load(
            model.folder, special.first, special.last, special.pad
        )
        self._model = model
        self._channels = {kind: (self._unwritable(number),) for kind, number in model.channels.items()}
        self._digits = digits
        self._numbers = {output: number for number, output in enumerate(model.outputs)}
        self._calibration = [model.calibration[output] for output in model.outputs]
        self._first_stage = None
        self._depth = None
        self._merges = False
        self._limits: ClearingLimits | None = None
        self._exit: EncoderExit | None = None
        if model.spans:
            self._exit = model.spans.exit
            self._check_bias(model.spans)
            self._depth = DepthZero(model.spans, model.folder / NGRAMS, model.folder / FIRST_STAGE)
            self._merges = model.spans.merges
            self._parts = [model.spans.parts.get(output) for output in model.outputs]
            self._limits = ClearingLimits(model.clearing, model.outputs)
        elif FIRST_STAGE in model.files:
            self._limits = self._first_stage = FirstStage(model.folder / FIRST_STAGE, model.clearing, model.outputs)

    def _unwritable(self, number: int) -> int:
        """Returns the number of a channel's token. Raises `ConfigError` if it does not exist, if it stands in every row,
        or if the tokenizer gives it for its own spelling: the author of a text must not choose its channel."""
        token = self._tokenizer.id_to_token(number)
        if token is None:
            raise ConfigError(f"{self._model.folder}: `channels`: the vocabulary has no token {number}")
        if number in (self._first, self._last, self.pad):
            raise ConfigError(f"{self._model.folder}: `channels`: the token {number}, `{token}`, stands in every row")
        spellings = (token, self._tokenizer.decode([number], skip_special_tokens=False))
        if any(number in self._tokenizer.encode(text, add_special_tokens=False).ids for text in spellings):
            raise ConfigError(f"{self._model.folder}: `channels`: a text can contain the token {number}, `{token}`")
        return number

    def _check_bias(self, spans: SpanReading) -> None:
        """Raises `ConfigError` if kinds of channel that are one for the network have different biases: they share verdicts."""
        known: dict[Row, Kind | None] = {(): None}
        for kind in KINDS:
            other = known.setdefault(self._channels.get(kind, ()), kind)
            columns = (*spans.columns, *(spans.exit.columns if spans.exit else ()))
            if any(column.bias_in(kind) != column.bias_in(other) for column in columns):
                raise ConfigError(
                    f"{self._model.folder}: `spans`: `bias` must be the same for `{kind}` and `{other or ANY}`, "
                    "which have the same token in `channels`"
                )

    def read(self, query: Query, verdicts: Verdicts) -> TextReading:
        """Reads a text for a query up to the network. What `verdicts` holds is not read again."""
        encoding = self._encode(query.text)
        pieces = list(self._pieces(len(query.text), encoding.ids, encoding.offsets))
        if self.is_read(verdicts, query):
            return TextReading(pieces, [], [])
        if self._depth:
            logits = self._depth.logits(query.text, encoding.ids, encoding.offsets, query.kind)
            first, added = self._read_spans(logits, self._parts)
            return TextReading(pieces, first, added)
        channel = self.channel(query)
        return TextReading(pieces, self.estimates([self.row(piece.ids, channel) for piece in pieces], query), [])

    def _read_spans(
        self, logits: Logits, parts: Sequence[DepthPart | None]
    ) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
        """Returns for each span, with these logits of depth 0, the estimates and what is added to the encoder's logits.
        `parts`: of each output."""
        first, added = [], []
        for span in logits.tolist():
            first.append(self._alone(span, parts))
            added.append(tuple(part.weight * span[part.column] if part else 0.0 for part in parts))
        return first, added

    def _alone(self, columns: Sequence[float], parts: Sequence[DepthPart | None]) -> tuple[float, ...]:
        """Returns the score of each output by columns alone, 1.0 for an output without a part."""
        scores = self.scores([part.alone + part.slope * columns[part.column] if part else 0.0 for part in parts])
        return tuple(score if part else 1.0 for score, part in zip(scores, parts, strict=True))

    def exit_estimates(self, logits: Sequence[float], query: Query) -> tuple[float, ...]:
        """Returns the exit's estimate of each output for a row of a query; empty for a model without one. `logits`: all columns
        of the network. Raises `ValueError` for another number of them."""
        if len(logits) != self._model.width:
            raise ValueError(f"the network gave {len(logits)} numbers for a row, not {self._model.width}")
        if not self._exit:
            return ()
        pairs = zip(logits[len(self._numbers) :], self._exit.columns, strict=True)
        columns = [logit + column.bias_in(query.kind) for logit, column in pairs]
        return self._alone(columns, [self._exit.parts.get(output) for output in self._numbers])

    def stops_below(self, query: Query) -> tuple[float, ...]:
        """Returns below which logits of the exit's columns a row of a query is cleared for certain; empty if no exit may clear
        it."""
        if not self._exit or not self.can_clear(query) or not set(query.outputs) <= set(self._exit.parts):
            return ()
        below = [math.inf] * len(self._exit.columns)
        for output in query.outputs:
            part, calibration = self._exit.parts[output], self._model.calibration[output]
            # A step less, as scores are rounded before they are compared.
            limit = self._model.clearing[output].below - 10.0**-self._digits
            odds = math.log(limit / (1 - limit)) if limit > 0 else -math.inf
            logit = calibration.bias + calibration.temperature * odds
            lowest = (logit - part.alone) / part.slope - self._exit.columns[part.column].bias_in(query.kind) - MARGIN
            below[part.column] = min(below[part.column], lowest)
        return tuple(below)

    def pieces(self, text: str) -> list[TokenPiece]:
        """Returns the pieces of a text, at least one. Neighbours overlap, and every token is in a piece."""
        encoding = self._encode(text)
        return list(self._pieces(len(text), encoding.ids, encoding.offsets))

    def _encode(self, text: str) -> Encoding:
        # The tokenizer refuses a lone surrogate, which JSON allows. Its replacement is one character too.
        return self._tokenizer.encode(text.encode("utf-8", "replace").decode("utf-8"), add_special_tokens=False)

    def _pieces(self, chars: int, ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> Iterator[TokenPiece]:
        for first, after in self.borders(len(ids)):
            start = offsets[first][0] if first else 0
            end = offsets[after - 1][1] if after < len(ids) else chars
            yield TokenPiece(start, end, tuple(ids[first:after]))

    def borders(self, count: int) -> list[tuple[int, int]]:
        """Cuts `count` tokens to what the network takes; returns start and end of each piece.

        A model that reads in spans has a piece for each span, which ends with it and begins as early as the network allows.
        Otherwise there are as few pieces as possible, all of the same length: a few stray tokens at the end have no meaning by
        themselves, and a full last piece would read most of the piece before it again. Neighbours share at least the
        model's overlap.
        """
        room = self._model.max_tokens - 2 - bool(self._channels)  # equal in all channels, so that pieces are too
        if self._depth:
            ends = [*range(SPAN, count, SPAN), count]
            return [(max(0, end - room), end) for end in ends]
        if count <= room:
            return [(0, count)]
        overlap = self._model.overlap_tokens
        number = math.ceil((count - overlap) / (room - overlap))
        length = math.ceil((count + (number - 1) * overlap) / number)
        # Spread over the text, so that the last piece ends at the last token.
        return [(start, start + length) for n in range(number) for start in [n * (count - length) // (number - 1)]]

    def channel(self, query: Query) -> Row:
        """Returns the tokens that name the channel of a query to the network, one or none."""
        return self._channels.get(query.kind, ()) if query.kind else ()

    def row(self, ids: Row, channel: Row = (), below: tuple[float, ...] = ()) -> Row:
        """Returns the row of token numbers that the network gets for a piece. `channel`: see the method. `below`: where its run
        may stop, see `stops_below`."""
        row = (self._first, *channel, *ids, self._last)
        return StoppableRow(row, below) if below else row

    def estimates(self, rows: Sequence[Row], query: Query) -> list[tuple[float, ...]]:
        """Returns for each row the first stage's estimate of each output; empty if it may clear no piece for this
        query."""
        stage = self._first_stage
        return [stage.estimates(row) for row in rows] if stage and self.can_clear(query) else []

    def scores(self, logits: Sequence[float], pieces: int = 1, added: Sequence[float] = ()) -> tuple[float, ...]:
        """Returns the score of each output, 0.0 to 1.0, for a piece of a text that has so many pieces. `added`: what depth 0
        adds to the logits, if anything."""
        lower = self._model.length_correction * math.log(min(pieces, self._model.length_pieces or pieces))
        logits = logits[: len(self._calibration)]  # without the columns of an exit
        if added:
            logits = [logit + more for logit, more in zip(logits, added, strict=True)]
        scaled = [
            # Beyond that a score no longer changes, and `exp` would overflow at some point.
            max(-60.0, min(60.0, (logit - lower - calibration.bias) / calibration.temperature))
            for logit, calibration in zip(logits, self._calibration, strict=True)
        ]
        if self._model.activation == "sigmoid":
            scores = [1.0 / (1.0 + math.exp(-value)) for value in scaled]
        else:
            powers = [math.exp(value - max(scaled)) for value in scaled]
            scores = [power / sum(powers) for power in powers]
        return tuple(round(score, self._digits) for score in scores)

    def can_clear(self, query: Query) -> bool:
        """Whether the first stage may clear pieces for this query. If not, it need not read them."""
        limits = self._limits
        return limits is not None and query.first_stage and limits.can_clear(self._asked(query))

    def is_read(self, verdicts: Verdicts, query: Query) -> bool:
        """Whether the text is cut into pieces and, where it may clear them for this query, the first stage read
        them."""
        return bool(verdicts.spans) and (bool(verdicts.first) or not self.can_clear(query))

    def cleared(self, verdicts: Verdicts, query: Query) -> list[bool]:
        """Returns for each piece of a text that was read whether the first stage clears it for this query."""
        limits = self._limits
        if not limits or not self.can_clear(query):
            return [False] * len(verdicts.spans)
        outputs = self._asked(query)
        return [limits.clears(estimates, outputs) for estimates in verdicts.first]

    def _asked(self, query: Query) -> list[int]:
        return [self._numbers[output] for output in query.outputs]

    def judges(self, verdicts: Verdicts, query: Query) -> list[int | None]:
        """Returns for each piece of a text that was read the piece whose row judges it for this query; `None`: it is cleared.

        A model that merges spans has every second of neighbouring open spans, from the last, judged by the row of the
        next, which holds all of it. So a suspicious text has half as many rows.
        """
        found: list[int | None] = []
        following: int | None = None  # the next piece, if its own row judges it
        cleared = self.cleared(verdicts, query)
        for at in reversed(range(len(cleared))):
            if cleared[at]:
                found.append(None)
                following = None
            elif self._merges and following is not None:
                found.append(following)
                following = None
            else:
                found.append(at)
                following = at
        return found[::-1]

    def open_pieces(self, verdicts: Verdicts, query: Query) -> list[int]:
        """Returns the indexes of the pieces whose rows the encoder must still judge for this query, of a text that was
        read."""
        wanted = dict.fromkeys(self.judges(verdicts, query))
        return [at for at in wanted if at is not None and not self.is_judged(verdicts, at, query)]

    def is_judged(self, verdicts: Verdicts, at: int, query: Query) -> bool:
        """Whether the row of a piece need not run for this query."""
        return verdicts.scores[at] is not None or self._leaves(verdicts, at, query)

    def _leaves(self, verdicts: Verdicts, at: int, query: Query) -> bool:
        """Whether the row of a piece that ran is cleared by the exit for this query."""
        limits = self._limits
        if not limits or not self._exit or not verdicts.exits[at] or not self.can_clear(query):
            return False
        return limits.clears(verdicts.exits[at], self._asked(query))

    def answer(self, verdicts: Verdicts, query: Query) -> tuple[ScoredPiece, ...]:
        """Returns the answer to a query of which no piece is open.

        The scores of a cleared piece are the estimates of the first stage or of the exit, even if the encoder judged the piece
        for another query: an answer depends on its query alone. Raises `ValueError` if a piece is open.
        """
        scored = []
        if not self.is_read(verdicts, query):
            raise ValueError("a text was not judged; this is a bug")
        judges = self.judges(verdicts, query)
        for at, ((start, end), judge) in enumerate(zip(verdicts.spans, judges, strict=True)):
            leaves = judge is not None and self._leaves(verdicts, judge, query)
            by_number = verdicts.first[at] if judge is None else (verdicts.exits if leaves else verdicts.scores)[judge]
            if by_number is None:
                raise ValueError("a piece of the text was not judged; this is a bug")
            by_output = {output: by_number[self._numbers[output]] for output in query.outputs}
            scored.append(ScoredPiece(start, end, by_output, judge is None or leaves))
        return tuple(scored)
