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
class VersionCounts:
    """The number of exchanges that other versions made: by program, and by check. `checks`: whether the set of policies is the
    same tells why a check differs."""

    engines: Counter[str] = field(default_factory=Counter)
    checks: Counter[tuple[str, bool]] = field(default_factory=Counter)

    def add(self, other: VersionCounts) -> None:
        """Adds the counts of further exchanges."""
        self.engines.update(other.engines)
        self.checks.update(other.checks)

    def sentences(self, program: str) -> Iterator[str]:
        """Yields what differs, the program first. `program`: the name and version of the program that replays the records."""
        for engine, count in sorted(self.engines.items()):
            yield f"{count} exchanges were recorded by {engine}; this is {program}"
        for (name, is_same_set), count in sorted(self.checks.items()):
            what = "its library or its model" if is_same_set else "its options, its library or its model"
            yield f"the check `{name}` differs from the check of {count} exchanges: {what} changed"


@dataclass(slots=True)
class Digests:
    """The versions of a sequence of records. `program`: the name and version of the program that replays them."""

    policies: PolicySet
    program: str
    counts: VersionCounts = field(default_factory=VersionCounts)
    _now: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for check in self.policies.checks.values():
            self._now.setdefault(check.name, set()).add(check.digest)

    def see(self, entry: AnyEntry) -> None:
        """Adds an entry. Entries without a record of checks are skipped."""
        if not isinstance(entry, Record) or not entry.checks:
            return
        if entry.engine != self.program:
            self.counts.engines[entry.engine] += 1
        is_same_set = entry.policies == self.policies.digest
        for name, digest in entry.checks.items():
            if name in self._now and digest not in self._now[name]:
                self.counts.checks[name, is_same_set] += 1
