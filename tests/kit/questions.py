"""Models for a semantic cache that a test can foresee: the vector of a text counts its words, and questions ask the same if the
test says so."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from threading import Event

import numpy

from guardproxy.audit import Owner
from guardproxy.checks import PairScores, TextPair
from guardproxy.server.driving.similar.comparing import QuestionModels

SAME, OTHER, OPPOSITE = PairScores(0.99, 0.0, 0.01), PairScores(0.1, 0.1, 0.8), PairScores(0.01, 0.98, 0.01)
DIMENSIONS = 64


class WordVectors:
    """A model whose vector of a text counts its words. `texts`: those that it was given."""

    def __init__(self, digest: str = "words-of-the-test") -> None:
        self.digest = digest
        self.dimensions = DIMENSIONS
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        self.texts += texts
        return [vector(text) for text in texts]


def vector(text: str) -> bytes:
    counts = numpy.zeros(DIMENSIONS)
    for word in text.lower().rstrip("?").split():
        counts[zlib.crc32(word.encode()) % DIMENSIONS] += 1
    return bytes((counts / max(float(numpy.linalg.norm(counts)), 1.0) * 127).round().astype(numpy.int8).tobytes())


class ToldJudge:
    """A model that says what a test tells it. `judge_pair`: returns the scores of a pair; `pairs`: those that it was given;
    `may_answer`: is waited for."""

    def __init__(self, judge_pair: Callable[[TextPair], PairScores] = lambda _: SAME) -> None:
        self.digest = "judge-of-the-test"
        self.points = {"same": 0.9, "careful": 0.995}
        self.judge_pair = judge_pair
        self.pairs: list[TextPair] = []
        self.may_answer = Event()
        self.may_answer.set()

    def judge(self, pairs: Sequence[TextPair]) -> list[PairScores]:
        self.may_answer.wait(60)
        self.pairs += pairs
        return [self.judge_pair(pair) for pair in pairs]


def models(judge_pair: Callable[[TextPair], PairScores] = lambda _: SAME) -> QuestionModels:
    return QuestionModels(WordVectors(), ToldJudge(judge_pair))


class HeldKeys:
    """Data keys of owners that a test can erase. `secrets`: by owner."""

    def __init__(self, secrets: dict[Owner, bytes]) -> None:
        self.secrets = secrets

    def secret_of(self, owner: Owner) -> bytes:
        return self.secrets.setdefault(owner, b"new")

    def known_secret_of(self, owner: Owner) -> bytes | None:
        return self.secrets.get(owner)
