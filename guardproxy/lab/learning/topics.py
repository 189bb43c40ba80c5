"""Fits the thresholds of topics to texts, for the check `topic`.

In: the topics of a policy, ordinary texts, and texts of the user's own traffic. Out: for each topic the threshold, how many
of its examples and of the other texts reach it, and which of them lie near it. The same texts give the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardproxy.checks import Embedder, FittedTopic, fit_topics
from guardproxy.errors import ConfigError, OptionError
from guardproxy.lab.shares import Share, proportion

NEAREST = 5
"""The texts of each kind that a result names."""


@dataclass(frozen=True, slots=True)
class TopicFit:
    """The result for a topic.

    `topic`: with the threshold that fits it. `examples`: the share of the examples that reach it, each scored along the
    direction of the others. `others`: the share of the other texts that do. `nearest`: the other texts with the highest scores.
    """

    topic: FittedTopic
    examples: Share
    others: Share
    nearest: tuple[tuple[float, str], ...]

    @property
    def name(self) -> str:
        """The name of the topic."""
        return self.topic.topic.name

    def as_json(self) -> dict[str, Any]:
        """Returns the result as plain values."""
        return {
            "topic": self.name,
            "threshold": self.topic.threshold,
            "given": self.topic.topic.threshold,
            "examples": _numbers(self.examples),
            "others": _numbers(self.others),
            "near": [{"score": near.score, "text": near.text} for near in self.topic.near_line()],
            "nearest": [{"score": score, "text": text} for score, text in self.nearest],
        }


def _numbers(share: Share) -> dict[str, float]:
    return {"share": round(share.value, 4), "low": round(share.low, 4), "high": round(share.high, 4)}


def fitted_topics(
    options: Mapping[str, Any],
    embedder: Embedder,
    background: Sequence[str],
    others: Sequence[str] = (),
    share: float | None = None,
) -> tuple[str, list[TopicFit]]:
    """Returns which of `allow` and `deny` the options of a check `topic` give, and the result for each topic.

    `background`: the ordinary texts of the model. `others`: more texts that are about none of the topics. `share`: of all these
    that may reach a threshold; `None`: the check's own. Raises `ConfigError`.
    """
    ordinary, more = embedder.embed(background), embedder.embed(others)
    try:
        way, topics = fit_topics(options, embedder, ordinary, more, share)
    except OptionError as error:
        raise ConfigError(f"{error.key}: {error.message}") from None
    vectors, texts = [*ordinary, *more], [*background, *others]
    return way, [_result(topic, vectors, texts) for topic in topics]


def _result(topic: FittedTopic, vectors: Sequence[bytes], others: Sequence[str]) -> TopicFit:
    scores = [topic.direction.score(vector) for vector in vectors]
    ranked = sorted(zip(scores, others, strict=True), key=lambda pair: (-pair[0], pair[1]))
    return TopicFit(
        topic,
        proportion(sum(score >= topic.threshold for score in topic.left_out), len(topic.left_out)),
        proportion(sum(score >= topic.threshold for score in scores), len(scores)),
        tuple(ranked[:NEAREST]),
    )
