"""Seals records before they are written to the log, and opens sealed records.

In: private records, sealed records. Out: sealed records, records with their texts. Kept: a key store.

A sealed record is the record that `keep: none` writes, and a member `sealed`. That holds, encrypted, every member that
differs in the record that `keep: redacted` writes. So whatever a record of an exchange without kept texts hides is sealed, and
an opened record is the record with `keep: redacted`, member for member. The original values are sealed beside the members.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from guardproxy.audit.canonical import canonical, pieces
from guardproxy.audit.document import ENTRY_VERSION, Record, RecordedSealing
from guardproxy.audit.private import Owner, PrivateRecord
from guardproxy.audit.sealing.cipher import SALT_BYTES, open_members, seal_members
from guardproxy.audit.sealing.store import DataKey, KeyStore
from guardproxy.errors import AuditError, SealError

VALUES = "values"  # not a member of a record: placeholder -> value


@dataclass(frozen=True, slots=True, repr=False)
class OpenedRecord:
    """A record with its texts. `values`: placeholder -> the value that it replaces."""

    record: Record
    values: Mapping[str, str]


class Sealer:
    """Seals records with the keys of a key store. Used by one thread at a time."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store

    def seal(self, records: Sequence[PrivateRecord]) -> list[Record | AuditError]:
        """Returns the records to write, or why a record cannot be written. All new keys are stored, with one sync, before
        this returns. Raises `SealError` if the key store cannot be used."""
        hidden = [_hidden(record) for record in records]
        owners = [record.private.owner for record, members in zip(records, hidden, strict=True) if members]
        keys = self._store.keys_for(owners)
        return [
            self._sealed(record, members, keys) if members else _shown(record)
            for record, members in zip(records, hidden, strict=True)
        ]

    def _sealed(
        self, record: PrivateRecord, members: Mapping[str, Any], keys: Mapping[Owner, DataKey]
    ) -> Record | AuditError:
        try:
            return sealed(record, members, keys[record.private.owner], secrets.token_bytes(SALT_BYTES))
        except AuditError as error:
            return error

    def check(self) -> None:
        """Raises `SealError` if no record can be sealed now."""
        self._store.keys_for(())

    def open(self, record: Record) -> OpenedRecord:
        """Returns a record with its texts. Raises `SealError` if it is not sealed, or cannot be opened."""
        if record.sealed is None:
            raise SealError(f"the record {record.id} is not sealed")
        return opened(record, self._store.key(record.sealed.key))

    def close(self) -> None:
        """Closes the key store."""
        self._store.close()


def _hidden(record: PrivateRecord) -> dict[str, Any]:
    """Returns the members to seal: those that the record does not show as they are."""
    shown, private = _shown(record).document(), record.private.record.document()
    members = {name: value for name, value in private.items() if name not in shown or shown[name] != value}
    if record.private.values:
        members[VALUES] = dict(record.private.values)
    return members


def _shown(record: PrivateRecord) -> Record:
    return Record(**{name: getattr(record, name) for name in Record.__struct_fields__})


def sealed(record: PrivateRecord, members: Mapping[str, Any], key: DataKey, salt: bytes) -> Record:
    """Returns the record with these members encrypted. `salt`: random bytes that were never used before."""
    encoded = {name: _encoded(value) for name, value in members.items()}
    sealing = seal_members(key.key, salt, (record.id, key.id), encoded)
    part = RecordedSealing(v=ENTRY_VERSION, key=key.id, salt=salt.hex(), members=sealing)
    return msgspec.structs.replace(_shown(record), sealed=part)


def opened(record: Record, key: DataKey) -> OpenedRecord:
    """Returns the record with its texts. Raises `SealError` if it was changed or `key` did not seal it."""
    assert record.sealed is not None  # noqa: S101 - asked by the caller
    try:
        salt = bytes.fromhex(record.sealed.salt)
    except ValueError:
        raise SealError(f"the salt of the record {record.id} was changed") from None
    members = open_members(key.key, salt, (record.id, key.id), record.sealed.members)
    parts = {name: _decoded(data) for name, data in members.items()}
    values = parts.pop(VALUES, {})
    shown = {name: value for name, value in record.document().items() if name != "sealed"}
    try:
        return OpenedRecord(msgspec.convert({**shown, **parts}, Record), values)
    except msgspec.ValidationError as error:
        raise SealError(f"the sealed texts of the record {record.id} are of another version: {error}") from None


def _encoded(value: Any) -> list[bytes]:
    """Returns the JSON of a member in pieces, so that other threads run between them."""
    try:
        return list(pieces(value))
    except TypeError:  # lone surrogates, large integers
        return [canonical(value)]


def _decoded(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:  # lone surrogates
        return json.loads(data)
