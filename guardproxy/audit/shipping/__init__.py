"""Sends the entries of a log to other systems, each at least once."""
