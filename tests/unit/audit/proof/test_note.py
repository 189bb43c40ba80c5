"""Signed notes: a vector of another implementation, and every changed byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.audit.proof.note import PrivateKey, PublicKey, SignedNote, cosign, sign
from guardproxy.errors import AuditError

# The example of the documentation of Go's package golang.org/x/mod/sumdb/note.
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
LINE = (
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
NOTE = f"{TEXT}\n{LINE}".encode()
KEY = PrivateKey.read(PRIVATE)


def test_a_note_is_the_note_of_another_implementation() -> None:
    note = sign(TEXT, KEY)
    assert note.data == NOTE
    assert str(KEY.public) == PUBLIC
    assert KEY.text == PRIVATE
    assert SignedNote.read(NOTE) == note
    assert note.is_signed_by(PublicKey.read(PUBLIC + "\n"))
    assert KEY.seed.hex() not in repr(KEY)


@given(st.data())
def test_every_changed_byte_is_found(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(NOTE) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != NOTE[at]))
    changed = NOTE[:at] + bytes([byte]) + NOTE[at + 1 :]
    assert not is_signed(changed)


def test_every_single_bit_and_every_cut_is_found() -> None:
    for at in range(len(NOTE)):
        for bit in range(8):
            assert not is_signed(NOTE[:at] + bytes([NOTE[at] ^ 1 << bit]) + NOTE[at + 1 :])
        assert not is_signed(NOTE[:at])
    assert not is_signed(NOTE + b"x")


def is_signed(data: bytes) -> bool:
    try:
        return SignedNote.read(data).is_signed_by(KEY.public)
    except AuditError:
        return False


def test_a_witness_cosigns() -> None:
    witness = PrivateKey.new("witness.example", is_witness=True)
    note = SignedNote.read(cosign(sign(TEXT, KEY), witness, 1_700_000_000).data)
    assert note.is_signed_by(KEY.public)
    assert note.cosigned_at(witness.public) == 1_700_000_000
    assert note.cosigned_at(PrivateKey.new("witness.example", is_witness=True).public) is None
    assert note.cosigned_at(KEY.public) is None
    assert not note.is_signed_by(witness.public)
    signatures = note.signatures
    late = SignedNote(
        TEXT,
        (signatures[0], type(signatures[1])(*_later(signatures[1].name, signatures[1].key_id, signatures[1].blob))),
    )
    assert late.cosigned_at(witness.public) is None
    assert PrivateKey.read(witness.text) == witness
    assert PublicKey.read(str(witness.public)) == witness.public


def _later(name: str, key_id: bytes, blob: bytes) -> tuple[str, bytes, bytes]:
    return name, key_id, bytes(7) + b"\x01" + blob[8:]


def test_kinds_of_keys_are_not_mixed_up() -> None:
    witness = PrivateKey.new("w", is_witness=True)
    with pytest.raises(AuditError, match="it only cosigns"):
        sign(TEXT, witness)
    with pytest.raises(AuditError, match="keygen --witness"):
        cosign(sign(TEXT, KEY), KEY, 1)


class Wrong:
    """A command that signs with another key than it says."""

    public = KEY.public

    def sign(self, message: bytes) -> bytes:
        return PrivateKey.new("x").sign(message)


def test_a_wrong_signature_is_not_published() -> None:
    with pytest.raises(AuditError, match="does not fit the public key of `PeterNeumann`"):
        sign(TEXT, Wrong())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "a+b",
        "PeterNeumann+c74f20a3+",
        "PeterNeumann+c74f20a3+ARpc",
        PUBLIC.replace("c74f", "c74e"),
        PUBLIC.replace("Peter", "peter"),
        PUBLIC[:-1] + "X",
        PUBLIC.replace("+ARpc", "+BRpc"),
        "a b" + str(PublicKey("a b", bytes(32)))[3:],
        "\xe9+00+!",
    ],
)
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(AuditError):
        PublicKey.read(text)
    with pytest.raises(AuditError):
        PrivateKey.read(f"PRIVATE+KEY+{text}")


def test_a_name_that_a_note_cannot_hold() -> None:
    for name in ("", "a b", "a+b", "\u00e9"):
        with pytest.raises(AuditError, match="name of a key"):
            PrivateKey.new(name)
    with pytest.raises(AuditError, match="not a private key"):
        PrivateKey.read(PRIVATE.removeprefix("PRIVATE+KEY+"))


def test_a_note_has_a_limit() -> None:
    with pytest.raises(AuditError, match="not a signed note"):
        SignedNote.read(b"x" * (1 << 20) + NOTE)
