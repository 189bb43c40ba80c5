"""The key store: a file with the wrapped data keys of a log (SQLite), beside the log or elsewhere.

In: owners of texts. Out: data keys. Kept: an open file, the ring key, recently used data keys.

The operator's key wraps the ring key, the ring key wraps each data key. So a command of the operator runs once for each start
and not for each data key, and a rotation replaces the ring key too: whoever knows the old key and has an old copy of the file
cannot read what is written from now on.

The file names no subject: `who` is HMAC-SHA256(a random salt in the file, kind, tenant, name). Whoever has the file can only
test whether a guessed name is in it. A row that is erased is overwritten with zeros (`secure_delete`), and the journal of
SQLite, which may hold older copies of its page, is cut to size 0 (`settle`). Copies of the file are out of reach: see
`rotate`.

A change that the log must name is stored together with the entry that the log will get (table `events`). If a process ends
between the two, the next command writes the entry.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from guardproxy.audit.record.canonical import canonical
from guardproxy.audit.record.private import Owner
from guardproxy.audit.sealing.cipher import KEY_BYTES, aead
from guardproxy.audit.sealing.database import KeyDatabase
from guardproxy.audit.sealing.operator_key import OperatorKey, read_key
from guardproxy.errors import SealError

FORMAT = b"1"
STORE = "seal.keys"
LIMIT_REMEMBERED = 10_000  # data keys in memory
LIMIT_ROWS = 1000  # rows that one step reads, and keys that one entry of the log names

_NONCE_BYTES = 12
_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key that seals the texts of an owner."""

    id: str
    key: bytes = field(repr=False)


