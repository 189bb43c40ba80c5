"""Proves and verifies logs: checkpoints with a signature over all logs of a folder, and proofs for which a public key
suffices."""

from __future__ import annotations

from guardproxy.audit.proof.checkpointer import Checkpointer, Signing
from guardproxy.audit.proof.copies import Copies, read_copies
from guardproxy.audit.proof.folder import NO_KEY, LogReport, logs_of, verify_signed_folder
from guardproxy.audit.proof.inventory import found_states
from guardproxy.audit.proof.keys import private_key, public_key, signer_of, write_key
from guardproxy.audit.proof.note import PrivateKey, SignedNote
from guardproxy.audit.proof.proofs import ConsistencyProof, Proven, check, compare_receipt, read_proof
from guardproxy.audit.proof.prover import prove_consistency, prove_record
from guardproxy.audit.proof.store import CheckpointStore, read_note, write_note
from guardproxy.audit.proof.verification import CheckpointReport
from guardproxy.audit.proof.witnessing import witness

__all__ = [
    "NO_KEY",
    "CheckpointReport",
    "CheckpointStore",
    "Checkpointer",
    "ConsistencyProof",
    "Copies",
    "LogReport",
    "PrivateKey",
    "Proven",
    "SignedNote",
    "Signing",
    "check",
    "compare_receipt",
    "found_states",
    "logs_of",
    "private_key",
    "prove_consistency",
    "prove_record",
    "public_key",
    "read_copies",
    "read_note",
    "read_proof",
    "signer_of",
    "verify_signed_folder",
    "witness",
    "write_key",
    "write_note",
]
