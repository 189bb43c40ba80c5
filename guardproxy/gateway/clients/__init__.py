"""Tells who sends a request: the file of clients, their keys and tokens, and limits on guessing keys."""
