"""Compares the versions that records name with the versions that replay them, before anything is replayed.

In: records, one after the other. Out: sentences about what differs. Kept: the number of exchanges for each version.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from guardproxy.audit import AnyEntry, Record
from guardproxy.policy import PolicySet

LIMIT_RULES = 12  # that a sentence names


@dataclass(slots=True)
class VersionCounts:
    """The number of exchanges that other versions made: by program, by check, and by set of policies. `checks`: whether the set
    of policies is the same tells why a check differs. `held`: the rules that held, by set of policies."""

    engines: Counter[str] = field(default_factory=Counter)
    checks: Counter[tuple[str, bool]] = field(default_factory=Counter)
    policies: Counter[str] = field(default_factory=Counter)
    held: dict[str, set[str]] = field(default_factory=dict)

    def add(self, other: VersionCounts) -> None:
        """Adds the counts of further exchanges."""
        self.engines.update(other.engines)
        self.checks.update(other.checks)
        self.policies.update(other.policies)
        for digest, rules in other.held.items():
            self.held.setdefault(digest, set()).update(rules)

    def sentences(self, program: str) -> Iterator[str]:
        """Yields what differs, the program first. `program`: the name and version of the program that replays the records."""
        for engine, count in sorted(self.engines.items()):
            yield f"{_exchanges(count)} recorded by {engine}; this is {program}"
        for (name, is_same_set), count in sorted(self.checks.items()):
            what = "its library or its model" if is_same_set else "its options, its library or its model"
            yield f"the check `{name}` differs from the check of {count} exchanges: {what} changed"
        for digest, count in sorted(self.policies.items()):
            rules = sorted(self.held.get(digest, ()))
            held = f"of which these rules held: {', '.join(rules[:LIMIT_RULES])}" if rules else "of which no rule held"
            more = f" and {len(rules) - LIMIT_RULES} more" if len(rules) > LIMIT_RULES else ""
            yield f"{_exchanges(count)} recorded under other policies ({digest}), {held}{more}"


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
        if not is_same_set:
            self.counts.policies[entry.policies] += 1
            held = self.counts.held.setdefault(entry.policies, set())
            held.update(f"{decision.policy}: {decision.rule}" for decision in entry.decisions)
        for name, digest in entry.checks.items():
            if name in self._now and digest not in self._now[name]:
                self.counts.checks[name, is_same_set] += 1


def _exchanges(count: int) -> str:
    return "1 exchange was" if count == 1 else f"{count} exchanges were"
