"""Shares a limited resource (connections, bytes of bodies) between an unknown number of owners.

In: owners that take and give back. Out: whether an owner may take. Kept: what each owner holds.

An owner may hold at most `weight` times the amount that stays free. So an owner that is alone gets `weight / (weight + 1)` of
the total, two greedy owners get `weight / (2 * weight + 1)` each, and the rest stays free for an owner that comes later.
While little is in use the share restricts nobody.
"""

from __future__ import annotations


class Shares:
    """`total`: how much there is, in any unit. `weight`: see above."""

    def __init__(self, total: int, weight: int = 4) -> None:
        self.total = total
        self.used = 0
        self._weight = weight
        self._held: dict[str, int] = {}

    def fits(self, owner: str, amount: int) -> bool:
        """Whether `take` would succeed."""
        free = self.total - self.used - amount
        return free >= 0 and self._held.get(owner, 0) + amount <= max(1, self._weight * free)

    def take(self, owner: str, amount: int) -> bool:
        """Takes `amount` for `owner`; false, and nothing is taken, if that is more than is free or than its share."""
        if not self.fits(owner, amount):
            return False
        if amount:
            self.used += amount
            self._held[owner] = self._held.get(owner, 0) + amount
        return True

    def give(self, owner: str, amount: int) -> None:
        """Gives back what `owner` took."""
        held = self._held.get(owner, 0)
        amount = min(amount, held)
        self.used -= amount
        if held == amount:
            self._held.pop(owner, None)
        else:
            self._held[owner] = held - amount

    def held(self, owner: str) -> int:
        """How much an owner holds."""
        return self._held.get(owner, 0)

    @property
    def owners(self) -> int:
        """How many owners hold something."""
        return len(self._held)
