"""Proves and verifies logs: checkpoints with a signature over all logs of a folder, and proofs for which a public key
suffices."""
