"""Finds names: the tagger of words and the tagger with a network."""
