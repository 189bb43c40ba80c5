"""Entries whose texts must be sealed before they are written: records, and what a judge says about one. They live in memory
only.

In: an entry, and the owner of its texts. Out: what a log seals. Such an entry refuses to be written as it is, so code that
forgets to seal it fails and shows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from guardproxy.audit.record.document import Record
from guardproxy.audit.record.entries import Judged
from guardproxy.errors import AuditError

NO_SEALING_KEY = "the texts of this record must be sealed, and no key is given"
OwnerKind = Literal["subject", "tenant", "conversation"]


class Owner(NamedTuple):
    """Whose texts a data key seals. `name`: the name of the subject, or the pseudonym of the conversation; empty for a
    tenant."""

    kind: OwnerKind
    tenant: str
    name: str


@dataclass(frozen=True, slots=True, repr=False)
class Private:
    """What sealing needs beside the record. `values`: placeholder -> the value that it replaces. `paths`: the paths of the
    record that hold an object's key which is text -> the same paths without it."""

    owner: Owner
    values: Mapping[str, str] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)


class PrivateRecord(Record, frozen=True, kw_only=True, tag="exchange"):
    """A record whose texts must be sealed before it is written. It shows what a record with `keep: redacted` shows."""

    private: Private

    def __repr__(self) -> str:
        return f"PrivateRecord(id={self.id!r})"

    def document(self) -> dict[str, Any]:
        """Raises `AuditError`: the texts must be sealed first."""
        raise AuditError(NO_SEALING_KEY)

    def with_reason(self, entry: Judged, reason: str) -> Judged:
        """Returns an entry about this exchange with the judge's reason, which is sealed as its texts are."""
        members = {name: getattr(entry, name) for name in Judged.__struct_fields__}
        return PrivateJudged(**members, private=Private(self.private.owner), reason=reason)


class PrivateJudged(Judged, frozen=True, kw_only=True, tag="judged"):
    """What a judge said about an exchange whose texts are sealed. `reason`: in its own words, which may repeat the texts."""

    private: Private
    reason: str

    def __repr__(self) -> str:
        return f"PrivateJudged(id={self.id!r})"

    def document(self) -> dict[str, Any]:
        """Raises `AuditError`: the reason must be sealed first."""
        raise AuditError(NO_SEALING_KEY)


PrivateEntry = PrivateRecord | PrivateJudged


class WrittenRecord(NamedTuple):
    """A sealed entry in the form in which it is written. `is_small`: whether one call may encode it."""

    document: dict[str, Any]
    is_small: bool


class Sealing(Protocol):
    """Seals private entries for a log. Used by the log's writer thread."""

    def seal(self, records: Sequence[PrivateEntry]) -> Sequence[WrittenRecord | AuditError]:
        """Returns the entries to write, or why an entry cannot be written. Raises `AuditError` if no entry can be
        sealed."""
        ...

    def check(self) -> None:
        """Raises `AuditError` if no record can be sealed now."""
        ...

    def close(self) -> None:
        """Ends the use of the keys."""
        ...


class _NoSealing:
    """Seals nothing, so that no record whose texts must be sealed is written."""

    def seal(self, records: Sequence[PrivateEntry]) -> Sequence[WrittenRecord | AuditError]:
        return [AuditError(NO_SEALING_KEY) for _ in records]

    def check(self) -> None:
        return

    def close(self) -> None:
        return


NO_SEALING: Sealing = _NoSealing()


class Waiting(Protocol):
    """A record that waits to be written."""

    record: Any

    def settle(self, result: AuditError) -> None:
        """Takes the reason why the record is not written."""
        ...


def seal_all(batch: Sequence[Waiting], sealing: Sealing) -> None:
    """Replaces the private entries of a batch by what is to be written. Raises `AuditError` if no entry can be sealed."""
    private = [waiting for waiting in batch if isinstance(waiting.record, PrivateEntry)]
    if not private:
        return
    for waiting, sealed in zip(private, sealing.seal([waiting.record for waiting in private]), strict=True):
        if isinstance(sealed, AuditError):
            waiting.settle(sealed)
        else:
            waiting.record = sealed
