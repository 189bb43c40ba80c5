"""Scores texts: what reads first, what reads on, and the scorer of both."""
