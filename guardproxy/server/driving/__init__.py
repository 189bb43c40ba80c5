"""Drives exchanges: runs their commands, records them, answers from the caches."""
