"""Runs checks on windows of text, in threads, and remembers what they found."""
