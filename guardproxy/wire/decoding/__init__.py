"""Reads frames and whole bodies by a format's tables."""
