"""_evasions."""
