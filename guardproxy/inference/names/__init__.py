"""Finds names in texts: with `fast`, which reads a table of words, or with a network that tags words."""
