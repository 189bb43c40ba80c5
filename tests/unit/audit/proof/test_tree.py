"""Merkle trees: every root and proof against a plain recursion by the text of RFC 6962."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.audit.proof.tree import (
    EMPTY_ROOT,
    Frontier,
    Subtrees,
    consistency_proof,
    entry_hash,
    inclusion_proof,
    line_hash,
    root_by_inclusion,
    root_of,
    roots_by_consistency,
)
from guardproxy.errors import AuditError

MOST = 130


def plain_root(entries: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, as it is written there."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = 1
    while 2 * k < len(entries):
        k *= 2
    return hashlib.sha256(b"\x01" + plain_root(entries[:k]) + plain_root(entries[k:])).digest()


def plain_path(m: int, entries: list[bytes]) -> list[bytes]:
    """PATH of section 2.1.1."""
    if len(entries) == 1:
        return []
    k = 1
    while 2 * k < len(entries):
        k *= 2
    if m < k:
        return [*plain_path(m, entries[:k]), plain_root(entries[k:])]
    return [*plain_path(m - k, entries[k:]), plain_root(entries[:k])]


def plain_subproof(m: int, entries: list[bytes], is_whole: bool) -> list[bytes]:
    """SUBPROOF of section 2.1.2."""
    if m == len(entries):
        return [] if is_whole else [plain_root(entries)]
    k = 1
    while 2 * k < len(entries):
        k *= 2
    if m <= k:
        return [*plain_subproof(m, entries[:k], is_whole), plain_root(entries[k:])]
    return [*plain_subproof(m - k, entries[k:], False), plain_root(entries[:k])]


ENTRIES = [b"entry %d" % number for number in range(MOST)]
HASHES = [entry_hash(entry) for entry in ENTRIES]


def test_known_hashes() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert entry_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert line_hash(b"x\n") == line_hash(b"x") == entry_hash(b"x")


def test_roots_are_those_of_the_rfc() -> None:
    for size in range(MOST + 1):
        assert root_of(HASHES[:size]) == plain_root(ENTRIES[:size])


@given(st.lists(st.integers(0, 9), max_size=12))
def test_a_tree_that_grows_in_steps_has_the_same_root(steps: list[int]) -> None:
    frontier, size = Frontier(), 0
    for step in steps:
        frontier = frontier.extended(HASHES[size : size + step])
        size += step
        assert (frontier.size, frontier.root) == (size, root_of(HASHES[:size]))
        assert len(frontier.nodes) == size.bit_count()


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_inclusion_proofs_are_those_of_the_rfc_and_hold(size: int) -> None:
    root = root_of(HASHES[:size])
    for index in {0, 1, size // 2, size - 2, size - 1, *range(0, size, 7)} & {*range(size)}:
        proof = inclusion_proof(HASHES[:size], index)
        assert proof == plain_path(index, ENTRIES[:size])
        assert root_by_inclusion(HASHES[index], index, size, proof) == root


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_consistency_proofs_are_those_of_the_rfc_and_hold(size: int) -> None:
    new_root = root_of(HASHES[:size])
    for old in {1, 2, size // 2, size - 1, size, *range(1, size, 5)} & {*range(1, size + 1)}:
        proof = consistency_proof(HASHES[:size], old)
        assert proof == plain_subproof(old, ENTRIES[:old] + ENTRIES[old:size], True)
        old_root = root_of(HASHES[:old])
        assert roots_by_consistency(old, size, old_root, proof) == (old_root, new_root)


@given(st.integers(1, MOST), st.data())
def test_a_changed_inclusion_proof_is_refused(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof, root = inclusion_proof(HASHES[:size], index), root_of(HASHES[:size])
    with pytest.raises(AuditError, match="too long"):
        root_by_inclusion(HASHES[index], index, size, [*proof, HASHES[0]])
    with pytest.raises(AuditError, match="has no entry"):
        root_by_inclusion(HASHES[index], size, size, proof)
    assert root_by_inclusion(HASHES[index - 1 if index else MOST - 1], index, size, proof) != root or size == MOST
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        changed = [*proof]
        changed[place] = bytes([changed[place][0] ^ 1]) + changed[place][1:]
        assert root_by_inclusion(HASHES[index], index, size, changed) != root
        with pytest.raises(AuditError, match="too short"):
            root_by_inclusion(HASHES[index], index, size, proof[:-1])


@given(st.integers(2, MOST), st.data())
def test_a_changed_consistency_proof_is_refused(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size - 1))
    proof = consistency_proof(HASHES[:size], old)
    roots = root_of(HASHES[:old]), root_of(HASHES[:size])
    with pytest.raises(AuditError, match="too long"):
        roots_by_consistency(old, size, roots[0], [*proof, HASHES[0]])
    with pytest.raises(AuditError, match="too short"):
        roots_by_consistency(old, size, roots[0], proof[:-1])
    with pytest.raises(AuditError, match="too short"):
        roots_by_consistency(old, size, roots[0], [])
    place = data.draw(st.integers(0, len(proof) - 1))
    changed = [*proof]
    changed[place] = bytes([changed[place][0] ^ 1]) + changed[place][1:]
    assert roots_by_consistency(old, size, roots[0], changed) != roots


def test_what_a_tree_does_not_have() -> None:
    with pytest.raises(AuditError, match="has no entry 3"):
        inclusion_proof(HASHES[:3], 3)
    with pytest.raises(AuditError, match="has no beginning of 4"):
        consistency_proof(HASHES[:3], 4)
    assert consistency_proof(HASHES[:3], 0) == consistency_proof(HASHES[:3], 3) == []
    with pytest.raises(AuditError, match="has no beginning of 0"):
        roots_by_consistency(0, 3, EMPTY_ROOT, [])
    with pytest.raises(AuditError, match="too long"):
        roots_by_consistency(3, 3, EMPTY_ROOT, [EMPTY_ROOT])


@given(st.lists(st.integers(0, MOST), max_size=6), st.integers(0, MOST))
def test_a_tree_grows_by_the_subtrees_of_any_pieces(cuts: list[int], size: int) -> None:
    hashes = [entry_hash(b"%d" % number) for number in range(size)]
    places = sorted({0, size, *(cut for cut in cuts if cut < size)})
    tree = Frontier()
    for low, high in pairwise(places):
        subtrees = Subtrees.over(hashes[low:high], low)
        assert len(subtrees.nodes) <= 2 * max(1, (high - low).bit_length())
        tree = tree.joined(subtrees)
        assert tree == Frontier().extended(hashes[:high])
