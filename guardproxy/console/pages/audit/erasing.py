"""Destroys the keys of a subject, a conversation or a tenant, after a person said so twice.

In: the fields of a form. Out: what would be erased, and then what was. An erasure cannot be undone, so its first step only says
what it would do; its second step asks for the name again. The log says who did it and why, and not whose texts they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from guardproxy.audit.sealing import KeyAccess, KeyStore
from guardproxy.console.index import Index
from guardproxy.errors import QueryError

OWNERS: Mapping[str, str] = {
    "subject": "A person, as requests name one",
    "conversation": "A conversation's pseudonym",
    "tenant": "A tenant, all of its texts",
}
"""Whose texts can be erased, in words."""
LIMIT_NAME_CHARS = 500
LIMIT_REASON_CHARS = 500


@dataclass(frozen=True, slots=True)
class Erasure:
    """What a person wants to erase. `owner`: one of `OWNERS`; `tenant`: only of this tenant, by its digest; empty: of all."""

    owner: str
    name: str
    tenant: str
    reason: str

    @classmethod
    def parse(cls, fields: Mapping[str, str]) -> Erasure:
        """Reads a form. Raises `QueryError`, which says what is right."""
        owner, name = fields.get("owner", ""), fields.get("name", "").strip()
        tenant, reason = fields.get("tenant", "").strip(), " ".join(fields.get("reason", "").split())
        if owner not in OWNERS:
            raise QueryError(f"owner: expected one of {', '.join(OWNERS)}")
        if not name or len(name) > LIMIT_NAME_CHARS:
            raise QueryError("name: say whose texts are to be erased")
        if not reason or len(reason) > LIMIT_REASON_CHARS:
            raise QueryError(f"reason: give a reason of at most {LIMIT_REASON_CHARS} characters; it goes into the log")
        if owner != "tenant" and name.casefold() in reason.casefold():
            raise QueryError(
                "reason: do not name the subject in it: the log is never shortened, so the name would stay"
            )
        return cls(owner, name, "" if owner == "tenant" else tenant, reason)

    def fields(self) -> dict[str, str]:
        """Returns the fields that `parse` reads as this."""
        return {"owner": self.owner, "name": self.name, "tenant": self.tenant, "reason": self.reason}

    @property
    def chosen(self) -> dict[str, Any]:
        """Returns the arguments that name the keys."""
        if self.owner == "tenant":
            return {"tenant": self.name}
        return {self.owner: self.name, "tenant": self.tenant or None}


@dataclass(frozen=True, slots=True)
class ErasureScope:
    """What an erasure reaches: data keys, and the exchanges whose texts they seal."""

    keys: int
    exchanges: int


def scope_of(store: Path, index: Index, erasure: Erasure) -> ErasureScope:
    """Returns what an erasure would reach. Raises `AuditError`."""
    keys = KeyStore(store)
    try:
        owned = keys.owned(**erasure.chosen)
    finally:
        keys.close()
    return ErasureScope(len(owned), index.count_sealed(owned))


def erase_keys(folder: Path, store: Path, erasure: Erasure, by: str) -> int:
    """Destroys the keys, after which nobody can read the texts. Returns their number. Raises `AuditError`; the log then says
    nothing, or the next command completes the entry."""
    keys = KeyStore(store)
    try:
        access = KeyAccess(folder, keys, f"guardproxy {version('guardproxy')}", by, erasure.reason)
        # First completes what an earlier command began: its keys may be gone while the log does not say so yet.
        access.settle()
        return access.erase(**erasure.chosen)
    finally:
        keys.close()
