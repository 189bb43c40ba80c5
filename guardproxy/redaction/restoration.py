"""The places where the values behind placeholders may be restored."""

from __future__ import annotations

from dataclasses import dataclass

from guardproxy.findings import Kind
from guardproxy.urls import covers


@dataclass(frozen=True, slots=True)
class Restoration:
    """Where values may be restored.

    `kinds`: the kinds of texts; `None` means all. `hosts`: lower-case hosts whose URLs may hold values; empty means
    that no URL may.
    """

    kinds: frozenset[Kind] | None = None
    hosts: frozenset[str] = frozenset()

    def __and__(self, other: Restoration) -> Restoration:
        """Returns the places where both allow values to be restored."""
        kinds = self.kinds if other.kinds is None else other.kinds if self.kinds is None else self.kinds & other.kinds
        pairs = ((self.hosts, other.hosts), (other.hosts, self.hosts))
        hosts = (host for mine, theirs in pairs for host in mine if any(covers(allowed, host) for allowed in theirs))
        return Restoration(kinds, frozenset(hosts))

    def __le__(self, other: Restoration) -> bool:
        """Whether this allows no more places than `other`."""
        return self & other == self

    def __str__(self) -> str:
        kinds = "every text" if self.kinds is None else ", ".join(sorted(self.kinds))
        return f"{kinds} (in URLs: {', '.join(sorted(self.hosts)) or 'never'})"


EVERYWHERE = Restoration()
