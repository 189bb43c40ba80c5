"""Turns a pair of texts into a row of a network, and its logits into scores.

In: two texts. Out: the row `[CLS] first [SEP] second [SEP]`, and probabilities. The special tokens are set here alone: a text
that spells one is read as any other text, so the first end token of a row always ends the first text.

The first text loses its end if both do not fit. A second text never follows by a part of it: if it has more than half of the
tokens, or too many characters to be read, it does not follow, whatever its beginning says. So long texts are never the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, isfinite
from typing import NamedTuple

from guardproxy.checks import PairScores, TextPair
from guardproxy.inference.folders import tokens
from guardproxy.inference.pairs.model import PairModel
from guardproxy.inference.running.batching import Row

CHARS_PER_TOKEN = 16
"""A text is read up to so many characters for each token of a row: a token has about 5."""
DIGITS = 6
"""Digits of a score."""


class PairRow(NamedTuple):
    """The token numbers of a pair. `is_whole`: whether all of the second text is in them."""

    ids: Row
    is_whole: bool


class PairReader:
    """The tokenizer of a model, and what its logits mean. `last`: the number of the token after each text."""

    def __init__(self, model: PairModel) -> None:
        """Raises `ConfigError` when the tokenizer cannot be used."""
        self._tokenizer, (self._first, self.last) = tokens.load(model.folder, *model.special)
        self._most = model.max_tokens
        self._temperature = model.temperature

    def row(self, pair: TextPair) -> PairRow:
        """Returns the row of a pair. Its cost is bounded for texts of any length."""
        chars = CHARS_PER_TOKEN * self._most
        # The tokenizer refuses a lone surrogate, which JSON allows.
        texts = [text[:chars].encode("utf-8", "replace").decode("utf-8") for text in pair]
        first, second = (encoding.ids for encoding in self._tokenizer.encode_batch(texts, add_special_tokens=False))
        kept = second[: self._most // 2]
        is_whole = len(kept) == len(second) and len(pair.second) <= chars
        room = self._most - 3 - len(kept)
        return PairRow((self._first, *first[:room], self.last, *kept, self.last), is_whole)

    def scores(self, logits: Sequence[float], is_whole: bool) -> PairScores:
        """Returns the probabilities of a row. Raises `ValueError` for logits that are no numbers."""
        if not all(map(isfinite, logits)):
            raise ValueError("the network gave logits that are no numbers")
        most = max(logits)
        powers = [exp((logit - most) / self._temperature) for logit in logits]
        entails, contradicts, _ = (round(power / sum(powers), DIGITS) for power in powers)
        entails = entails if is_whole else 0.0
        return PairScores(entails, contradicts, round(1 - entails - contradicts, DIGITS))
