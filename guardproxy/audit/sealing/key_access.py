"""What an operator does with sealed texts: erase, rotate, unseal. Each leaves an entry in the log.

In: a key store, the folder of the log. Out: entries in the log `operator` of that folder, and opened records.

The logs of a running proxy are locked, so these entries have a log of their own (`record/commands.py`), which verifies like the
others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from guardproxy.audit.record.canonical import canonical
from guardproxy.audit.record.chain import open_line
from guardproxy.audit.record.document import ENTRY_VERSION, Record
from guardproxy.audit.record.entries import Erased, Judged, Rotated, Unsealed
from guardproxy.audit.record.versions import entry_of
from guardproxy.audit.sealing.operator_key import OperatorKey
from guardproxy.audit.sealing.sealer import OpenedRecord, Sealer
from guardproxy.audit.sealing.store import KeyStore
from guardproxy.audit.writing.operator_log import operator_log


@dataclass(frozen=True, slots=True)
class KeyAccess:
    """The sealed texts of the logs in `folder`. `engine`: the version that entries name; `by`: who gives the command; `why`:
    the reason; `clock`: returns Unix time in seconds. Methods raise `AuditError`."""

    folder: Path
    store: KeyStore
    engine: str
    by: str
    why: str
    clock: Callable[[], float] = time.time

    def erase(self, *, subject: str | None = None, conversation: str | None = None, tenant: str | None = None) -> int:
        """Destroys the data keys of a subject, a conversation or a tenant. Returns their number."""
        at = self.clock()

        def event(keys: Sequence[str]) -> bytes:
            entry = Erased(v=ENTRY_VERSION, at=at, engine=self.engine, keys=tuple(keys), by=self.by, why=self.why)
            return canonical(entry.document())

        count = self.store.erase(event, subject=subject, conversation=conversation, tenant=tenant)
        self.settle()
        return count

    def rotate(self, new: OperatorKey) -> int:
        """Wraps all data keys under a new key of the operator. Returns their number."""
        at = self.clock()

        def event(count: int) -> bytes:
            entry = Rotated(v=ENTRY_VERSION, at=at, engine=self.engine, count=count, by=self.by, why=self.why)
            return canonical(entry.document())

        count = self.store.rotate(new, event)
        self.settle()
        return count

    def unseal(self, record: Record) -> OpenedRecord:
        """Returns a record with its texts, after the log says so."""
        opened = Sealer(self.store).open(record)
        assert record.sealed is not None  # noqa: S101 - it was opened
        entry = Unsealed(
            v=ENTRY_VERSION,
            at=self.clock(),
            id=record.id,
            engine=self.engine,
            key=record.sealed.key,
            by=self.by,
            why=self.why,
        )
        with operator_log(self.folder, self.engine) as append:
            append(entry)
        return opened

    def reasons(self, entries: Sequence[Judged]) -> dict[str, str]:
        """Returns what judges said about an exchange that was unsealed, by the names of their policies."""
        sealer = Sealer(self.store)
        return {entry.policy: reason for entry in entries if (reason := sealer.reason_of(entry))}

    def settle(self) -> None:
        """Completes what an earlier command did not complete, and this command: see `KeyStore.settle`."""
        if not self.store.is_unsettled:
            return
        with operator_log(self.folder, self.engine) as append:
            self.store.settle(lambda entry: append(entry_of(open_line(entry) or {})))
