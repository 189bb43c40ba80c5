"""Search for patterns in growing text."""
