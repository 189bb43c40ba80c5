"""Runs checks on text in threads, and keeps results for texts that come again."""
