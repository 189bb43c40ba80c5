"""Starts, watches and ends processes: the one that serves, its workers, and the process for models."""
