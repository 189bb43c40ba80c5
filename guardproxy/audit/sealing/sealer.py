"""Seals records before they are written to the log, and opens sealed records.

In: private records, sealed records. Out: documents to write, records with their texts. Kept: a key store.

A sealed record has no text, no body and no key of an object that is text, as with `keep: none`. Each member that had one is
in `sealed`, whole and encrypted, so an opened record is the record with `keep: redacted`, member for member. The original
values are sealed beside the members.

Decision: docs/decisions/0042-a-sealed-text-has-an-owner.md
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from guardproxy.audit.record.canonical import canonical, pieces
from guardproxy.audit.record.document import ENTRY_VERSION, Record, RecordedSealing
from guardproxy.audit.record.entries import Judged
from guardproxy.audit.record.private import Owner, PrivateEntry, PrivateRecord, WrittenRecord
from guardproxy.audit.sealing.cipher import SALT_BYTES, open_members, seal_members
from guardproxy.audit.sealing.store import DataKey, KeyStore
from guardproxy.errors import AuditError, SealError

_TEXT = ("text", "shape")  # the shape quotes the request's schema
_PLACES = ("uninspected", "unmapped")
VALUES = "values"  # not a member of a record: placeholder -> value
REASON = "reason"  # of a judge


@dataclass(frozen=True, slots=True, repr=False)
class OpenedRecord:
    """A record with its texts. `values`: placeholder -> the value that it replaces. `paths`: the paths of the record, which
    may hold a key that is text -> the same paths as the sealed record shows them."""

    record: Record
    values: Mapping[str, str]
    paths: Mapping[str, str]

    def shown_path(self, path: str) -> str:
        """Returns a path in a form that shows no sealed text: `*` if the sealed record does not have it."""
        return self.paths.get(path, "*")


class Sealer:
    """Seals records with the keys of a key store. `alone`: lets one thread at a time use the key store; without it, the caller
    does."""

    def __init__(self, store: KeyStore, alone: AbstractContextManager[object] | None = None) -> None:
        self._store = store
        self._alone = alone or nullcontext()

    def seal(self, records: Sequence[PrivateEntry]) -> list[WrittenRecord | AuditError]:
        """Returns what to write, or why an entry cannot be written. All new keys are stored, with one sync, before this
        returns. Raises `SealError` if the key store cannot be used."""
        split = [_split(record) for record in records]
        owners = [record.private.owner for record, (_, hidden) in zip(records, split, strict=True) if hidden]
        keys = self._keys_for(owners)
        return [
            _written(record, shown, hidden, keys[record.private.owner])
            if hidden
            else WrittenRecord(shown, record.is_small)
            for record, (shown, hidden) in zip(records, split, strict=True)
        ]

    def check(self) -> None:
        """Raises `SealError` if no record can be sealed now."""
        self._keys_for(())

    def secret_of(self, owner: Owner) -> bytes:
        """Returns the data key of an owner, which an erasure destroys. Raises `SealError`."""
        return self._keys_for((owner,))[owner].key

    def known_secret_of(self, owner: Owner) -> bytes | None:
        """Returns the data key of an owner; `None` if there is none, or not any more. Makes none. Raises `SealError`."""
        with self._alone:
            key = self._store.find(owner)
        return key.key if key else None

    def _keys_for(self, owners: Sequence[Owner]) -> dict[Owner, DataKey]:
        with self._alone:
            return self._store.keys_for(owners)

    def open(self, record: Record) -> OpenedRecord:
        """Returns a record with its texts. Raises `SealError` if it is not sealed, or cannot be opened."""
        if record.sealed is None:
            raise SealError(f"the record {record.id} is not sealed")
        return opened(record, self._store.key(record.sealed.key))

    def reason_of(self, entry: Judged) -> str:
        """Returns what a judge said; empty if it gave no reason. Raises `SealError` if that cannot be opened."""
        if entry.sealed is None:
            return ""
        members = _members_of(entry.id, entry.sealed, self._store.key(entry.sealed.key))
        return str(_decoded(members[REASON]))

    def close(self) -> None:
        """Closes the key store."""
        self._store.close()


def _split(entry: PrivateEntry) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the document to write, and the members to seal."""
    if isinstance(entry, PrivateRecord):
        return split_record(entry)
    shown = Judged(**{name: getattr(entry, name) for name in Judged.__struct_fields__}).document()
    return shown, {REASON: entry.reason}


