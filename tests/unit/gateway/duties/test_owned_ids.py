"""Ids that prove whose exchange they name."""

from __future__ import annotations

import hashlib
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.gateway.duties.duty import Head
from guardproxy.gateway.duties.owned_ids import OwnedIds, is_owned

HEX = st.text("0123456789abcdef", min_size=24, max_size=24)


def seal(data: bytes, key: bytes = b"k") -> str:
    return hashlib.blake2b(data, digest_size=16, key=key).hexdigest()


@settings(max_examples=50)
@given(HEX, st.text(max_size=16), st.text(max_size=16))
def test_an_id_belongs_to_its_tenant_alone(random: str, tenant: str, other: str) -> None:
    head = OwnedIds(seal).admit(Head(id=random, tenant=tenant))
    assert (len(head.id), head.tenant) == (32, tenant)
    assert not re.search("[0-9]{9}", head.id), "it would look like a personal number in the body of feedback"
    assert is_owned(head.id, tenant, seal)
    assert is_owned(head.id, other, seal) == (other == tenant)
    assert not is_owned(head.id, tenant, lambda data: seal(data, b"another key"))


@settings(max_examples=50)
@given(HEX, st.text(max_size=60))
def test_an_id_that_was_made_up_belongs_to_nobody(random: str, rest: str) -> None:
    assert not is_owned(random + rest, "acme", seal)
    assert not is_owned(rest, "acme", seal)
