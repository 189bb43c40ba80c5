"""What stores hold without the key of the proxy, and whose erasure ends an entry."""

from __future__ import annotations

import pytest

from guardproxy.audit import Owner
from guardproxy.errors import SealError
from guardproxy.server.driving.store_cipher import NOBODY, Owners, StoreCipher
from tests.kit.questions import HeldKeys

CIPHER = StoreCipher(b"k" * 32, "question")
ANN = Owner("subject", "tenant", "ann")


def test_a_text_is_opened_by_its_name_and_both_keys_alone() -> None:
    sealed = CIPHER.sealed("name", b"text", b"secret")
    assert CIPHER.opened("name", sealed, b"secret") == b"text"
    others = [
        ("other", CIPHER, b"secret"),
        ("name", CIPHER, b""),
        ("name", StoreCipher(b"j" * 32, "question"), b"secret"),
    ]
    others.append(("name", StoreCipher(b"k" * 32, "turn"), b"secret"))
    for name, cipher, secret in others:
        with pytest.raises(ValueError, match="the entry was changed"):
            cipher.opened(name, sealed, secret)


def test_an_entry_ends_with_its_owner() -> None:
    keys = HeldKeys({})
    owners = Owners(CIPHER, keys)
    owner = owners.of(ANN)
    assert "ann" not in owner.name
    assert owners.secret(owner.name) == owner.secret == b"new"
    assert owners.has(owner.name, owner.proof)
    assert not owners.has(owner.name, owner.proof[::-1])
    keys.secrets.clear()
    assert (owners.secret(owner.name), owners.has(owner.name, owner.proof)) == (None, False)
    assert keys.secrets == {}, "who is asked about gets no new key"
    keys.secrets[ANN] = b"of a later exchange"
    assert not owners.has(owner.name, owner.proof)


def test_what_nobody_seals_has_no_owner() -> None:
    for owners in (Owners(CIPHER, None), Owners(CIPHER, HeldKeys({}))):
        assert owners.of(None) == NOBODY
        assert owners.secret("") == b""
        assert owners.has("", "")
    assert Owners(CIPHER, None).of(ANN) == NOBODY


def test_an_owner_that_cannot_be_read_is_no_owner() -> None:
    class Closed(HeldKeys):
        def known_secret_of(self, owner: Owner) -> bytes | None:
            raise SealError("closed")

    name = Owners(CIPHER, HeldKeys({})).of(ANN).name
    assert Owners(CIPHER, None).secret(name) is None
    assert Owners(CIPHER, Closed({})).secret(name) is None
    assert Owners(CIPHER, HeldKeys({})).secret("nonsense") is None
