"""What a line of the audit log holds: records of exchanges and other entries, their JSON forms, the chain of hashes,
versions."""
