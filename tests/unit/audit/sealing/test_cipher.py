"""Encrypting members: what comes back, what is refused, and that no nonce repeats."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.audit.sealing import cipher
from guardproxy.audit.sealing.cipher import KEY_BYTES, PIECE_BYTES, SALT_BYTES, open_members, seal_members
from guardproxy.errors import SealError

KEY, SALT, NAMES = b"k" * KEY_BYTES, b"s" * SALT_BYTES, ("record", "key")
MEMBERS = {"request": [b'{"text":', b'"hello"}'], "response": [b"[]"]}
OPENED = {"request": b'{"text":"hello"}', "response": b"[]"}
Sealed = dict[str, tuple[str, ...]]


@given(
    st.dictionaries(st.text(max_size=9), st.lists(st.binary(max_size=40), max_size=4).filter(bool), max_size=4),
    st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES),
    st.binary(min_size=SALT_BYTES, max_size=SALT_BYTES),
    st.tuples(st.text(max_size=9), st.text(max_size=9)),
)
def test_what_is_sealed_comes_back(
    members: dict[str, list[bytes]], key: bytes, salt: bytes, names: tuple[str, str]
) -> None:
    sealed = seal_members(key, salt, names, members)
    assert open_members(key, salt, names, sealed) == {name: b"".join(parts) for name, parts in members.items()}


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES])
def test_a_long_member_is_sealed_in_pieces(size: int) -> None:
    data = bytes(size)
    sealed = seal_members(KEY, SALT, NAMES, {"a": [data[:7], data[7:]]})
    assert len(sealed["a"]) == max(1, -(-size // PIECE_BYTES))
    assert open_members(KEY, SALT, NAMES, sealed) == {"a": data}


@given(st.data())
def test_every_change_is_noticed(data: st.DataObject) -> None:
    sealed = seal_members(KEY, SALT, NAMES, MEMBERS)
    name = data.draw(st.sampled_from(sorted(sealed)))
    piece = bytearray(b64decode(sealed[name][0]))
    bit = data.draw(st.integers(0, 8 * len(piece) - 1))
    piece[bit // 8] ^= 1 << bit % 8
    assert_refused({**sealed, name: (b64encode(bytes(piece)).decode(),)})


def assert_refused(sealed: Sealed, **other: Any) -> None:
    about = {"key": KEY, "salt": SALT, "names": NAMES} | other
    with pytest.raises(SealError, match="of the record does not open: it was changed, or its key is not the key"):
        open_members(about["key"], about["salt"], about["names"], sealed)


@pytest.mark.parametrize(
    "other",
    [
        {"key": b"K" * KEY_BYTES},
        {"salt": b"S" * SALT_BYTES},
        {"names": ("other", "key")},
        {"names": ("record", "other")},
    ],
)
def test_a_record_opens_only_as_itself(other: dict[str, Any]) -> None:
    assert_refused(seal_members(KEY, SALT, NAMES, MEMBERS), **other)


def test_pieces_are_bound_to_their_place() -> None:
    parts = {"a": [b"x" * PIECE_BYTES, b"y" * PIECE_BYTES, b"z"], "b": [b"w"]}
    sealed = seal_members(KEY, SALT, NAMES, parts)
    first, second, third = sealed["a"]
    wrong: list[Sealed] = [
        {**sealed, "a": (second, first, third)},
        {**sealed, "a": (first, second)},
        {**sealed, "a": (first, third)},
        {**sealed, "a": (first, first, second, third)},
        {**sealed, "a": sealed["b"], "b": sealed["a"]},
        {"c": sealed["a"], "b": sealed["b"]},
        {"b": sealed["b"]},
        {**sealed, "a": (first, second, "no base64!")},
        {**sealed, "a": (first, second, "")},
    ]
    for changed in wrong:
        assert_refused(changed)


def test_no_nonce_is_used_twice_with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two records under one data key, each with members of several pieces."""
    used: list[tuple[bytes, bytes]] = []
    real = cipher.aead

    class Watched:
        def __init__(self, key: bytes) -> None:
            self.key, self.cipher = key, real(key)

        def encrypt(self, nonce: bytes, data: bytes, about: bytes) -> bytes:
            used.append((self.key, nonce))
            return self.cipher.encrypt(nonce, data, about)

    monkeypatch.setattr(cipher, "aead", Watched)
    for salt in (b"1" * SALT_BYTES, b"2" * SALT_BYTES):
        seal_members(KEY, salt, NAMES, {"a": [bytes(2 * PIECE_BYTES)], "b": [b""], "c": [b"1"]})
    assert len(set(used)) == len(used) == 8
    assert len({key for key, _ in used}) == 2
    assert KEY not in {key for key, _ in used}
