"""Merkle trees of RFC 6962: the hash of a list of entries, and proofs about it. Pure.

In: entries, or hashes of entries. Out: hashes, proofs, and verdicts about proofs.

The hash of an entry is SHA-256(0x00 || entry), the hash of an inner node is SHA-256(0x01 || left || right). All hashes
have 32 bytes. A list of n entries is split at the largest power of two below n.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from guardproxy.errors import AuditError

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()


def entry_hash(entry: bytes) -> bytes:
    """Returns the hash of an entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def line_hash(line: bytes) -> bytes:
    """Returns the hash of a line of a log: of its bytes without the newline."""
    return entry_hash(line.removesuffix(b"\n"))


def node_hash(left: bytes, right: bytes) -> bytes:
    """Returns the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """A growing tree in O(log n) memory. `nodes`: the hashes of its complete subtrees, the largest first; there is one
    subtree for each bit of `size` that is set."""

    size: int = 0
    nodes: tuple[bytes, ...] = ()

    def extended(self, hashes: Iterable[bytes]) -> Frontier:
        """Returns the tree after these hashes of entries were added. Takes amortised constant time for each."""
        size, nodes = self.size, list(self.nodes)
        for added in hashes:
            nodes.append(added)
            size += 1
            # Each zero bit at the end of the size stands for two complete subtrees of one height, which become one.
            full = size
            while not full & 1:
                right = nodes.pop()
                nodes[-1] = node_hash(nodes[-1], right)
                full >>= 1
        return Frontier(size, tuple(nodes))

    def joined(self, subtrees: Subtrees) -> Frontier:
        """Returns the tree after the entries of `subtrees` were added, which begin at the size of this tree."""
        size, nodes = self.size, list(self.nodes)
        for height, added in subtrees.nodes:
            nodes.append(added)
            size += 1 << height
            full = size >> height
            while not full & 1:
                right = nodes.pop()
                nodes[-1] = node_hash(nodes[-1], right)
                full >>= 1
        return Frontier(size, tuple(nodes))

    @property
    def root(self) -> bytes:
        """Returns the hash of the whole tree."""
        if not self.nodes:
            return EMPTY_ROOT
        root = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            root = node_hash(node, root)
        return root


@dataclass(frozen=True, slots=True)
class Subtrees:
    """The complete subtrees over entries in the middle of a tree, as few as possible, in order. `start`: the index of the first
    entry. `nodes`: the height and the hash of each subtree."""

    start: int
    nodes: tuple[tuple[int, bytes], ...]

    @classmethod
    def over(cls, hashes: Iterable[bytes], start: int) -> Subtrees:
        """Returns the subtrees over these hashes of entries."""
        nodes: list[tuple[int, bytes]] = []
        for index, added in enumerate(hashes, start):
            height, node = 0, added
            # The node is a right one, and its left one is here too.
            while index + 1 >> height & 1 == 0 and nodes and nodes[-1][0] == height:
                node = node_hash(nodes.pop()[1], node)
                height += 1
            nodes.append((height, node))
        return cls(start, tuple(nodes))


def root_of(hashes: Iterable[bytes]) -> bytes:
    """Returns the hash of the tree over these hashes of entries."""
    return Frontier().extended(hashes).root


def inclusion_proof(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Returns the proof that the tree over `hashes` holds the entry `index`. Raises `AuditError` if it does not."""
    if not 0 <= index < len(hashes):
        raise AuditError(f"a tree of {len(hashes)} entries has no entry {index}")
    proof: list[bytes] = []
    start, end = 0, len(hashes)
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(root_of(hashes[middle:end]))
            end = middle
        else:
            proof.append(root_of(hashes[start:middle]))
            start = middle
    return proof[::-1]


def root_by_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Returns the root of the tree of `size` entries that an inclusion proof leads to from the hash of the entry
    `index`. Raises `AuditError` if the proof does not fit the index and the size."""
    if not 0 <= index < size:
        raise AuditError(f"a tree of {size} entries has no entry {index}")
    node, last = index, size - 1
    root, rest = leaf, list(proof)
    # Up from the leaf. The last node of a level may have no sibling: it goes up as it is.
    while last:
        if node & 1 or node != last:
            if not rest:
                raise AuditError("the inclusion proof is too short")
            other = rest.pop(0)
            root = node_hash(other, root) if node & 1 else node_hash(root, other)
        node, last = node >> 1, last >> 1
    if rest:
        raise AuditError("the inclusion proof is too long")
    return root


def consistency_proof(hashes: Sequence[bytes], old_size: int) -> list[bytes]:
    """Returns the proof that the tree over the first `old_size` hashes is the beginning of the tree over `hashes`.
    Raises `AuditError` if there are fewer hashes."""
    if not 0 <= old_size <= len(hashes):
        raise AuditError(f"a tree of {len(hashes)} entries has no beginning of {old_size} entries")
    if old_size in (0, len(hashes)):
        return []
    proof: list[bytes] = []
    start, end = 0, len(hashes)
    while old_size < end:
        middle = start + _split(end - start)
        if old_size <= middle:
            proof.append(root_of(hashes[middle:end]))
            end = middle
        else:
            proof.append(root_of(hashes[start:middle]))
            start = middle
    # The verifier knows the subtree that remains only if it is the whole old tree.
    return [*([root_of(hashes[start:end])] if start else []), *reversed(proof)]


def roots_by_consistency(old_size: int, new_size: int, old_root: bytes, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Returns the roots of the old and of the new tree that a consistency proof leads to. The proof holds if they are
    the expected ones. `old_root`: the expected root of the old tree. Raises `AuditError` if the proof does not fit the
    sizes, which are at least 1."""
    if not 0 < old_size <= new_size:
        raise AuditError(f"a tree of {new_size} entries has no beginning of {old_size} entries")
    if old_size == new_size:
        if proof:
            raise AuditError("the consistency proof is too long")
        return old_root, old_root
    node, last = old_size - 1, new_size - 1
    # Up to the largest whole subtree at the end of the old tree. The proof begins with its hash, unless it is the old tree
    # itself, whose root is known.
    while node & 1:
        node, last = node >> 1, last >> 1
    rest = list(proof)
    if node and not rest:
        raise AuditError("the consistency proof is too short")
    old = new = rest.pop(0) if node else old_root
    while last:
        if node & 1 or node != last:
            if not rest:
                raise AuditError("the consistency proof is too short")
            other = rest.pop(0)
            if node & 1:
                old, new = node_hash(other, old), node_hash(other, new)
            else:
                new = node_hash(new, other)
        node, last = node >> 1, last >> 1
    if rest:
        raise AuditError("the consistency proof is too long")
    return old, new


def _split(size: int) -> int:
    """Returns the largest power of two below `size`, which is at least 2."""
    return 1 << (size - 1).bit_length() - 1
