"""A stand-in for the embedding model: every long word has a direction of its own, and a text the sum of those of its words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np

from guardproxy.checks import Resources
from tests.kit.checks import PROSE

WIDTH = 256
_WORD = re.compile(r"\w+")
BILLING = {
    "name": "billing",
    "about": "Questions about invoices, payments and refunds.",
    "examples": [
        "the invoice is wrong",
        "a refund of my payment",
        "pay the invoice by card",
        "refund the double payment",
    ],
}
PARCELS = {
    "name": "parcels",
    "about": "Where a parcel is.",
    "examples": ["my parcel is late", "track the parcel", "the courier lost my parcel", "parcel with the courier"],
}


@cache
def direction(word: str) -> tuple[float, ...]:
    """The direction of a word."""
    seed = int.from_bytes(word.casefold().encode("utf-8", "replace")[:32], "big")
    return tuple(np.random.default_rng(seed).normal(size=WIDTH))


class WordEmbedder:
    """An `Embedder` without a model."""

    digest = "sha256:words"
    dimensions = WIDTH

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        return [self._embed(text) for text in texts]

    def _embed(self, text: str) -> bytes:
        words = [word for word in _WORD.findall(text) if len(word) > 4]
        if not words:
            return bytes(WIDTH)
        total = np.sum([direction(word) for word in words], 0)
        return bytes(np.rint(total * (127 / np.linalg.norm(total))).astype(np.int8).tobytes())


def ordinary() -> list[str]:
    """Texts about nothing in particular."""
    words = PROSE.split()
    return [" ".join(words[at : at + 7]) for at in range(0, len(words) - 7)]


def resources() -> Resources:
    """What the check `topic` needs."""
    embedder = WordEmbedder()
    return Resources(embedder=lambda name: embedder, background=lambda name: embedder.embed(ordinary()))
