"""Writes the files of a log."""
