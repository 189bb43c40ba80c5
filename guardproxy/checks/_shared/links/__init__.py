"""Addresses in growing text that a client may fetch or follow, and where they stand."""
