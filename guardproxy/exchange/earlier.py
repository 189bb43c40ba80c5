"""The values of earlier turns: what a client gave in a turn that the provider stores, so that a later answer restores it.

In: the values that an exchange put placeholders for, and the ids in its request and its answer. Out: a `StoredTurn`, which the
driver keeps under these ids, and the values of the turns to which a request refers. Kept: nothing.

A kept value says which findings it had and where it may be restored. The rules of the later request decide again: a value comes
back only where the earlier and the later rules allow it.

Decision: docs/decisions/0062-values-of-stored-turns-are-kept-for-their-client.md
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, cast

import msgspec

from guardproxy.audit import RecordedValues
from guardproxy.findings import Channel, Finding, Kind
from guardproxy.policy import BoundRules
from guardproxy.redaction import Restoration

KEPT_CHARS = 64 * 1024
"""The values of a turn, with their placeholders, that are kept. Older values are left out first."""

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
    """The values that a client may get back in the turns after a turn. `ids`: those by which these turns refer to it; `groups`:
    the values; empty if those that were kept under the ids must be forgotten."""

    ids: tuple[str, ...]
    groups: tuple[GivenValues, ...]


def allowed(group: GivenValues, bound: BoundRules) -> Restoration | None:
    """Returns where the rules of a later request allow the values of an earlier turn to be restored; `None`: nowhere."""
    where = group.restoration
    for kind, check, label in group.causes:
        edit = bound.edit(Channel("request", cast(Kind, kind), ""), Finding(0, 1, check, label, 1.0))
        if edit is None or not edit.restore:
            return None
        where &= edit.restoration
    return where


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
        left -= len(given.token) + len(given.value)
        if left < 0:
            break
        groups.setdefault((given.where, given.causes), {})[given.token] = given.value
    return tuple(
        GivenValues(
            kinds=None if where.kinds is None else tuple(sorted(where.kinds)),
            hosts=tuple(sorted(where.hosts)),
            causes=causes,
            values=of_group,
        )
        for (where, causes), of_group in groups.items()
    )
