"""Who reads what: a person who gets an item of a queue holds it for a while, so that nobody else gets it. Pure, but for its
state.

In: items, names of people, and times. Out: whether a person gets an item. Kept: what is held, until it is judged or
`LEASE_S` have passed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from guardproxy.console.pages.review.queues import ItemKey

LEASE_S = 30 * 60.0
LIMIT_SKIPPED = 10_000  # of a person


class HeldItem(NamedTuple):
    """An item that a person holds, until a time in seconds."""

    by: str
    item: ItemKey
    until_s: float


@dataclass(slots=True)
class Claims:
    """What people hold, and what they have passed over."""

    _held: dict[ItemKey, dict[str, float]] = field(default_factory=dict)
    _skipped: dict[str, dict[ItemKey, None]] = field(default_factory=dict)

    def take(self, item: ItemKey, by: str, places: int, now_s: float) -> bool:
        """Gives an item to a person for `LEASE_S`, if fewer than `places` other people hold it. Returns whether the person has
        it."""
        # Whoever has gone home gives the item back after the lease; nobody has to release it.
        people = {name: until for name, until in self._held.get(item, {}).items() if until > now_s}
        if sum(name != by for name in people) >= places:
            return False
        self._held[item] = {**people, by: now_s + LEASE_S}
        return True

    def release(self, item: ItemKey, by: str) -> None:
        """Lets an item go, for example when it is judged."""
        people = self._held.get(item, {})
        people.pop(by, None)
        if not people:
            self._held.pop(item, None)

    def skip(self, item: ItemKey, by: str) -> None:
        """Passes over an item: the person gets it again only when nothing else is left."""
        self.release(item, by)
        skipped = self._skipped.setdefault(by, {})
        skipped[item] = None
        if len(skipped) > LIMIT_SKIPPED:
            del skipped[next(iter(skipped))]

    def has_skipped(self, item: ItemKey, by: str) -> bool:
        """Whether a person has passed over an item."""
        return item in self._skipped.get(by, {})

    def take_back(self, by: str) -> bool:
        """Forgets what a person has passed over. Returns whether there was anything."""
        return bool(self._skipped.pop(by, None))

    def held(self, now_s: float) -> list[HeldItem]:
        """Returns what people hold now, in the order of their names, and forgets what they held too long."""
        for item in [item for item, people in self._held.items() if max(people.values()) <= now_s]:
            del self._held[item]
        every = (HeldItem(by, item, until) for item, people in self._held.items() for by, until in people.items())
        return sorted(kept for kept in every if kept.until_s > now_s)
