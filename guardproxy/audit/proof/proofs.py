"""Proofs as documents that can be checked alone: that a record is in the log, and that one checkpoint continues another.

In: documents of JSON, public keys. Out: what a document proves. Pure.

The proof of a record leads from the record to a signature in three steps: the Merkle path from its line to the root of its
log, the line of the list of checkpoints that states this root, and the Merkle path from that line to the root that the
checkpoint signs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from guardproxy.audit.proof.checkpoint import CheckpointEntry, Hash, TreeHead, read_checkpoint
from guardproxy.audit.proof.note import PublicKey, SignedNote
from guardproxy.audit.proof.tree import line_hash, root_by_inclusion, roots_by_consistency
from guardproxy.audit.record.chain import open_line
from guardproxy.errors import AuditError

PROOF_VERSION = 1
_MEMBER = re.compile(r'(?:^|, )([a-z-]+)(?:=("[^"]*"|[^,;]*))?(?:;[^,]*)?')

Place = Annotated[int, Meta(ge=0)]


class LogPath(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The place of a record in its log: the id of the log, the line counted from 0, and the path to the root."""

    log: str
    index: Place
    path: tuple[Hash, ...]


class ListPath(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The place of a line in the list of checkpoints, counted from 0, and the path to the signed root."""

    index: Place
    path: tuple[Hash, ...]


class RecordProof(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="proof", tag="record"
):
    """The proof that a log holds a record. `line`: the record as in the log. `entry`: the line of the list of
    checkpoints that states the root of the log. `checkpoint`: the signed note."""

    v: int
    line: str
    record: LogPath
    entry: str
    listed: ListPath
    checkpoint: str

    @property
    def statement(self) -> ProofStatement:
        """Returns what the proof says, without judging its signatures. Raises `AuditError`."""
        note, entry = SignedNote.read(self.checkpoint.encode()), read_checkpoint(self.entry.encode() + b"\n")
        size, _ = _stated(entry, self.record.log)
        signers = tuple(signature.name for signature in note.signatures)
        return ProofStatement(TreeHead.read(note.text).size - 1, signers, entry.at, self.record.index, size)


class ProofStatement(NamedTuple):
    """What a proof says. `number`: of the checkpoint, from 1; `signers`: the names of the keys that signed it; `at`: the time
    of the checkpoint that states the log; `line`: of the record, from 0; `size`: the lines of the log that are covered."""

    number: int
    signers: tuple[str, ...]
    at: float
    line: int
    size: int


class ConsistencyProof(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="proof", tag="consistency"
):
    """The proof that a checkpoint continues an older one: nothing that `old` covers was changed or removed."""

    v: int
    old: str
    new: str
    path: tuple[Hash, ...]


AnyProof = RecordProof | ConsistencyProof


@dataclass(frozen=True, slots=True)
class Proven:
    """What a proof shows. `origin`: the folder of logs. `number`: the checkpoint, counted from 1. `signed_by`: the name
    of the key. `members`: the record. `at`: the time of the checkpoint that first states the record's log so far.
    `old_number`: the older checkpoint of a consistency proof."""

    origin: str
    number: int
    signed_by: str
    members: Mapping[str, Any]
    log: str = ""
    at: float = 0.0
    old_number: int = 0


def read_proof(data: bytes) -> AnyProof:
    """Reads a proof. Raises `AuditError`."""
    try:
        proof: AnyProof = msgspec.json.decode(data, type=AnyProof)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise AuditError(f"not a proof: {error}") from None
    if proof.v != PROOF_VERSION:
        raise AuditError(f"the proof has version {proof.v}, and this guardproxy reads version {PROOF_VERSION}")
    return proof


def check(proof: AnyProof, keys: Sequence[PublicKey]) -> Proven:
    """Returns what the proof shows. Raises `AuditError` if it does not hold, or its checkpoint is not signed with one of
    the keys."""
    if isinstance(proof, ConsistencyProof):
        return _check_consistency(proof, keys)
    head, signed_by = read_signed(proof.checkpoint, keys)
    entry_line = proof.entry.encode() + b"\n"
    path = [bytes.fromhex(step) for step in proof.listed.path]
    if root_by_inclusion(line_hash(entry_line), proof.listed.index, head.size, path) != head.root:
        raise AuditError("the checkpoint does not cover the line of the list of checkpoints in the proof")
    entry = read_checkpoint(entry_line)
    size, root = _stated(entry, proof.record.log)
    line = proof.line.encode()
    path = [bytes.fromhex(step) for step in proof.record.path]
    if root_by_inclusion(line_hash(line), proof.record.index, size, path) != root:
        raise AuditError("the record in the proof is not the record in the log: it was changed")
    members = open_line(line)
    # Line 0 is the header of the log.
    if members is None or members.get("seq") != proof.record.index - 1:
        raise AuditError("the line in the proof is not a record")
    return Proven(head.origin, proof.listed.index, signed_by, members, proof.record.log, entry.at)


def _check_consistency(proof: ConsistencyProof, keys: Sequence[PublicKey]) -> Proven:
    old, _ = read_signed(proof.old, keys)
    new, signed_by = read_signed(proof.new, keys)
    if old.origin != new.origin:
        raise AuditError(f"the checkpoints are of different logs: {old.origin} and {new.origin}")
    path = [bytes.fromhex(step) for step in proof.path]
    if roots_by_consistency(old.size, new.size, old.root, path) != (old.root, new.root):
        raise AuditError("the newer checkpoint does not continue the older one: the log was changed or rolled back")
    return Proven(new.origin, new.size - 1, signed_by, {}, old_number=old.size - 1)


def read_signed(note: str, keys: Sequence[PublicKey]) -> tuple[TreeHead, str]:
    """Returns the tree head of a checkpoint and the name of the key that signed it. Raises `AuditError` if none of the
    keys did."""
    signed = SignedNote.read(note.encode())
    for key in keys:
        if signed.is_signed_by(key):
            return TreeHead.read(signed.text), key.name
    names = ", ".join(signature.name for signature in signed.signatures)
    raise AuditError(f"the checkpoint is signed by {names}, and not with the given key")


def _stated(entry: CheckpointEntry, log: str) -> tuple[int, bytes]:
    for covered in entry.logs:
        if covered.log == log:
            return covered.size, bytes.fromhex(covered.root)
    raise AuditError("the line of the list of checkpoints in the proof does not name the log of the record")


def compare_receipt(receipt: str, members: Mapping[str, Any]) -> list[str]:
    """Returns the differences between a receipt, as a client got it, and a record. Compared are the id, the policies, the
    outcome and the number of attempts."""
    found = {name: value.strip('"') for name, value in _MEMBER.findall(receipt)}
    if "id" not in found:
        return ["it is not a receipt: it has no id"]
    wanted = {"id": members.get("id"), "policies": members.get("policies")}
    if "outcome" in found:
        wanted["outcome"] = members.get("outcome")
    if "partial" not in found:
        attempts = members.get("attempts") or ()
        wanted["attempts"] = str(len(attempts)) if len(attempts) > 1 else None
    return [
        f"the receipt says {name} {found.get(name, 'missing')}, and the record {value or 'missing'}"
        for name, value in wanted.items()
        if found.get(name) != value
    ]
