"""A record whose private members are not encrypted yet. It lives in memory only.

In: a record as `keep: none` writes it, and the record as `keep: redacted` would write it. Out: the record to seal. Kept:
nothing. Such a record refuses to be written, so a path that forgets to seal it fails and shows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from guardproxy.audit.document import Record
from guardproxy.errors import AuditError

OwnerKind = Literal["subject", "tenant", "conversation"]


class Owner(NamedTuple):
    """Whose texts a data key seals. `name`: the name of the subject, or the pseudonym of the conversation; empty for a
    tenant."""

    kind: OwnerKind
    tenant: str
    name: str


@dataclass(frozen=True, slots=True, repr=False)
class Private:
    """What is to be sealed. `record`: the record with its texts. `values`: placeholder -> the value that it replaces."""

    owner: Owner
    record: Record
    values: Mapping[str, str] = field(default_factory=dict)


class PrivateRecord(Record, frozen=True, kw_only=True, tag="exchange"):
    """A record as `keep: none` writes it, with the texts to seal beside it."""

    private: Private

    def document(self) -> dict[str, Any]:
        """Raises `AuditError`: the texts must be sealed first."""
        raise AuditError("the texts of this record must be sealed, and no key is given")


def with_texts(record: Record) -> Record:
    """Returns the record with the texts that are to be sealed; other records as they are."""
    return record.private.record if isinstance(record, PrivateRecord) else record


class Sealing(Protocol):
    """Seals private records for a log. Used by the log's writer thread."""

    def seal(self, records: Sequence[PrivateRecord]) -> Sequence[Record | AuditError]:
        """Returns the records to write, or why a record cannot be written. Raises `AuditError` if no record can be
        sealed."""
        ...

    def check(self) -> None:
        """Raises `AuditError` if no record can be sealed now."""
        ...

    def close(self) -> None:
        """Ends the use of the keys."""
        ...
