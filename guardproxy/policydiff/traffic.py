"""Compares recorded traffic under two sets of policies: which exchanges change, by rule, with examples.

In: records, one after the other. Out: counts, and a few examples of each group. Each record is replayed under both
sets, unless the set made the record. Texts are shown masked, as in the records.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from guardproxy.audit import Closing, Record
from guardproxy.audit.record import RecordedDecision, RecordedSide
from guardproxy.policy import PolicySet
from guardproxy.policydiff.excerpts import ExcerptPart, excerpt
from guardproxy.replay import (
    MaskedValue,
    Rerun,
    ShownPath,
    Way,
    differences,
    is_seen,
    moved_decisions,
    rerun,
    text_at,
)

EXAMPLES = 5
COUNTS = ("the same", "different", "cannot be told", "not replayable")
_BLOCKED = ("blocked_request", "blocked_response")
_EFFECTS = {
    "lost": ("redaction would be lost", "redactions would be lost"),
    "passes": ("blocked exchange would pass", "blocked exchanges would pass"),
    "blocked": ("answered request would be blocked", "answered requests would be blocked"),
    "redacted": ("redaction would be new", "redactions would be new"),
    "untold": ("exchange cannot be told", "exchanges cannot be told"),
}
"""What changes for clients and models, the most important first: one, several."""
OTHERWISE = "(without a rule)"
"""The name of a rule for changes that no decision explains: a different placeholder, a different part of a text."""


@dataclass(frozen=True, slots=True)
class Example:
    """An exchange that changes. `before`, `after`: its outcomes, and of one that stays what
    else would be different; `pieces`: the text with its findings marked."""

    id: str
    at: float
    route: str
    model: str
    before: str
    after: str
    where: str
    differences: tuple[str, ...]
    pieces: tuple[ExcerptPart, ...]


@dataclass(slots=True)
class ExchangeGroup:
    """The exchanges that a rule changes in the same way. `action`: the action of the rule, with its mode."""

    policy: str
    rule: str
    way: Way
    action: str
    count: int = 0
    ids: list[str] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)


class _Run(NamedTuple):
    """A record under a set of policies. `blind`: the masked values that rescanning checks could not read. `shown`: how its
    paths are shown if its texts were sealed; the texts are not shown then."""

    record: Record
    blind: frozenset[MaskedValue] = frozenset()
    shown: ShownPath | None = None


@dataclass(slots=True)
class Traffic:
    """Compares the results of two sets of policies for a sequence of records. Without them, `take` compares records with
    their replays, and the results can be sent to another process."""

    old: PolicySet | None = None
    new: PolicySet | None = None
    examples: int = EXAMPLES
    counts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    rescanned: Counter[str] = field(default_factory=Counter)
    effects: Counter[str] = field(default_factory=Counter)
    _groups: dict[tuple[str, str, Way, str], ExchangeGroup] = field(default_factory=dict)

    @property
    def groups(self) -> list[ExchangeGroup]:
        """Returns the groups, largest first."""
        return sorted(self._groups.values(), key=lambda group: (-group.count, group.policy, group.rule, group.way))

    @property
    def headline(self) -> str:
        """Returns what changes for clients and models, in words."""
        counts = ((self.effects[name], words) for name, words in _EFFECTS.items())
        said = [f"{count} {words[count > 1]}" for count, words in counts if count]
        return ", ".join(said) or "nothing that clients or models get would change"

    def see(self, record: Record | Closing) -> None:
        """Adds a record, replayed under both sets."""
        if self.old is None or self.new is None:
            raise AssertionError("records are compared under two sets")
        old, new = self._under(self.old, record), self._under(self.new, record)
        if isinstance(old, str) or isinstance(new, str):
            self.skip(old if isinstance(old, str) else str(new))
        else:
            self._compare(old, new)

    def take(self, record: Record, again: Rerun, shown: ShownPath | None = None) -> None:
        """Adds a record and its replay. `shown`: see `_Run`."""
        self.rescanned.update(again.rescanned)
        self._compare(_Run(record, shown=shown), _Run(again.record, again.blind, shown))

    def skip(self, reason: str) -> None:
        """Adds a record that cannot be replayed."""
        self.counts["not replayable"] += 1
        self.reasons[reason] += 1

    def add(self, other: Traffic) -> None:
        """Adds the results of further records. Parts of a sequence that are added in order give the results of the whole."""
        for counts, more in zip(self._counters(), other._counters(), strict=True):
            counts.update(more)
        for key, group in other._groups.items():
            known = self._groups.setdefault(key, ExchangeGroup(*key))
            known.count += group.count
            known.ids += group.ids
            known.examples += group.examples[: max(0, self.examples - len(known.examples))]

    def _counters(self) -> tuple[Counter[Any], ...]:
        return self.counts, self.outcomes, self.reasons, self.rescanned, self.effects

    def _compare(self, old: _Run, new: _Run) -> None:
        before, after = old.record, new.record
        every = differences(before, after, new.shown or str)
        changed = tuple(difference for difference in every if not difference.startswith("decisions: "))
        moved = list(moved_decisions(before, after, {*old.blind, *new.blind}))
        if not changed and not moved:
            self.counts["the same"] += 1
            return
        untold = bool(moved) and all(way == "cannot be told" for _, way in moved)
        self.counts["cannot be told" if untold else "different"] += 1
        if untold:
            self.effects["untold"] += 1
        else:
            self.effects.update(_effects(before, after))
            self.outcomes[before.outcome, _ending(before, after)] += 1
        added: set[tuple[str, str, Way, str]] = set()
        for decision, way in moved:
            action = decision.action + (" in shadow mode" if decision.mode == "shadow" else "")
            key = (decision.policy, decision.rule, way, action)
            if key not in added:
                added.add(key)
                alike = [other for other, other_way in moved if other_way == way and _key(other) == _key(decision)]
                self._add(key, before, after, changed, new if way == "holds now" else old, alike)
        if not moved:
            self._add(("", OTHERWISE, "does something else", ""), before, after, changed, new, [])

    def _under(self, policies: PolicySet, record: Record | Closing) -> _Run | str:
        if is_seen(record) and record.policies == policies.digest:
            return _Run(record)
        again = rerun(record, policies)
        if isinstance(again, str):
            return again
        self.rescanned.update(again.rescanned)
        return _Run(again.record, again.blind)

    def _add(
        self,
        key: tuple[str, str, Way, str],
        before: Record,
        after: Record,
        changed: tuple[str, ...],
        run: _Run,
        decisions: list[RecordedDecision],
    ) -> None:
        group = self._groups.setdefault(key, ExchangeGroup(*key))
        group.count += 1
        group.ids.append(after.id)
        if len(group.examples) < self.examples:
            where, pieces = _excerpt(run, decisions)
            ending = _ending(before, after)
            group.examples.append(
                Example(
                    after.id,
                    after.at,
                    after.route,
                    after.model,
                    before.outcome,
                    ending,
                    where,
                    changed,
                    pieces,
                )
            )


def _effects(before: Record, after: Record) -> Counter[str]:
    """Returns what the change means for the client and the model: the number of each of `_EFFECTS`."""
    was_blocked, is_blocked = before.outcome in _BLOCKED, after.outcome in _BLOCKED
    effects: Counter[str] = Counter()
    if is_blocked != was_blocked:
        effects["blocked" if is_blocked else "passes"] = 1
    if not is_blocked:  # nothing that a block stops is redacted or lost
        for old, new in ((before.request, after.request), (before.response, after.response)):
            was, now = _redactions(old), _redactions(new)
            shown = {(text.path, text.kind) for text in new.texts if text.released}
            effects["lost"] += sum(max(0, count - now[place]) for place, count in was.items() if place in shown)
            effects["redacted"] += sum(max(0, count - was[place]) for place, count in now.items())
    return +effects


def _redactions(side: RecordedSide) -> Counter[tuple[str, str]]:
    """Returns the number of redacted spans of each text, by its path and kind."""
    counts: Counter[tuple[str, str]] = Counter()
    for text in side.texts:
        counts[text.path, text.kind] += len(text.edits)
    return counts


def _ending(before: Record, after: Record) -> str:
    """Returns the outcome of an exchange that differs; if the outcome stays, what else would be different, in words."""
    if before.outcome != after.outcome:
        return after.outcome
    effects = _effects(before, after)
    words = {"lost": "without a redaction", "redacted": "with more redactions"}
    said = [word for name, word in words.items() if effects[name]]
    return " and ".join(said) or "by other rules"


def _key(decision: RecordedDecision) -> tuple[str, ...]:
    return decision.policy, decision.rule, decision.action, decision.mode, decision.direction, decision.path


def _excerpt(run: _Run, decisions: list[RecordedDecision]) -> tuple[str, tuple[ExcerptPart, ...]]:
    """Returns the place of the first decision, and an excerpt of the text there."""
    if not decisions:
        return "", ()
    first = decisions[0]
    if run.shown is not None:
        return f"{first.direction} {run.shown(first.path)}", ()
    where = f"{first.direction} {first.path}"
    text = text_at(run.record, first.direction, first.path, first.attempt)
    if text is None:
        return where, ()
    spans = [
        (decision.start, decision.end, decision.label) for decision in decisions if decision.attempt == first.attempt
    ]
    return where, excerpt(text, spans)
