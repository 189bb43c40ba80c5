"""Turns a pair of texts into a row of a network, and its logits into scores.

In: two texts. Out: the row `[CLS] first [SEP] second [SEP]`, and probabilities. The special tokens are set here alone: a text
that spells one is read as any other text, so the first end token of a row always ends the first text.

The first text loses its end if both do not fit. A second text never follows by a part of it: if it has more than half of the
tokens, or too many characters to be read, it does not follow, whatever its beginning says. So long texts are never the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
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


MATCHES = 4
"""What a token's kind says beside its text, if the model is told: 0, the other text lacks it; 1, the other text has it; 2, with
the same neighbour on one side; 3, with the same neighbours on both sides."""


def kinds(ids: Sequence[int], last: int, has_matches: bool) -> list[int]:
    """Returns the kind of each token of a row: 0 in the first text and 1 in the second; or, if the model is told what both
    texts share, 0 to 3 in the first and 4 to 7 in the second. `last`: the number of the token after each text."""
    end = ids.index(last)
    if not has_matches:
        return [0] * (end + 1) + [1] * (len(ids) - end - 1)
    texts = [0, *ids[1:end], 0], [0, *ids[end + 1 : -1], 0]  # 0: nothing
    pairs = [set(pairwise(text)) for text in texts]
    found = [0]
    for at, text in enumerate(texts):
        words, beside = set(texts[1 - at][1:-1]), pairs[1 - at]
        found += [
            at * MATCHES + (token in words and 1 + ((before, token) in beside) + ((token, after) in beside))
            for before, token, after in zip(text, text[1:], text[2:], strict=False)
        ]
        found.append(at * MATCHES)
    return found


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
