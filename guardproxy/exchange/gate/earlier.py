"""The values of earlier turns: what a client gave in a turn that the provider stores, so that a later answer restores it.

In: the values that an exchange put placeholders for, and the ids in its request and its answer. Out: a `StoredTurn`, which the
driver keeps under its ids, and the values of the turns to which a request refers. Kept: those of one exchange.

A kept value says which findings it had and where it may be restored. The rules of the later request decide again: a value comes
back only where the earlier and the later rules allow it.

Decision: docs/decisions/0062-values-of-stored-turns-are-kept-for-their-client.md
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, cast

import msgspec

from guardproxy.audit.record import RecordedValues
from guardproxy.findings import Channel, Finding, Kind
from guardproxy.policy import BoundRules
from guardproxy.redaction import Restoration

KEPT_CHARS = 64 * 1024
"""The values of a turn that are kept, with their placeholders and their causes. Older values are left out first."""
LONGEST_CHARS = KEPT_CHARS // 4
"""A longer value is not kept, as it would take the place of many."""

Cause = tuple[str, str, str]
"""The kind of the text in which a value was found, the check that found it, and the label."""


class GivenValues(msgspec.Struct, frozen=True, kw_only=True):
    """Values of a client that were replaced in the same way. `kinds`, `hosts`: where they may be restored, as in `Restoration`;
    `causes`: why they were replaced; `values`: by their placeholders."""

    kinds: tuple[str, ...] | None
    hosts: tuple[str, ...]
    causes: tuple[Cause, ...]
    values: Mapping[str, str]

    @property
    def restoration(self) -> Restoration:
        """Where the values may be restored by the rules of their turn."""
        kinds = None if self.kinds is None else frozenset(cast(tuple[Kind, ...], self.kinds))
        return Restoration(kinds, frozenset(self.hosts))


class StoredTurn(msgspec.Struct, frozen=True, kw_only=True):
    """The values that a client may get back in the turns after a turn. `id`: that of its answer, empty if it has none;
    `conversations`: the ids of the conversations that it belongs to, which keep the values of other turns too."""

    id: str
    conversations: tuple[str, ...]
    groups: tuple[GivenValues, ...]


def allowed(group: GivenValues, bound: BoundRules) -> Restoration | None:
    """Returns where the rules of a later request allow the values of an earlier turn to be restored; `None`: nowhere."""
    where = group.restoration
    for kind, check, label in group.causes:
        edit = bound.edit(Channel("request", cast(Kind, kind), ""), Finding(0, 1, check, label, 1.0))
        if edit is None or not edit.restores(label):
            return None
        where &= edit.restoration
    return where


def merged(newer: Iterable[GivenValues], older: Iterable[GivenValues]) -> tuple[GivenValues, ...]:
    """Returns the values of both, as far as they are not too many."""
    return grouped(_each(itertools.chain(newer, older), set()))


def _each(groups: Iterable[GivenValues], done: set[str]) -> Iterator[GivenValue]:
    """Yields each value of the groups once. `done`: the placeholders to leave out."""
    for group in groups:
        where = group.restoration
        for token, value in group.values.items():
            if token not in done:
                done.add(token)
                yield GivenValue(token, value, where, group.causes)


def recorded_values(group: GivenValues, tokens: Iterable[str]) -> RecordedValues:
    """Returns what a record says about a group. `tokens`: those of its placeholders that the answer holds."""
    return RecordedValues(kinds=group.kinds, urls=group.hosts, causes=group.causes, placeholders=tuple(tokens))


def values_of(recorded: RecordedValues) -> GivenValues:
    """Returns the group that a record describes. In a record, a placeholder is its own value."""
    values = {token: token for token in recorded.placeholders}
    return GivenValues(kinds=recorded.kinds, hosts=recorded.urls, causes=recorded.causes, values=values)


class GivenValue(NamedTuple):
    """A value of a client, with what its group says."""

    token: str
    value: str
    where: Restoration
    causes: tuple[Cause, ...]


def grouped(values: Iterable[GivenValue]) -> tuple[GivenValues, ...]:
    """Returns values in groups. `values`: the newest first; what is beyond `KEPT_CHARS` is not read."""
    groups: dict[tuple[Restoration, tuple[Cause, ...]], dict[str, str]] = {}
    left = KEPT_CHARS
    for given in values:
        size = len(given.token) + len(given.value)
        if size > LONGEST_CHARS:
            continue
        about = given.where, given.causes
        # The causes are kept once for a group.
        left -= size if about in groups else size + sum(map(len, itertools.chain(*given.causes)))
        if left < 0:
            break
        groups.setdefault(about, {})[given.token] = given.value
    return tuple(
        GivenValues(
            kinds=None if where.kinds is None else tuple(sorted(where.kinds)),
            hosts=tuple(sorted(where.hosts)),
            causes=causes,
            values=of_group,
        )
        for (where, causes), of_group in groups.items()
    )


class TurnValues(msgspec.Struct):
    """The values of an exchange that later turns may need, and those of the turns before it. `values`, `restorations`: of all
    that may be restored, by placeholder; shared with the editor."""

    values: dict[str, str]
    restorations: dict[str, Restoration]
    earlier: list[GivenValues] = msgspec.field(default_factory=list)
    """The values of earlier turns that may come back."""
    met: dict[str, str] = msgspec.field(default_factory=dict)
    """Those of them whose placeholders the answer holds."""
    stored_id: str = ""
    """The id under which the provider stores the answer; empty until it is known."""
    _causes: dict[str, dict[Cause, None]] = msgspec.field(default_factory=dict)  # of the values of this request
    _old: set[str] = msgspec.field(default_factory=set)  # the placeholders of earlier turns alone

    def give(self, token: str, causes: Iterable[Cause]) -> None:
        """Notes a value of the request, and why it was replaced."""
        self._causes.setdefault(token, {}).update(dict.fromkeys(causes))

    def recall(self, groups: Iterable[GivenValues], bound: BoundRules) -> None:
        """Takes the values of earlier turns, as far as the rules allow. Of a value that the request gives too, the request
        says where it may be restored."""
        for group in groups:
            where = allowed(group, bound)
            if where is None:
                continue
            self.earlier.append(group)
            for token, value in group.values.items():
                if token not in self._causes:
                    self._old.add(token)
                    # Of two turns with the same value, the stricter says where it may be restored.
                    other = self.restorations.get(token)
                    self.values[token], self.restorations[token] = value, where if other is None else other & where

    def meet(self, token: str) -> None:
        """Notes a placeholder in an answer."""
        if token in self._old:
            self.met[token] = self.values[token]

    def groups_met(self) -> Iterator[tuple[GivenValues, tuple[str, ...]]]:
        """Yields the groups of earlier turns, each with those of its placeholders that the answer holds."""
        for group in self.earlier:
            yield group, tuple(token for token in group.values if token in self.met)

    def known_restorations(self) -> Mapping[str, Restoration]:
        """Returns where values may be restored, without values of earlier turns that the answer does not hold."""
        unmet = self._old - self.met.keys()
        return {token: where for token, where in self.restorations.items() if token not in unmet}

    def given(self) -> tuple[GivenValues, ...]:
        """Returns the values to keep for later turns: those of the request, and those of the turns before it."""
        return grouped(self._given())

    def _given(self) -> Iterator[GivenValue]:
        """Yields the values to keep, the newest first."""
        for token in reversed(self._causes):
            yield GivenValue(token, self.values[token], self.restorations[token], tuple(sorted(self._causes[token])))
        yield from _each(self.earlier, set(self._causes))