def split_record(record: PrivateRecord) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the document to write, and the members to seal."""
    document = Record(**{name: getattr(record, name) for name in Record.__struct_fields__}).document()
    shown = without_texts(document, record.private.paths)
    # `without_texts` makes a new object of each member that it may have changed.
    hidden = {name: value for name, value in document.items() if shown[name] is not value}
    if record.private.values:
        hidden[VALUES] = dict(record.private.values)
    return shown, hidden


def _written(
    record: PrivateEntry, shown: dict[str, Any], hidden: Mapping[str, Any], key: DataKey
) -> WrittenRecord | AuditError:
    salt = secrets.token_bytes(SALT_BYTES)
    encode = _in_one_call if record.is_small else _in_pieces
    try:
        encoded = {name: encode(value) for name, value in hidden.items()}
    except AuditError as error:
        return error
    members = seal_members(key.key, salt, (record.id, key.id), encoded)
    shown["sealed"] = {"v": ENTRY_VERSION, "key": key.id, "salt": salt.hex(), "members": members}
    return WrittenRecord(shown, record.is_small)


def opened(record: Record, key: DataKey) -> OpenedRecord:
    """Returns the record with its texts. Raises `SealError` if it was changed or `key` did not seal it."""
    assert record.sealed is not None  # noqa: S101 - asked by the caller
    members = _members_of(record.id, record.sealed, key)
    parts = {name: _decoded(data) for name, data in members.items()}
    values = parts.pop(VALUES, {})
    shown = {name: value for name, value in record.document().items() if name != "sealed"}
    try:
        whole = msgspec.convert({**shown, **parts}, Record)
    except msgspec.ValidationError as error:
        raise SealError(f"the sealed texts of the record {record.id} are of another version: {error}") from None
    # If somebody changed the visible part, the numbers may differ: a path without a partner is not shown.
    return OpenedRecord(whole, values, dict(zip(_paths(whole), _paths(record), strict=False)))


def _members_of(name: str, sealed: RecordedSealing, key: DataKey) -> dict[str, bytes]:
    """Returns the members of the entry of an exchange. Raises `SealError`."""
    try:
        salt = bytes.fromhex(sealed.salt)
    except ValueError:
        raise SealError(f"the salt of the record {name} was changed") from None
    return open_members(key.key, salt, (name, key.id), sealed.members)


def without_texts(document: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    """Returns the document without texts and bodies. `paths`: paths that show a key which is text -> the same without it."""
    shown = dict(document)
    request = _side(document["request"], paths)
    shown["request"] = request if request["body"] is None else {**request, "body": None}
    shown["response"] = _side(document["response"], paths)
    if "attempts" in document:
        shown["attempts"] = [_attempt(attempt, paths) for attempt in document["attempts"]]
    if paths:
        for name, key in (("decisions", "path"), ("verdicts", "path"), ("fields", "field")):
            if name in document:
                shown[name] = [{**part, key: paths.get(part[key], part[key])} for part in document[name]]
    return shown


def _attempt(attempt: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    if attempt.get("response") is None:
        return dict(attempt)
    return {**attempt, "response": _side(attempt["response"], paths)}


def _side(side: dict[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    if not side["texts"] and not paths:
        return side
    texts = [{name: value for name, value in text.items() if name not in _TEXT} for text in side["texts"]]
    for text in texts:
        text["text"] = None
        text["path"] = paths.get(text["path"], text["path"])
    rest = {name: [paths.get(path, path) for path in side[name]] for name in _PLACES} if paths else {}
    return {**side, **rest, "texts": texts}


def _paths(record: Record) -> Iterator[str]:
    """Yields the paths of a record, in the same order for a sealed record and the opened one."""
    for side in (record.request, *record.answers):
        yield from (text.path for text in side.texts)
    yield from (change.field for change in record.fields)


def _in_one_call(value: Any) -> list[bytes]:
    return [canonical(value)]


def _in_pieces(value: Any) -> list[bytes]:
    """Returns the JSON of a large member in pieces, so that other threads run between them."""
    try:
        return list(pieces(value))
    except TypeError:  # lone surrogates, large integers
        return [canonical(value)]


def _decoded(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:  # lone surrogates
        return json.loads(data)
