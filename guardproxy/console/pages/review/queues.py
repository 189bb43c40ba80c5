"""Queues of decisions to review: which exchanges, in which order, and how many people read each. A queue is a URL. Pure.

In: the query of a URL, groups of exchanges, and rows. Out: a queue, the sizes of samples, and what is judged of a row.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, Self, get_args

from guardproxy.console.index import Filter, Row
from guardproxy.errors import QueryError

QueueKind = Literal["sampled", "rule", "near", "feedback", "disagreed"]
KINDS: tuple[QueueKind, ...] = get_args(QueueKind)
TITLES: Mapping[QueueKind, tuple[str, str]] = {
    "sampled": (
        "A fair sample",
        "of every rule, and of exchanges in which no rule held, so that rare rules are seen too",
    ),
    "rule": ("One rule", "every exchange in which it held, also in shadow mode"),
    "near": ("Near the threshold", "scores just above the threshold of their check, where mistakes are most likely"),
    "feedback": ("Thumbs down", "exchanges that clients complained about"),
    "disagreed": ("Disagreements", "decisions about which reviewers said different things"),
}
"""Each kind of queue in words: a title, and what is in it."""
SIZE, MOST_SIZE = 200, 2000
NEAR = 0.1
NO_RULE = ""
READERS, READERS_OF_DOUBLE = 1, 2


class ItemKey(NamedTuple):
    """What a verdict is about: an exchange, and a rule (`NO_RULE`: the exchange as a whole)."""

    exchange: str
    rule: str


@dataclass(frozen=True, slots=True)
class ReviewQueue:
    """A queue. `is_double`: two people read each exchange; `seed`, `size`: of a sample; `chosen`: which exchanges."""

    kind: QueueKind = "sampled"
    is_double: bool = False
    seed: int = 1
    size: int = SIZE
    chosen: Filter = field(default_factory=Filter)

    @classmethod
    def parse(cls, query: Mapping[str, str], now_s: float | None = None) -> Self:
        """Reads the query of a URL. `now_s`: what periods count back from. Raises `QueryError`, which says what is right."""
        name = query.get("queue", "sampled")
        kind = next((kind for kind in KINDS if kind == name), None)
        if kind is None:
            raise QueryError(f"queue: expected one of {', '.join(KINDS)}")
        chosen = Filter.parse(query, now_s)
        if kind == "rule" and chosen.rule is None:
            raise QueryError("rule: name the rule whose decisions you want to review")
        if kind == "near" and chosen.near is None:
            chosen = replace(chosen, near=NEAR)
        if kind == "feedback":
            chosen = replace(chosen, feedback="down")
        seed, size = (
            _number(query, key, usual, most) for key, usual, most in (("seed", 1, 1 << 31), ("size", SIZE, MOST_SIZE))
        )
        if kind != "sampled":
            seed, size = 1, SIZE
        return cls(kind, query.get("double") in ("1", "yes", "on"), seed, size, chosen)

    def query(self) -> dict[str, str]:
        """Returns the query that `parse` reads as this queue."""
        out = {"queue": self.kind, **self.chosen.query()}
        if self.is_double:
            out["double"] = "1"
        if self.kind == "sampled":
            out |= {"seed": str(self.seed), "size": str(self.size)}
        return out

    @property
    def readers(self) -> int:
        """Returns how many people judge each item."""
        return READERS_OF_DOUBLE if self.is_double else READERS

    @property
    def title(self) -> str:
        """Returns the queue in words."""
        named = f": {self.chosen.rule}" if self.chosen.rule else ""
        return TITLES[self.kind][0] + named + (", read by two people" if self.is_double else "")

    def item_of(self, row: Row) -> ItemKey:
        """Returns what is judged of an exchange: the rule of the queue, or else the first rule that held."""
        held = (*row.rules, *row.shadow)
        rule = self.chosen.rule if self.chosen.rule in held else next(iter(held), NO_RULE)
        return ItemKey(row.id, rule or NO_RULE)


def _number(query: Mapping[str, str], name: str, usual: int, most: int) -> int:
    text = query.get(name, "").strip()
    if not text:
        return usual
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:12]) <= most:
        raise QueryError(f"{name}: expected a number from 1 to {most}")
    return int(text)


def sample_sizes(groups: Sequence[tuple[str, int]], size: int) -> dict[str, int]:
    """Returns how many exchanges of each group a sample takes: the same number of each, and what small groups do not have
    goes to the larger ones. `groups`: the number of exchanges by name."""
    left, sizes = size, {}
    for place, (name, count) in enumerate(sorted(groups, key=lambda group: (group[1], group[0]))):
        sizes[name] = min(count, -(-left // (len(groups) - place)), left)
        left -= sizes[name]
    return {name: taken for name, taken in sizes.items() if taken}


def shuffled(items: Iterable[ItemKey], seed: int) -> list[ItemKey]:
    """Returns each item once, in an order that the seed alone decides."""
    return sorted(set(items), key=lambda item: (zlib.crc32(f"{seed} {item.exchange} {item.rule}".encode()), item))
