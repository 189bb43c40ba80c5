"""Judges pairs of texts: whether the second follows from the first, contradicts it, or neither."""
