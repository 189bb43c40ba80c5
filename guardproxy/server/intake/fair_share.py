"""Shares a limited resource (connections, bytes of bodies) between an unknown number of owners.

In: owners that take and give back. Out: whether an owner may take. Kept: what each owner holds.

An owner may hold at most `weight` times the amount that stays free. So a single owner gets `weight / (weight + 1)` of the
total, two greedy owners get `weight / (2 * weight + 1)` each, and the rest stays free for later owners. While little is in
use, the share restricts no owner.
"""

from __future__ import annotations


class Shares:
    """A shared resource. `total`: its amount, in any unit. `weight`: see above."""

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
        """Takes `amount` for `owner`. Returns false and takes nothing if that exceeds the free amount or the share of the
        owner."""
        free = self.total - self.used - amount
        held = self._held[owner] if owner in self._held else 0  # noqa: SIM401 - a step of the hot path
        # A first one is given as long as anything is free, whatever the share, so nobody is locked out.
        if free < 0 or (held + amount > 1 and held + amount > self._weight * free):
            return False
        if amount:
            self.used += amount
            self._held[owner] = held + amount
        return True

    def give(self, owner: str, amount: int) -> None:
        """Gives back `amount` of what `owner` took."""
        amount_held = self._held[owner] if owner in self._held else 0  # noqa: SIM401 - a step of the hot path
        if amount >= amount_held:
            self._held.pop(owner, None)
            self.used -= amount_held
        else:
            self._held[owner] = amount_held - amount
            self.used -= amount

    def held(self, owner: str) -> int:
        """The amount that an owner holds."""
        return self._held.get(owner, 0)

    @property
    def owners(self) -> int:
        """The number of owners that hold something."""
        return len(self._held)
