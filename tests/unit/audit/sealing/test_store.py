"""The key store: keys that last, keys that are gone, and processes that end at the worst moment."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from guardproxy.audit.record.private import Owner
from guardproxy.audit.sealing import database
from guardproxy.audit.sealing import store as module
from guardproxy.audit.sealing.operator_key import OperatorKey
from guardproxy.audit.sealing.store import KeyStore, open_store
from guardproxy.errors import SealError
from tests.kit.sealing import OPERATOR, OTHER, store_at

ANN, BOB = Owner("subject", "t1", "ann"), Owner("subject", "t1", "bob")
ANN_2 = Owner("subject", "t2", "ann")
TALK = Owner("conversation", "t1", "c1")
TENANT = Owner("tenant", "t1", "")


def event(ids: Sequence[str]) -> bytes:
    return ",".join(ids).encode()


def settle(store: KeyStore) -> list[bytes]:
    entries: list[bytes] = []
    store.settle(entries.append)
    return entries


def rotated(count: int) -> bytes:
    return b"%d" % count


def test_an_owner_has_one_key(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    keys = store.keys_for([ANN, BOB, ANN, ANN_2, TALK, TENANT])
    assert len({key.id for key in keys.values()}) == len({key.key for key in keys.values()}) == len(keys) == 5
    assert store.keys_for([TALK, ANN]) == {TALK: keys[TALK], ANN: keys[ANN]}
    store.close()
    again = store_at(tmp_path, create=False)
    assert again.keys_for([ANN])[ANN] == keys[ANN]
    assert again.key(keys[BOB].id) == keys[BOB]
    again.close()
    again.close()


def test_the_file_shows_no_key_and_no_name(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    key = store.keys_for([ANN])[ANN]
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert key.id.encode() in held
    assert key.key not in held
    assert b"ann" not in held
    assert (tmp_path / "seal.keys").stat().st_mode & 0o777 == 0o600
    assert key.key.hex() not in repr(key)
    assert repr(key.key) not in repr(key)
    store.close()


def test_two_processes_agree_on_a_key(tmp_path: Path) -> None:
    one, other = store_at(tmp_path), store_at(tmp_path)
    assert one.keys_for([ANN]) == other.keys_for([ANN])
    assert other.keys_for([BOB, ANN]) == one.keys_for([ANN, BOB])
    one.close()
    other.close()


def test_a_key_is_found_and_not_made(tmp_path: Path) -> None:
    running, command = store_at(tmp_path), store_at(tmp_path, (), create=False)
    assert running.find(ANN) is None
    key = running.keys_for([ANN])[ANN]
    assert running.find(ANN) == key
    other = store_at(tmp_path)
    assert other.find(ANN) == key
    command.erase(event, subject="ann")
    assert (running.find(ANN), other.find(ANN)) == (None, None)
    for store in (running, other, command):
        store.close()


def test_the_memory_of_keys_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT_REMEMBERED", 2)
    store = store_at(tmp_path)
    keys = store.keys_for([ANN, BOB, TALK, TENANT])
    assert store.keys_for([ANN, BOB, TALK]) == {owner: keys[owner] for owner in (ANN, BOB, TALK)}
    assert len(store._remembered) == 2
    store.close()


@pytest.mark.parametrize(
    ("who", "gone"),
    [
        ({"subject": "ann"}, {ANN, ANN_2}),
        ({"subject": "ann", "tenant": "t2"}, {ANN_2}),
        ({"subject": "ann", "tenant": "t3"}, set()),
        ({"conversation": "c1"}, {TALK}),
        ({"tenant": "t1"}, {ANN, BOB, TALK, TENANT}),
        ({"subject": "nobody"}, set()),
        ({"subject": ""}, set()),
    ],
)
def test_erased_keys_are_gone_from_the_disk(who: dict[str, str], gone: set[Owner], tmp_path: Path) -> None:
    owners = [ANN, BOB, ANN_2, TALK, TENANT]
    store = store_at(tmp_path)
    keys = store.keys_for(owners)
    rows = sqlite3.connect(tmp_path / "seal.keys")
    wrapped = dict(rows.execute("SELECT id, wrapped FROM keys").fetchall())
    rows.close()
    assert store.erase(event, **who) == len(gone)
    entries = settle(store)
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for owner in owners:
        is_gone = owner in gone
        assert (wrapped[keys[owner].id] not in held) == is_gone
        if is_gone:
            with pytest.raises(SealError, match=f"the texts were erased .data key {keys[owner].id}"):
                store.key(keys[owner].id)
        else:
            assert store.key(keys[owner].id) == keys[owner]
    told = [key_id for entry in entries for key_id in entry.decode().split(",")]
    assert sorted(told) == sorted(keys[owner].id for owner in gone)
    assert not store.is_unsettled
    for owner in owners:  # new texts of an erased owner get a new key
        assert (store.keys_for([owner])[owner] == keys[owner]) == (owner not in gone)
    store.close()


def test_what_an_erasure_would_remove_is_known_before(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    keys = store.keys_for([ANN, BOB, ANN_2, TALK, TENANT])
    store.close()
    keyless = KeyStore(tmp_path / "seal.keys")
    assert set(keyless.owned(subject="ann")) == {keys[ANN].id, keys[ANN_2].id}
    assert keyless.owned(subject="ann", tenant="t1") == [keys[ANN].id]
    assert keyless.owned(conversation="c1") == [keys[TALK].id]
    assert len(keyless.owned(tenant="t1")) == 4
    assert keyless.owned(subject="nobody") == []
    for chosen in ({"subject": "ann"}, {"tenant": "t1"}):
        would = keyless.owned(**chosen)
        assert keyless.erase(event, **chosen) == len(would)
        assert keyless.owned(**chosen) == []
    keyless.close()


def test_a_running_process_forgets_an_erased_key(tmp_path: Path) -> None:
    running, command = store_at(tmp_path), store_at(tmp_path, (), create=False)
    before = running.keys_for([ANN])[ANN]
    command.erase(event, subject="ann")
    assert settle(command) == [before.id.encode()]
    assert running.keys_for([ANN])[ANN].id != before.id
    running.close()
    command.close()


def test_many_erased_keys_are_named_in_several_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT_ROWS", 2)
    store = store_at(tmp_path)
    store.keys_for([ANN, BOB, TALK, TENANT, Owner("subject", "t1", "eve")])
    assert store.erase(event, tenant="t1") == 5
    assert [entry.count(b",") for entry in settle(store)] == [1, 1, 0]
    store.close()


def test_rotation_changes_every_wrapped_key_and_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT_ROWS", 2)
    store = store_at(tmp_path)
    owners = [ANN, BOB, ANN_2, TALK, TENANT]
    keys = store.keys_for(owners)
    rows = sqlite3.connect(tmp_path / "seal.keys")
    before = [*rows.execute("SELECT wrapped FROM keys"), *rows.execute("SELECT value FROM about WHERE name = 'ring'")]
    rows.close()
    assert store.rotate(OTHER, rotated) == 5
    assert settle(store) == [b"5"]
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not any(wrapped in held for (wrapped,) in before)
    assert store.keys_for(owners) == keys
    with pytest.raises(SealError, match="the key from file:operator is not the key of this key store"):
        store_at(tmp_path, create=False)
    again = store_at(tmp_path, (OPERATOR, OTHER), create=False)
    assert again.keys_for(owners) == keys
    assert again.key(keys[ANN].id) == keys[ANN]
    store.close()
    again.close()


def test_a_running_process_follows_a_rotation_if_it_has_the_new_key(tmp_path: Path) -> None:
    store_at(tmp_path).close()
    ready, late = store_at(tmp_path, (OPERATOR, OTHER)), store_at(tmp_path)
    keys = ready.keys_for([ANN])
    command = store_at(tmp_path)
    command.rotate(OTHER, rotated)
    assert ready.keys_for([ANN]) == keys
    ready.keys_for([BOB])
    for _ in range(2):
        with pytest.raises(SealError, match="the key from file:operator is not the key of this key store"):
            late.keys_for([ANN])
    opened = store_at(tmp_path, (OTHER,))
    assert opened.keys_for([ANN, BOB]) == ready.keys_for([ANN, BOB])
    for store in (ready, late, command, opened):
        store.close()


def test_what_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(SealError, match="no key store here"):
        store_at(tmp_path, create=False)
    with pytest.raises(SealError, match="a new key store needs the operator's key"):
        store_at(tmp_path, ())
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "seal.keys").write_bytes(b"")
    with pytest.raises(SealError, match="not a key store"):
        store_at(tmp_path / "a", create=False)
    (tmp_path / "a" / "seal.keys").write_bytes(b"junk" * 2000)
    with pytest.raises(SealError, match="file is not a database"):
        store_at(tmp_path / "a")
    with pytest.raises(SealError, match=r"seal\.keys: No such file or directory"):
        store_at(tmp_path / "none")


def test_a_store_that_was_changed(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    key = store.keys_for([ANN])[ANN]
    store.close()
    rows = sqlite3.connect(tmp_path / "seal.keys")
    rows.execute("UPDATE keys SET wrapped = zeroblob(length(wrapped))")
    rows.commit()
    changed = store_at(tmp_path)
    with pytest.raises(SealError, match=rf"the data key {key.id} in .* was changed"):
        changed.keys_for([ANN])
    with pytest.raises(SealError, match=r"the key of the texts is not in the key store \(data key 00\)"):
        changed.key("00")
    changed.close()
    rows.execute("UPDATE about SET value = '9' WHERE name = 'format'")
    rows.commit()
    rows.close()
    with pytest.raises(SealError, match="a key store of another version"):
        store_at(tmp_path)


def test_without_a_key_nothing_opens_but_everything_can_be_erased(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    key = store.keys_for([ANN])[ANN]
    store.close()
    without = open_store(tmp_path, None, ())
    with pytest.raises(SealError, match="the operator's key is needed"):
        without.key(key.id)
    assert without.erase(event, subject="ann") == 1
    assert settle(without) == [key.id.encode()]
    without.close()


@pytest.mark.parametrize("what", ["erase", "rotate"])
@pytest.mark.parametrize("where", ["COMMIT", "PRAGMA wal_checkpoint", "append", "DELETE FROM events", "never"])
def test_a_command_that_ends_anywhere_is_completed_by_the_next(what: str, where: str, tmp_path: Path) -> None:
    """The files are copied before a step: this is what a process leaves that is killed there."""
    (tmp_path / "first").mkdir()
    store = store_at(tmp_path / "first")
    keys = store.keys_for([ANN, BOB])
    left = tmp_path / "left"

    def copy(step: str) -> None:
        if step.startswith(where) and not left.exists():
            shutil.copytree(tmp_path / "first", left, ignore=shutil.ignore_patterns("*-shm"))

    store._database.rows.set_trace_callback(copy)
    if what == "erase":
        store.erase(event, subject="ann")
    else:
        store.rotate(OTHER, rotated)
    store.settle(lambda entry: copy("append"))
    copy("never")
    store.close()
    again = store_at(left, (OPERATOR, OTHER), create=False)
    is_committed = where != "COMMIT"
    assert again.is_unsettled == (where not in ("COMMIT", "never"))
    told = settle(again)
    if what == "erase":
        assert _is_gone(again, keys[ANN].id) == is_committed
        assert told == ([] if where in ("COMMIT", "never") else [keys[ANN].id.encode()])
    else:
        assert again.key(keys[ANN].id) == keys[ANN]
        assert (_opens(left, OPERATOR), _opens(left, OTHER)) == (not is_committed, is_committed)
    assert again.key(keys[BOB].id) == keys[BOB]
    assert not again.is_unsettled
    again.close()


def _is_gone(store: KeyStore, key_id: str) -> bool:
    try:
        store.key(key_id)
    except SealError as error:
        return "the texts were erased" in str(error)
    return False


def _opens(folder: Path, operator: OperatorKey) -> bool:
    try:
        KeyStore(folder / "seal.keys", (operator,)).close()
    except SealError:
        return False
    return True


def test_a_reader_that_holds_an_old_state_delays_the_end_of_an_erasure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.0)
    store = store_at(tmp_path)
    store.keys_for([ANN])
    reader = sqlite3.connect(tmp_path / "seal.keys", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM keys").fetchall()
    assert store.erase(event, subject="ann") == 1
    with pytest.raises(SealError, match="another program reads the key store; run the command again to complete it"):
        settle(store)
    assert store.is_unsettled
    reader.close()
    assert len(settle(store)) == 1
    store.close()


def test_a_failed_change_leaves_nothing(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    keys = store.keys_for([ANN])

    def fail(ids: Sequence[str]) -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.erase(fail, subject="ann")
    assert store.keys_for([ANN]) == keys
    assert not store.is_unsettled
    store.close()


@pytest.mark.parametrize("call", [lambda store: store.keys_for([BOB]), lambda store: store.is_unsettled])
def test_errors_of_the_file_are_errors_of_the_store(call: Callable[[KeyStore], object], tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.close()
    with pytest.raises(SealError, match=r"seal\.keys: Cannot operate on a closed database"):
        call(store)


@pytest.mark.parametrize("owner", [ANN, BOB])
def test_no_key_is_given_that_would_be_lost(owner: Owner, tmp_path: Path) -> None:
    """The open file of a removed store still takes keys, but nobody could read it again."""
    store = store_at(tmp_path)
    keys = store.keys_for([ANN])
    away = tmp_path / "away"
    away.mkdir()
    moved = [path.rename(away / path.name) for path in tmp_path.glob("seal.keys*")]
    for _ in range(2):
        with pytest.raises(SealError, match=r"seal\.keys: no key store here"):
            store.keys_for([owner])
    assert not (tmp_path / "seal.keys").exists()
    for path in moved:
        path.rename(tmp_path / path.name)
    assert store.keys_for([ANN]) == keys
    kept = store.keys_for([BOB])[BOB]
    store.close()
    assert store_at(tmp_path, create=False).key(kept.id) == kept


@pytest.mark.parametrize("is_replaced", [False, True])
@pytest.mark.parametrize("owner", [ANN, BOB])
def test_no_key_is_given_that_a_removed_journal_would_lose(owner: Owner, is_replaced: bool, tmp_path: Path) -> None:
    store = store_at(tmp_path)
    keys = store.keys_for([ANN])
    journal = tmp_path / "seal.keys-wal"
    kept = journal.rename(tmp_path / "kept")
    if is_replaced:
        shutil.copy(kept, journal)
    for _ in range(2):
        with pytest.raises(SealError, match=r"seal\.keys-wal: was removed while it was in use; a restart is needed"):
            store.keys_for([owner])
    kept.replace(journal)
    assert store.keys_for([ANN]) == keys
    journal.unlink()
    store.close()  # SQLite writes what it still has in the removed journal
    again = store_at(tmp_path, create=False)
    assert again.keys_for([ANN]) == keys
    again.close()


def test_a_backup_of_sqlite_has_the_newest_key(tmp_path: Path) -> None:
    """The file alone has not: its newest pages are in the journal."""
    store = store_at(tmp_path)
    keys = store.keys_for([ANN])
    (tmp_path / "copy").mkdir()
    source, copy = sqlite3.connect(tmp_path / "seal.keys"), sqlite3.connect(tmp_path / "copy" / "seal.keys")
    source.backup(copy)
    source.close()
    copy.close()
    again = store_at(tmp_path / "copy", create=False)
    assert again.keys_for([ANN]) == keys
    again.close()
    store.close()


def test_a_store_that_takes_the_place_of_another_is_used(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = store_at(tmp_path / "other")
    keys = other.keys_for([ANN])
    other.close()
    store = store_at(tmp_path)
    assert store.keys_for([ANN]) != keys
    for path in tmp_path.glob("seal.keys*"):
        path.unlink()
    (tmp_path / "seal.keys").write_bytes(b"")
    with pytest.raises(SealError, match="not a key store"):
        store.keys_for([ANN])
    (tmp_path / "other" / "seal.keys").replace(tmp_path / "seal.keys")
    assert store.keys_for([ANN]) == keys
    kept = store.keys_for([BOB])[BOB]
    store.close()
    assert store_at(tmp_path, create=False).key(kept.id) == kept


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("seal.keys", r"seal\.keys: the key store was replaced while a key was written"),
        ("seal.keys-wal", r"seal\.keys-wal: was removed while it was in use"),
    ],
)
def test_a_store_that_goes_while_a_key_is_written(
    file: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(tmp_path)
    make = store._make

    def gone(owner: Owner) -> module.DataKey:
        (tmp_path / file).unlink()
        return make(owner)

    monkeypatch.setattr(store, "_make", gone)
    with pytest.raises(SealError, match=words):
        store.keys_for([ANN])
    assert not store._remembered
    store.close()
