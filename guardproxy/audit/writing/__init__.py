"""Writes the log of a running proxy: the file, its segments, and the start of a new file."""
