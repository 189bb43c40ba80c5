"""Caches verdicts of texts, so that the history of a conversation is judged once and not at every turn.

In: texts and their channels. Out: their `Verdicts`, new or cached. Kept: the numbers of the most recently used texts,
under a keyed hash of each text and its channel: no text can be read from the cache, and no other process can look one
up. An entry holds the numbers of all outputs, so that all policies that use the same model share it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock

from guardproxy.inference.running.batching import Row


@dataclass(slots=True, eq=False)
class Verdicts:
    """The results of the pieces of a text, in the order of the pieces.

    `spans`: start and end of each piece; empty until the text is cut into pieces. `first`: the estimates of the first
    stage; empty until it read the pieces. `scores`: the encoder's scores; `None` until it ran to its end. `exits`: the
    estimates of the encoder's exit; empty until it ran, and for a model without one. `added`: what depth 0 adds to the
    encoder's logits; empty for a model that does not read in spans. Numbers are in the order of the model's outputs.
    """

    spans: list[tuple[int, int]] = field(default_factory=list)
    first: list[tuple[float, ...]] = field(default_factory=list)
    scores: list[tuple[float, ...] | None] = field(default_factory=list)
    exits: list[tuple[float, ...]] = field(default_factory=list)
    added: list[tuple[float, ...]] = field(default_factory=list)


class Cache:
    """Holds the verdicts of at most `limit` pieces; a text counts as at least one piece. With 0 it keeps nothing.
    Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, tuple[Verdicts, int]] = OrderedDict()
        self._lock = Lock()
        self.pieces = 0

    def get(self, text: str, channel: Row = ()) -> Verdicts:
        """Returns the cached verdicts of the text, or new empty verdicts, which are cached from now on.

        `channel`: the tokens that name the text's channel to the network. Each channel has its own verdicts.
        """
        if not self._limit:
            return Verdicts()
        key = self._hash(text, channel)
        with self._lock:
            entry = self._known.get(key)
            if entry is None:
                self._known[key] = entry = Verdicts(), 1
                self._grow(1)
            else:
                self._known.move_to_end(key)
        return entry[0]

    def count_pieces(self, text: str, verdicts: Verdicts, channel: Row = ()) -> None:
        """Counts the pieces of a text after it was cut."""
        key = self._hash(text, channel)
        with self._lock:
            entry = self._known.get(key)
            # By now the entry may have been dropped, and even made anew.
            if entry and entry[0] is verdicts:
                self._known[key] = verdicts, len(verdicts.spans)
                self._grow(len(verdicts.spans) - entry[1])

    def _grow(self, pieces: int) -> None:
        self.pieces += pieces
        while self.pieces > self._limit:
            _, (_, gone) = self._known.popitem(last=False)
            self.pieces -= gone

    def _hash(self, text: str, channel: Row) -> bytes:
        # The bracket of the tuple ends the channel, so no text can run into it.
        content = f"{channel} {text}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(content, digest_size=24, key=self._key).digest()