class KeyStore:
    """The key store at `path`. `operators`: the keys that may open it; the first that fits is used. Without any, keys can be
    erased and nothing can be opened. `create`: whether to make a new store, for the first of `operators`, if there is none.
    Raises `SealError` if the store cannot be opened.

    Used by one thread at a time. Several processes may use the same file. A key is only given for records if the file at the
    path holds it: keys in a file that was removed would be lost with the process. A file that takes its place is opened.
    """

    def __init__(self, path: Path, operators: Sequence[OperatorKey] = (), *, create: bool = False) -> None:
        self.path = path
        self._operators = operators
        self._remembered: OrderedDict[Owner, DataKey] = OrderedDict()
        self._version = -1
        self._ring_id, self._ring, self._salt = b"", b"", b""
        self._database = KeyDatabase(path, create=create)
        try:
            with self._database.alone():
                self._begin(create=create)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the file. May be called again."""
        self._database.close()

    # Keys for records.

    def keys_for(self, owners: Sequence[Owner]) -> dict[Owner, DataKey]:
        """Returns the data keys of owners. New keys are on disk when this returns. Raises `SealError`."""
        with self._database.faults():
            self._follow()
            self._look()
            missing = [owner for owner in dict.fromkeys(owners) if owner not in self._remembered]
            found = {owner: key for owner in missing if (key := self._read(owner))}
            if len(found) < len(missing):
                with self._database.change():
                    self._open_ring()
                    # Read again within the transaction: another process may have made a key since.
                    found = {owner: self._read(owner) or self._make(owner) for owner in missing}
                if not self._database.is_at_path:
                    raise SealError(f"{self.path}: the key store was replaced while a key was written")
                self._database.require_journal()
        keys = {owner: found.get(owner) or self._remembered[owner] for owner in dict.fromkeys(owners)}
        for owner, key in keys.items():
            self._remembered[owner] = key
            self._remembered.move_to_end(owner)
        while len(self._remembered) > LIMIT_REMEMBERED:
            self._remembered.popitem(last=False)
        return keys

    def find(self, owner: Owner) -> DataKey | None:
        """Returns the data key of an owner; `None` if there is none, or not any more. Raises `SealError`."""
        with self._database.faults():
            self._follow()
            self._look()
            return self._remembered.get(owner) or self._read(owner)

    def key(self, key_id: str) -> DataKey:
        """Returns the data key with this id. Raises `SealError` if it was erased or is not in the store."""
        with self._database.faults():
            self._open_ring()
            row = self._database.rows.execute("SELECT wrapped FROM keys WHERE id = ?", (key_id,)).fetchone()
            is_erased = self._database.rows.execute("SELECT 1 FROM erased WHERE id = ?", (key_id,)).fetchone()
        if row is None:
            why = "the texts were erased" if is_erased else "the key of the texts is not in the key store"
            raise SealError(f"{why} (data key {key_id})")
        return DataKey(key_id, self._unwrapped(key_id, row[0]))

    def _follow(self) -> None:
        """Opens the file at the path if it is another one by now, such as a restored copy."""
        if self._database.is_at_path:
            return
        other = KeyStore(self.path, self._operators)
        self.close()
        self._database, self._version = other._database, -1
        self._ring_id, self._ring, self._salt = other._ring_id, other._ring, other._salt
        self._remembered.clear()

    def _look(self) -> None:
        """Forgets remembered keys if another connection changed the file: keys may be erased. Raises `SealError` if the
        journal is gone."""
        # The number changes with each commit of another connection.
        (version,) = self._database.rows.execute("PRAGMA data_version").fetchone()
        self._database.require_journal()
        if version != self._version:
            self._remembered.clear()
            self._open_ring()
            self._version = version

    def _read(self, owner: Owner) -> DataKey | None:
        row = self._database.rows.execute("SELECT id, wrapped FROM keys WHERE who = ?", (self._who(owner),)).fetchone()
        if not row:
            return None
        key_id, wrapped = row
        return DataKey(key_id, self._unwrapped(key_id, wrapped))

    def _make(self, owner: Owner) -> DataKey:
        key = DataKey(secrets.token_hex(_ID_BYTES), secrets.token_bytes(KEY_BYTES))
        row = (key.id, self._who(owner), owner.tenant, _wrapped(self._ring, key))
        self._database.rows.execute("INSERT INTO keys (id, who, tenant, wrapped) VALUES (?, ?, ?, ?)", row)
        return key

    def _who(self, owner: Owner) -> bytes:
        return hmac.digest(self._salt, canonical(list(owner)), hashlib.sha256)

    def _unwrapped(self, key_id: str, wrapped: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        try:
            return aead(self._ring).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], key_id.encode())
        except (InvalidTag, ValueError):
            raise SealError(f"the data key {key_id} in {self.path} was changed") from None

    # Changes by the operator.

    def erase(
        self,
        event: Callable[[Sequence[str]], bytes],
        *,
        subject: str | None = None,
        conversation: str | None = None,
        tenant: str | None = None,
    ) -> int:
        """Removes the keys of a subject, of a conversation or of a tenant, and returns their number. `tenant`: only the keys
        of this tenant. `event`: returns the entry that the log will get, for the ids of some keys. The keys are out of reach
        when `settle` returns. Raises `SealError`."""
        with self._database.faults(), self._database.change():
            ids = self._chosen(subject, conversation, tenant)
            for start in range(0, len(ids), LIMIT_ROWS):
                some = ids[start : start + LIMIT_ROWS]
                self._database.rows.executemany("DELETE FROM keys WHERE id = ?", ((key_id,) for key_id in some))
                self._database.rows.executemany("INSERT INTO erased (id) VALUES (?)", ((key_id,) for key_id in some))
                self._database.rows.execute("INSERT INTO events (entry) VALUES (?)", (event(some),))
        self._remembered.clear()
        return len(ids)

    def owned(
        self, *, subject: str | None = None, conversation: str | None = None, tenant: str | None = None
    ) -> list[str]:
        """Returns the ids of the keys that `erase` would remove. Raises `SealError`."""
        with self._database.faults():
            return self._chosen(subject, conversation, tenant)

    def _chosen(self, subject: str | None, conversation: str | None, tenant: str | None) -> list[str]:
        if subject is None and conversation is None:
            rows = self._database.rows.execute("SELECT id FROM keys WHERE tenant = ?", (tenant,)).fetchall()
        else:
            rows = list(self._of(tenant, subject, conversation))
        return [key_id for (key_id,) in rows]

    def rotate(self, new: OperatorKey, event: Callable[[int], bytes]) -> int:
        """Makes a new ring key, wraps all data keys again, and returns their number. `event`: returns the entry that the log
        will get, for that number. Copies of the file from before open with the old key only. Raises `SealError`."""
        with self._database.faults():
            self._open_ring()
        ring, ring_id = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(_ID_BYTES)
        wrapped_ring = new.wrap(ring, ring_id)
        count, last = 0, ""
        with self._database.faults(), self._database.change():
            self._open_ring()  # another rotation may have come between
            page = "SELECT id, wrapped FROM keys WHERE id > ? ORDER BY id LIMIT ?"
            while rows := self._database.rows.execute(page, (last, LIMIT_ROWS)).fetchall():
                keys = [DataKey(key_id, self._unwrapped(key_id, wrapped)) for key_id, wrapped in rows]
                again = ((_wrapped(ring, key), key.id) for key in keys)
                self._database.rows.executemany("UPDATE keys SET wrapped = ? WHERE id = ?", again)
                count, last = count + len(keys), keys[-1].id
            self._database.write_head({"ring": wrapped_ring, "ring_id": ring_id})
            self._database.rows.execute("INSERT INTO events (entry) VALUES (?)", (event(count),))
        self._ring, self._ring_id = ring, ring_id
        return count

    @property
    def is_unsettled(self) -> bool:
        """Whether an erasure or a rotation is to be completed by `settle`. Raises `SealError`."""
        with self._database.faults():
            return self._database.rows.execute("SELECT 1 FROM events").fetchone() is not None

    def settle(self, append: Callable[[bytes], object]) -> None:
        """Completes erasures and rotations: puts what they removed out of reach, then gives their entries to `append`, which
        returns when an entry is in the log. An entry may be given twice if the process ends in between. Raises
        `SealError`."""
        with self._database.faults():
            events = self._database.rows.execute("SELECT number, entry FROM events ORDER BY number").fetchall()
            # Until then the journal may hold what was removed. The log must not say earlier that it is gone.
            (is_busy, _, _) = self._database.rows.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise SealError(f"{self.path}: another program reads the key store; run the command again to complete it")
        for number, entry in events:
            append(entry)
            with self._database.faults():
                self._database.rows.execute("DELETE FROM events WHERE number = ?", (number,))

    def _of(self, tenant: str | None, subject: str | None, conversation: str | None) -> Iterator[tuple[str]]:
        """Yields the ids of the keys of a subject or of a conversation, of one tenant or of all."""
        tenants = (
            [(tenant,)]
            if tenant is not None
            else self._database.rows.execute("SELECT DISTINCT tenant FROM keys").fetchall()
        )
        for (own,) in tenants:
            owner = (
                Owner("subject", own, subject)
                if subject is not None
                else Owner("conversation", own, conversation or "")
            )
            yield from self._database.rows.execute("SELECT id FROM keys WHERE who = ?", (self._who(owner),)).fetchall()

    # The head of the file.

    def _begin(self, *, create: bool) -> None:
        """Reads the head of the file, and writes it into a new file."""
        head = self._database.head()
        if not head and not create:
            raise SealError(f"{self.path}: not a key store")
        if not head:
            if not self._operators:
                raise SealError(f"{self.path}: a new key store needs the operator's key")
            ring, ring_id = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(_ID_BYTES)
            head = {"format": FORMAT, "salt": secrets.token_bytes(KEY_BYTES), "ring_id": ring_id}
            head["ring"] = self._operators[0].wrap(ring, ring_id)
            self._database.make(head)
        if head.get("format") != FORMAT:
            raise SealError(f"{self.path}: a key store of another version")
        self._salt = head["salt"]
        if self._operators:
            self._open_ring()

    def _open_ring(self) -> None:
        """Opens the ring key that is in the file now: a rotation may have replaced it."""
        head = self._database.head()
        if head["ring_id"] == self._ring_id and self._ring:
            return
        if not self._operators:
            raise SealError("the operator's key is needed")
        faults = []
        for operator in self._operators:
            try:
                self._ring, self._ring_id = operator.unwrap(head["ring"], head["ring_id"]), head["ring_id"]
                return
            except SealError as error:
                faults.append(str(error))
        raise SealError(f"{self.path}: {'; '.join(faults)}")


def open_store(folder: Path, path: Path | None, sources: Sequence[str], *, create: bool = False) -> KeyStore:
    """Opens the key store of the logs in `folder`. `path`: its file; by default `STORE` in that folder. `sources`: where the
    operator's keys come from. Raises `SealError`."""
    operators = [read_key(source, folder) for source in sources]
    return KeyStore(path or folder / STORE, operators, create=create)


def _wrapped(ring: bytes, key: DataKey) -> bytes:
    # One ring key wraps at most some 2^32 data keys, for which random nonces of 96 bits are safe.
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + aead(ring).encrypt(nonce, key.key, key.id.encode())
