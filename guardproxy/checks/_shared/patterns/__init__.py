"""Searches for patterns in growing text."""
