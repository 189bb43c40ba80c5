"""Proof of the audit log: signed checkpoints over all logs of a folder, and proofs that need only a public key."""
