"""A witness: cosigns checkpoints, and only those that continue what it has cosigned before. Pure.

In: a checkpoint, the last checkpoint that the witness cosigned, and the proof that the one continues the other. Out: the
cosigned checkpoint. Kept: nothing; the caller stores the result as the next last checkpoint.
"""

from __future__ import annotations

from guardproxy.audit.proof.checkpoint import TreeHead
from guardproxy.audit.proof.note import PrivateKey, PublicKey, SignedNote, cosign
from guardproxy.audit.proof.proofs import ConsistencyProof, check, read_signed
from guardproxy.errors import AuditError


def witness(
    note: SignedNote, key: PublicKey, own: PrivateKey, at: int, last: SignedNote | None, proof: ConsistencyProof | None
) -> SignedNote:
    """Returns the checkpoint with a cosignature. `key`: the public key of the log. `own`: the key of the witness. `at`:
    Unix time in seconds. `last`: `None` for the first checkpoint of this log. Raises `AuditError` if the checkpoint is
    not signed, or does not continue the last one."""
    head, _ = read_signed(note.data.decode(), [key])
    if last is not None:
        before = TreeHead.read(last.text)
        if before.origin != head.origin:
            raise AuditError(f"the last checkpoint is of another log: {before.origin}, and this one of {head.origin}")
        if before != head:
            _check_continues(note, key, last, proof)
    return cosign(note, own, at)


def _check_continues(note: SignedNote, key: PublicKey, last: SignedNote, proof: ConsistencyProof | None) -> None:
    if proof is None:
        raise AuditError(
            "this witness cosigned an older checkpoint: give the proof that this one continues it (`guardproxy audit "
            "prove DIR --since LAST`)"
        )
    # A proof carries its own checkpoints: a valid one about others would prove nothing about these.
    if SignedNote.read(proof.old.encode()).text != last.text or SignedNote.read(proof.new.encode()).text != note.text:
        raise AuditError("the proof is about other checkpoints")
    check(proof, [key])
