"""What a line of the audit log holds: records of exchanges and other entries, their JSON forms, masks, the chain of
hashes, versions."""
