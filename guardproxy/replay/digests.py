"""Compares the versions that records name with the versions that replay them, before anything is replayed.

In: records, one after the other. Out: sentences about what differs. Kept: the number of exchanges for each version.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from guardproxy.audit import AnyEntry, Record
from guardproxy.policy import PolicySet


@dataclass(slots=True)
class Digests:
    """The versions of a sequence of records. `program`: the name and version of the program that replays them."""

    policies: PolicySet
    program: str
    _engines: Counter[str] = field(default_factory=Counter)
    _checks: Counter[tuple[str, bool]] = field(default_factory=Counter)
    _now: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for check in self.policies.checks.values():
            self._now.setdefault(check.name, set()).add(check.digest)

    def see(self, entry: AnyEntry) -> None:
        """Adds an entry. Entries without a record of checks are skipped."""
        if not isinstance(entry, Record) or not entry.checks:
            return
        if entry.engine != self.program:
            self._engines[entry.engine] += 1
        is_same_set = entry.policies == self.policies.digest
        for name, digest in entry.checks.items():
            if name in self._now and digest not in self._now[name]:
                self._checks[name, is_same_set] += 1

    def sentences(self) -> Iterator[str]:
        """Yields what differs, the program first."""
        for engine, count in sorted(self._engines.items()):
            yield f"{count} exchanges were recorded by {engine}; this is {self.program}"
        for (name, is_same_set), count in sorted(self._checks.items()):
            what = "its library or its model" if is_same_set else "its options, its library or its model"
            yield f"the check `{name}` differs from the check of {count} exchanges: {what} changed"
