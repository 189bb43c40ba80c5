"""Compares a judge with people, or two people: how often their verdicts agree.

In: labelled cases, and the judge's scores. Out: the agreement with 95 % intervals.

Cohen's kappa is the agreement beyond what two raters with these rates would reach by chance: 1 is full agreement, 0 is chance.
The true positive rate is the share of good answers that the judge calls good, the true negative rate that of bad answers that
it calls bad. Intervals of rates are Wilson's; that of kappa is the normal approximation with the error of Cohen (1960).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from guardproxy.errors import PolicyError

_Z = 1.959964  # 97.5 % of the normal distribution
_ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class LabelledCase:
    """An answer that a person has judged. `conversation`: the messages before it, with their roles. `is_good`: the label."""

    name: str
    conversation: tuple[tuple[str, str], ...]
    answer: str
    is_good: bool


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with its interval. `of`: the number of cases. Without cases the share is `None`."""

    share: float | None
    low: float
    high: float
    of: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a judge agrees with labels. `failed`: the cases without a score, which do not count."""

    kappa: Rate
    agreed: Rate
    true_positive: Rate
    true_negative: Rate
    failed: int


def read_cases(lines: Iterable[str], source: str) -> Iterator[LabelledCase]:
    """Yields the cases of a file in JSON lines: `answer`, `good` (true or false), and `request` (a text) or `messages`. Raises
    `PolicyError` with the line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _case(json.loads(line), number)
        except (ValueError, TypeError, KeyError, RecursionError):
            message = (
                'expected {"answer": text, "good": true or false, "request": text}, or `messages` with `role` and '
                "`content` instead of `request`"
            )
            raise PolicyError(message, source, number, 1) from None


def _case(tree: Any, number: int) -> LabelledCase:
    messages = tree["messages"] if "messages" in tree else [{"role": "user", "content": tree["request"]}]
    conversation = tuple((message["role"], message["content"]) for message in messages)
    texts = [tree["answer"], *(text for _, text in conversation)]
    is_right = all(isinstance(text, str) for text in texts) and all(role in _ROLES for role, _ in conversation)
    if not is_right or type(tree["good"]) is not bool:
        raise ValueError
    return LabelledCase(str(tree.get("name", f"line {number}")), conversation, tree["answer"], tree["good"])


def agreement_of(results: Iterable[tuple[bool, bool | None]]) -> Agreement:
    """Returns the agreement. `results`: whether an answer is good by its label, and by the judge; `None`: no score."""
    counts = {(label, verdict): 0 for label in (True, False) for verdict in (True, False, None)}
    for label, said in results:
        counts[label, said] += 1
    hits, misses = counts[True, True], counts[True, False]
    alarms, rejections = counts[False, True], counts[False, False]
    total = hits + misses + alarms + rejections
    by_label, by_judge = hits + misses, hits + alarms
    chance = (by_label * by_judge + (total - by_label) * (total - by_judge)) / total**2 if total else 1.0
    return Agreement(
        _kappa((hits + rejections) / total if total else 0.0, chance, total),
        rate(hits + rejections, total),
        rate(hits, hits + misses),
        rate(rejections, rejections + alarms),
        counts[True, None] + counts[False, None],
    )


def kappa(pairs: Sequence[tuple[str, str]]) -> Rate:
    """Returns the kappa of two people who chose one of several words for the same cases."""
    total = len(pairs)
    first, second = Counter(word for word, _ in pairs), Counter(word for _, word in pairs)
    chance = sum(count * second[word] for word, count in first.items()) / total**2 if total else 1.0
    return _kappa(sum(word == other for word, other in pairs) / total if total else 0.0, chance, total)


def _kappa(observed: float, chance: float, total: int) -> Rate:
    """Returns kappa; no share if all labels and all verdicts are the same, for then it is not defined."""
    if chance >= 1:
        return Rate(None, -1.0, 1.0, total)
    kappa = (observed - chance) / (1 - chance)
    reach = _Z * sqrt(observed * (1 - observed) / total) / (1 - chance)
    return Rate(kappa, max(-1.0, kappa - reach), min(1.0, kappa + reach), total)


def rate(count: int, of: int) -> Rate:
    """Returns a share with Wilson's interval."""
    if of == 0:
        return Rate(None, 0.0, 1.0, 0)
    share, square = count / of, _Z**2 / of
    middle = (share + square / 2) / (1 + square)
    reach = _Z * sqrt(share * (1 - share) / of + square / (4 * of)) / (1 + square)
    return Rate(share, max(0.0, middle - reach), min(1.0, middle + reach), of)
