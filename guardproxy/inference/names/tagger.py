"""Finds names in texts: splits a text into words, tags them in one forward pass and joins the tags to spans.

In: texts of any length. Out: for each text spans with a label and a score. Kept: tokenizer and session, both
thread-safe. The shipped network is uncased, so the case of each word is a second input beside its tokens. No text is
truncated: a long text is tagged in overlapping pieces, each word in the piece that shows most of its context. A
network from another source may be cased; it gets the tokens alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from guardproxy.checks import Tag, stop_point
from guardproxy.errors import ConfigError
from guardproxy.inference.folders import folder as folders
from guardproxy.inference.folders import tokens
from guardproxy.inference.names.joining import joined
from guardproxy.inference.names.tags import TagModel
from guardproxy.inference.running.session import Session

OVERLAP_TOKENS = 48
"""Tokens that two neighbouring pieces of a long text share."""

_WARM_UP = ("", "Warm up, Ada.", "warm up " * 100)


@lru_cache(8192)
def case_of(word: str) -> int:
    """Returns how a word is written: 0 without letters, 1 lower case, 2 capitalized, 3 upper case, 4 mixed, 5 a single
    capital, 6 digits among letters. The network was trained on these numbers."""
    if not any(letter.isalpha() for letter in word):
        return 0
    if any(letter.isdigit() for letter in word):
        return 6
    if word.islower():
        return 1
    if word.isupper():
        return 5 if len(word) == 1 else 3
    capitals = [letter.isupper() for letter in word]
    return 1 if not any(capitals) else 2 if capitals[0] and not any(capitals[1:]) else 4


def words_of(text: str, encoding: Any) -> list[tuple[int, int, int, int]]:
    """Returns the words of an encoding: first token, token after the last, and start and end of its characters in
    `text`."""
    words: list[tuple[int, int, int, int]] = []
    ids, offsets = encoding.word_ids, encoding.offsets
    at = 0
    while at < len(ids):
        end = at + 1
        while end < len(ids) and ids[end] == ids[at]:
            end += 1
        words.append((at, end, offsets[at][0], offsets[end - 1][1]))
        at = end
    return words


class OnnxTagger:
    """Implements `guardproxy.checks.Tagger`. `provider`: the execution provider, shown on the status page."""

    context_words = 24
    is_slow = True

    def __init__(self, model: TagModel, threads: int) -> None:
        """Loads and warms up the model. Raises `ConfigError` when the tokenizer or the network cannot be used."""
        self._tokenizer, (self._first, self._last) = tokens.load(model.folder, *model.special)
        self._model = model
        self.digest, self.thresholds = model.digest, model.thresholds
        self.plain, self.timeless = folders.word_lists(model.folder)
        self._session = Session(model.folder / "model.onnx", threads)
        self.provider = self._session.provider
        tags = self._logits([self._first, self._last], [0, 0]).shape[-1]
        if tags != 1 + 2 * len(model.labels):
            raise ConfigError(
                f"{model.folder}: the network must have two tags for each of `labels` and a tag for no name"
            )
        # The bias of a label is subtracted from the logits of its tags, which raises the tag for no name by as much.
        self._bias = np.array([0.0, *(model.biases[label] for label in model.labels for _ in range(2))], np.float32)
        self.tag(_WARM_UP)

    def tag(self, texts: Sequence[str]) -> list[list[Tag]]:
        """Returns the names of each text, in order, without overlaps; see `guardproxy.checks.Tagger.tag`."""
        # The tokenizer refuses a lone surrogate, which JSON allows.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        encodings = self._tokenizer.encode_batch(clean, add_special_tokens=False)
        tags: list[list[Tag]] = []
        for text, encoding in zip(clean, encodings, strict=True):
            stop_point()
            tags.append(self._tags(text, encoding))
        return tags

    def _tags(self, text: str, encoding: Encoding) -> list[Tag]:
        words = words_of(text, encoding)
        if not words:
            return []
        shares = self._shares(text, encoding, words)
        best, labels = shares.argmax(1).tolist(), (shares[:, 1::2] + shares[:, 2::2]).tolist()
        tags = joined(text, [(start, end) for _, _, start, end in words], best, labels, self._model.labels)
        return [tag for tag in tags if any(letter.isalnum() for letter in text[tag.start : tag.end])]

    def _shares(self, text: str, encoding: Encoding, words: list[tuple[int, int, int, int]]) -> NDArray[np.float32]:
        """Returns for each word the probability of each tag, shape (words, tags)."""
        ids = encoding.ids
        cases = [0] * len(ids)
        for first, after, start, end in words:
            cases[first:after] = [case_of(text[start:end])] * (after - first)
        heads = [first for first, _, _, _ in words]
        room = self._model.max_tokens - 2
        if len(ids) <= room:
            logits = self._logits([self._first, *ids, self._last], [0, *cases, 0])[[head + 1 for head in heads]]
        else:
            logits = self._long(ids, cases, room)[heads]
        scaled = (logits - self._bias) / np.float32(next(iter(self._model.temperatures.values())))
        powers = np.exp(scaled - scaled.max(1, keepdims=True))
        shares: NDArray[np.float32] = powers / powers.sum(1, keepdims=True)
        return shares

    def _long(self, ids: Sequence[int], cases: Sequence[int], room: int) -> NDArray[np.float32]:
        """Returns the logits of each token of a text that is too long for one pass of the network."""
        # Each token is taken from the piece that shows half of the overlap or more on both sides of it.
        half = min(OVERLAP_TOKENS, room // 2) // 2
        parts: list[NDArray[np.float32]] = []
        done = 0
        while done < len(ids):
            stop_point()
            low = min(max(0, done - half), max(0, len(ids) - room))
            high = min(len(ids), low + room)
            logits = self._logits([self._first, *ids[low:high], self._last], [0, *cases[low:high], 0])[1:-1]
            until = high if high == len(ids) else high - half
            parts.append(logits[done - low : until - low])
            done = until
        return np.concatenate(parts)

    def _logits(self, ids: list[int], cases: list[int]) -> NDArray[np.float32]:
        arrays = {"input_ids": ids, "attention_mask": [1] * len(ids), "case_ids": cases}
        inputs = {name: arrays[name] for name in self._model.inputs}
        logits: NDArray[np.float32] = self._session.rows("logits", **inputs)
        return logits
