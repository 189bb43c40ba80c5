"""Where the values behind placeholders may come back."""

from __future__ import annotations

from dataclasses import dataclass

from guardproxy.findings import Kind
from guardproxy.urls import covers


@dataclass(frozen=True, slots=True)
class Restoration:
    """Where values come back. `kinds`: the kinds of texts, `None` for all; `hosts`: the hosts whose URLs may hold values, in
    lower case; if there are none, no URL may."""

    kinds: frozenset[Kind] | None = None
    hosts: frozenset[str] = frozenset()

    def __and__(self, other: Restoration) -> Restoration:
        """The places where both allow values to come back."""
        kinds = self.kinds if other.kinds is None else other.kinds if self.kinds is None else self.kinds & other.kinds
        pairs = ((self.hosts, other.hosts), (other.hosts, self.hosts))
        hosts = (host for mine, theirs in pairs for host in mine if any(covers(allowed, host) for allowed in theirs))
        return Restoration(kinds, frozenset(hosts))

    def __le__(self, other: Restoration) -> bool:
        """Whether values come back in no more places than `other` names."""
        return self & other == self

    def __str__(self) -> str:
        kinds = "every text" if self.kinds is None else ", ".join(sorted(self.kinds))
        return f"{kinds} (in URLs: {', '.join(sorted(self.hosts)) or 'never'})"


EVERYWHERE = Restoration()
