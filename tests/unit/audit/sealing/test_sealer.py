"""Sealing records: what a sealed record shows, and that an opened record is the record that was sealed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.audit.record.document import Record
from guardproxy.audit.record.entries import Judged
from guardproxy.audit.record.private import Owner, Private, PrivateRecord, WrittenRecord
from guardproxy.audit.record.versions import entry_of
from guardproxy.audit.sealing.cipher import seal_members
from guardproxy.audit.sealing.sealer import Sealer, opened, split_record, without_texts
from guardproxy.audit.sealing.store import DataKey
from guardproxy.errors import AuditError, SealError
from tests.kit.play import Play, chat_frames, policy_set
from tests.kit.records import plain_answer, plain_attempt, plain_record, plain_text, through_log
from tests.kit.sealing import KEPT, MAIL, asked, played, policies, private, scored, sealed, store_at

OWNER = Owner("subject", "t1", "ann")


@pytest.fixture
def sealer(tmp_path: Path) -> Iterator[Sealer]:
    made = Sealer(store_at(tmp_path))
    yield made
    made.close()


def of(record: Record, **about: Any) -> PrivateRecord:
    """The record, to be sealed."""
    members = {name: getattr(record, name) for name in Record.__struct_fields__}
    return PrivateRecord(**members, private=Private(OWNER, **about))


def test_an_opened_record_is_the_record_without_sealing(sealer: Sealer) -> None:
    body = asked(metadata={"maiden name": "Lind"}, user="ann")
    record = private(body)
    assert record.private.owner == Owner("subject", "tenant", "ann")
    entry = through_log(sealed(sealer, record))
    shown = entry.to_json().decode()
    for secret in (MAIL, "write to", "hello", "maiden name", "Lind", '"ann"'):
        assert secret not in shown
    again = sealer.open(entry)
    assert again.record == played(policies("{keep: redacted}"), body)
    assert list(again.values.values()) == [MAIL]
    assert f"write to {next(iter(again.values))} please" in again.record.to_json().decode()
    assert MAIL not in again.record.to_json().decode()
    assert again.shown_path("metadata.pet") == "*", "the record has no such path"


def test_the_reason_of_a_judge_opens_with_the_key_of_the_texts(sealer: Sealer, tmp_path: Path) -> None:
    record = private(asked(user="ann"))
    (written,) = sealer.seal([record.with_reason(scored(), "it says hello \ud800")])  # type: ignore[list-item]
    assert isinstance(written, WrittenRecord)
    line = json.dumps(written.document)
    assert "hello" not in line
    entry = entry_of(json.loads(line))
    assert isinstance(entry, Judged)
    assert (entry.score, sealer.reason_of(entry)) == (4, "it says hello \ud800")
    assert entry.sealed is not None
    assert entry.sealed.key == through_log(sealed(sealer, record)).sealed.key  # type: ignore[union-attr]
    assert sealer.reason_of(scored()) == ""
    for changed in ({"salt": "no salt"}, {"salt": "00" * 16}, {"members": {"reason": ("AAAA",)}}):
        with pytest.raises(SealError):
            sealer.reason_of(msgspec.structs.replace(entry, sealed=msgspec.structs.replace(entry.sealed, **changed)))


WORDS = st.lists(st.sampled_from([*"ab.[]#* \u00e9", MAIL]), max_size=4).map("".join)
TREES = st.recursive(WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3))


@given(TREES, WORDS)
@settings(max_examples=60, deadline=None)
def test_every_record_comes_back_and_shows_no_more_than_one_without_texts(tree: Any, answer: str) -> None:
    body = asked(metadata={"a": tree}, more=tree)
    record, without = private(body), played(policies("{keep: none}"), body)
    shown, hidden = split_record(record)
    assert {**shown, **hidden} == {**played(policies("{keep: redacted}"), body).document(), **_values(hidden)}
    assert strings(json.loads(json.dumps(shown))) <= strings(json.loads(json.dumps(without.document())))


def _values(hidden: dict[str, Any]) -> dict[str, Any]:
    return {"values": hidden["values"]} if "values" in hidden else {}


def strings(tree: Any) -> set[str]:
    if isinstance(tree, dict):
        return {text for key, child in tree.items() for text in (key, *strings(child))}
    if isinstance(tree, list):
        return {text for child in tree for text in strings(child)}
    return {tree} if isinstance(tree, str) else set()


def test_attempts_and_decisions_are_sealed(sealer: Sealer) -> None:
    record = plain_record(
        plain_answer(plain_text("a", "SECRET")),
        plain_text("m.KEY", "SECRET", shape=("tool", ("SECRET",))),
        attempts=(plain_attempt(plain_answer(plain_text("b", "SECRET"))), plain_attempt()),
    )
    record = msgspec.structs.replace(
        record, request=msgspec.structs.replace(record.request, uninspected=("m.KEY",), unmapped=("m.KEY", "n"))
    )
    entry = sealed(sealer, of(record, paths={"m.KEY": "m.*"}))
    shown = entry.to_json().decode()
    assert "SECRET" not in shown
    assert "KEY" not in shown
    assert entry.request.uninspected == ("m.*",)
    assert entry.request.unmapped == ("m.*", "n")
    assert sealer.open(entry).record == record


def test_a_record_without_texts_needs_no_key(sealer: Sealer) -> None:
    record = plain_record()
    entry = sealed(sealer, of(record))
    assert entry == record
    assert sealer._store.keys_for(()) == {}
    with pytest.raises(SealError, match="the record x0 is not sealed"):
        sealer.open(entry)


def test_large_records_are_sealed_in_steps(sealer: Sealer) -> None:
    texts = [plain_text(f"p{number}", text * 100_000) for number, text in enumerate(("a", "\ud800", "é"))]
    record = plain_record(plain_answer(*texts), sizes={"client": 1 << 20})
    assert sealer.open(sealed(sealer, of(record))).record == record


def test_no_record_is_sealed_in_the_same_way_twice(sealer: Sealer) -> None:
    record = private()
    one, other = (sealed(sealer, record).sealed for _ in range(2))
    assert one is not None
    assert other is not None
    assert one.key == other.key
    assert one.salt != other.salt
    assert not {piece for pieces in one.members.values() for piece in pieces} & {
        piece for pieces in other.members.values() for piece in pieces
    }


def test_a_record_that_is_not_json_fails_alone(sealer: Sealer) -> None:
    broken = of(plain_record(plain_answer(plain_text()), plain_text(), usage={}), values={"p": object()})
    first, second = sealer.seal([broken, private()])
    assert isinstance(first, AuditError)
    assert not isinstance(second, AuditError)


@pytest.mark.parametrize("change", ["id", "salt", "bad salt", "key", "swapped"])
def test_a_changed_record_does_not_open(change: str, sealer: Sealer) -> None:
    entry = sealed(sealer, private())
    part = entry.sealed
    assert part is not None
    names = sorted(part.members)
    wrong = {
        "id": msgspec.structs.replace(entry, id="other"),
        "salt": msgspec.structs.replace(entry, sealed=msgspec.structs.replace(part, salt="00" * 16)),
        "bad salt": msgspec.structs.replace(entry, sealed=msgspec.structs.replace(part, salt="junk")),
        "key": msgspec.structs.replace(entry, sealed=msgspec.structs.replace(part, key="00" * 16)),
        "swapped": msgspec.structs.replace(
            entry,
            sealed=msgspec.structs.replace(
                part,
                members={**part.members, names[0]: part.members[names[1]], names[1]: part.members[names[0]]},
            ),
        ),
    }
    with pytest.raises(SealError, match=r"was changed|is not in the key store"):
        sealer.open(wrong[change])


def test_sealed_members_of_another_shape_are_refused() -> None:
    key = DataKey("k", b"k" * 32)
    members = seal_members(key.key, b"s" * 16, ("x0", "k"), {"request": [b"3"]})
    part = {"v": 3, "key": "k", "salt": (b"s" * 16).hex(), "members": members}
    record = msgspec.convert({**plain_record().document(), "sealed": part}, Record)
    with pytest.raises(SealError, match="the sealed texts of the record x0 are of another version: Expected `object`"):
        opened(record, key)


def test_a_private_record_cannot_be_written_and_prints_nothing() -> None:
    record = private()
    for write in (record.document, record.to_json):
        with pytest.raises(AuditError, match="the texts of this record must be sealed, and no key is given"):
            write()
    assert repr(record) == "PrivateRecord(id='id')"
    assert "ann" not in repr(private(user="ann").private)


@pytest.mark.parametrize(
    ("first", "second", "values", "kept"),
    [
        ("{keep: sealed}", "{keep: sealed}", True, "sealed"),
        ("{keep: sealed}", "{keep: redacted}", False, "sealed"),
        ("{keep: redacted}", "{keep: redacted}", False, "redacted"),
        ("{keep: sealed}", "{keep: none}", False, "none"),
        ("{keep: redacted}", "{keep: none}", False, "none"),
    ],
)
def test_the_strictest_policy_says_what_is_kept(first: str, second: str, values: bool, kept: str) -> None:
    rules = policy_set(f"{KEPT}audit: {first}\n", f"{KEPT.replace('kept', 'other')}audit: {second}\n")
    record = Play(rules).ask(asked()).stream(chat_frames([{"content": "hi"}])).finish.record
    assert isinstance(record, PrivateRecord) == (kept == "sealed")
    assert (record.request.body is None) == (kept == "none")
    if isinstance(record, PrivateRecord):
        assert bool(record.private.values) == values


def test_it_can_be_asked_whether_it_can_seal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Sealer(store_at(tmp_path))
    made.check()

    def fail(*_: object) -> None:
        raise SealError("the key store is gone")

    monkeypatch.setattr(made._store, "keys_for", fail)
    with pytest.raises(SealError, match="gone"):
        made.check()
    made.close()


def test_texts_and_keys_that_are_text_are_removed_and_the_rest_is_shared() -> None:
    document = plain_record(plain_answer(plain_text("m.KEY", "SECRET")), plain_text("m.KEY", "SECRET")).document()
    shown = without_texts(document, {"m.KEY": "m.*"})
    assert [side["texts"][0]["path"] for side in (shown["request"], shown["response"])] == ["m.*", "m.*"]
    assert [side["texts"][0]["text"] for side in (shown["request"], shown["response"])] == [None, None]
    assert "SECRET" not in str(shown)
    assert "SECRET" in str(document)
    assert shown["usage"] is document["usage"]


def test_a_document_without_texts_is_shared_whole() -> None:
    document = plain_record().document()
    shown = without_texts(document, {})
    assert all(shown[name] is value for name, value in document.items())


def test_the_secret_of_an_owner_is_one_until_it_is_erased(sealer: Sealer) -> None:
    one, other = (Owner("subject", "t", name) for name in ("ada", "ben"))
    assert sealer.known_secret_of(one) is None
    assert sealer.secret_of(one) == sealer.secret_of(one) != sealer.secret_of(other)
    assert sealer.known_secret_of(one) == sealer.secret_of(one)
