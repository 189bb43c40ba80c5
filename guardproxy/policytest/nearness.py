"""The examples of topics that lie near the line between found and not found, for `guardproxy policy test`.

In: loaded policies. Out: the examples. An example is scored as if the topic had only the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guardproxy.checks import TopicCheck
from guardproxy.policy import PolicySet


@dataclass(frozen=True, slots=True)
class ExampleNearLine:
    """An example of a topic. `score`: along the direction of the other examples; `threshold`: of the topic."""

    policy: str
    check: str
    topic: str
    text: str
    score: float
    threshold: float

    def __str__(self) -> str:
        side = "is missed by" if self.score < self.threshold else "is just found by"
        return (
            f"`{self.text}` {side} the other examples of {self.topic}: {self.score:.3f}, from {self.threshold:.3f} on"
        )


def near_line(policies: PolicySet) -> Iterator[ExampleNearLine]:
    """Yields the examples near the line, check by check, the lowest of a topic first."""
    for (policy, name), check in policies.checks.items():
        if isinstance(check, TopicCheck):
            for topic in check.topics:
                for near in topic.near_line():
                    yield ExampleNearLine(policy, name, topic.topic.name, near.text, near.score, topic.threshold)
