"""Opens the sealed texts of an exchange for a person, after the log says so.

In: the key of the session, a record, the person and the reason. Out: the record with its texts, the values that its
placeholders replace, and what judges said. Raises `AuditError` if the texts were erased, if the key does not open them, or if
the log cannot be written: then nothing is shown.

Decision: docs/decisions/0082-a-person-sees-a-record-through-one-door.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from guardproxy.audit import Judged, Record
from guardproxy.audit.sealing import KeyAccess, KeyStore, OperatorKey
from guardproxy.errors import SealError

REASON_CHARS = 500


@dataclass(frozen=True, slots=True, repr=False)
class UnsealedExchange:
    """An exchange whose texts were opened. `values`: placeholder -> the value that it replaces; `reasons`: of judges, by
    policy."""

    record: Record
    values: Mapping[str, str]
    reasons: Mapping[str, str] = field(default_factory=dict)


def unseal(
    folder: Path, store: Path, key: OperatorKey, record: Record, judged: Sequence[Judged], by: str, why: str
) -> UnsealedExchange:
    """Returns the opened exchange. `store`: the key store; `by`: who reads it; `why`: the reason, which the log keeps."""
    keys = KeyStore(store, (key,))
    try:
        access = KeyAccess(folder, keys, f"guardproxy {version('guardproxy')}", by, why)
        access.settle()
        opened = access.unseal(record)
        try:
            reasons = access.reasons(judged)
        except SealError:  # the texts are open, and what a judge said is not: its key is another one
            reasons = {}
        return UnsealedExchange(opened.record, opened.values, reasons)
    finally:
        keys.close()


def fault_of_reason(reason: str) -> str:
    """Returns what is wrong with a reason; empty if it can be used."""
    if not reason.strip():
        return "Give a reason. It goes into the log."
    if len(reason) > REASON_CHARS:
        return f"Give a reason of at most {REASON_CHARS} characters."
    return ""


def check_key(store: Path, key: OperatorKey) -> None:
    """Raises `SealError` if a key does not open the key store."""
    KeyStore(store, (key,)).close()
