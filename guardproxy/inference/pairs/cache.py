"""Remembers the scores of pairs, so that a pair that comes again costs no pass of the network.

Kept: the scores of the most recently used pairs, under a keyed hash of both texts: no text can be read from the cache, and no
other process can look one up.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from threading import Lock

from guardproxy.checks import PairScores, TextPair


class PairCache:
    """Holds the scores of at most `limit` pairs. With 0 it keeps nothing. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, PairScores] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, pair: TextPair) -> PairScores | None:
        """Returns the scores of a pair; `None` if they are not known."""
        if not self._limit:
            return None
        digest = self._digest(pair)
        with self._lock:
            if (scores := self._known.get(digest)) is not None:
                self._known.move_to_end(digest)
            return scores

    def put(self, pair: TextPair, scores: PairScores) -> None:
        """Keeps the scores of a pair. Those that were used longest ago go."""
        digest = self._digest(pair)
        with self._lock:
            self._known[digest] = scores
            self._known.move_to_end(digest)
            while len(self._known) > self._limit:
                self._known.popitem(last=False)

    def _digest(self, pair: TextPair) -> bytes:
        # The length says where the first text ends, so that no two pairs have the same content.
        content = f"{len(pair.first)} {pair.first}{pair.second}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(content, digest_size=24, key=self._key).digest()
